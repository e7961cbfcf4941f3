"""What to answer to what: the script file and the models that need none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


class BadRequest(ValueError):
    """What an application sent is no request of the endpoint; the message says why."""


class ScriptInvalid(ValueError):
    """The script cannot be used; the message says which file, where and why."""


class ToolCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call in the answer; ``arguments`` as text is sent as it stands, even if it is no JSON."""

    name: str
    arguments: dict[str, Any] | str = {}
    id: str = ""


class Usage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Token counts to report instead of the estimate of four characters per token."""

    prompt_tokens: int
    completion_tokens: int


class Response(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One answer. With no text, chunks, refusal or tool calls it echoes the last user message.

    Attributes:
        text: the answer. ``{last}`` stands for the last user message.
        chunks: the same, cut where a stream shall cut it.
        chunk_chars: how a stream cuts ``text``; 0 cuts after each word.
        tool_calls: calls to make; a stream sends their arguments ``chunk_chars`` at a time.
        offered_tool: call the first tool that the request offers, with made-up arguments; when the
            last message is a tool's result, answer with it instead.
        reasoning: sent before the text: as ``reasoning_content``, a summary or a thinking block.
        refusal: sent in place of the text.
        status: an HTTP status of 400 or more answers an error instead.
        error: the error's message.
        retry_after_seconds: sent as Retry-After.
        delay_ms: wait before the first byte.
        chunk_delay_ms: wait before every further chunk of a stream.
        break_after_chunks: close the connection in the middle of the chunk after so many; an
            answer that is no stream breaks in the middle of its body.
        malformed: send bytes that are no JSON.
        usage, finish_reason: instead of what would be true.
    """

    text: str | None = None
    chunks: tuple[str, ...] | None = None
    chunk_chars: int = 0
    tool_calls: tuple[ToolCall, ...] = ()
    offered_tool: bool = False
    reasoning: str = ""
    refusal: str = ""
    status: int = 200
    error: str = ""
    retry_after_seconds: int | None = None
    delay_ms: int = 0
    chunk_delay_ms: int = 0
    break_after_chunks: int | None = None
    malformed: bool = False
    usage: Usage | None = None
    finish_reason: str | None = None


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer and when to give it; all expressions must be found, an empty one always is.

    Attributes:
        match: regular expression searched for in the last user message.
        seen: regular expression searched for in every message, results of tools included: what a
            model that follows whatever it reads would answer to.
        model: regular expression that the whole model name must match.
    """

    response: Response
    match: str = ""
    seen: str = ""
    model: str = ""


class McpTool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool of the simulated MCP server.

    Attributes:
        input_schema: JSON Schema of the arguments; anything when left out.
        text: the result. ``{name}`` stands for an argument, ``{answer}`` for what the user said.
        structured: sent as ``structuredContent`` as well.
        is_error: the result says that the tool failed.
        error, error_code: answer with a JSON-RPC error instead.
        logs: messages before the result; ``progress``: how many steps are told.
        asks: a question to the user before the result (elicitation).
        delay_ms: before each of these, or before the result.
        streams: answer with a stream even where nothing comes before the result.
    """

    name: str
    description: str = ""
    input_schema: dict[str, Any] | None = None
    text: str = ""
    structured: dict[str, Any] | None = None
    is_error: bool = False
    error: str = ""
    error_code: int = -32603
    logs: tuple[str, ...] = ()
    progress: int = 0
    asks: str = ""
    delay_ms: int = 0
    streams: bool = False


