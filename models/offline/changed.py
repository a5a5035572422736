"""A change of what exists, as far as a script can make one.

Two kinds. Where the text holds `write` and `edit` blocks, they are carried out as they stand, each by the
team whose file it names: so a change of any repository can be scripted. Where the product was written by this
script, a field or an entity can be added: what differs between the files before and after becomes edits, so
that whatever people have changed in them since stays. Anything else is reported as blocked.
"""

import re
from difflib import SequenceMatcher

from models.offline import documents, rereading, software
from models.offline.domain import parse
from models.offline.job import Files, Job
from models.offline.reading import Conversation, Observation
from models.offline.rendering import fence, render
from models.offline.writers import WRITERS

Report = dict[str, str | int | bool | list[str]]

_BLOCK = re.compile(
    r"^(?P<mark>`{3,}|~{3,})(?P<info>(?:write|edit)[ \t]+(?P<path>\S+))[ \t]*\n"
    r"(?P<body>.*?)^(?P=mark)[ \t]*$",
    re.M | re.S,
)
_BEYOND = (
    "The script has no change for this text. It carries out `write` and `edit` blocks that stand in it, and "
    "adds fields and entities to a product that it wrote itself."
)


def title(text: str) -> str:
    """The first line of a change's prose."""
    lines = (line.strip(" #*-.") for line in _BLOCK.sub("", text).splitlines())
    return next((line for line in lines if line), "A change")[:60]


def work(conversation: Conversation) -> str:
    """The next reply: all edits at once with a run of the tests, then nothing more."""
    if conversation.last("feedback"):
        return "The script has one version of a change; it stands."
    if findings := conversation.last("findings"):
        return f"The script has no change for these findings:\n\n{fence(findings.text[:2000])}"
    if not conversation.own:
        if blocks := actions(conversation):
            return "\n\n".join([f"I make {len(blocks)} changes.", *blocks, *_tests(conversation)])
        return "Nothing of mine has to change." if understood(conversation) else _BEYOND
    runs = conversation.observations("bash")
    failed = _failed(conversation)
    if failed:
        return f"I stop here. {failed[-1].action}: {failed[-1].output.strip()[:300]}"
    return f"Done. The tests: {_summary(runs[-1])}." if runs else "Done."


def actions(conversation: Conversation) -> list[str]:
    """The blocks that change the team's files; none where nothing of its own changes."""
    blocks = list(_BLOCK.finditer(asked(conversation)))
    if blocks:
        own = set(conversation.named)
        return [
            fence(block["body"].removesuffix("\n"), block["info"])
            for block in blocks
            if block["path"].removeprefix("./") in own
        ]
    return _of_product(conversation)


def understood(conversation: Conversation) -> bool:
    """Whether the script knows what the text asks for, whoever's work it is."""
    if _BLOCK.search(asked(conversation)):
        return True
    before, after = _jobs(conversation)
    return before.has("entities.py") and before.domain.entities != after.domain.entities


def asked(conversation: Conversation) -> str:
    """The text of this round: the change itself, later what a review asks for."""
    return conversation.comment if conversation.round > 1 else conversation.requirement


def report(conversation: Conversation) -> Report:
    """The result, from what was observed."""
    said = "\n".join(conversation.own)
    paths = sorted(set(re.findall(r"^[`~]{3,}(?:write|edit) (\S+)", said, re.M)))
    runs = conversation.observations("bash")
    blockers = [f"{one.action}: {one.output.strip()[-300:]}" for one in _failed(conversation)]
    if not paths and not understood(conversation):
        blockers.append(_BEYOND)
    facts = [f"Changed: {', '.join(paths)}"] if paths and not blockers else []
    facts += [f"pytest: {_summary(run)}" for run in runs]
    prose, played = _BLOCK.subn("", asked(conversation))
    beside = ["What the text says beside its blocks is done by them."] if played and prose.strip() else []
    return {
        "reasoning": "Changed by the offline model's script." if paths else "Nothing of this team's changes.",
        "deliverables": paths,
        "verified_facts": facts[:12],
        "assumptions_made": beside,
        "blockers": blockers[:5],
        "clarification_target": "",
        "clarification_question": "",
        "confidence": 20 if blockers else 90,
        "status": "BLOCKED" if blockers else "COMPLETE",
    }


