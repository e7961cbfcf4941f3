"""Cases as another tool can run them: a request to a running gateway, and what its caller sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any, Final

import msgspec

from kintsugi.model.config import MCP_ENDPOINT
from kintsugi.model.verdict import Verdict
from kintsugi.replay.endpoints import request_of
from kintsugi.replay.exports.entry import Entry, ExportedFile, Losses, fields_of, usable
from kintsugi.replay.yaml_text import stated

_KEYS: Final = frozenset({"authorization", "x-api-key"})
_STOPPING: Final = frozenset(verdict.value for verdict in Verdict if verdict.stops)
_LOST: Final = {
    "input.facts.": "a running gateway counts and asks for itself",
    "input.upstream_response": "the model answers for itself",
    "expected.request_excludes": "a caller does not see what reaches the model",
}
_ASKER: Final = "kintsugi_gateway.py"


class Asked(msgspec.Struct, frozen=True):
    """One case over the wire.

    Attributes:
        request: ``{"endpoint", "headers", "body"}``, for ``ask`` of ``kintsugi_gateway.py``.
        expected: what of ``testing.suites`` a caller can see, for its ``mismatches``.
    """

    entry: Entry
    request: dict[str, Any]
    expected: dict[str, str]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.entry.id} {self.entry.case.name}"

    @property
    def metadata(self) -> dict[str, Any]:
        """Everything about the case that is no part of what it sends."""
        told: dict[str, Any] = stated(self.entry.about) | {"name": self.entry.case.name}
        if self.entry.case.description:
            told["description"] = self.entry.case.description
        return told


def through_gateway(entries: Sequence[Entry], losses: Losses) -> list[Asked]:
    """The cases that show a caller anything of what they expect."""
    found = []
    for entry in usable(entries, losses):
        lost = dict(_lost(entry))
        for field, why in lost.items():
            losses.add(entry, field, why)
        expected = {
            name: value
            for name, value in stated(entry.case.expected).items()
            if f"expected.{name}" not in lost
        }
        if expected:
            found.append(Asked(entry, _request(entry), expected))
        else:
            losses.leave_out(entry, "a caller sees nothing of what it expects")
    return found


def messages_of(asked: Asked) -> list[dict[str, str]] | None:
    """The conversation, where it is nothing but texts with roles; None otherwise."""
    body = asked.request["body"]
    said = body.get("messages", body.get("input"))
    if isinstance(said, str):
        return [{"role": "user", "content": said}]
    if not isinstance(said, list) or not said:
        return None
    plain = all(
        isinstance(message, dict)
        and message.keys() == {"role", "content"}
        and message["role"] in ("system", "user", "assistant")
        and isinstance(message["content"], str)
        for message in said
    )
    return list(said) if plain else None


def packaged(name: str) -> ExportedFile:
    """A file that is the same in every export."""
    text = files("kintsugi.replay.exports").joinpath("files", name).read_text("utf-8")
    return ExportedFile(name, text)


def asker() -> ExportedFile:
    """What asks the gateway, for every tool alike."""
    return packaged(_ASKER)


def _request(entry: Entry) -> dict[str, Any]:
    sent = entry.case.input
    body = request_of(sent, ())
    if "model" not in (sent.request or {}):
        body.pop("model", None)  # whoever runs it says which
    headers = {name: value for name, value in sent.headers.items() if name.lower() not in _KEYS}
    return {"endpoint": sent.endpoint, "headers": headers, "body": body}


def _lost(entry: Entry) -> Iterator[tuple[str, str]]:
    case = entry.case
    told = case.expected.verdict in _STOPPING
    for field in fields_of(entry):
        for prefix, why in _LOST.items():
            if field.startswith(prefix):
                yield field, why
        if field.removeprefix("input.headers.").lower() in _KEYS:
            yield field, "keys are no part of an export: KT_GATEWAY_KEY is presented"
        elif field in ("expected.policy", "expected.reason_code") and not told:
            yield field, "a caller is told of it only where the gateway stops the exchange"
        elif field == "input.endpoint" and case.input.endpoint.startswith(MCP_ENDPOINT):
            yield field, "it is asked without an MCP session, which some servers want"
