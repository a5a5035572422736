"""A factory in miniature: briefs in the wire format, real actions in a folder, one pipeline after another.

It has what the script can tell apart (a brief, observations, findings, a report) and nothing else, so that
these tests do not wait for the packages above.
"""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from models.offline import OfflineModel
from teams.actions import parse_actions

CORE = (
    "business_analysis",
    "solution_architecture",
    "backend_engineering",
    "qa_engineering",
    "documentation",
)
FULL = (
    "product_management",
    "business_analysis",
    "solution_architecture",
    "ux_ui_design",
    "compliance_legal",
    "api_design",
    "database_engineering",
    "backend_engineering",
    "frontend_engineering",
    "data_engineering",
    "ml_engineering",
    "feature_engineering",
    "qa_engineering",
    "security_engineering",
    "devops_infrastructure",
    "sre_operations",
    "documentation",
)


@dataclass
class Stage:
    """What one team did."""

    team: str
    messages: list[BaseMessage]
    result: dict[str, object]
    asked: list[dict[str, str]]
    findings: list[str]
    observations: list[str]


@dataclass
class SmallFactory:
    """One folder, one requirement. `answers` may give a person's answer; None refuses every question."""

    folder: Path
    requirement: str
    person: str | None = "Yes."
    sandbox: bool = True
    stages: dict[str, Stage] = field(default_factory=dict)

    def run(self, teams: tuple[str, ...], *, round: int = 1, comment: str = "") -> None:
        upstream: list[str] = []
        for team in teams:
            self.stage(team, tuple(upstream), round=round, comment=comment)
            upstream.append(team)

    def stage(self, team: str, upstream: tuple[str, ...] = (), *, round: int = 1, comment: str = "") -> Stage:
        messages: list[BaseMessage] = [HumanMessage(self.brief(team, upstream, round, comment))]
        stage = Stage(team, messages, {}, [], [], [])
        before = self.snapshot()
        self.work(stage)
        for _ in range(2):
            verdict = self.review(team, before)
            if verdict["verdict"] == "approve":
                break
            stage.findings += verdict["findings"]
            lines = "\n".join(f"- {text}" for text in verdict["findings"])
            messages.append(HumanMessage(f"---\ncall: work\nfindings: true\n---\n## Findings\n{lines}\n"))
            self.work(stage)
        messages.append(HumanMessage("---\ncall: report\n---\n# Report\nReply with JSON.\n"))
        stage.result = json.loads(say(messages))
        self.stages[team] = stage
        return stage

    def work(self, stage: Stage) -> None:
        for _ in range(12):
            text = say(stage.messages)
            parsed = parse_actions(text)
            assert not parsed.problems, parsed.problems
            stage.messages.append(AIMessage(text))
            if not parsed.calls:
                return
            shown: list[str] = []
            for number, call in enumerate(parsed.calls, 1):
                remark, output = self.act(stage, call["name"], call["args"])
                mark = "`" * 6
                shown.append(
                    f"## Observation {number}: {call['name']} ({remark})\n\n{mark}\n{output}\n{mark}"
                )
                stage.observations.append(f"{call['name']} ({remark}): {output}")
            head = "---\ncall: work\nobservation: true\n---\n"
            stage.messages.append(HumanMessage(head + "\n\n".join(shown) + "\n"))
        raise AssertionError(f"{stage.team} did not stop")

    def act(self, stage: Stage, name: str, args: dict[str, str]) -> tuple[str, str]:
        if name == "request_clarification":
            stage.asked.append(args)
            if args["target_team"] == "person":
                return ("ok", self.person) if self.person else ("error", "error: nobody answered in time")
            answer = self.clarify(args["target_team"], args["question"], stage.team)
            return ("ok", answer) if answer else ("error", "error: refused")
        if name == "bash":
            if not self.sandbox:
                return "error", "error: no sandbox is available, so nothing was run"
            command = args["command"].replace("python ", f"{sys.executable} ", 1)
            done = subprocess.run(
                command, shell=True, cwd=self.folder, capture_output=True, text=True, timeout=120
            )
            return f"exit {done.returncode}", done.stdout + done.stderr
        path = self.folder / args["path"]
        assert path.resolve().is_relative_to(self.folder.resolve())
        if name == "read_file":
            return ("ok", path.read_text()) if path.exists() else ("error", "error: no such file")
        if name == "write_file":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(args["content"])
            return "ok", f"wrote {args['path']}"
        text = path.read_text() if path.exists() else ""
        if text.count(args["search"]) != 1:
            return "error", f"error: the text stands {text.count(args['search'])} times in {args['path']}"
        path.write_text(text.replace(args["search"], args["replace"]))
        return "ok", f"changed {args['path']}"

    def brief(self, team: str, upstream: tuple[str, ...], round: int, comment: str) -> str:
        quoted = quote(self.requirement)
        parts = [
            f"---\ncall: work\nteam: {team}\noperative: author\nobjective: run-1/{team}/{round}\n---",
            f"# Requirement\n{quoted}\n\n# Objective\nDo it.\n## Acceptance criteria\n- It is done.",
            "## Deliverables\n- `docs/page.md`\n- `docs/data.json`\n- `src/**/x-*.md`\n",
            "## Upstream results",
        ]
        for one in upstream:
            files = self.stages[one].result["deliverables"] if one in self.stages else []
            listed = "\n".join(f"- `{path}`" for path in files)
            parts.append(f"### {one}\nFacts:\n- It was done.\nFiles:\n{listed}")
        parts.append("## Files in the worktree\n" + "\n".join(f"- `{path}`" for path in self.snapshot()))
        if comment:
            parts.append(f"## Review comment\n{quote(comment)}")
        return "\n".join(parts) + "\n"

    def review(self, team: str, before: dict[str, str]) -> dict[str, list[str]]:
        lines = [
            "".join(f"+{line}\n" for line in text.splitlines())
            for path, text in self.snapshot().items()
            if before.get(path) != text
        ]
        head = f"---\ncall: review\nteam: {team}\noperative: reviewer\nobjective: run-1/{team}/1\n---\n"
        body = f"# Requirement\n{quote(self.requirement)}\n# Objective\nDo it.\n## Change\n````diff\n"
        return json.loads(say([HumanMessage(f"{head}{body}{''.join(lines)}````\n")]))

    def clarify(self, team: str, question: str, asker: str) -> str:
        files = "\n".join(
            (self.folder / path).read_text()
            for path in (self.stages[team].result["deliverables"] if team in self.stages else [])
        )
        head = f"---\ncall: clarify\nteam: {team}\nasker: {asker}\nobjective: run-1/{team}/1\n---\n"
        body = f"# Requirement\n{quote(self.requirement)}\n# Question\n{quote(question)}\n"
        body += f"## Your files\n{files}\n"
        return json.loads(say([HumanMessage(head + body)]))["answer"]

    def snapshot(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.folder)): path.read_text()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts and ".git" not in path.parts
        }


def quote(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines()) or "> "


def say(messages: list[BaseMessage]) -> str:
    return str(OfflineModel().invoke(messages).text)
