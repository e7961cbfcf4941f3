"""What an expression may speak of, with its type and where its value comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts
from kintsugi.policy.tool_calls import ToolCall, read_call

JUDGED = (Phase.INPUT, Phase.TOOL, Phase.OUTPUT)
# More than any conversation has; a longer list is refused rather than judged in part.
ENTRIES_MAX = 2_000


class InputTooLarge(Exception):
    """What an expression speaks of is larger than the configuration lets it be."""


class Scope(NamedTuple):
    """Where values come from."""

    exchange: ExchangeView
    facts: Facts
    phase: Phase


class Variable(NamedTuple):
    """One name.

    Attributes:
        type: in CEL's own words.
        phases: where it has a value; elsewhere it is empty, and naming it is a mistake.
        whole_text: it stands for everything that was said, however long, so that reading it once
            for each element of a list would cost the product of both.
    """

    name: str
    type: str
    meaning: str
    value: Callable[[Scope], Any]
    phases: tuple[Phase, ...] = JUDGED
    whole_text: bool = False


def _identity(field: str) -> Variable:
    def value(scope: Scope) -> str:
        return _clean(getattr(scope.facts.identity, field))

    return Variable(f"identity.{field}", "string", "of the caller, as its headers say", value)


def _clean(text: str) -> str:
    """Without lone surrogates, which JSON can spell and CEL cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _texts(parts: Iterable[Part]) -> str:
    return _clean("\n".join(part.text for part in parts if part.kind == "text"))


def _entries(parts: Sequence[Part]) -> list[dict[str, str]]:
    if len(parts) > ENTRIES_MAX:
        raise InputTooLarge
    return [
        {
            "role": _clean(part.role),
            "kind": part.kind,
            "name": _clean(part.name),
            "text": _clean(part.text),
        }
        for part in parts
    ]


def _answer(scope: Scope) -> Sequence[Part]:
    return scope.exchange.parts if scope.phase is Phase.OUTPUT else ()


def _request(scope: Scope) -> Sequence[Part]:
    return scope.exchange.request or (scope.exchange.parts if scope.phase is Phase.INPUT else ())


def _calls(scope: Scope) -> list[dict[str, Any]]:
    calls = [part for part in scope.exchange.parts if part.kind == "tool_call"]
    if len(calls) > ENTRIES_MAX:
        raise InputTooLarge
    return [_call(read_call(part)) for part in calls]


def _call(call: ToolCall) -> dict[str, Any]:
    return {
        "name": _clean(call.name),
        "text": _clean(call.text),
        "valid": not call.problem,
        "arguments": call.arguments,
    }


def _declared(scope: Scope) -> list[str]:
    names = (part.name for part in _request(scope) if part.kind == "tool_definition" and part.name)
    return [_clean(name) for name in dict.fromkeys(names)]


_PARTS = "list(map(string, string))"
_ALL = (
    Variable("phase", "string", "`input`, `tool` or `output`", lambda s: s.phase.value),
    Variable("dialect", "string", "such as `openai.chat`", lambda s: s.exchange.dialect),
    Variable("model", "string", "as asked for", lambda s: _clean(s.exchange.model)),
    Variable(
        "parts",
        _PARTS,
        "what this phase judges; each has `role`, `kind`, `name`, `text`",
        lambda s: _entries(s.exchange.parts),
    ),
    Variable(
        "request.text",
        "string",
        "the texts of the request, one to a line",
        lambda s: _texts(_request(s)),
        whole_text=True,
    ),
    Variable(
        "request.parts", _PARTS, "what was asked, as `parts`", lambda s: _entries(_request(s))
    ),
    Variable(
        "answer.text",
        "string",
        "the texts of the answer, one to a line",
        lambda s: _texts(_answer(s)),
        (Phase.OUTPUT,),
        whole_text=True,
    ),
    Variable(
        "answer.parts",
        _PARTS,
        "what was answered, as `parts`",
        lambda s: _entries(_answer(s)),
        (Phase.OUTPUT,),
    ),
    Variable(
        "tools.calls",
        "list(map(string, dyn))",
        "the tool calls that this phase judges; each has `name`, `arguments` (a map; empty where "
        "they are no JSON object, or not in one way only), `valid`, `text`",
        _calls,
    ),
    Variable("tools.declared", "list(string)", "names of the tools on offer", _declared),
    *(
        _identity(field)
        for field in (
            "user_id",
            "team_id",
            "tenant_id",
            "session_id",
            "agent_id",
            "workflow",
            "key_name",
            "request_id",
        )
    ),
    Variable(
        "claims",
        "map(string, string)",
        "request headers that an expression names, lower case",
        lambda s: {name: _clean(text) for name, text in s.facts.claims.items()},
    ),
    Variable(
        "usage.input_tokens",
        "int",
        "as told by upstream",
        lambda s: s.exchange.input_tokens,
        (Phase.OUTPUT, Phase.TOOL),
    ),
    Variable(
        "usage.output_tokens",
        "int",
        "as told by upstream",
        lambda s: s.exchange.output_tokens,
        (Phase.OUTPUT, Phase.TOOL),
    ),
    Variable(
        "usage.output_tokens_max",
        "int",
        "the bound that the request sets; 0 for none",
        lambda s: s.exchange.output_tokens_max,
    ),
    Variable("facts.now", "timestamp", "time of the decision, UTC", lambda s: s.facts.now),
    Variable(
        "facts.found",
        "list(string)",
        "reason codes and entities that earlier phases found",
        lambda s: list(s.facts.found),
    ),
)

VARIABLES: Mapping[str, Variable] = MappingProxyType({variable.name: variable for variable in _ALL})


def values(names: Sequence[str], scope: Scope, chars_max: int) -> dict[str, Any]:
    """The values of these variables and of no others.

    Raises:
        InputTooLarge: together they hold more text than they may.
    """
    found: dict[str, Any] = {}
    left = chars_max
    for name in names:
        found[name] = value = VARIABLES[name].value(scope)
        left -= _chars(value)
        if left < 0:
            raise InputTooLarge
    return found


def _chars(value: Any) -> int:
    """How much text a value holds. Arguments count by the text that they were read from."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(len(one) if isinstance(one, str) else len(one.get("text", "")) for one in value)
    return 0
