"""A document put together again from the paths of its texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kintsugi.gateway.dialects.splice import pointer_token


def is_index(token: str) -> bool:
    """Whether a token of a JSON pointer is a place in a list. More than ASCII counts as digits
    for ``str.isdigit``, and not all of that is a number."""
    return token.isascii() and token.isdecimal()


def path_rank(path: str) -> tuple[int | str, ...]:
    """A sort key that puts the texts of an answer in one order, however they arrived."""
    rank: tuple[int | str, ...] = ()
    for token in path.split("/")[1:]:
        rank += (0, int(token), "") if is_index(token) else (1, 0, token)
    return rank


def strings_in(value: object, at: str) -> Iterator[tuple[str, str]]:
    """Every string in a value that is not empty, with its pointer from there, in their order."""
    waiting: list[tuple[str, object]] = [(at, value)]  # no recursion: it may be nested deeply
    while waiting:
        at, found = waiting.pop()
        if isinstance(found, str):
            if found:
                yield at, found
        elif isinstance(found, dict):
            below = [(f"{at}/{pointer_token(key)}", one) for key, one in found.items()]
            waiting.extend(reversed(below))
        elif isinstance(found, list):
            below = [(f"{at}/{index}", one) for index, one in enumerate(found)]
            waiting.extend(reversed(below))


class TextTree:
    """One place in the document, and the places below it."""

    def __init__(self) -> None:
        self.below: dict[str, TextTree] = {}
        self.text = ""

    def put(self, tokens: Sequence[str], text: str, tool_name: str) -> None:
        """Add a text.

        Args:
            tokens: its JSON pointer from here, cut at the slashes and still escaped.
            tool_name: becomes the text's neighbour ``name``, unless empty.
        """
        node, parent = self, self
        for token in tokens:
            parent, node = node, node.below.setdefault(token, TextTree())
        node.text += text
        if tool_name:
            parent.below.setdefault("name", TextTree()).text = tool_name

    def plain(self) -> Any:
        """Lists, objects and strings. Where all keys are numbers it is a list, in their order."""
        if not self.below:
            return self.text
        if all(is_index(token) for token in self.below):
            ordered = sorted(self.below, key=int)
            return [self.below[token].plain() for token in ordered]
        return self.fields()

    def fields(self) -> dict[str, Any]:
        """What is below as an object, whatever its keys."""
        return {
            token.replace("~1", "/").replace("~0", "~"): node.plain()
            for token, node in self.below.items()
        }
