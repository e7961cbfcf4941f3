"""An MCP server on the official SDK with everything that the conformance suite asks for.

Run as ``python -m tests.conformance.mcp_reference_server``; prints its URL and serves until killed.
"""

from __future__ import annotations

import asyncio
import json
import socket
import warnings
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore

# The suite tests what the newest revision calls deprecated: logging, sampling, elicitation.
warnings.simplefilter("ignore")

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJg"
    "gg=="
)
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
DIALECT = "https://json-schema.org/draft/2020-12/schema"
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}
TEXT: dict[str, Any] = {"type": "string"}
MIXED = '{"test":"data","value":123}'

TOOLS: dict[str, dict[str, Any]] = {
    "test_simple_text": NOTHING,
    "test_image_content": NOTHING,
    "test_audio_content": NOTHING,
    "test_embedded_resource": NOTHING,
    "test_multiple_content_types": NOTHING,
    "test_tool_with_logging": NOTHING,
    "test_tool_with_progress": NOTHING,
    "test_error_handling": NOTHING,
    "test_sampling": {**NOTHING, "properties": {"prompt": TEXT}, "required": ["prompt"]},
    "test_elicitation": {**NOTHING, "properties": {"message": TEXT}, "required": ["message"]},
    "test_elicitation_sep1034_defaults": NOTHING,
    "test_elicitation_sep1330_enums": NOTHING,
    "test_reconnection": NOTHING,
    "json_schema_2020_12_tool": {
        "$schema": DIALECT,
        "type": "object",
        "$defs": {
            "address": {"type": "object", "properties": {"street": TEXT, "city": TEXT}},
        },
        "properties": {"name": TEXT, "address": {"$ref": "#/$defs/address"}},
        "additionalProperties": False,
    },
}
DEFAULTS = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {
        "type": "string",
        "enum": ["active", "inactive", "pending"],
        "default": "active",
    },
    "verified": {"type": "boolean", "default": True},
}
PLAIN = ["option1", "option2", "option3"]
TITLED = [{"const": f"value{n}", "title": f"Option {n}"} for n in (1, 2, 3)]
ENUMS = {
    "untitledSingle": {"type": "string", "enum": PLAIN},
    "titledSingle": {"type": "string", "oneOf": TITLED},
    "legacyEnum": {
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": PLAIN}},
    "titledMulti": {"type": "array", "items": {"anyOf": TITLED}},
}
QUESTIONS: dict[str, dict[str, Any]] = {
    "test_elicitation": {"username": TEXT, "email": TEXT},
    "test_elicitation_sep1034_defaults": DEFAULTS,
    "test_elicitation_sep1330_enums": ENUMS,
}


class Store(EventStore):
    """Every event of every stream, for those that resume."""

    def __init__(self) -> None:
        self._events: list[tuple[str, types.JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: types.JSONRPCMessage | None) -> str:
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(
        self, last_event_id: str, send_callback: EventCallback
    ) -> str | None:
        number = int(last_event_id)
        if not 1 <= number <= len(self._events):
            return None
        stream_id = self._events[number - 1][0]
        for later, (stream, message) in enumerate(self._events[number:], number + 1):
            if stream == stream_id and message is not None:
                await send_callback(EventMessage(message, str(later)))
        return stream_id


def text(words: str) -> types.TextContent:
    return types.TextContent(type="text", text=words)


def embedded(uri: str, words: str, media_type: str) -> types.EmbeddedResource:
    contents = types.TextResourceContents(uri=uri, mime_type=media_type, text=words)
    return types.EmbeddedResource(type="resource", resource=contents)


def image() -> types.ImageContent:
    return types.ImageContent(type="image", data=PNG, mime_type="image/png")


async def list_tools(_ctx: Any, _params: Any) -> types.ListToolsResult:
    return types.ListToolsResult(
        tools=[
            types.Tool(name=name, description=f"Does what {name} says", input_schema=schema)
            for name, schema in TOOLS.items()
        ]
    )


async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
    name, arguments = params.name, params.arguments or {}
    session, request_id = ctx.session, ctx.request_id
    content: list[Any] = [text(f"{name} is done")]
    match name:
        case "test_simple_text":
            content = [text("This is a simple text response for testing.")]
        case "test_image_content":
            content = [image()]
        case "test_audio_content":
            content = [types.AudioContent(type="audio", data=WAV, mime_type="audio/wav")]
        case "test_embedded_resource":
            words = "This is an embedded resource content."
            content = [embedded("test://embedded-resource", words, "text/plain")]
        case "test_multiple_content_types":
            mixed = embedded("test://mixed-content-resource", MIXED, "application/json")
            content = [text("Multiple content types test:"), image(), mixed]
        case "test_error_handling":
            words = "This tool intentionally returns an error for testing"
            return types.CallToolResult(content=[text(words)], is_error=True)
        case "test_tool_with_logging":
            for step in ("execution started", "processing data", "execution completed"):
                await session.send_log_message(
                    level="info", data=f"Tool {step}", related_request_id=request_id
                )
                await asyncio.sleep(0.05)
        case "test_tool_with_progress":
            token = (ctx.meta or {}).get("progress_token", (ctx.meta or {}).get("progressToken"))
            for done in (0, 50, 100):
                if token is not None:
                    await session.send_progress_notification(
                        token, done, 100, related_request_id=str(request_id)
                    )
                await asyncio.sleep(0.05)
        case "test_sampling":
            message = types.SamplingMessage(role="user", content=text(str(arguments["prompt"])))
            said = await session.create_message(
                [message], max_tokens=100, related_request_id=request_id
            )
            content = [text(f"LLM response: {said.content.text}")]
        case "test_reconnection":
            if ctx.close_sse_stream is not None:
                await ctx.close_sse_stream()
            await asyncio.sleep(0.2)
        case _ if name in QUESTIONS:
            schema = {"type": "object", "properties": QUESTIONS[name], "required": []}
            words = str(arguments.get("message", "Please answer"))
            answer = await session.elicit_form(words, schema, related_request_id=request_id)
            said = f"action={answer.action}, content={json.dumps(answer.content)}"
            plain = name == "test_elicitation"
            content = [
                text(f"User response: {said}" if plain else f"Elicitation completed: {said}")
            ]
    return types.CallToolResult(content=content)


async def list_resources(_ctx: Any, _params: Any) -> types.ListResourcesResult:
    return types.ListResourcesResult(
        resources=[
            types.Resource(uri=f"test://{name}", name=name, description=f"A {name}", mime_type=kind)
            for name, kind in (
                ("static-text", "text/plain"),
                ("static-binary", "image/png"),
                ("watched-resource", "text/plain"),
            )
        ]
    )


async def list_templates(_ctx: Any, _params: Any) -> types.ListResourceTemplatesResult:
    template = types.ResourceTemplate(
        uri_template="test://template/{id}/data", name="template", mime_type="application/json"
    )
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(
    _ctx: Any, params: types.ReadResourceRequestParams
) -> types.ReadResourceResult:
    uri = str(params.uri)
    if uri == "test://static-binary":
        blob = types.BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)
        return types.ReadResourceResult(contents=[blob])
    words, kind = "This is the content of the static text resource.", "text/plain"
    if uri.startswith("test://template/"):
        number = uri.split("/")[3]
        document = {"id": number, "templateTest": True, "data": f"Data for ID: {number}"}
        words, kind = json.dumps(document), "application/json"
    contents = types.TextResourceContents(uri=uri, mime_type=kind, text=words)
    return types.ReadResourceResult(contents=[contents])


async def nothing(_ctx: Any, _params: Any) -> types.EmptyResult:
    return types.EmptyResult()


async def list_prompts(_ctx: Any, _params: Any) -> types.ListPromptsResult:
    def prompt(name: str, *arguments: str) -> types.Prompt:
        wanted = [types.PromptArgument(name=argument, required=True) for argument in arguments]
        return types.Prompt(name=name, description=f"A prompt: {name}", arguments=wanted)

    return types.ListPromptsResult(
        prompts=[
            prompt("test_simple_prompt"),
            prompt("test_prompt_with_arguments", "arg1", "arg2"),
            prompt("test_prompt_with_embedded_resource", "resourceUri"),
            prompt("test_prompt_with_image"),
        ]
    )


async def get_prompt(_ctx: Any, params: types.GetPromptRequestParams) -> types.GetPromptResult:
    arguments = params.arguments or {}
    blocks: list[Any] = [text("This is a simple prompt for testing.")]
    match params.name:
        case "test_prompt_with_arguments":
            one, two = arguments["arg1"], arguments["arg2"]
            blocks = [text(f"Prompt with arguments: arg1='{one}', arg2='{two}'")]
        case "test_prompt_with_embedded_resource":
            words = "Embedded resource content for testing."
            resource = embedded(arguments["resourceUri"], words, "text/plain")
            blocks = [resource, text("Please process the embedded resource above.")]
        case "test_prompt_with_image":
            blocks = [image(), text("Please analyze the image above.")]
    messages = [types.PromptMessage(role="user", content=block) for block in blocks]
    return types.GetPromptResult(messages=messages)


async def complete(_ctx: Any, _params: Any) -> types.CompleteResult:
    values = ["paris", "park", "party"]
    return types.CompleteResult(
        completion=types.Completion(values=values, total=150, has_more=False)
    )


def build() -> Server[Any]:
    """The server with all its handlers."""
    return Server(
        "reference",
        version="1.0.0",
        instructions="Ask for anything that the conformance suite knows.",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=nothing,
        on_unsubscribe_resource=nothing,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_completion=complete,
        on_set_logging_level=nothing,
    )


def main() -> None:
    """Serve on a free port of this machine."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    app = build().streamable_http_app(event_store=Store(), retry_interval=100)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    print(f"http://127.0.0.1:{port}/mcp", flush=True)  # noqa: T201
    server.run(sockets=[listening])


if __name__ == "__main__":
    main()
