"""OTLP over HTTP as the specification wants it: encodings in, answers and errors out.

https://opentelemetry.io/docs/specs/otlp/#otlphttp. An answer has the encoding of its request; an
error is a ``google.rpc.Status``; what cannot be decoded is 400 and never sent again, and what may
be sent again is 429 or 503 with ``Retry-After``.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final

import msgspec
from fastapi import Request
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.exceptions import HTTPException
from starlette.responses import Response

from kintsugi.api.problems import Problem
from kintsugi.errors import InvalidInput
from kintsugi.traces.otlp import Received, read_json, read_protobuf

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
SENT_BYTES_MAX: Final = 16 * 1024 * 1024
UNPACKED_BYTES_MAX: Final = 64 * 1024 * 1024
RETRY_AFTER_SECONDS: Final = 1

# google.rpc.Code, by HTTP status.
_CODES: Final[Mapping[int, int]] = {400: 3, 401: 16, 403: 7, 413: 3, 415: 3, 429: 8, 503: 14}
_INTERNAL: Final = 13


def read_request(request: Request, body: bytes) -> ExportTraceServiceRequest:
    """The export request in a body.

    Raises:
        HTTPException: 415, another media type or content coding; 413, too large when unpacked.
        InvalidInput: it cannot be decoded.
    """
    media_type = _media_type(request)
    if media_type not in (PROTOBUF, JSON):
        raise HTTPException(415, f'Send spans as {PROTOBUF} or {JSON}, not "{media_type}".')
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding == "gzip":
        body = _unpacked(body)
    elif coding not in ("", "identity"):
        raise HTTPException(415, f'Send spans packed with gzip or not at all, not "{coding}".')
    return read_protobuf(body) if media_type == PROTOBUF else read_json(body)


def accepted(request: Request, received: Received) -> Response:
    """The answer to a request whose spans were kept, or some of them (partial success)."""
    answer = ExportTraceServiceResponse()
    if received.rejected:
        answer.partial_success.rejected_spans = received.rejected
        answer.partial_success.error_message = "; ".join(received.reasons)
    if _media_type(request) == JSON:
        return Response(msgspec.json.encode(MessageToDict(answer)), media_type=JSON)
    return Response(answer.SerializeToString(), media_type=PROTOBUF)


def refused(request: Request, problem: Problem) -> Response:
    """A problem as ``google.rpc.Status``, in the encoding of the request."""
    status = 400 if problem.status == 422 else problem.status
    code = _CODES.get(status, _INTERNAL)
    headers: dict[str, str] = {}
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="kintsugi"'
    if status in (429, 503):
        headers["retry-after"] = str(RETRY_AFTER_SECONDS)
    if _media_type(request) == JSON:
        told = msgspec.json.encode({"code": code, "message": problem.detail})
        return Response(told, status_code=status, media_type=JSON, headers=headers)
    return Response(
        _status(code, problem.detail), status_code=status, media_type=PROTOBUF, headers=headers
    )


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _unpacked(body: bytes) -> bytes:
    unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        found = unpacking.decompress(body, UNPACKED_BYTES_MAX + 1)
    except zlib.error as error:
        raise InvalidInput(f"body: not gzip, as content-encoding says: {error}") from None
    if len(found) > UNPACKED_BYTES_MAX:
        raise HTTPException(413, f"The body is larger than {UNPACKED_BYTES_MAX:,} bytes unpacked.")
    if not unpacking.eof:
        raise InvalidInput("body: the gzip stream is cut short")
    return found


def _status(code: int, message: str) -> bytes:
    """``google.rpc.Status`` with ``code`` (1) and ``message`` (2).

    Written by hand: two fields do not earn a package of all of Google's common types.
    """
    text = message.encode("utf-8", "replace")
    length = bytearray()
    left = len(text)
    while left > 0x7F:
        length.append(left & 0x7F | 0x80)
        left >>= 7
    length.append(left)
    return bytes((0x08, code, 0x12)) + bytes(length) + text
