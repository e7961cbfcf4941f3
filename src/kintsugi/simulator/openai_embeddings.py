"""OpenAI's embeddings dialect, from the provider's side: the same text always gives the same
vector, and nothing else does."""

from __future__ import annotations

import hashlib
import math
import struct
from base64 import b64encode
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from kintsugi.simulator.openai_chat import error_document
from kintsugi.simulator.script import BadRequest, Response, Script

__all__ = ["choose", "error_document", "frames", "parse_request", "whole"]

_DIMENSIONS = 256
_DIMENSIONS_MAX = 8192
_CHARS_PER_TOKEN = 4


class EmbeddingsRequest(msgspec.Struct, frozen=True):
    """The part of a request that an answer depends on; ``input`` may hold token numbers."""

    model: str
    input: str | list[str | int | list[int]]
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None

    @property
    def stream(self) -> bool:
        """Never: vectors are not streamed."""
        return False

    @property
    def texts(self) -> list[str]:
        """One text for each vector; tokens as their numbers."""
        if isinstance(self.input, str):
            return [self.input]
        if self.input and all(isinstance(one, int) for one in self.input):
            return [str(self.input)]
        return [one if isinstance(one, str) else str(one) for one in self.input]


def parse_request(body: bytes) -> EmbeddingsRequest:
    """Read a request.

    Raises:
        BadRequest: it is no JSON, or lacks what every request has.
    """
    try:
        request = msgspec.json.decode(body, type=EmbeddingsRequest)
    except msgspec.ValidationError as error:
        raise BadRequest(f"{error}") from None
    except msgspec.DecodeError as error:
        raise BadRequest(f"We could not parse the JSON body of your request: {error}") from None
    if not request.input:
        raise BadRequest("'input' must not be empty")
    if request.dimensions is not None and not 1 <= request.dimensions <= _DIMENSIONS_MAX:
        raise BadRequest(f"'dimensions' must be between 1 and {_DIMENSIONS_MAX}")
    return request


def choose(script: Script, request: EmbeddingsRequest) -> Response:
    """The script's response to a request: how it answers, if not what."""
    return script.response_for(model=request.model, last_user_message=request.texts[-1])


def whole(
    request: EmbeddingsRequest,
    response: Response,
    name: str,  # noqa: ARG001
    created: int,  # noqa: ARG001
) -> dict[str, Any]:
    """The answer as one document."""
    texts = request.texts
    count = sum(-(-len(text) // _CHARS_PER_TOKEN) for text in texts)
    tokens = response.usage.prompt_tokens if response.usage else count
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _encoded(request, text)}
            for index, text in enumerate(texts)
        ],
        "model": request.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def frames(
    request: EmbeddingsRequest,  # noqa: ARG001
    response: Response,  # noqa: ARG001
    name: str,  # noqa: ARG001
    created: int,  # noqa: ARG001
) -> Iterator[tuple[str, bytes]]:
    """None: vectors are not streamed."""
    return iter(())


def _encoded(request: EmbeddingsRequest, text: str) -> list[float] | str:
    vector = _vector(text, request.dimensions or _DIMENSIONS)
    if request.encoding_format == "base64":
        return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    return vector


def _vector(text: str, dimensions: int) -> list[float]:
    """A vector of length 1 in a direction that the text's hash names."""
    digest = hashlib.shake_256(text.encode("utf-8", "replace")).digest(2 * dimensions)
    numbers = [number - 32_767.5 for number in struct.unpack(f"<{dimensions}H", digest)]
    length = math.sqrt(sum(number * number for number in numbers))
    return [number / length for number in numbers]
