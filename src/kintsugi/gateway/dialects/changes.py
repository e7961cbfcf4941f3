"""How a policy's changes are made in the documents of a dialect, and what all dialects share.

A dialect's changes work on the decoded document, in place: fields that have no reading here stay as
they are, and the document is encoded again by ``gateway/transforms.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol

from kintsugi.model.transform import PinnedPrompt

Document = dict[str, Any]

_INSTRUCTIONS: Final = frozenset(("system", "developer"))


class CannotChange(Exception):
    """The document has no place for the change; the exchange must be stopped instead."""


class Called(NamedTuple):
    """One tool call that was taken out of an answer."""

    name: str
    arguments: str


class Changes(Protocol):
    """What can be changed in a dialect's requests and whole answers.

    Every method may raise ``CannotChange``.
    """

    def inject(self, request: Document, text: str, role: Literal["system", "user"]) -> None:
        """Put a text before all messages."""

    def pin_prompt(self, request: Document, pinned: PinnedPrompt) -> str:
        """Put a prompt in the place of the one that the request brings; what that was, such as
        ``2 messages``. Empty where it brings none."""

    def strip_tools(self, request: Document, unwanted: Callable[[str], bool]) -> list[str]:
        """Take declared tools out; their names."""

    def cap_tokens(self, request: Document, tokens_max: int) -> bool:
        """Bound the tokens of the answer; False when they were bounded as tightly already."""

    def cap_context(self, request: Document, chars_max: int) -> int:
        """Leave out the oldest messages until the rest fits; how many."""

    def take_calls(self, answer: Document, say: Callable[[Sequence[Called]], str]) -> int:
        """Put words in the place of the tool calls of an answer; how many calls."""


def role_of(message: object) -> object:
    """Whose message it is, as it says."""
    return message.get("role") if isinstance(message, dict) else None


def is_instruction(message: object) -> bool:
    """Whether it is the application's word to the model."""
    role = role_of(message)
    return isinstance(role, str) and role in _INSTRUCTIONS


def instructions_first(messages: Sequence[Any]) -> int:
    """How many messages stand before the first that is no instruction."""
    return next(
        (at for at, message in enumerate(messages) if not is_instruction(message)), len(messages)
    )


def text_size(value: object) -> int:
    """Characters of all strings in a value."""
    size = 0
    stack = [value]
    while stack:
        found = stack.pop()
        if isinstance(found, str):
            size += len(found)
        elif isinstance(found, dict):
            stack.extend(found.values())
        elif isinstance(found, list):
            stack.extend(found)
    return size


def oldest_first(groups: Sequence[list[Any]], chars_max: int, fixed_chars: int) -> int:
    """How many of the oldest groups have to go; the last one always stays.

    Args:
        groups: what can only stay or go together: a tool call and its results, say.
        fixed_chars: what stays in any case.
    """
    left = fixed_chars + sum(text_size(group) for group in groups)
    gone = 0
    while left > chars_max and gone < len(groups) - 1:
        left -= text_size(groups[gone])
        gone += 1
    return gone


def lower(holder: Document, keys: Sequence[str], bound: int, *, default: str) -> bool:
    """Set numbers to at most ``bound``; where none is set, set ``default``."""
    changed = False
    present = [key for key in keys if holder.get(key) is not None]
    for key in present or [default]:
        value = holder.get(key)
        if type(value) is not int or value > bound:
            holder[key] = bound
            changed = True
    return changed


def list_of(document: Document, key: str) -> list[Any]:
    """A list of the document; empty when it has none.

    Raises:
        CannotChange: something else stands there.
    """
    found = document.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise CannotChange(f'"{key}" is no list')
    return found


def name_of(tool: object) -> str:
    """The name of a declared tool, in any dialect; its kind where it has none."""
    if not isinstance(tool, dict):
        return ""
    function = tool.get("function")
    holder = function if isinstance(function, dict) else tool
    for key in ("name", "server_label", "type"):
        name = holder.get(key)
        if isinstance(name, str) and name:
            return name
    return ""


def strip_listed(document: Document, key: str, unwanted: Callable[[str], bool]) -> list[str]:
    """Take tools out of a list of the document; their names. An empty list goes altogether."""
    tools = list_of(document, key)
    gone = [name_of(tool) for tool in tools if unwanted(name_of(tool))]
    if gone:
        kept = [tool for tool in tools if not unwanted(name_of(tool))]
        if kept:
            document[key] = kept
        else:
            del document[key]
    return gone
