"""A second round on real runs of the small pack: what ended in it replaces what ended before, and no less."""

import pytest

from graph.state import StageOutcome, StageVerdict, by_team
from tests.graph.conftest import OpenSmall
from tests.packs.brain import Chat, result
from tests.sampling import some


def outcome(team: str, number: int, verdict: StageVerdict = "pass") -> StageOutcome:
    return {
        "team": team,
        "round": number,
        "verdict": verdict,
        "attempts": 1,
        "commit": None,
        "files": [],
        "facts": [],
        "assumptions": [],
        "confidence": 90,
        "reason": "",
    }


OLD = {"a": outcome("a", 1), "b": outcome("b", 1)}
A_FAILED = {"a": outcome("a", 2, "fail"), "b": outcome("b", 1)}
B_PASSED = {"a": outcome("a", 1), "b": outcome("b", 2)}


@pytest.mark.parametrize(
    "order", [(OLD, A_FAILED, B_PASSED), (OLD, B_PASSED, A_FAILED), (A_FAILED, OLD, B_PASSED)]
)
def test_stages_side_by_side_never_put_an_old_outcome_over_a_new_one(
    order: tuple[dict[str, StageOutcome], ...],
) -> None:
    merged: dict[str, StageOutcome] = {}
    for update in order:
        merged = by_team(merged, update)
    assert {team: (each["round"], each["verdict"]) for team, each in merged.items()} == {
        "a": (2, "fail"),
        "b": (2, "pass"),
    }


@pytest.mark.parametrize("broken", some(["maker", "painter"], of=2))
async def test_a_stage_that_fails_in_a_second_round_fails_the_run_beside_one_that_passes(
    open_small: OpenSmall, broken: str
) -> None:
    def report(chat: Chat) -> str:
        blocked = chat.round == 2 and chat.team == broken
        return result("BLOCKED", blockers=["no paint"]) if blocked else result()

    both = "```write docs/maker.md\n# Maker\n```\n\n```write docs/extra.md\n# Extra\n```\n"
    rules = {
        "maker/work": lambda chat: both if chat.turn == 0 else "Done.",
        "maker/report": report,
        "painter/report": report,
    }
    async with open_small(rules) as factory:
        run_id = await factory.submit("Small pages")
        review = (await factory.drive(run_id)).waiting[0]
        await factory.answer(review.id, "respond", "again", by="me")
        blocked = (await factory.drive(run_id)).waiting[0]
        assert blocked.team == broken
        await factory.answer(blocked.id, "reject", None, by="me")
        assert (await factory.drive(run_id)).status == "failed"
