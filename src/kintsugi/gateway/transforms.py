"""Carries out what policies that act with ``transform`` ask for. Pure: a document in, one out.

Redactions are made first, on the raw bytes; what is changed here is decoded and encoded again, with
every field that has no reading kept as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from kintsugi.gateway.dialects.anthropic_changes import AnthropicChanges, AnthropicCountChanges
from kintsugi.gateway.dialects.changes import Called, CannotChange, Changes, Document
from kintsugi.gateway.dialects.openai_chat_changes import OpenAIChatChanges
from kintsugi.gateway.dialects.openai_responses_changes import OpenAIResponsesChanges
from kintsugi.model.decision import Phase
from kintsugi.model.event import Change
from kintsugi.model.transform import Transform
from kintsugi.policy.names import Names

#: By the dialect's name. Where there is none, only the model can be changed.
CHANGES: Mapping[str, Changes] = {
    "openai.chat": OpenAIChatChanges(),
    "openai.responses": OpenAIResponsesChanges(),
    "anthropic.messages": AnthropicChanges(),
    "anthropic.count_tokens": AnthropicCountChanges(),
}
_CALLS = "{calls}"
_NAMES_SHOWN = 8
_ARGUMENT_CHARS_MAX = 500

_decode = msgspec.json.Decoder(Document).decode
_encode = msgspec.json.Encoder().encode


class Changed(NamedTuple):
    """A request after its changes.

    Attributes:
        model: to ask instead; empty where that was not changed.
        confirmation: to be put in the place of the tool calls of the answer; empty for none.
    """

    body: bytes
    made: tuple[Change, ...]
    model: str = ""
    confirmation: str = ""


def change_request(
    dialect: str, body: bytes, transforms: Iterable[Transform], *, phase: Phase, policy_name: str
) -> Changed:
    """Make every change, in order.

    Args:
        body: a JSON object, as the dialect has read it.
        policy_name: the policy that set the verdict, for the record.

    Raises:
        CannotChange: the dialect has no place for one of them.
    """
    changes = CHANGES.get(dialect)
    request: Document = _decode(body)
    made: list[Change] = []
    model, confirmation = "", ""

    def note(kind: str, detail: str) -> None:
        made.append(Change(policy_name, phase, kind, detail))

    for wanted in transforms:
        if wanted.model and wanted.model != (model or request.get("model")):
            model = request["model"] = wanted.model
            note("model", f"asks {wanted.model}")
        confirmation = wanted.confirmation or confirmation
        if wanted == _only_model(wanted):
            continue
        if wanted.prompt is not None and changes is None and wanted == _only_prompt(wanted):
            continue  # such as embeddings: nothing in them is a prompt
        if changes is None:
            raise CannotChange(f"{dialect} has nothing that could be changed so")
        if wanted.max_context_chars and (
            count := changes.cap_context(request, wanted.max_context_chars)
        ):
            note("max_context_chars", f"left out: {count}")
        if wanted.prompt is not None and (was := changes.pin_prompt(request, wanted.prompt)):
            name = f"{wanted.prompt.id} {wanted.prompt.version}".strip() or "another"
            note("prompt", f"{name} in place of {was}")
        if wanted.strip_tools:
            gone = changes.strip_tools(request, Names(wanted.strip_tools, loose=True).__contains__)
            if gone:
                note("strip_tools", f"stripped: {_shown(gone)}")
        if wanted.max_output_tokens and changes.cap_tokens(request, wanted.max_output_tokens):
            note("max_output_tokens", f"at most {wanted.max_output_tokens}")
        if wanted.inject_text:
            changes.inject(request, wanted.inject_text, wanted.inject_role)
            note("inject_text", f"as {wanted.inject_role}")
    return Changed(_encode(request) if made else body, tuple(made), model, confirmation)


def confirm_answer(dialect: str, body: bytes, confirmation: str) -> tuple[bytes, int]:
    """A whole answer that asks the user in place of calling tools, and how many calls that was.

    Raises:
        CannotChange: the dialect has no place for it.
    """
    changes = CHANGES.get(dialect)
    if changes is None:
        raise CannotChange(f"{dialect} has no tool calls")
    answer: Document = _decode(body)
    count = changes.take_calls(answer, lambda calls: confirmation_text(confirmation, calls))
    return (_encode(answer) if count else body), count


def confirmation_text(confirmation: str, calls: Sequence[Called]) -> str:
    """The operator's words with what the calls would have done: where they say ``{calls}``, or
    behind them."""
    listed = "\n".join(f"- {call.name}({_shortened(call.arguments)})" for call in calls)
    if _CALLS in confirmation:
        return confirmation.replace(_CALLS, listed)
    return f"{confirmation}\n\n{listed}"


def _only_model(wanted: Transform) -> Transform:
    return Transform(model=wanted.model, confirmation=wanted.confirmation)


def _only_prompt(wanted: Transform) -> Transform:
    return msgspec.structs.replace(_only_model(wanted), prompt=wanted.prompt)


def _shown(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _shortened(text: str) -> str:
    if len(text) <= _ARGUMENT_CHARS_MAX:
        return text
    return text[:_ARGUMENT_CHARS_MAX] + "…"
