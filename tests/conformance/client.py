"""The factory's MCP client, as the public suite starts it: look at a server's tools and call each."""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from core.settings import Settings
from teams.mcp import client
from teams.mcp.declared import Server


async def main(url: str) -> None:
    with TemporaryDirectory() as home:
        settings = Settings(home=Path(home))
        async with client.session(Server(url=url), settings) as session:
            listed = await client.all_tools(session)
        server = Server(url=url, tools={tool.name: "LOW" for tool in listed})
        for tool in listed:
            numbers: dict[str, Any] = dict.fromkeys(tool.inputSchema.get("properties", {}), 5)
            offered = client.offered(settings, "suite", server, tool, approved=False)
            print(await offered.ainvoke(numbers))


asyncio.run(main(sys.argv[-1]))
