"""A run as a conversation shows it: a fold over its events, and the steps and elements that follow from it.

Nothing of it is stored. Ids are names of what is shown (`uuid5` of run and stage), so that the page replaces
what it has: a reload, a second tab and a server that was killed all lead to the same conversation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID, uuid5

from chat.cards import Asked, card
from chat.tables import may_be
from chat.wire import (
    FACTORY,
    Piece,
    Step,
    artifact,
    custom,
    escaped,
    fenced,
    iso,
    message,
    reply,
    task_list,
    traces,
)
from core.events import Event
from core.plain import cost, one_line, seconds, tokens
from core.sayings import Saying
from governance.approvals import Approval
from graph.lifecycle import ENDED
from graph.narration import LOUD, tell
from graph.progress import Progress, StageRow

_NAMES: Final = UUID("7b0c9c8e-6f0e-4a5e-9f54-3f3a3f0c6a11")
"""The namespace of the steps' ids; another one would show every conversation twice."""
MOST_LINES: Final = 40
"""What happened in a stage, as lines of its step; of more, the newest."""
MOST_FILES: Final = 30

_ICONS: Final = {"waiting": "○", "running": "▸", "asking": "?", "done": "✓", "skipped": "-", "failed": "✗"}
_TASKS: Final = {
    "waiting": "ready",
    "running": "running",
    "asking": "running",
    "done": "done",
    "skipped": "done",
    "failed": "failed",
}
_FINISHED: Final = {
    "completed": "### ✓ Finished",
    "failed": "### ✗ The run failed",
    "rejected": "### ✗ The run was rejected",
    "cancelled": "### ✗ The run was cancelled",
}


def step_id(run_id: str, piece: str) -> str:
    """The id of a step of a run: the same wherever and whenever it is shown."""
    return str(uuid5(_NAMES, f"{run_id}/{piece}"))


@dataclass
class _Notes:
    """What a stage's step tells beside its state."""

    lines: list[str] = field(default_factory=list[str])
    left_out: int = 0
    commit: str = ""
    files: list[str] = field(default_factory=list[str])
    saying: str = ""
    """What its model is writing just now."""
    over: str = ""
    """The key of the event that ended its last model call."""

    def add(self, line: str) -> None:
        self.lines.append(line)
        if len(self.lines) > MOST_LINES:
            self.lines.pop(0)
            self.left_out += 1


