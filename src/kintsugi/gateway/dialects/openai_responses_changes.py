"""Changes in OpenAI responses."""

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
    strip_listed,
    text_size,
)
from kintsugi.model.transform import PinnedPrompt


class OpenAIResponsesChanges:
    """See ``Changes``."""

    def inject(self, request: Document, text: str, role: Literal["system", "user"]) -> None:
        """See ``Changes``."""
        if role == "system":
            before = request.get("instructions")
            if before is not None and not isinstance(before, str):
                raise CannotChange('"instructions" is no text')
            request["instructions"] = f"{text}\n\n{before}" if before else text
            return
        asked = request.get("input")
        items = [_message(asked)] if isinstance(asked, str) else list_of(request, "input")
        request["input"] = [_message(text), *items]

    def pin_prompt(self, request: Document, pinned: PinnedPrompt) -> str:
        """See ``Changes``."""
        named = request.get("prompt")
        if isinstance(named, dict) and named.get("id") == pinned.id:
            before = named.get("version")
            if not pinned.version or before == pinned.version:
                return ""
            request["prompt"] = {**named, "version": pinned.version}
            return f"version {before}" if isinstance(before, str) else "any version"
        if not pinned.text:
            return ""
        asked = request.get("input")
        items = asked if isinstance(asked, list) else []
        count = instructions_first(items)
        has_own = bool(request.get("instructions"))
        if not has_own and not count:
            return ""
        request["instructions"] = pinned.text
        if count:
            request["input"] = items[count:]
        return f"{count + has_own} messages"

    def strip_tools(self, request: Document, unwanted: Callable[[str], bool]) -> list[str]:
        """See ``Changes``."""
        gone = strip_listed(request, "tools", unwanted)
        choice = request.get("tool_choice")
        if gone and "tools" not in request:
            request.pop("tool_choice", None)
            request.pop("parallel_tool_calls", None)
        elif gone and isinstance(choice, dict) and name_of(choice) in gone:
            request["tool_choice"] = "auto"
        return gone

    def cap_tokens(self, request: Document, tokens_max: int) -> bool:
        """See ``Changes``."""
        return lower(request, ("max_output_tokens",), tokens_max, default="max_output_tokens")

    def cap_context(self, request: Document, chars_max: int) -> int:
        """See ``Changes``. Turns that the provider keeps (``previous_response_id``) are not here,
        so they cannot be left out."""
        if not isinstance(request.get("input"), list):
            return 0
        items = list_of(request, "input")
        instructions = [one for one in items if is_instruction(one)]
        groups = _groups([one for one in items if not is_instruction(one)])
        fixed = text_size(instructions) + text_size(request.get("instructions"))
        gone = oldest_first(groups, chars_max, fixed)
        left_out = {id(item) for group in groups[:gone] for item in group}
        request["input"] = [one for one in items if id(one) not in left_out]
        return len(left_out)

    def take_calls(self, answer: Document, say: Callable[[Sequence[Called]], str]) -> int:
        """See ``Changes``."""
        output = list_of(answer, "output")
        calls = [item for item in output if _is_call(item)]
        if not calls:
            return 0
        words = say([_called(call) for call in calls])
        said = {
            "id": "msg_confirmation",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": words, "annotations": []}],
        }
        answer["output"] = [item for item in output if not _is_call(item)] + [said]
        return len(calls)


def _message(text: str) -> Document:
    return {"role": "user", "content": text}


def _is_message(item: object) -> bool:
    return isinstance(item, dict) and item.get("type", "message") == "message"


def _is_call(item: object) -> bool:
    kind = item.get("type") if isinstance(item, dict) else None
    return isinstance(kind, str) and kind.endswith("_call")


def _groups(items: Sequence[Any]) -> list[list[Any]]:
    """What the model did between two messages stays together: its reasoning, calls, results."""
    groups: list[list[Any]] = []
    for item in items:
        if _is_message(item) or not groups or _is_message(groups[-1][0]):
            groups.append([item])
        else:
            groups[-1].append(item)
    return groups


def _called(item: Document) -> Called:
    name = item.get("name")
    said = item.get("arguments", item.get("input", ""))
    return Called(
        name if isinstance(name, str) else str(item.get("type", "")),
        said if isinstance(said, str) else "",
    )
