"""What a pull request says: a pure function from the event log to a page.

All that people and models wrote stands in code there, so that it neither mentions anybody, nor closes an
issue, nor gives the forge an order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from core.events import Event
from core.redaction import redact
from core.texts import KeptText, Place
from graph import check_report
from graph.check_report import CheckSummary
from graph.progress import Progress
from memory.audit.stages import SNAPSHOT

_MOST_REQUIREMENT: Final = 6_000
_MOST_LINE: Final = 300
_MOST_ITEMS: Final = 40
_MOST_BODY: Final = 60_000


def title(planned: str, run_id: str) -> str:
    """One line: the plan's title, or the run."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in planned).split())
    # A reference in a title closes issues at some forges.
    plain = plain.replace("#", "").replace("@", "").strip()
    return redact(plain)[:120] or f"Factory run {run_id}"


def body(events: Sequence[Event], texts: Mapping[Place, KeptText], run_id: str, commit: str) -> str:
    """Objective, decisions, checks, costs, and the head of the audit's chain, in Markdown.

    `texts` are those beside the events (`EventLog.texts`).
    """
    progress = Progress.of(events)
    checks = list(progress.checks.values())
    sections = [
        f"Opened by Factory for `{run_id}`, at commit `{commit[:12]}`.",
        f"## Objective\n\n{_fenced(progress.requirement[:_MOST_REQUIREMENT])}",
        _list("Decisions", _decisions(events)),
        _list("Assumptions", _assumptions(events, texts)),
        _list("Left out", _skipped(events)),
        _list("Checks of the merged result", _checks(checks)),
        f"## Costs\n\n{progress.tokens:,} tokens, ${progress.cost_usd:.4f}, {progress.seconds:.0f} s.",
    ]
    if events:
        head = events[-1]
        sections.append(
            "## Audit\n\n"
            f"Event {head.seq} of the run, `sha256:{head.hash}`. "
            f"Whoever has the event log can prove it: `factory audit verify {run_id}`."
        )
    return redact("\n\n".join(section for section in sections if section))[:_MOST_BODY] + "\n"


def _decisions(events: Iterable[Event]) -> list[str]:
    questions: dict[str, str] = {}
    told: list[str] = []
    for event in events:
        payload: dict[str, Any] = event.payload
        if event.kind == "approval.requested":
            questions[str(payload["approval_id"])] = str(payload.get("title", ""))
        elif event.kind == "approval.decided":
            title = questions.get(str(payload["approval_id"]), "")
            answer = f": {_code(payload['answer'])}" if payload.get("answer") else ""
            by = _code(payload.get("by"))
            told.append(
                f"{_word(payload['kind'])} {_code(title)}: {_word(payload['decision'])} by {by}{answer}"
            )
        elif event.kind == "clarification.answered":
            told.append(
                f"{_word(payload.get('target'))} to {_word(payload.get('asker'))}: "
                f"{_code(payload.get('question'))} → {_code(payload.get('answer'))}"
            )
    return told


def _assumptions(events: Iterable[Event], texts: Mapping[Place, KeptText]) -> list[str]:
    newest: dict[str, list[str]] = {}
    for event in events:
        kept = texts.get((event.seq, "result")) if event.kind == SNAPSHOT else None
        result: Any = kept.value if kept else None
        if isinstance(result, dict):
            assumed = cast(dict[str, Any], result).get("assumptions_made")
            newest[str(event.team)] = (
                [str(one) for one in cast(list[Any], assumed)] if isinstance(assumed, list) else []
            )
    return [f"{_word(team)}: {_code(one)}" for team, assumed in newest.items() for one in assumed]


def _skipped(events: Iterable[Event]) -> list[str]:
    return [
        f"{_word(event.team)}: {_code(event.payload.get('reason'))}"
        for event in events
        if event.kind == "stage.skipped"
    ]


def _checks(checks: Sequence[CheckSummary]) -> list[str]:
    """The score first, then what each check says, the old faults among it, and what was not run."""
    told = [_code(check_report.headline(checks))] if checks else []
    for check in sorted(checks, key=lambda each: (each.passed is None, each.idle, each.name)):
        if check.passed is None:
            told.append(f"{_word(check.name)}: {_code(check.summary)}")
            continue
        told.append(
            f"{_tick(check.passed)} {_word(check.name)} ({check.score}/100, weight {check.weight}): "
            f"{_code(check.summary)}"
        )
        told += [f"{_word(check.name)}, was there before: {_code(each)}" for each in check.before[:3]]
    return told


def _tick(passed: Any) -> str:
    return "✔" if passed else "✘"


def _list(heading: str, items: Sequence[str]) -> str:
    if not items:
        return ""
    more = [f"- … and {len(items) - _MOST_ITEMS} more"] if len(items) > _MOST_ITEMS else []
    return f"## {heading}\n\n" + "\n".join([*(f"- {item}" for item in items[:_MOST_ITEMS]), *more])


def _word(value: Any) -> str:
    """A name of ours: letters, digits and underscores."""
    return "".join(c if c.isalnum() or c in "_-. " else "" for c in str(value))[:60]


def _code(value: Any) -> str:
    """Anybody's text as one line of code."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split()).replace("`", "'")
    return f"`{text[:_MOST_LINE] or ' '}`"


def _fenced(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    clean = "".join(c for c in text if c.isprintable() or c == "\n")
    return f"{fence}text\n{clean}\n{fence}"
