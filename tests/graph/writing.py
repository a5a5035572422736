"""A team that writes a text, run after run, and what its factory remembers of it."""

from __future__ import annotations

import json
from typing import Any

from core.events import Event
from graph.runner import Factory
from memory.service import Memories
from tests.packs.brain import Chat, Rule, read_file, result, write

REQUIREMENT = "Publish a text about loans in a lending library"
LIBRARY = "library"


def plan(_: Chat) -> str:
    return json.dumps({"reasoning": "all", "title": "Text", "skip": []})


def adr(decision: str) -> str:
    return f"# 0001: Database\n\nStatus: accepted\n\n## Decision\n\n{decision}\n"


class Writer:
    """Writes a text, a decision record and a schema; `facts` are what it reports."""

    def __init__(self, text: str = "A loan lasts 21 days.", decision: str = "SQLite, in one file.") -> None:
        self.text, self.decision = text, decision
        self.facts: list[str] = [text]
        self.briefs: list[str] = []

    def work(self, chat: Chat) -> str:
        if chat.turn == 0:
            self.briefs.append(chat.last)
            there = "docs/text.md" in chat.last.partition("## Files in the worktree")[2]
            if there:
                return read_file("docs/text.md") + read_file("docs/adr/0001-database.md")
        if "wrote docs/text.md" in chat.text or "wrote docs/adr" in chat.text:
            return "Done."
        return write("docs/text.md", f"# Text\n\n{self.text}\n") + write(
            "docs/adr/0001-database.md", adr(self.decision)
        )

    def report(self, _: Chat) -> str:
        return result(verified_facts=self.facts)

    def rules(self, **more: Rule) -> dict[str, Rule]:
        named = {name.replace("__", "/"): rule for name, rule in more.items()}
        return {
            "factory/plan": plan,
            "writer/work": self.work,
            "writer/report": self.report,
            "checker/work": lambda chat: (
                write("checks/verdict.md", "# Verdict\n\nFine.")
                if chat.turn == 0 and "`checks/verdict.md`" not in chat.last.partition("## Files in")[2]
                else "Done."
            ),
            **named,
        }


async def run(factory: Factory, requirement: str = REQUIREMENT, **how: Any) -> str:
    """A run of the project that is driven to its end; its id."""
    terms: dict[str, Any] = {"approve_all": True, **how}
    run_id = await factory.submit(requirement, project=LIBRARY, **terms)
    await factory.drive(run_id)
    return run_id


async def told(factory: Factory, run_id: str, *kinds: str) -> list[Event]:
    return await factory.events.read(run_id, kinds=kinds)


async def memories(factory: Factory) -> Memories:
    return await factory.services.memory.of(LIBRARY, factory.services.models)


async def live(factory: Factory, name: str = "writer") -> list[str]:
    bank = await (await memories(factory)).find(LIBRARY, name)
    return [] if bank is None else [memory.text for memory in await bank.list()]


def recalled(brief: str) -> str:
    return brief.partition("## Recalled from earlier work")[2].partition("\n## ")[0]
