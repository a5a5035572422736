"""A run's result: one JSON object, or a page a person reads. Also the exit code that a status stands for."""

from __future__ import annotations

from decimal import Decimal
from shlex import quote
from textwrap import indent

from cli import screen as look_of
from cli.screen import Screen, one_line, table
from graph import check_report
from graph.lifecycle import WAITING
from graph.summary import RunSummary
from models.spending.caps import ASK_FROM

_ENDINGS = {"completed": 0, "failed": 4, "rejected": 5, "cancelled": 5}


def exit_code(status: str, *, waits: bool) -> int:
    """0 completed, 3 waits for a person, 4 failed, 5 rejected or cancelled; 0 for a run still on its way."""
    if status in _ENDINGS:
        return _ENDINGS[status]
    return 3 if waits or status in WAITING else 0


def show(summary: RunSummary, screen: Screen) -> int:
    """Print the run; return the exit code of its status."""
    if screen.as_json:
        screen.result(summary.model_dump(mode="json"))
    else:
        page(summary, screen)
    return exit_code(summary.status, waits=bool(summary.waiting_for))


def page(summary: RunSummary, screen: Screen) -> None:
    """The run as a page: status, stages, result, what it waits for."""
    stages = table(
        "verdict",
        "team",
        "attempts",
        "time",
        "tokens",
        "cost",
        "",
        right=("attempts", "time", "tokens", "cost"),
    )
    # A team's name in two pieces cannot be copied; the reasons give way.
    stages.columns[1].no_wrap = True
    for stage in summary.stages:
        skipped = stage.skipped_because
        verdict = "skipped" if skipped else stage.verdict or ("begun" if stage.attempts else "waiting")
        stages.add_row(
            look_of.look(verdict).text(),
            stage.team,
            str(stage.attempts or ""),
            look_of.seconds(stage.seconds or None),
            look_of.tokens(stage.tokens),
            look_of.cost(stage.cost_usd) if stage.tokens else "",
            one_line(skipped or "", 80),
        )
    if summary.stages:
        screen.out.print(stages)
        screen.say()
    status = look_of.look(summary.status)
    screen.say(f"{status.icon} {summary.run_id}: {status.word}", style=status.style)
    if summary.failure:
        screen.say(f"  {summary.failure}")
        screen.say(f"  All of it: factory replay {summary.run_id}")
    screen.say(f"  project     {summary.project}")
    if summary.by:
        screen.say(f"  by          {look_of.clean(summary.by)}")
    if summary.waits_behind:
        screen.say(f"  waits for   {', '.join(summary.waits_behind)}")
    if summary.repository:
        screen.say(f"  repository  {summary.repository}")
    if summary.tag:
        screen.say(f"  tag         {summary.tag}")
    if summary.pull_request:
        screen.say(f"  request     {summary.pull_request}")
    used = f"{look_of.tokens(summary.tokens) or '0'} tokens, {look_of.cost(summary.cost_usd)}"
    screen.say(f"  used        {used}, {look_of.seconds(summary.seconds)}")
    budgets(summary, screen)
    checks(summary, screen)
    if summary.status == "completed":
        screen.say("  next")
        screen.say(f"    read it     git -C {quote(summary.repository)} log --stat -1 {summary.tag}")
        screen.say(f'    change it   factory change {summary.run_id} "…"')
        screen.say(f"    retrace it  factory replay {summary.run_id}")
    for waiting in summary.waiting_for:
        screen.say()
        screen.say(f"? {waiting.approval_id} ({waiting.kind})", style="bold yellow")
        screen.read(indent(look_of.clean(waiting.question), "  "))
        screen.say(f"  answer with: {waiting.answer_with}")


def budgets(summary: RunSummary, screen: Screen) -> None:
    """The run's own budget and the wide ones; a team's or a stage's where little is left."""
    for one in summary.budgets:
        cap, spent = Decimal(one.cap_usd), Decimal(one.spent_usd)
        if one.scope in {"stage", "team"} and spent < ASK_FROM * cap:
            continue
        aside = f", {look_of.cost(one.reserved_usd)} set aside" if Decimal(one.reserved_usd) else ""
        whose = "" if one.scope == "run" else f" ({one.scope} {look_of.clean(one.subject)})"
        screen.say(f"  budget      {look_of.cost(spent)} of {look_of.cost(cap)} spent{aside}{whose}")


def checks(summary: RunSummary, screen: Screen) -> None:
    """The checks of the merged project: score, a tick for each, what was there before, what was not run."""
    if not summary.checks:
        return
    screen.say(f"  checks      {check_report.headline(summary.checks)}")
    for check in summary.checks:
        if check.passed is None:
            continue
        line = f"{check.name} {check.score}/100 (weight {check.weight}): {check.summary}"
        screen.say(f"    {'✔' if check.passed else '✘'} {one_line(line, 200)}")
        for detail in () if check.passed else check.details[:5]:
            screen.say(f"        {one_line(detail)}")
        for fault in check.before[:5]:
            screen.say(f"        was there before: {one_line(fault)}")
        for path in check.artifacts:
            screen.say(f"        to look at: {look_of.clean(path)}")
    for missing in check_report.not_run(summary.checks):
        screen.say(f"    - not run: {one_line(missing, 200)}")
    if idle := [check.name for check in summary.checks if check.idle]:
        screen.say(f"    - nothing to look at for: {', '.join(one_line(name, 40) for name in idle)}")
