"""Clients of the official SDK, against the factory's servers."""

import json
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent

from core.settings import Settings

PROGRAM = (sys.executable, "-c", "from cli.main import main; main()")

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


@dataclass(frozen=True)
class Served:
    """A server that listens."""

    url: str
    """Without the token."""
    token: str
    settings: Settings
    env: Mapping[str, str]

    @classmethod
    def at(cls, url: str, settings: Settings, env: Mapping[str, str]) -> "Served":
        parts = urlsplit(url)
        return cls(parts._replace(query="").geturl(), parse_qs(parts.query)["token"][0], settings, env)

    def post(self, body: Any, headers: Mapping[str, str] | None = None, *, token: str | None = None) -> int:
        """The status that a bare request gets."""
        given = {"Accept": "application/json, text/event-stream", **(headers or {})}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        return httpx.post(self.url, json=body, headers=given, timeout=30).status_code


class Client:
    """A session whose tools are called by name."""

    def __init__(self, session: ClientSession) -> None:
        self.session = session

    async def call(self, tool: str, **arguments: Any) -> Any:
        """The structured result; fails where it is an error."""
        result = await self.session.call_tool(tool, arguments)
        assert not result.isError, text_of(result)
        return result.structuredContent

    async def refusal(self, tool: str, **arguments: Any) -> str:
        """The text of the error that it must be."""
        result = await self.session.call_tool(tool, arguments)
        assert result.isError, json.dumps(result.structuredContent)
        return text_of(result)


def text_of(result: CallToolResult) -> str:
    return "\n".join(part.text for part in result.content if isinstance(part, TextContent))


@asynccontextmanager
async def over_http(served: Served) -> AsyncGenerator[Client]:
    headers = {"Authorization": f"Bearer {served.token}"}
    async with (
        httpx.AsyncClient(headers=headers, timeout=60) as http,
        streamable_http_client(served.url, http_client=http) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        yield Client(session)


@contextmanager
def served_over_http(arguments: list[str], env: Mapping[str, str], folder: Path) -> Generator[Served]:
    """A `factory` process that serves HTTP on a free port, ended as a person ends it."""
    with (
        (folder / "stderr").open("w") as log,
        subprocess.Popen(
            [*PROGRAM, *arguments, "--http", "127.0.0.1:0"],
            env=dict(env),
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=log,
        ) as process,
    ):
        try:
            url = _url(folder / "stderr", process)
            yield Served.at(url, Settings(home=Path(env["FACTORY_HOME"])), env)
        finally:
            process.terminate()
            code = process.wait(timeout=20)
    assert code in (0, -15), (folder / "stderr").read_text()


def _url(log: Path, process: subprocess.Popen[bytes]) -> str:
    """The URL with the token, once the process has printed it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines(keepends=True):
            if line.startswith("Listening at ") and line.endswith("\n"):
                return line.split()[-1]
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@asynccontextmanager
async def over_stdio(arguments: list[str], env: Mapping[str, str], folder: Path) -> AsyncGenerator[Client]:
    program = StdioServerParameters(
        command=PROGRAM[0], args=[*PROGRAM[1:], *arguments], env=dict(env), cwd=folder
    )
    async with stdio_client(program) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        yield Client(session)