def edits(old: str, new: str) -> list[tuple[str, str]]:
    """What turns `old` into `new`, as (lines that stand in `old` once, lines in their place)."""
    before, after = old.splitlines(), new.splitlines()
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    spans: list[tuple[int, int, int, int]] = []
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        if tag == "equal":
            continue
        above, below = 1, 1
        while True:
            low, high = max(0, start - above), min(len(before), end + below)
            if _once(before, low, high) or (low == 0 and high == len(before)):
                break
            above, below = above + 1, below + 1
        span = (low, high, new_start - (start - low), new_end + (high - end))
        if spans and spans[-1][1] > low:
            first = spans.pop()
            span = (min(first[0], low), max(first[1], high), min(first[2], span[2]), max(first[3], span[3]))
        spans.append(span)
    return [("\n".join(before[a:b]), "\n".join(after[c:d])) for a, b, c, d in spans]


def _once(lines: list[str], low: int, high: int) -> bool:
    wanted = lines[low:high]
    width = len(wanted)
    return bool(width) and sum(lines[i : i + width] == wanted for i in range(len(lines) - width + 1)) == 1


def _of_product(conversation: Conversation) -> list[str]:
    before, after = _jobs(conversation)
    if not before.has("entities.py") or before.domain.entities == after.domain.entities:
        return []
    old, new = _written(before), _written(after)
    blocks: list[str] = []
    for path, text in sorted(new.items()):
        if path not in old:
            blocks.append(fence(text, f"write {path}"))
        elif text != old[path] and path in before.worktree:
            blocks.append(_edit(path, edits(old[path], text)))
    if before.team == "business_analysis" and documents.REQUIREMENTS in before.worktree:
        number = str(len(conversation.history) + conversation.round)
        comment = documents.quote(asked(conversation))
        note = render(
            "docs/changed.md", number=number, comment=comment, effect=documents.change_effect(after)
        )
        added = f"{documents.CHANGES}\n{note.rstrip()}"
        blocks.append(_edit(documents.REQUIREMENTS, [(documents.CHANGES, added)]))
    return blocks


def _written(job: Job) -> Files:
    return WRITERS[job.team](job) if job.team in WRITERS else {}


def _jobs(conversation: Conversation) -> tuple[Job, Job]:
    """The job before and after the change, of a product that the first requirement describes."""
    first, *later = conversation.history or [conversation.requirement]
    if conversation.round > 1:
        later.append(conversation.requirement)
    return _job(conversation, first, later), _job(conversation, first, [*later, asked(conversation)])


def _job(conversation: Conversation, requirement: str, comments: list[str]) -> Job:
    told = "\n".join(_BLOCK.sub("", comment) for comment in comments)
    return Job(
        domain=parse(requirement, told),
        requirement=requirement,
        team=conversation.team,
        round=1,
        comments=told,
        worktree=conversation.worktree,
        deliverables=tuple(conversation.deliverables),
    )


def _edit(path: str, parts: list[tuple[str, str]]) -> str:
    body = "\n".join(f"<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE" for old, new in parts)
    return fence(body, f"edit {path}")


def _tests(conversation: Conversation) -> list[str]:
    """A run of the team's own tests, where it has any; the gate runs them all."""
    own = software.TESTS.get(conversation.team, "")
    if not any(path.startswith(f"{own}/") for path in conversation.worktree if own):
        return []
    return [fence(f"python -B -m pytest -q -p no:cacheprovider {own}", "bash")]


def _failed(conversation: Conversation) -> list[Observation]:
    return [one for one in conversation.observations() if one.failed and not rereading.refused(one)]


def _summary(run: Observation) -> str:
    found = re.findall(r"(\d+ (?:passed|failed|errors?|skipped)[^\n=]*?) in [\d.:]+", run.output)
    return found[-1] if found else run.output.strip()[-300:] or run.remark
