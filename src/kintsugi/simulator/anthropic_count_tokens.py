"""Anthropic's counting of tokens, from the provider's side: four characters are one token."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kintsugi.simulator.anthropic_messages import (
    MessagesRequest,
    choose,
    error_document,
    read_messages,
)
from kintsugi.simulator.openai_chat import say
from kintsugi.simulator.script import Response

__all__ = ["choose", "error_document", "frames", "parse_request", "whole"]

parse_request = read_messages


def whole(
    request: MessagesRequest,
    response: Response,
    name: str,  # noqa: ARG001
    created: int,  # noqa: ARG001
) -> dict[str, Any]:
    """The answer."""
    return {"input_tokens": say(request.chat, response).usage.prompt_tokens}


def frames(
    request: MessagesRequest,  # noqa: ARG001
    response: Response,  # noqa: ARG001
    name: str,  # noqa: ARG001
    created: int,  # noqa: ARG001
) -> Iterator[tuple[str, bytes]]:
    """None: a number is not streamed."""
    return iter(())
