"""The work conversation: which reply comes next, from what has been said and observed so far."""

import json
import re

from models.errors import ModelScriptEnded
from models.offline import changed, documents, repairing, software
from models.offline.job import Files, Job, job_of
from models.offline.reading import Conversation, Observation, Page
from models.offline.rendering import edit_block, fence
from models.offline.rereading import after_reading
from models.offline.writers import WRITERS

TURNS = 30  # own turns after which a conversation is not one that the script knows
REWORKS = 2  # times that the script can write everything again when a gate asks for it


def work(conversation: Conversation) -> str:
    """The next reply of an author: actions, or plain text when there is nothing left to do."""
    if len(conversation.own) >= TURNS:
        raise ModelScriptEnded(
            f"The offline model has said {TURNS} things to {conversation.team} and knows no more."
        )
    return after_reading(conversation, _decide)


def _decide(conversation: Conversation) -> str:
    if laid := repairing.conflicted(conversation):
        return _repair(conversation, *laid)
    if conversation.changes:
        return changed.work(conversation)
    if _must_read(conversation):
        return _call(
            "read_file", {"path": documents.REQUIREMENTS}, "I read which changes were asked for before."
        )
    job = job_for(conversation)
    if conversation.last("feedback"):
        return _rework(conversation, job)
    if findings := conversation.last("findings"):
        return _revise(conversation, job, findings.text)
    target, question = asks(conversation)
    if target and not conversation.said("request_clarification"):
        return _call(
            "request_clarification", {"target_team": target, "question": question}, "One thing I must know."
        )
    if not conversation.said("write") and not conversation.said("edit"):
        return _first(conversation, job) if job.team in WRITERS else _add(conversation, job)
    if planted(conversation) and not conversation.said("edit"):
        return _fix(conversation, job)
    if _lost_edit(conversation, job):
        return _blocks("The page could not be changed in place, so I write it again.", _right(job), "")
    return _done(conversation)


def job_for(conversation: Conversation) -> Job:
    """The job, with what was asked, answered and read on the way."""
    target, question = asks(conversation)
    answers = conversation.observations("request_clarification")
    answer = answers[0].output.strip() if answers and not answers[0].failed else ""
    comments = conversation.comment
    for read in conversation.observations("read_file"):
        comments = "\n".join([*_earlier(read.output, comments), comments])
    return job_of(conversation, comments.strip(), target=target, question=question, answer=answer)


def asks(conversation: Conversation) -> tuple[str, str]:
    """Whom this team asks what in its first round; empty when it asks nobody."""
    upstream = conversation.upstream
    if conversation.round > 1:
        return "", ""
    if conversation.team == "backend_engineering":
        for target in ("database_engineering", "solution_architecture"):
            if target in upstream:
                return target, "After a row is deleted, may its id be given to a new row?"
    if conversation.team == "compliance_legal":
        personal = [entity.plural for entity in job_of(conversation, "").domain.entities if entity.personal]
        about = (
            f"Rows about people ({', '.join(personal)})" if personal else "Free text, which may name people,"
        )
        return "person", (
            f"{about} may be kept until their owner deletes them: is that allowed? "
            "Without an answer I assume yes: nothing is deleted by itself, and every row can be deleted."
        )
    short = len(conversation.requirement.split()) < 12
    if conversation.team == "business_analysis" and "product_management" not in upstream and short:
        return "person", (
            "The requirement is short. Is there anything that must be kept or done beyond its words? "
            "Without an answer I assume no: I read it as it stands."
        )
    return "", ""


def planted(conversation: Conversation) -> bool:
    """Whether this conversation's first version has the mistake that its unit tests catch."""
    return (
        conversation.team == "backend_engineering"
        and conversation.round == 1
        and not conversation.count("feedback")
    )


def test_runs(conversation: Conversation) -> list[Observation]:
    """What the runs of the tests came to."""
    return conversation.observations("bash")


def summary(run: Observation) -> str:
    """pytest's last line without its time, or the end of the output when there is none."""
    found = re.findall(r"(\d+ (?:passed|failed|errors?|skipped)[^\n=]*?) in [\d.:]+", run.output)
    return found[-1] if found else run.output.strip()[-300:] or run.remark


# --- replies ------------------------------------------------------------------------------------------


def _first(conversation: Conversation, job: Job) -> str:
    """Everything, in its first version."""
    tests = software.TESTS.get(job.team, "")
    if planted(conversation):
        first = software.backend(job, right=False)
        say = "I write the service and its unit tests, then run them."
        return _blocks(say, first, tests, software.preparation(job))
    if job.team == "solution_architecture" and job.round == 1:
        return _blocks(
            "I write the overview and the first decision.", documents.architecture(job, whole=False), ""
        )
    if job.team == "business_analysis" and job.round > 1 and documents.REQUIREMENTS in job.worktree:
        added = f"{documents.CHANGES}\n{documents.change_note(job).rstrip()}"
        glossary = {"docs/analysis/glossary.md": documents.glossary(job)}
        edit = edit_block(documents.REQUIREMENTS, documents.CHANGES, added)
        return f"{_blocks('I add what the review asks for.', glossary, '')}\n\n{edit}"
    return _blocks(f"I write {len(_right(job))} files.", _right(job), tests)


