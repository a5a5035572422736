"""From what a check saw, now and on the commit that the run started from, to its result. Pure functions.

What was wrong before is named and not blamed on the run; what is wrong since fails.
"""

import re
from collections import Counter
from collections.abc import Sequence

from workspace.checks.result import (
    MOST_BEFORE,
    MOST_DETAILS,
    CheckResult,
    Finding,
    Findings,
    Tick,
    not_run,
    one_line,
)
from workspace.checks.suite import Suite

_LINE_NUMBERS = re.compile(r"\b(lines?) \d+")


def judge_findings(name: str, now: Findings, before: Findings | None = None) -> CheckResult:
    """Passes where nothing is wrong that was not wrong before."""
    new, old = compared(now.problems, before.problems if before else ())
    told = tuple(each.told for each in old)[:MOST_BEFORE]
    ticks = (*now.ticks, *((Tick("was there before", None, _faults(len(old))),) if old else ()))
    since = f" beside {len(old)} that {'was' if len(old) == 1 else 'were'} there before" if old else ""
    if not new:
        clean = f"nothing new{since}" if old else now.clean
        return CheckResult(name, True, 100, clean, (), ticks=ticks, before=told, artifacts=now.artifacts)
    score = max(0, 100 - now.each * len(new))
    what = "problem" if len(new) == 1 else "problems"
    summary = f"{len(new)} {'new ' if old else ''}{what}{since}"
    details = tuple(each.told for each in new)[:MOST_DETAILS]
    kept = now.artifacts
    return CheckResult(name, False, score, summary, details, ticks=ticks, before=told, artifacts=kept)


def compared(now: Sequence[Finding], before: Sequence[Finding]) -> tuple[list[Finding], list[Finding]]:
    """What is new, and what was there before: the same words in the same file, on whatever line.

    A fault that came along when its file was moved is an old one.
    """
    here = {each.path for each in now}
    known = Counter(_identity(each) for each in before)
    gone = Counter(_identity(each, "") for each in before if each.path not in here)
    new: list[Finding] = []
    old: list[Finding] = []
    for each in now:
        # Only what has more than its words to be known by is recognised in another file.
        moved = _identity(each, "") if each.mark else None
        if known[_identity(each)] > 0:
            known[_identity(each)] -= 1
            old.append(each)
        elif moved is not None and gone[moved] > 0:
            gone[moved] -= 1
            old.append(each)
        else:
            new.append(each)
    return new, old


def judge_suite(name: str, now: Suite, before: Suite | None = None) -> CheckResult:
    """Passes where a test passed, and no test fails that did not fail before."""
    if now.broken:
        if before is not None and before.broken == now.broken:
            return not_run(name, f"{now.broken}; it was so before the run")
        return CheckResult(name, False, 0, now.broken, now.tail, ticks=now.ticks)
    failed = now.named("failed")
    old = failed & before.named("failed") if before else frozenset[str]()
    new = sorted(failed - old)
    passed = now.count("passed")
    ticks = [*now.ticks, *_ticks(now, before, new, old)]
    told = tuple(one_line(each) for each in sorted(old))[:MOST_BEFORE]
    counted = _counted(now, passed, len(failed), len(old))
    if not passed and not new:
        why = f"no test passed: {counted}" + ("; it was so before the run" if old else "")
        if old:
            return not_run(name, why)
        return CheckResult(name, False, 0, why, now.tail, ticks=tuple(ticks))
    if new or (now.exit_code != 0 and not old):
        score = min(99, 100 * passed // max(1, passed + len(new))) if new else 0
        counted = counted if new else f"it ended with {now.exit_code} though {counted}"
        details = tuple(_why(now, each) for each in new[:MOST_DETAILS])
        room = MOST_DETAILS - len(details)
        details += now.tail[-room:] if room else ()
        return CheckResult(name, False, score, counted, details, ticks=tuple(ticks), before=told)
    return CheckResult(name, True, 100, counted + now.said, (), ticks=tuple(ticks), before=told)


def _ticks(now: Suite, before: Suite | None, new: list[str], old: frozenset[str]) -> list[Tick]:
    ticks = [Tick("no test fails that did not before", not new, _names(new))]
    if old:
        ticks.append(Tick("failed before the run too", None, _names(sorted(old))))
    if before is not None and not before.broken:
        broken = sorted(before.named("passed") & frozenset(new))
        if broken:
            ticks.append(Tick("was green before the run", False, _names(broken)))
        gone = sorted(before.named("passed") - now.cases.keys())
        if gone:
            ticks.append(Tick("passed before and is gone", None, _names(gone)))
    return ticks


def _counted(now: Suite, passed: int, failed: int, old: int) -> str:
    parts = [f"{passed} passed"]
    if failed > old:
        parts.append(f"{failed - old} failed")
    if skipped := now.count("skipped"):
        parts.append(f"{skipped} skipped")
    if old:
        parts.append(f"{old} failed as before the run")
    return ", ".join(parts)


def _why(now: Suite, name: str) -> str:
    reason = now.reasons.get(name, "")
    return one_line(f"{name}: {reason}" if reason else name)


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(one_line(name)[:120] for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def _faults(number: int) -> str:
    return f"{number} fault{'' if number == 1 else 's'}"


def _identity(finding: Finding, path: str | None = None) -> tuple[str, str, str]:
    what = _LINE_NUMBERS.sub(r"\1 N", finding.what)
    return (finding.path if path is None else path, what, finding.mark)
