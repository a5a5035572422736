"""`factory audit verify` and `checkpoint`: that the log is what was written. Neither opens a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from cli import records
from cli.screen import Screen, counted
from core import audit
from core.audit import Anchor, AuditReport, BrokenLink
from core.errors import BadInput
from core.json import JsonObject
from core.settings import Settings
from memory.audit import chains

_SHOWN = 5
"""New runs that are named; the others are counted."""


class FileInTheWay(BadInput):
    """A file is there that must not be replaced."""


class FileUnwritable(BadInput):
    """A file cannot be written."""


class KeyUnused(BadInput):
    """A key was named, and nothing that it could check."""


async def verify(run: str | None, against: Path | None, key: Path | None, *, as_json: bool) -> int:
    """Walk the hash chains; returns 0 when they are whole, 4 when one is broken or not that of `against`."""
    screen = Screen(as_json)
    checkpoint = None
    if key is not None and against is None:
        raise KeyUnused(
            "A key checks the signature of a checkpoint, and none was named",
            untouched="Nothing was verified",
            todo="Name the checkpoint too: --against FILE",
        )
    if against is not None:
        from memory.audit import checkpoints, keys

        # Before anything is opened: a forged file is told at once.
        checkpoint = checkpoints.read(against, keys.trusted_key(Settings.load(), key))
    async with records.opened() as kept:
        heads: Mapping[str, Anchor] = checkpoint.heads if checkpoint else {}
        run_id = await chains.find(kept.db, run, also=heads) if run else None
        anchors = {one: head for one, head in heads.items() if run_id in (None, one)}
        report = await audit.verify(kept.db, run_id, anchors)
    told: JsonObject = {
        "ok": report.ok,
        "runs": report.runs,
        "events": report.events,
        "texts": report.texts,
        "protected": report.protected,
        "broken": _where(report.broken),
    }
    if checkpoint is not None:
        told["against"] = {"at": checkpoint.at, "root": checkpoint.root, "runs": len(anchors)}
    if as_json:
        screen.result(told)
        return 0 if report.ok else 4
    _say(screen, report)
    if checkpoint is not None and report.ok:
        screen.say(
            f"✓ It leads through the checkpoint of {checkpoint.at}: {counted(len(anchors), 'run')}.",
            style="green",
        )
        new = sorted(one for one in report.heads if one not in heads)
        if new and run_id is None:
            more = f" and {len(new) - _SHOWN} more" if len(new) > _SHOWN else ""
            screen.say(f"  Since then: {counted(len(new), 'new run')} ({', '.join(new[:_SHOWN])}{more})")
        if run_id is not None and not anchors:
            screen.note(f"The checkpoint is older than {run_id}: it says nothing of it.", style="yellow")
    return 0 if report.ok else 4


def _where(broken: BrokenLink | None) -> JsonObject | None:
    if broken is None:
        return None
    text: JsonObject = {"text": broken.text} if broken.text else {}
    return {"run_id": broken.run_id, "seq": broken.seq, "why": broken.why, **text}


def _say(screen: Screen, report: AuditReport) -> None:
    broken = report.broken
    if broken is None:
        screen.say(
            f"✓ The chain is whole: {counted(report.events, 'event')} and {counted(report.texts, 'text')} "
            f"of {counted(report.runs, 'run')}, none changed, removed or put in.",
            style="green",
        )
    else:
        what = f"The text {broken.text} of event {broken.seq}" if broken.text else "The chain"
        at = "is not as written" if broken.text else f"is broken at event {broken.seq}"
        screen.say(f"✗ {what} of {broken.run_id} {at}: {broken.why}", style="bold red")
        screen.note(
            "Nothing was repaired. Hold it against a backup (factory restore, into another FACTORY_HOME), an "
            "export, or a checkpoint: factory audit verify --against FILE"
        )
    if not report.protected:
        why = report.unprotected_because
        screen.note(f"The database does not refuse changes: {why}.", style="yellow")


async def checkpoint(file: Path, *, as_json: bool) -> int:
    """Verify, and write a signed checkpoint of where all chains stand; returns 0.

    An earlier checkpoint in the file's place gives way only where the chains still lead through it.
    """
    from memory.audit import checkpoints, keys

    screen = Screen(as_json)
    key = keys.signing_key(Settings.load())
    try:
        earlier = checkpoints.earlier(file, key.public_key())
    except checkpoints.CheckpointInvalid as invalid:
        raise FileInTheWay(
            f"{file} is there, and no earlier checkpoint of this factory: {invalid.what}",
            untouched="It was left as it is, and nothing was signed",
            todo="Name another file",
        ) from invalid
    async with records.opened() as kept:
        made, report = await checkpoints.make(kept.db, key, earlier)
    try:
        checkpoints.write(file, made)
    except OSError as error:
        raise FileUnwritable(
            f"{file} cannot be written: {error.strerror}",
            untouched="Nothing was written",
            todo="Name another",
        ) from error
    if as_json:
        told = {"file": str(file), "at": made.at, "root": made.root, "key": made.key, "runs": len(made.heads)}
        screen.result(cast(JsonObject, {**told, "events": report.events, "texts": report.texts}))
        return 0
    screen.say(
        f"✓ {file}: {counted(report.events, 'event')} of {counted(len(made.heads), 'run')}, at {made.at}",
        style="green",
    )
    screen.say(f"  root {made.root}")
    screen.say(f"  key  {made.key}")
    screen.note("Keep it where neither this machine nor the database can write.")
    return 0
