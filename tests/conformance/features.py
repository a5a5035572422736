"""What the public MCP suite calls by name, behind the factory's own door.

The factory's servers have tools of their own and none of these; with them, the suite can also try the content
types, notifications and requests that pass through the same transport.
"""

import asyncio
import base64
import json
import struct
import sys
import zlib
from typing import Any

from mcp.server.fastmcp import Context, FastMCP
from mcp.server.fastmcp.prompts.base import Message, UserMessage
from mcp.server.fastmcp.tools import Tool
from mcp.types import (
    AudioContent,
    Completion,
    EmbeddedResource,
    ImageContent,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)
from pydantic import AnyUrl, BaseModel, Field

from workspace.mcp import door

Ctx = Context[Any, Any, Any]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\0\xff\0\0"))
    + _chunk(b"IEND", b"")
)
WAV = b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
WAV += b"data" + struct.pack("<I", 0)


def picture() -> ImageContent:
    return ImageContent(type="image", data=base64.b64encode(PNG).decode(), mimeType="image/png")


def resource(uri: str, text: str, kind: str = "text/plain") -> EmbeddedResource:
    return EmbeddedResource(
        type="resource", resource=TextResourceContents(uri=AnyUrl(uri), mimeType=kind, text=text)
    )


def test_simple_text() -> str:
    return "This is a simple text response for testing."


def test_image_content() -> ImageContent:
    return picture()


def test_audio_content() -> AudioContent:
    return AudioContent(type="audio", data=base64.b64encode(WAV).decode(), mimeType="audio/wav")


def test_embedded_resource() -> EmbeddedResource:
    return resource("test://embedded-resource", "This is an embedded resource content.")


def test_multiple_content_types() -> list[Any]:
    text = TextContent(type="text", text="Multiple content types test:")
    data = json.dumps({"test": "data", "value": 123})
    return [text, picture(), resource("test://mixed-content-resource", data, "application/json")]


async def test_tool_with_logging(ctx: Ctx) -> str:
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(line)
        await asyncio.sleep(0.05)
    return "logged"


async def test_tool_with_progress(ctx: Ctx) -> str:
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100)
        await asyncio.sleep(0.05)
    return "done"


def test_error_handling() -> str:
    raise ValueError("This tool intentionally returns an error for testing")


async def test_sampling(prompt: str, ctx: Ctx) -> str:
    asked = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    said = await ctx.session.create_message([asked], max_tokens=100)
    return f"LLM response: {said.content}"


class Reply(BaseModel):
    response: str = Field(description="User's response")


class Defaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: str = Field("active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = True


_OPTIONS = [{"const": f"value{n}", "title": f"Option {n}"} for n in (1, 2, 3)]
_NAMES = ["option1", "option2", "option3"]


class Enums(BaseModel):
    untitledSingle: str = Field(json_schema_extra={"enum": [*_NAMES]})
    titledSingle: str = Field(json_schema_extra={"oneOf": [*_OPTIONS]})
    legacyEnum: str = Field(json_schema_extra={"enum": [*_NAMES], "enumNames": ["One", "Two", "Three"]})
    untitledMulti: list[str] = Field(json_schema_extra={"items": {"type": "string", "enum": [*_NAMES]}})
    titledMulti: list[str] = Field(json_schema_extra={"items": {"anyOf": [*_OPTIONS]}})


async def test_elicitation(message: str, ctx: Ctx) -> str:
    said = await ctx.elicit(message, Reply)
    return f"User response: {said.action}"


async def test_elicitation_sep1034_defaults(ctx: Ctx) -> str:
    said = await ctx.elicit("Defaults", Defaults)
    return f"Elicitation completed: {said.action}"


async def test_elicitation_sep1330_enums(ctx: Ctx) -> str:
    said = await ctx.elicit("Enums", Enums)
    return f"Elicitation completed: {said.action}"


def json_schema_2020_12_tool(name: str = "") -> str:
    return name


_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
    "additionalProperties": False,
}


def build() -> FastMCP[None]:
    """The server."""
    server: FastMCP[None] = FastMCP("conformance", log_level="ERROR")
    tools = (
        *(test_simple_text, test_image_content, test_audio_content, test_embedded_resource),
        *(test_multiple_content_types, test_tool_with_logging, test_tool_with_progress),
        *(test_error_handling, test_sampling, test_elicitation),
        *(test_elicitation_sep1034_defaults, test_elicitation_sep1330_enums),
    )
    for tool in tools:
        server.add_tool(tool, description=tool.__name__, structured_output=False)
    schema = Tool.from_function(json_schema_2020_12_tool, description="JSON Schema 2020-12")
    schema.parameters = _SCHEMA
    server._tool_manager._tools[schema.name] = schema
    _resources(server)
    _prompts(server)
    low = server._mcp_server

    async def taken(*_: Any) -> None: ...

    low.set_logging_level()(taken)
    low.subscribe_resource()(taken)
    low.unsubscribe_resource()(taken)

    @server.completion()
    async def complete(*_: Any) -> Completion:
        return Completion(values=["paris", "park"], total=2, hasMore=False)

    return server


def _resources(server: FastMCP[None]) -> None:
    @server.resource("test://static-text", mime_type="text/plain")
    def text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    def binary() -> bytes:
        return PNG

    @server.resource("test://watched-resource")
    def watched() -> str:
        return "watched"

    @server.resource("test://template/{id}/data", mime_type="application/json")
    def template(id: str) -> str:
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def _prompts(server: FastMCP[None]) -> None:
    @server.prompt("test_simple_prompt", description="test_simple_prompt")
    def simple() -> str:
        return "This is a simple prompt for testing."

    @server.prompt("test_prompt_with_arguments", description="test_prompt_with_arguments")
    def arguments(arg1: str, arg2: str) -> str:
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @server.prompt("test_prompt_with_embedded_resource", description="test_prompt_with_embedded_resource")
    def embedded(resourceUri: str) -> list[Message]:
        return [UserMessage(resource(resourceUri, "Embedded resource content for testing."))]

    @server.prompt("test_prompt_with_image", description="test_prompt_with_image")
    def image() -> list[Message]:
        return [UserMessage(picture()), UserMessage("Please analyze the image above.")]


if __name__ == "__main__":

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    asyncio.run(door.serve_http(build(), "127.0.0.1:0", token=None, announce=say))
