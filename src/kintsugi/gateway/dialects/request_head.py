"""What the requests of every dialect have in common: an object that names a model."""

from __future__ import annotations

from typing import Any

from kintsugi.gateway.dialects.json_text import MalformedDocument, read_json


def read_head(body: bytes) -> tuple[dict[str, Any], str, bool]:
    """The document, the model that it names, and whether the answer shall be streamed.

    Raises:
        MalformedDocument: it is no request; the message says why.
    """
    document = read_json(body)
    if type(document) is not dict:
        raise MalformedDocument("the body must be a JSON object")
    model = document.get("model")
    if type(model) is not str or not model:
        raise MalformedDocument('"model" must be the name of a model')
    stream = document.get("stream")
    if stream is not None and type(stream) is not bool:
        raise MalformedDocument('"stream" must be true or false')
    return document, model, stream is True


def messages_in(document: dict[str, Any]) -> list[Any]:
    """The messages of a conversation.

    Raises:
        MalformedDocument: there are none.
    """
    messages = document.get("messages")
    if type(messages) is not list or not messages:
        raise MalformedDocument('"messages" must be a list with at least one message')
    return messages


def bound_in(document: dict[str, Any], *keys: str) -> int:
    """How many tokens the answer may have: of these keys, the first that is there; 0 for no
    bound."""
    for key in keys:
        if key in document:
            bound = document[key]
            return bound if type(bound) is int and bound > 0 else 0
    return 0