def _add(conversation: Conversation, job: Job) -> str:
    """A team without a script adds to the pages that are there already: what others wrote stays."""
    files = documents.unknown(job)
    there = [path for path in files if path in conversation.worktree and path.endswith(".md")]
    reads = conversation.observations("read_file")
    if there and not reads:
        calls = (_call("read_file", {"path": path}, "I read what is there, to add to it.") for path in there)
        return "\n\n".join(calls)
    for path, read in zip(there, reads, strict=False):
        if read.failed or re.search(r"^… \((?:lines \d+ to|\d+ characters left out)", read.output, re.M):
            del files[path]  # what was not read whole is not written whole
        else:
            files[path] = f"{read.output.rstrip()}\n\n{documents.entry(job)}"
    return _blocks(f"I write {len(files)} files.", files, "")


def _right(job: Job) -> Files:
    """The files of the team as they should be."""
    return WRITERS.get(job.team, documents.unknown)(job)


def _fix(conversation: Conversation, job: Job) -> str:
    """The first run of the tests has been seen: mend what it shows."""
    runs = test_runs(conversation)
    seen = summary(runs[-1]) if runs else "no run"
    failing = re.findall(r"^FAILED (\S+)", runs[-1].output, re.M) if runs else []
    if any("test_deleting_a_missing_row" in name for name in failing):
        why = f"The tests say: {seen}. `Store.delete` does not look whether there was a row. I mend that."
    else:
        why = f"The run came to this: {seen}. I know a mistake in `Store.delete` and mend it first."
    path = f"{job.source}/store.py"
    edit = edit_block(path, software.delete_method(right=False), software.delete_method(right=True))
    return f"{why}\n\n{edit}\n\n{_bash(software.TESTS[job.team])}"


def _rework(conversation: Conversation, job: Job) -> str:
    """A gate sent the result back: write all of it again, and test."""
    if conversation.count("feedback") > REWORKS:
        raise ModelScriptEnded(
            f"The gate sent {job.team} back {REWORKS + 1} times; the offline model has one version."
        )
    return _blocks(
        "I write everything again as it should be.",
        _right(job),
        software.TESTS.get(job.team, ""),
        software.preparation(job),
    )


def _repair(conversation: Conversation, since: int, page: Page) -> str:
    """Two changes met: keep both where both only added, and test. One reply, for there is no second idea."""
    if reasons := repairing.undecided(conversation):
        return "I cannot make one of both.\n\n" + "\n".join(f"- {reason}" for reason in reasons)
    if len(conversation.own) > since:
        return _done(conversation)
    tests = software.TESTS.get(conversation.team, "")
    reply = f"Both sides only added lines, so I keep both.\n\n{repairing.edits(page)}"
    return f"{reply}\n\n{_bash(tests)}" if tests else reply


def _revise(conversation: Conversation, job: Job, findings: str) -> str:
    """A reviewer asked for something."""
    if job.team == "solution_architecture" and not conversation.said("edit"):
        adr = documents.architecture(job, whole=False)[documents.ADR]
        last = "\n".join(adr.splitlines()[-2:])
        return "The decision now says what follows from it.\n\n" + edit_block(
            documents.ADR, last, f"{last}\n{documents.consequences()}"
        )
    return f"The script has no change for these findings; they stand as they are:\n\n{fence(findings[:2000])}"


def _done(conversation: Conversation) -> str:
    """No action: why this is the end."""
    runs = test_runs(conversation)
    if runs and runs[-1].failed:
        return f"I stop here. The last run of the tests came to: {summary(runs[-1])}"
    if failed := [one for one in conversation.observations() if one.failed and one.action != "bash"]:
        return f"I stop here. {failed[-1].action}: {failed[-1].output.strip()[:300]}"
    return f"Done. The last run of the tests: {summary(runs[-1])}." if runs else "Done."


# --- blocks -------------------------------------------------------------------------------------------


def _blocks(say: str, files: Files, tests: str, before: str = "") -> str:
    blocks = [say, *(fence(text, f"write {path}") for path, text in sorted(files.items()))]
    return "\n\n".join([*blocks, _bash(tests, before)] if tests else blocks)


def _bash(tests: str, before: str = "") -> str:
    # -B and no cache: a test run must leave nothing behind that would be committed
    lines = [before, f"python -B -m pytest -q -p no:cacheprovider {tests}"]
    return fence("\n".join(line for line in lines if line), "bash")


def _call(name: str, arguments: dict[str, str], say: str) -> str:
    return f"{say}\n\n{fence(json.dumps(arguments, ensure_ascii=False), f'call {name}')}"


# --- what was before ----------------------------------------------------------------------------------


def _must_read(conversation: Conversation) -> bool:
    """From the third round on, the earlier comments stand in the requirements only."""
    known = documents.REQUIREMENTS in conversation.worktree
    return conversation.round > 2 and known and not conversation.said("read_file")


def _earlier(requirements: str, comment: str) -> list[str]:
    """The comments of earlier rounds, oldest first, from the requirements page."""
    _, _, changes = requirements.partition(documents.CHANGES)
    parts = re.split(r"### Change \d+", changes)[1:]
    found = ["\n".join(re.findall(r"(?:^|[\t:|] ?)> ?(.*)", part, re.M)) for part in parts]
    return [text for text in reversed(found) if text and text not in comment]


def _lost_edit(conversation: Conversation, job: Job) -> bool:
    """Business analysis: the edit of an existing page failed, and the page was not written whole since."""
    edits = conversation.observations("edit_file")
    return (
        job.team == "business_analysis"
        and bool(edits)
        and edits[-1].failed
        and conversation.said("write") < 2
    )
