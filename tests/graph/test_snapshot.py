"""The audit's snapshot of each stage of a real run: found again by any phrase, and proven."""

from __future__ import annotations

from typing import Any

from core.audit import verify
from memory.audit.phrases import Phrase
from memory.audit.replay import Texts, steps
from memory.audit.search import Hit, search
from tests.graph.conftest import OpenSmall
from tests.packs.brain import result, write

SECRET = "sk-" + "a1b2c3d4" * 4


async def test_the_audit_keeps_what_each_stage_was_given_said_and_wrote(open_small: OpenSmall) -> None:
    rules = {
        "painter/work": lambda chat: (
            write("docs/painter.md", "# Painter\n\nUltramarine.") if chat.turn == 0 else "Done."
        ),
        "painter/report": lambda _: result(
            verified_facts=["The canvas is primed twice.", f"It opens with {SECRET}."]
        ),
    }
    async with open_small(rules) as factory:
        run_id = await factory.submit("Small pages about lighthouses", approve_all=True)
        await factory.drive(run_id)
        db = factory.services.db

        async def places(phrase: str) -> set[tuple[str | None, str]]:
            return {(hit.stage, hit.place) for hit in await _found(phrase)}

        async def _found(phrase: str) -> list[Hit]:
            return (await search(db, Phrase(phrase), limit=500)).found

        assert ("painter.1", "file:docs/painter.md") in await places("ultramarine")
        assert ("painter.1", "result.verified_facts[0]") in await places("canvas is primed twice")
        assert any("painter.1" in hit.again for hit in await _found("about lighthouses"))
        assert ("scout.1", "question") in await places("Which colour")
        assert await _found(SECRET) == []
        assert await _found("redacted") != []

        events = await factory.events.read(run_id)
        texts = await factory.events.texts(run_id)
        snapshots = {str(event.team): event for event in events if event.kind == "stage.snapshot"}
        assert set(snapshots) >= {"painter", "scout"}
        for team, event in snapshots.items():
            cost: Any = event.payload["cost"]
            # Its questions to other teams are answered at its cost; what it remembers comes after.
            before = [e for e in events if e.kind == "model.called" and e.seq < event.seq]
            own = [e for e in before if str(e.key).startswith(f"{team}.1/")]
            assert cost["calls"] == len(own) >= 2
            assert cost["input_tokens"] == sum(int(str(e.payload["input_tokens"])) for e in own)
            assert texts[(event.seq, "brief")].state == "whole"
            assert "lighthouses" not in str(event.payload), "what can be forgotten is not in the chain"
        walked = steps(events)
        told = Texts(events, texts)
        briefed = {step.team for step in walked if told.brief(step)}
        assert briefed == set(snapshots)
        assert sorted(event.seq for step in walked for event in step.events) == [e.seq for e in events]
        report = await verify(db)
        assert (report.ok, report.texts) == (True, len(texts))
