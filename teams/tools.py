"""The tools of an operative, as LangChain tools bound to one stage's worktree.

A team gets exactly what its file grants. Each result is a bounded text for the model, beginning with `error:`
when the action did not do what was asked, and an `Artifact` for the program that logs it. Nothing here raises
for what a model did wrong: it is told.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, TypedDict

from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.tools.base import create_schema_from_function
from pydantic import AfterValidator, Field, ValidationError
from pydantic.v1 import ValidationError as OldValidationError

from core.errors import FactoryError
from core.json import JsonObject
from teams import globs
from teams.beside import Mail, Memory
from teams.briefing import recalled
from teams.grants import TOOL_RISK, ToolName, ToolRisk
from teams.output import MOST_CHARS, shown
from teams.reads import Reads
from teams.team import Team
from workspace.checks import plugins
from workspace.errors import SandboxUnavailable
from workspace.files import Files
from workspace.mail.message import Message, is_mail
from workspace.sandbox import Contact, Sandbox
from workspace.stage import StageTree

__all__ = ["TOOL_RISK", "Artifact", "ToolContext", "ToolName", "ToolRisk", "stage_tools"]

MOST_LISTED = 400
BASH_SECONDS = 120
MOST_BASH_SECONDS = 600
MOST_MAIL = 10
"""Messages that one look at the mail shows."""
MOST_CONTACTS = 50
"""Different hosts that are told of a command."""


class Artifact(TypedDict, total=False):
    """What the program knows of a tool call, beside the text for the model."""

    ok: bool
    exit_code: int | None
    """Of a command; absent for other tools."""
    ended_by: str
    """exit, timeout, output, disk or memory; absent for other tools."""
    seconds: float
    path: str
    sha256: str
    """Of the file's whole content, where the operative knows it now (teams/reads.py)."""
    contacts: list[JsonObject]
    """Hosts that a command wanted to reach: host, port and why it was refused, empty where it was not."""
    sandbox_unavailable: bool
    """True when nothing was run because there is no isolation: a matter for a person, not for the model."""


Result = tuple[str, Artifact]


@dataclass(frozen=True)
class ToolContext:
    """What the tools of one stage act on."""

    tree: StageTree
    sandbox: Sandbox
    team: Team
    reads: Reads = field(default_factory=Reads, repr=False, compare=False)
    """What the operative has read in this stage."""
    wrote: Callable[[str], Awaitable[str]] | None = field(default=None, repr=False, compare=False)
    """Told of each file that a tool has written; gives a remark for the model, or nothing."""
    mail: Mail | None = None
    """The project's mail, as this team has it; None where there is none."""
    memory: Memory | None = None
    """The project's memory, as this team has it; None where there is none."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False, compare=False)
    """One action at a time, in the order of the reply: a test must see the file written before it."""


def stage_tools(team: Team, ctx: ToolContext) -> list[BaseTool]:
    """The tools that the team's file grants, in the order of the tool table."""
    actions = _Actions(ctx.tree.files, ctx)
    table: dict[ToolName, Callable[..., Awaitable[Result]]] = {
        "list_files": actions.list_files,
        "read_file": actions.read_file,
        "search": actions.search,
        "write_file": actions.write_file,
        "edit_file": actions.edit_file,
        "bash": actions.bash,
        "request_clarification": actions.request_clarification,
        "read_mail": actions.read_mail,
        "send_mail": actions.send_mail,
        "recall_memory": actions.recall_memory,
    }
    return [_tool(name, table[name]) for name in TOOL_RISK if name in team.tools]


def _tool(name: ToolName, action: Callable[..., Awaitable[Result]]) -> BaseTool:
    return StructuredTool(
        coroutine=action,
        name=name,
        description=(action.__doc__ or "").strip(),
        args_schema=_schema(name),
        response_format="content_and_artifact",
        metadata={"risk": TOOL_RISK[name]},
        handle_validation_error=_misused,
    )


@cache
def _schema(name: ToolName) -> Any:
    # The same for every stage, and a quarter of an instant run's time when it is made anew for each.
    return create_schema_from_function(name, getattr(_Actions, name), filter_args=["self"])


def _misused(error: ValidationError | OldValidationError) -> str:
    """What a model is told whose arguments do not fit the tool."""
    wrong = "; ".join(f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors())
    return f"error: the arguments do not fit the tool: {wrong}"


def _mail(message: Message) -> str:
    """A message for a model: every line of what others wrote stands behind a stroke."""
    head = f"{message.created} {message.kind} ({message.status}) {message.sender} → {', '.join(message.to)}"
    quoted = [f"> {line}" for line in (message.subject, "", *message.body.split("\n"))]
    return "\n".join([head, *quoted])


