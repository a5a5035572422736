"""Replies that are one JSON object: plan, govern, review, clarify, report."""

import json
import re

from models.offline import changed, documents, repairing, rereading, software
from models.offline.domain import parse
from models.offline.naming import spoken
from models.offline.reading import Conversation, unquote
from models.offline.script import job_for, summary, test_runs

Answer = dict[str, str | int | bool | list[str]]


def govern(conversation: Conversation) -> Answer:
    """A scripted model adds no risk to what the rules found."""
    return {"reasoning": "Scripted: the rules decide.", "risk": "LOW", "reasons": []}


def plan(conversation: Conversation) -> Answer:
    """Skip each team whose words the requirement does not have; the words stand in the message."""
    requirement = conversation.requirement.lower()
    skip: list[str] = []
    for line in conversation.brief.section("Teams").splitlines():
        team = re.match(r"- `?([a-z0-9_-]+)`?:", line)
        words = re.search(r"unless:([^);]*)", line)
        if not team or not words or "(required" in line:
            continue
        needed = [word.strip(" `'\"") for word in words[1].split(",")]
        if not any(
            word and re.search(rf"\b{re.escape(word.lower())}(?:s|es|ed|ing|er)?\b", requirement)
            for word in needed
        ):
            some = ", ".join(needed[:4]) + (f" and {len(needed) - 4} more" if len(needed) > 4 else "")
            skip.append(f"{team[1]}: the requirement has none of its words ({some}).")
    if conversation.changes:
        title = changed.title(conversation.requirement)
        return {"reasoning": "Scripted: the rules have chosen.", "title": title, "skip": []}
    domain = parse(conversation.requirement)
    what = ", ".join(spoken(entity.plural) for entity in domain.entities)
    return {"reasoning": f"The requirement is about {what}.", "title": domain.title, "skip": skip}


def review(conversation: Conversation) -> Answer:
    """Read the change; ask for what is missing in it, else approve."""
    change = conversation.brief.below("Change")
    findings: list[str] = []
    decision = re.search(r"^\+Status: accepted$", change, re.M)
    if (
        conversation.team == "solution_architecture"
        and decision
        and not re.search(r"^\+## Consequences", change, re.M)
    ):
        findings.append(
            f"{documents.ADR} says what was decided but not what follows from it: add ## Consequences."
        )
    mistake = "".join(f"+{line}\n" for line in software.delete_method(right=False).rstrip().splitlines())
    if mistake in change:
        findings.append("Store.delete does not look whether there was a row to delete.")
    return {"findings": findings, "verdict": "revise" if findings else "approve"}


def clarify(conversation: Conversation) -> Answer:
    """Answer from the team's own files: the lines that have most of the question's words."""
    question = unquote(conversation.brief.section("Question"))
    files = re.split(r"^# Answer$", conversation.brief.below("Your files"), flags=re.M)[0]
    if re.search(r"\bid\b", question) and re.search(r"AUTOINCREMENT", files):
        return _known(
            "No: the id of a deleted row is never used again. The tables are made with AUTOINCREMENT."
        )
    words = set(re.findall(r"[a-z]{4,}", question.lower()))
    lines = [line.strip(" #*->|") for line in files.splitlines()]
    best = max(lines, key=lambda line: len(words & set(re.findall(r"[a-z]{4,}", line.lower()))), default="")
    if len(words & set(re.findall(r"[a-z]{4,}", best.lower()))) >= 2:
        return _known(f"My documents say: {best}")
    nothing = "Nothing in this team's files answers the question."
    return {"reasoning": nothing, "answer": "", "needs_target": "", "needs_question": "", "known": False}


def _known(answer: str) -> Answer:
    why = "Taken from this team's own files."
    return {"reasoning": why, "answer": answer, "needs_target": "", "needs_question": "", "known": True}


def report(conversation: Conversation) -> Answer:
    """The result, from what was observed: facts only where an observation says so."""
    if conversation.changes:
        return changed.report(conversation)
    job = job_for(conversation)
    runs = test_runs(conversation)
    written = re.findall(r"^`{3,}write (\S+)", "\n".join(conversation.own), re.M)
    written += re.findall(r"^`{3,}edit (\S+)", "\n".join(conversation.own), re.M)
    paths = sorted(set(written))
    blockers: list[str] = []
    if job.team in software.TESTS and (not runs or runs[-1].failed):
        blockers.append(f"The tests are not green: {summary(runs[-1]) if runs else 'they were not run'}")
    failed = [
        one
        for one in conversation.observations()
        if one.action in {"write_file", "edit_file"} and one.failed and not rereading.refused(one)
    ]
    blockers += [f"{one.action}: {one.output.strip()[:300]}" for one in failed]
    blockers += repairing.undecided(conversation)
    if repairing.failed(conversation):
        blockers.append("Both sides were kept, and that does not hold; the script knows no other way.")
    facts = [] if blockers else [f"Written: {', '.join(paths)}"] if paths else []
    facts += [
        f"pytest {software.TESTS[job.team]}: {summary(one)}" for one in runs if job.team in software.TESTS
    ]
    if job.answer:
        facts.append(f"{job.target} answered: {job.answer[:300]}")
    return {
        "reasoning": f"{job.domain.title}: {job.kept}. Written by the offline model's script.",
        "deliverables": paths,
        "verified_facts": facts[:12],
        "assumptions_made": _assumptions(conversation),
        "blockers": blockers[:5],
        "clarification_target": "",
        "clarification_question": "",
        "confidence": 20 if blockers else 90,
        "status": "BLOCKED" if blockers else "COMPLETE",
    }


def _assumptions(conversation: Conversation) -> list[str]:
    job = job_for(conversation)
    found: list[str] = []
    if job.domain.guessed:
        found.append(
            "The requirement names nothing that could be kept; `item` stands in, with name and description."
        )
    if conversation.said("request_clarification") and not job.answer:
        found.append(f"{job.target} did not answer: {job.question}")
    return found


def reply(conversation: Conversation) -> str:
    """The JSON text for the conversation's kind of call."""
    kinds = {"govern": govern, "plan": plan, "review": review, "clarify": clarify, "report": report}
    return json.dumps(kinds[conversation.call](conversation), ensure_ascii=False, indent=2)
