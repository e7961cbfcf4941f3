"""Changes in Anthropic messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from kintsugi.gateway.dialects.changes import (
    Called,
    CannotChange,
    Document,
    list_of,
    lower,
    name_of,
    oldest_first,
    strip_listed,
    text_size,
)
from kintsugi.gateway.dialects.json_text import json_text
from kintsugi.model.transform import PinnedPrompt


class AnthropicChanges:
    """See ``Changes``."""

    def inject(self, request: Document, text: str, role: Literal["system", "user"]) -> None:
        """See ``Changes``."""
        if role == "user":
            request["messages"] = [
                {"role": "user", "content": text},
                *list_of(request, "messages"),
            ]
            return
        before = request.get("system")
        if before is None:
            request["system"] = text
        elif isinstance(before, str):
            request["system"] = f"{text}\n\n{before}"
        elif isinstance(before, list):
            request["system"] = [{"type": "text", "text": text}, *before]
        else:
            raise CannotChange('"system" is neither text nor a list')

    def pin_prompt(self, request: Document, pinned: PinnedPrompt) -> str:
        """See ``Changes``."""
        before = request.get("system")
        if not pinned.text or not before:
            return ""
        request["system"] = pinned.text
        return f"{len(before) if isinstance(before, list) else 1} messages"

    def strip_tools(self, request: Document, unwanted: Callable[[str], bool]) -> list[str]:
        """See ``Changes``."""
        gone = strip_listed(request, "tools", unwanted)
        choice = request.get("tool_choice")
        if gone and "tools" not in request:
            request.pop("tool_choice", None)
        elif gone and isinstance(choice, dict) and name_of(choice) in gone:
            request["tool_choice"] = {"type": "auto"}
        return gone

    def cap_tokens(self, request: Document, tokens_max: int) -> bool:
        """See ``Changes``."""
        return lower(request, ("max_tokens",), tokens_max, default="max_tokens")

    def cap_context(self, request: Document, chars_max: int) -> int:
        """See ``Changes``."""
        messages = list_of(request, "messages")
        groups = _turns(messages)
        gone = oldest_first(groups, chars_max, text_size(request.get("system")))
        kept = [message for group in groups[gone:] for message in group]
        request["messages"] = kept
        return len(messages) - len(kept)

    def take_calls(self, answer: Document, say: Callable[[Sequence[Called]], str]) -> int:
        """See ``Changes``."""
        content = list_of(answer, "content")
        calls = [block for block in content if _is_call(block)]
        if not calls:
            return 0
        words = say([Called(name_of(call), json_text(call.get("input"))) for call in calls])
        kept = [block for block in content if not _is_call(block)]
        answer["content"] = [*kept, {"type": "text", "text": words}]
        answer["stop_reason"] = "end_turn"
        return len(calls)


class AnthropicCountChanges(AnthropicChanges):
    """Changes to a request whose tokens are counted: those that the request itself would get."""

    def cap_tokens(self, request: Document, tokens_max: int) -> bool:  # noqa: ARG002
        """See ``Changes``. There is no answer to bound, and no field for it."""
        return False

    def take_calls(
        self,
        answer: Document,  # noqa: ARG002
        say: Callable[[Sequence[Called]], str],  # noqa: ARG002
    ) -> int:
        """See ``Changes``. A number calls nothing."""
        return 0


def _is_call(block: object) -> bool:
    return isinstance(block, dict) and block.get("type") == "tool_use"


def _is_question(message: object) -> bool:
    """Whether a conversation may begin here: a user speaks, and answers no tool call."""
    if not isinstance(message, dict) or message.get("role") != "user":
        return False
    content = message.get("content")
    blocks = content if isinstance(content, list) else []
    return not any(isinstance(one, dict) and one.get("type") == "tool_result" for one in blocks)


def _turns(messages: Sequence[Any]) -> list[list[Any]]:
    """A question and all that follows from it; a conversation has to begin with one."""
    turns: list[list[Any]] = []
    for message in messages:
        if not turns or _is_question(message):
            turns.append([message])
        else:
            turns[-1].append(message)
    return turns
