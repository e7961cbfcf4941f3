"""Changes in OpenAI chat completions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from kintsugi.gateway.dialects.changes import (
    Called,
    CannotChange,
    Document,
    instructions_first,
    is_instruction,
    list_of,
    lower,
    name_of,
    oldest_first,
    role_of,
    strip_listed,
    text_size,
)
from kintsugi.gateway.dialects.json_text import json_text
from kintsugi.model.transform import PinnedPrompt


class OpenAIChatChanges:
    """See ``Changes``."""

    def inject(self, request: Document, text: str, role: Literal["system", "user"]) -> None:
        """See ``Changes``."""
        messages = list_of(request, "messages")
        request["messages"] = [{"role": role, "content": text}, *messages]

    def pin_prompt(self, request: Document, pinned: PinnedPrompt) -> str:
        """See ``Changes``."""
        messages = list_of(request, "messages")
        count = instructions_first(messages)
        if not pinned.text or not count:
            return ""
        said = {"role": messages[0]["role"], "content": pinned.text}
        request["messages"] = [said, *messages[count:]]
        return f"{count} messages"

    def strip_tools(self, request: Document, unwanted: Callable[[str], bool]) -> list[str]:
        """See ``Changes``."""
        gone = strip_listed(request, "tools", unwanted)
        if gone:
            _loosen(request, "tool_choice", gone, "tools")
            if "tools" not in request:
                request.pop("parallel_tool_calls", None)
        functions = strip_listed(request, "functions", unwanted)
        if functions:
            _loosen(request, "function_call", functions, "functions")
        return gone + functions

    def cap_tokens(self, request: Document, tokens_max: int) -> bool:
        """See ``Changes``."""
        keys = ("max_completion_tokens", "max_tokens")
        return lower(request, keys, tokens_max, default="max_completion_tokens")

    def cap_context(self, request: Document, chars_max: int) -> int:
        """See ``Changes``."""
        messages = list_of(request, "messages")
        instructions = [one for one in messages if is_instruction(one)]
        groups = _groups([one for one in messages if not is_instruction(one)])
        gone = oldest_first(groups, chars_max, text_size(instructions))
        left_out = {id(message) for group in groups[:gone] for message in group}
        request["messages"] = [one for one in messages if id(one) not in left_out]
        return len(left_out)

    def take_calls(self, answer: Document, say: Callable[[Sequence[Called]], str]) -> int:
        """See ``Changes``."""
        taken = 0
        for choice in list_of(answer, "choices"):
            message = choice.get("message") if isinstance(choice, dict) else None
            if not isinstance(message, dict):
                raise CannotChange("a choice has no message")
            calls = _calls(message)
            if not calls:
                continue
            message.pop("tool_calls", None)
            message.pop("function_call", None)
            before = message.get("content")
            words = say(calls)
            message["content"] = (
                f"{before}\n\n{words}" if isinstance(before, str) and before else words
            )
            choice["finish_reason"] = "stop"
            taken += len(calls)
        return taken


def _groups(messages: Sequence[Any]) -> list[list[Any]]:
    """Results stay with the message that called: without it upstream would refuse them."""
    groups: list[list[Any]] = []
    for message in messages:
        if groups and role_of(message) in ("tool", "function"):
            groups[-1].append(message)
        else:
            groups.append([message])
    return groups


def _loosen(request: Document, key: str, gone: Sequence[str], tools: str) -> None:
    """A choice of a tool that is not there any more would be refused."""
    choice = request.get(key)
    if tools not in request:
        request.pop(key, None)
    elif isinstance(choice, dict) and name_of(choice) in gone:
        request[key] = "auto"


def _calls(message: Document) -> list[Called]:
    calls: list[Called] = []
    for call in list_of(message, "tool_calls"):
        if isinstance(call, dict):
            functions = (call.get(key) for key in ("function", "custom"))
            calls += [_called(one) for one in functions if isinstance(one, dict)]
    function = message.get("function_call")
    if isinstance(function, dict):
        calls.append(_called(function))
    return calls


def _called(function: Document) -> Called:
    said = function.get("arguments", function.get("input", ""))
    name = function.get("name")
    return Called(
        name if isinstance(name, str) else "", said if isinstance(said, str) else json_text(said)
    )