class McpScript(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the simulated MCP server offers, besides what is built in.

    Attributes:
        resources: text by URI.
        prompts: text by name; ``{name}`` stands for an argument.
        notifications: log messages for everybody who listens.
    """

    instructions: str = ""
    tools: tuple[McpTool, ...] = ()
    resources: dict[str, str] = {}
    prompts: dict[str, str] = {}
    notifications: tuple[str, ...] = ()


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first rule that fits answers; then the model's built-in answer; then ``default``."""

    default: Response = Response()
    rules: tuple[Rule, ...] = ()
    mcp: McpScript = McpScript()

    def response_for(self, *, model: str, last_user_message: str, messages: str = "") -> Response:
        """What to answer; ``messages`` is the text of all of them, one to a line."""
        for rule in self.rules:
            if (
                re.search(rule.match, last_user_message)
                and (not rule.seen or re.search(rule.seen, messages))
                and (not rule.model or re.fullmatch(rule.model, model))
            ):
                return rule.response
        return BUILT_IN.get(model, self.default)


# Model names that make things happen without a script.
BUILT_IN: dict[str, Response] = {
    # Repeats the last user message.
    "sim-echo": Response(),
    # Waits two seconds, then echoes; streams 200 ms per word; never answers.
    "sim-slow": Response(delay_ms=2000),
    "sim-drip": Response(chunk_delay_ms=200),
    "sim-hang": Response(delay_ms=3_600_000),
    # Errors as the provider sends them; 429 with Retry-After.
    "sim-429": Response(status=429, error="Rate limit reached for requests", retry_after_seconds=1),
    "sim-500": Response(status=500, error="The server had an error while processing your request"),
    "sim-529": Response(status=529, error="Overloaded"),
    "sim-401": Response(status=401, error="Incorrect API key provided"),
    # Closes the connection in the middle of the fourth chunk, or of the body.
    "sim-broken": Response(
        text="This answer never comes to its end, because the connection breaks.",
        break_after_chunks=3,
    ),
    # Sends what is no JSON.
    "sim-malformed": Response(text="This is not JSON.", malformed=True),
    # Calls the first tool that the request offers, then answers with the tool's result.
    "sim-tools": Response(offered_tool=True),
    # Gives away personal data, all of it made up.
    "sim-leak": Response(
        text=(
            "Of course. The customer is Jane Roe, social security number 536-90-4399, "
            "card 4111 1111 1111 1111, e-mail jane.roe@example.com."
        )
    ),
    # Thinks aloud before it answers; refuses; says much; says nothing.
    "sim-reasoning": Response(text="42", reasoning="Six times seven is forty-two."),
    "sim-refusal": Response(refusal="I'm sorry, I can't help with that."),
    "sim-long": Response(text="The quick brown fox jumps over the lazy dog. " * 200),
    "sim-empty": Response(text=""),
}


def load_script(path: Path) -> Script:
    """Read a script in YAML or JSON.

    Raises:
        ScriptInvalid: it cannot be read, or says something that is not known here.
    """
    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScriptInvalid(f"{path}: {error.strerror}") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise ScriptInvalid(f"{path}: {error}") from error
    try:
        script = msgspec.convert({} if document is None else document, Script)
    except msgspec.ValidationError as error:
        raise ScriptInvalid(f"{path}: {error}") from error
    for number, rule in enumerate(script.rules):
        _check(f"{path}: rules[{number}]", rule)
    _check_response(f"{path}: default", script.default)
    return script


def _check(where: str, rule: Rule) -> None:
    for key, expression in (("match", rule.match), ("seen", rule.seen), ("model", rule.model)):
        try:
            re.compile(expression)
        except re.error as error:
            raise ScriptInvalid(
                f"{where}.{key}: {expression!r} is no expression: {error}"
            ) from error
    _check_response(f"{where}.response", rule.response)


def _check_response(where: str, response: Response) -> None:
    if not (response.status == 200 or 400 <= response.status <= 599):
        raise ScriptInvalid(f"{where}.status: {response.status}; use 200, or 400 to 599")
    if response.text is not None and response.chunks is not None:
        raise ScriptInvalid(f"{where}: text and chunks say the same thing; keep one")
    for key in ("delay_ms", "chunk_delay_ms", "chunk_chars", "break_after_chunks"):
        if (getattr(response, key) or 0) < 0:
            raise ScriptInvalid(f"{where}.{key}: must not be negative")