@dataclass
class Timeline:
    """One run in one conversation. Feed it events in order with `apply`, then `show`."""

    run_id: str
    thread_id: str
    progress: Progress = field(default_factory=Progress)
    seq: int = 0
    """The last event it has seen."""
    traced: bool = False
    """Whether a tracing service is told of its model calls."""
    details: dict[str, Approval] = field(default_factory=dict[str, Approval])
    """The rows of its questions, where whoever shows it has looked them up."""
    _notes: dict[str, _Notes] = field(default_factory=dict[str, _Notes])
    _questions: dict[str, Asked] = field(default_factory=dict[str, Asked])
    _announced: list[tuple[datetime, str]] = field(default_factory=list[tuple[datetime, str]])
    _touched: set[str] = field(default_factory=set[str])

    def apply(self, event: Event) -> None:
        """Take one event in."""
        if event.seq <= self.seq:
            return
        self.seq = event.seq
        before = self.progress.status
        self.progress.apply(event)
        self._touched.add("run")
        if event.team is not None:
            self._touched.add(f"stage/{event.team}")
            if event.kind in LOUD:
                notes = self._notes.setdefault(event.team, _Notes())
                notes.add(f"`{event.at:%H:%M:%S}` {escaped(one_line(_told(event), 300))}")
        self._react(event)
        if event.kind == "plan.decided" or self.progress.status != before:
            self._touched |= {"tasks", "finished"}

    def hear(self, saying: Saying) -> None:
        """Take in what a model is writing. It is gone with the end of its call."""
        notes = self._notes.setdefault(saying.team, _Notes())
        if not notes.over.startswith(f"{saying.call}/"):
            notes.saying = saying.text
            self._touched.add(f"stage/{saying.team}")

    def _react(self, event: Event) -> None:
        payload = cast("Mapping[str, Any]", event.payload)
        match event.kind:
            case "approval.requested":
                name = str(payload["approval_id"])
                self._questions.setdefault(name, Asked(event.at, payload))
                self._touched |= {f"question/{name}", "tasks"}
            case "approval.decided":
                name = str(payload["approval_id"])
                if name in self._questions:
                    self._questions[name].decided = payload
                    self._questions[name].decided_at = event.at
                    self._touched |= {f"question/{name}", "tasks"}
            case "stage.merged":
                notes = self._notes.setdefault(str(event.team), _Notes())
                notes.commit = str(payload["commit"])
                notes.files = [str(path) for path in payload["files"]]
            case "run.announced":
                self._announced.append((event.at, escaped(str(payload["text"]))))
                self._touched.add("announced")
            case "run.ended":
                self._touched |= {"finished", "tasks"}
            case "model.called" | "model.failed" | "stage.ended" if event.team is not None:
                notes = self._notes.setdefault(event.team, _Notes())
                notes.saying, notes.over = "", event.key or ""
            case _:
                pass

    def touched(self) -> set[str]:
        """What has changed since this was last asked."""
        names, self._touched = self._touched, set()
        return names

    def wanted(self) -> list[str]:
        """Questions whose rows `details` lacks, or has from before they were decided."""
        return [
            name
            for name, asked in self._questions.items()
            if name not in self.details or (asked.decided and self.details[name].decision is None)
        ]

    @property
    def ended(self) -> bool:
        """Whether the run is over, as far as the events seen tell."""
        return self.progress.status in ENDED and self.progress.ended_at is not None

    def questions(self) -> list[str]:
        """The open questions, oldest first."""
        return [name for name, asked in self._questions.items() if asked.decided is None]

    def show(self, only: set[str] | None = None) -> list[Piece]:
        """The steps and elements, parents before children; of those named in `only` where given."""
        shown: list[Piece] = []
        if only is None or "run" in only:
            shown.append(self._root())
        for row in self.progress.rows:
            if only is None or f"stage/{row.team}" in only or "tasks" in only:
                shown.append(self._stage(row))
        for number, (at, text) in enumerate(self._announced):
            if only is None or "announced" in only:
                shown.append(self._said(f"announced/{number}", at, f"⚠ {text}"))
        for name, asked in self._questions.items():
            if only is None or f"question/{name}" in only:
                shown += self._question(name, asked)
        if self.progress.rows and (only is None or only):
            shown.append(self._tasks())
        if self.ended and (only is None or "finished" in only):
            assert self.progress.ended_at is not None
            end = step_id(self.run_id, "finished")
            told = reply(end, self.thread_id, self._summary(), at=self.progress.ended_at)
            shown.extend(("step", step) for step in told)
            shown += self._data(end)
        return shown

    def _root(self) -> Piece:
        progress = self.progress
        start = progress.started_at
        word = progress.status.replace("_", " ")
        title = one_line(progress.title or progress.requirement, 70)
        step: Step = {
            "id": step_id(self.run_id, "run"),
            "threadId": self.thread_id,
            "parentId": None,
            "name": f"{title}: {word}{_spent(progress.seconds, progress.tokens, progress.cost_usd)}",
            "type": "run",
            "output": self._root_text(),
            "createdAt": iso(start),
            "start": iso(start),
            "end": iso(progress.ended_at) if self.ended else None,
            "defaultOpen": True,
            "isError": progress.status == "failed",
            "metadata": {"run_id": self.run_id, "avatarName": FACTORY.lower()},
        }
        return ("step", step)

    def _root_text(self) -> str:
        if not self.progress.rows:
            return "Assessing the risk and choosing the teams …"
        return f"[Its model calls in Langfuse]({traces(self.run_id)})" if self.traced else ""

    def _stage(self, row: StageRow) -> Piece:
        notes = self._notes.get(row.team, _Notes())
        ended = row.ended_at
        if row.state in ("running", "asking"):
            now = self.progress.last_at
            lasted = (now - row.started_at).total_seconds() if now and row.started_at else 0.0
        else:
            lasted = row.seconds
        name = f"{_ICONS[row.state]} {row.name}: {_state(row)}{_spent(lasted, row.tokens, row.cost_usd)}"
        step: Step = {
            "id": step_id(self.run_id, f"stage/{row.team}"),
            "threadId": self.thread_id,
            "parentId": step_id(self.run_id, "run"),
            "name": one_line(name, 200),
            "type": "tool",
            "output": self._stage_text(row, notes),
            "createdAt": iso(self.progress.started_at),
            "start": iso(row.started_at or self.progress.started_at),
            "end": iso(ended),
            "isError": row.state == "failed",
            "metadata": {"team": row.team, "state": row.state},
        }
        return ("step", step)

    def _stage_text(self, row: StageRow, notes: _Notes) -> str:
        parts = [escaped(row.skipped_because)] if row.skipped_because else []
        if notes.left_out:
            parts.append(f"*{notes.left_out} earlier lines are in the log of the run.*")
        parts.append("\n".join(f"- {line}" for line in notes.lines))
        if notes.saying:
            parts.append(f"*Its model writes:*\n\n{fenced(notes.saying)}")
        if notes.files:
            shown = notes.files[:MOST_FILES]
            links = [f"- [{escaped(path)}]({artifact(self.run_id, notes.commit, path)})" for path in shown]
            more = len(notes.files) - len(shown)
            parts.append(f"**Files ({len(notes.files)})**")
            parts.append("\n".join(links + ([f"- and {more} more"] if more else [])))
        return "\n\n".join(part for part in parts if part)

    def _question(self, name: str, asked: Asked) -> list[Piece]:
        title = one_line(str(asked.payload.get("title", "A question")), 200)
        said = self._said(f"question/{name}", asked.at, f"**{escaped(title)}**")
        element = custom(
            step_id(self.run_id, f"card/{name}"),
            self.thread_id,
            "Decision",
            card(self.run_id, asked, self.details.get(name)),
            below=step_id(self.run_id, f"question/{name}"),
        )
        return [said, ("element", element)]

    def _data(self, end: str) -> list[Piece]:
        """The files that may hold rows, below the end; of a released run, as they were released."""
        found = {
            path: self.progress.commit or notes.commit
            for notes in self._notes.values()
            for path in notes.files
            if may_be(path)
        }
        if not found:
            return []
        files = [{"path": path, "commit": commit} for path, commit in sorted(found.items())]
        props = {"run_id": self.run_id, "files": files[:MOST_FILES], "more": len(files[MOST_FILES:])}
        name = step_id(self.run_id, "data")
        return [("element", custom(name, self.thread_id, "Data", props, below=end))]

    def _said(self, piece: str, at: datetime, text: str) -> Piece:
        return ("step", message(step_id(self.run_id, piece), self.thread_id, text, at=at))

    def _tasks(self) -> Piece:
        tasks = [
            {
                "title": escaped(f"{row.name}{_task(row)}"),
                "status": _TASKS[row.state],
                "forId": step_id(self.run_id, f"stage/{row.team}"),
            }
            for row in self.progress.rows
        ]
        status = self.progress.status.replace("_", " ")
        body = {"status": status, "tasks": tasks}
        return ("element", task_list(step_id(self.run_id, "tasks"), self.thread_id, body))

    def _summary(self) -> str:
        progress = self.progress
        lines = [_FINISHED.get(progress.status, f"### {progress.status}")]
        if progress.failure:
            lines.append(escaped(one_line(progress.failure, 1000)))
        facts = [("Run", f"`{self.run_id}`"), ("Project", f"`{escaped(progress.project)}`")]
        if progress.tag:
            facts.append(("Released as", f"`{escaped(progress.tag)}` ({progress.commit[:12]})"))
        if progress.pull_request:
            facts.append(("Pull request", progress.pull_request))
        if progress.repository:
            facts.append(("Repository", f"`{escaped(progress.repository)}`"))
        checks = [
            f"{name} {'✓' if check.passed else '✗' if check.passed is False else 'not run'}"
            for name, check in progress.checks.items()
        ]
        if checks:
            facts.append(("Checks", escaped(", ".join(checks))))
        facts.append(("Took", _spent(progress.seconds, progress.tokens, progress.cost_usd).lstrip(" ·")))
        rows = [f"| {name} | {value} |" for name, value in facts]
        lines.append("\n".join([rows[0], "|---|---|", *rows[1:]]))
        if progress.tag and progress.commit:
            lines.append(f"[Open the result]({artifact(self.run_id, progress.commit, '')})")
        return "\n\n".join(lines)


def _told(event: Event) -> str:
    told = tell(event)
    who = f"{event.team}: "
    return told.removeprefix(who)


def _state(row: StageRow) -> str:
    if row.state == "running" and row.doing:
        return one_line(row.doing, 90)
    if row.state == "asking":
        return "waits for you"
    return row.state


def _task(row: StageRow) -> str:
    if row.state == "asking":
        return " (waits for you)"
    return " (not needed)" if row.state == "skipped" else ""


def _spent(took: float, used: int, usd: float) -> str:
    parts = [
        seconds(took) if took else "",
        f"{tokens(used)} tokens" if used else "",
        cost(usd) if used else "",
    ]
    return "".join(f" · {part}" for part in parts if part)
