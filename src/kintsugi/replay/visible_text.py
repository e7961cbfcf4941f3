"""The texts in wire documents, as the one who receives them reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec


def visible_text(body: bytes, *, streamed: bool) -> str:
    """Every text that a caller reads in an answer; a stream's pieces are joined first."""
    if not streamed:
        return "\n".join(strings(body))
    joined: dict[str, str] = {}
    for line in body.splitlines():
        data = line.removeprefix(b"data:").strip()
        if line.startswith(b"data:") and data != b"[DONE]":
            for path, text in _walk(_decoded(data), ""):
                joined[path] = joined.get(path, "") + text
    return "\n".join(joined.values())


def strings(body: bytes) -> Iterator[str]:
    """Every string in a JSON document, decoded; the whole text when it is no JSON."""
    for _, text in _walk(_decoded(body), ""):
        yield text


def error_message(body: bytes) -> str:
    """Why a request was refused, in whatever dialect; empty where the answer does not say."""
    match _decoded(body):
        case {"error": {"message": str(message)}}:
            return message
    return ""


def _decoded(body: bytes) -> Any:
    if not body:
        return None
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body.decode(errors="replace")


def _walk(value: Any, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case str():
            yield path, value
        case dict():
            # Deltas name their place by "index", not by where they stand in the frame.
            for key, inner in value.items():
                yield from _walk(inner, f"{path}/{key}")
        case list():
            for number, inner in enumerate(value):
                place = inner.get("index", number) if isinstance(inner, dict) else number
                yield from _walk(inner, f"{path}/{place}")