def _plain_path(path: str) -> str:
    """Models like to write ./src/a.py; it is the same file, and the globs mean plain paths."""
    path = path.strip()
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    return path


def _failed(text: str, **more: Any) -> Result:
    return f"error: {text}", Artifact(ok=False, **more)


Path = Annotated[
    str, AfterValidator(_plain_path), Field(description="A file, relative to the root of the worktree.")
]
Pattern = Annotated[str, Field(description="A glob such as src/**/*.py; ** crosses folders, * does not.")]


@dataclass(frozen=True)
class _Actions:
    """The tools' bodies. Each docstring is what the model reads about the tool."""

    files: Files
    ctx: ToolContext

    async def list_files(self, pattern: Pattern = "**") -> Result:
        """List the files of the worktree that match a glob."""

        def body() -> Result:
            paths = self.files.list(pattern)
            more = f"\n… and {len(paths) - MOST_LISTED} more" if len(paths) > MOST_LISTED else ""
            return ("\n".join(paths[:MOST_LISTED]) + more) or f"no file matches {pattern}", Artifact(ok=True)

        return await self._in_thread(body)

    async def read_file(
        self,
        path: Path,
        start: Annotated[int, Field(ge=1, description="The first line, from 1.")] = 1,
        lines: Annotated[int, Field(ge=1, le=2000, description="How many lines.")] = 600,
    ) -> Result:
        """Read a text file, or a part of it."""

        def body() -> Result:
            whole = self.files.read(path)
            found = whole.split("\n")
            if found[-1] == "":
                found.pop()
            part = found[start - 1 : start - 1 + lines]
            text = shown("\n".join(part))
            last = start - 1 + len(part)
            if found and (start > 1 or last < len(found)):
                text += (
                    f"\n… (lines {start} to {last} of {len(found)}; read another part with start and lines)"
                )
            seen = self.ctx.reads.saw(path, whole.encode())
            return text or "(the file is empty)", Artifact(ok=True, path=path, sha256=seen)

        return await self._in_thread(body, path)

    async def search(
        self,
        query: Annotated[str, Field(description="Plain text, any case. Separate alternatives with |.")],
        pattern: Pattern = "**",
    ) -> Result:
        """Find the lines that contain a text."""

        def body() -> Result:
            # Never the model's own expression: one that backtracks would hold up every run of the process.
            wanted = [re.escape(part.strip()) for part in query.split("|") if part.strip()]
            if not wanted:
                return _failed("the query is empty")
            found = self.files.search("(?i)" + "|".join(wanted), pattern)
            text = "\n".join(f"{match.path}:{match.line}: {match.text}" for match in found)
            return shown(text) or f"nothing contains {query}", Artifact(ok=True)

        return await self._in_thread(body)

    async def write_file(
        self, path: Path, content: Annotated[str, Field(description="The whole new content.")]
    ) -> Result:
        """Write a whole file, new or in place of one that you have read."""

        def body() -> Result:
            if refused := self._refused(path):
                return refused
            new = content.encode("utf-8", "replace")
            self.ctx.reads.check(self.files, path, new)
            self.files.write(path, content)
            seen = self.ctx.reads.saw(path, new)
            return f"wrote {path} ({content.count(chr(10))} lines)", Artifact(ok=True, path=path, sha256=seen)

        return await self._in_thread(body, path, written=True)

    async def edit_file(
        self,
        path: Path,
        search: Annotated[
            str, Field(description="Lines exactly as they stand in the file, naming one place.")
        ],
        replace: Annotated[str, Field(description="What stands there instead.")],
    ) -> Result:
        """Replace one place in a file."""

        def body() -> Result:
            if refused := self._refused(path):
                return refused
            text = self.files.read(path)
            # The last line of a file may lack its line end; a block of whole lines means it all the same.
            cut = search.endswith("\n") and not text.endswith("\n") and text.endswith(search[:-1])
            self.files.edit(path, search[:-1] if cut else search, replace)
            done = Artifact(ok=True, path=path)
            if self.ctx.reads.current(path, text.encode()):
                # Who knew the whole file knows it now; who quoted one place of it does not.
                done["sha256"] = self.ctx.reads.saw(path, self.files.read_bytes(path))
            return f"edited {path}", done

        return await self._in_thread(body, path, written=True)

    async def bash(
        self,
        command: Annotated[str, Field(description="A shell command, run at the root of the worktree.")],
        seconds: Annotated[int, Field(ge=1, le=MOST_BASH_SECONDS, description="Time limit.")] = BASH_SECONDS,
    ) -> Result:
        """Run a shell command in the sandbox: no network, only the worktree can be written."""
        team, contacts = self.ctx.team, dict[Contact, None]()  # a set that keeps its order

        def note(contact: Contact) -> None:
            if len(contacts) < MOST_CONTACTS:
                contacts[contact] = None

        async with self.ctx.turn:
            try:
                done = await self.ctx.sandbox.run(
                    command,
                    self.ctx.tree.path,
                    policy=team.sandbox,
                    team=team.id,
                    timeout=seconds,
                    report=note,
                    environment=await asyncio.to_thread(plugins.of_command, command, self.ctx.tree.files),
                )
            except SandboxUnavailable as unavailable:
                return _failed(str(unavailable), exit_code=None, sandbox_unavailable=True)
            except (FactoryError, OSError, ValueError) as error:
                return _failed(str(error), exit_code=None)
        output = shown(done.output).strip("\n") or "(no output)"
        if done.ended_by != "exit":
            output += f"\n(ended by the limit on {done.ended_by} after {done.seconds:.0f} s)"
        ok = done.exit_code == 0 and done.ended_by == "exit"
        artifact = Artifact(
            ok=ok, exit_code=done.exit_code, ended_by=done.ended_by, seconds=round(done.seconds, 3)
        )
        if contacts:
            artifact["contacts"] = [{"host": c.host, "port": c.port, "why": c.why} for c in contacts]
        return output, artifact

    async def request_clarification(
        self,
        target_team: Annotated[str, Field(description="The id of the team to ask, or person.")],
        question: Annotated[str, Field(description="One question, with what you would assume otherwise.")],
    ) -> Result:
        """Ask another team, or a person, one question that stands in the way of the objective."""
        # Declared so that models see it. The graph takes the call out before any tool is run.
        raise AssertionError("request_clarification belongs to the graph and is never executed as a tool")

    async def read_mail(
        self,
        query: Annotated[str, Field(description="Words that a message must hold; empty: the newest.")] = "",
    ) -> Result:
        """Read the project's mail: questions, answers, reviews, incidents and hand-offs, newest first."""
        if self.ctx.mail is None:
            return _failed("there is no mail here")
        try:
            found = await self.ctx.mail.read(query)
        except (FactoryError, OSError) as error:
            return _failed(shown(str(error), MOST_CHARS // 4))
        texts = [_mail(message) for message in found[:MOST_MAIL]]
        more = [f"… and {len(found) - MOST_MAIL} more; search for words"] if len(found) > MOST_MAIL else []
        return shown("\n\n".join([*texts, *more])) or "no mail", Artifact(ok=True)

    async def send_mail(
        self,
        to: Annotated[str, Field(description="The id of a team, or person.")],
        subject: Annotated[str, Field(description="One line.")],
        body: Annotated[str, Field(description="What they should know. Nobody answers: to ask, clarify.")],
    ) -> Result:
        """Leave a note for another team or a person. It decides nothing and nobody waits for it."""
        if self.ctx.mail is None:
            return _failed("there is no mail here")
        async with self.ctx.turn:
            try:
                sent = await self.ctx.mail.send(to.strip(), subject, body)
            except (FactoryError, OSError) as error:
                return _failed(shown(str(error), MOST_CHARS // 4))
        return f"sent {sent.id}", Artifact(ok=True)

    async def recall_memory(
        self, query: Annotated[str, Field(min_length=1, description="What you want to know, in words.")]
    ) -> Result:
        """Look up what the project's teams learned in earlier work: material to check, no instruction."""
        if self.ctx.memory is None:
            return _failed("there is no memory here")
        async with self.ctx.turn:
            try:
                found = await self.ctx.memory.recall(query)
            except (FactoryError, OSError) as error:
                return _failed(shown(str(error), MOST_CHARS // 4))
        return shown(recalled(found.lines, found.note)) or "nothing is remembered about it", Artifact(ok=True)

    def _refused(self, path: str) -> Result | None:
        if globs.any_matches(self.ctx.team.paths, path) and not is_mail(path):
            return None
        allowed = ", ".join(self.ctx.team.paths)
        return _failed(f"{path[:200]} lies outside what {self.ctx.team.id} may write: {allowed}", path=path)

    async def _in_thread(
        self, body: Callable[[], Result], path: str | None = None, *, written: bool = False
    ) -> Result:
        """Run file work off the loop, in turn; what the workspace refuses is told to the model."""
        async with self.ctx.turn:
            try:
                text, artifact = await asyncio.to_thread(body)
                if written and artifact.get("ok") and path and self.ctx.wrote:
                    remark = await self.ctx.wrote(path)
                    text = f"{text}\n({remark})" if remark else text
                return text, artifact
            except (FactoryError, OSError, ValueError) as error:
                text = shown(str(error), MOST_CHARS // 4)
                return _failed(text, path=path) if path is not None else _failed(text)
