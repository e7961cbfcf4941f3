"""Who wanted this tool call: the person who asks, or something that the agent has read.

Wording does not tell: "send the report to Anna" is a task from a user and a hijack in a web page.
Where the call's values come from does. A value that stands only in a tool's result, in a call that
changes something, for which nobody asked, was most probably put there to be used.

Pure: parts in, a score and its reasons out. Told apart are:

* values that stand in a tool's result and nowhere in what the user, the developer or the
  configuration said;
* tools that a result calls by their names;
* calls that change something, and calls that only look;
* requests that hand the choice to the content ("pay the bill in the attachment").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any, NamedTuple

import msgspec

from kintsugi.model.content import Part

# Values shorter than this stand everywhere: yes, 10, en.
_VALUE_CHARS_MIN = 4
# Of a longer text it counts how many of its runs of words were read somewhere.
_PHRASE_CHARS_MIN = 60
_PHRASE_WORDS = 5
_PHRASE_SHARE_MIN = 0.5
_VALUES_MAX = 64
_DEPTH_MAX = 6
# Of each result that much is looked through; a hijack in front of a megabyte of padding is found
# by its beginning or its end.
_RESULT_CHARS_MAX = 200_000

Suspect = Callable[[str], float]


class Witness(NamedTuple):
    """One reason to think that content caused a call.

    Attributes:
        name: ``argument_from_content``, ``address_from_content``, ``tool_named_by_content``,
            ``planted_instruction`` or ``nobody_asked``.
        weight: 0 to 1, how sure it makes by itself.
        path: the part that it points to; the call's own where there is none.
        argument: JSON pointer of the argument, empty when it is about the call.
    """

    name: str
    weight: float
    path: str
    argument: str = ""


class Suspicion(NamedTuple):
    """What is to be thought of a call.

    Attributes:
        score: 0 to 1; from ``HIJACKED`` on, the call is taken for one that content caused.
    """

    score: float
    witnesses: tuple[Witness, ...]


HIJACKED = 0.5

_WEIGHTS = {
    "address_from_content": 0.62,
    "argument_from_content": 0.5,
    "tool_named_by_content": 0.6,
    "planted_instruction": 0.45,
    "nobody_asked": 0.25,
}
# Somebody who says "do what the e-mail says" wants what stands there to be used.
_DEFERRED = 0.25


def suspicion(
    call: Part, conversation: Sequence[Part], *, suspect: Suspect | None = None
) -> Suspicion:
    """Judge one tool call by what was said before it.

    Args:
        call: a part of kind ``tool_call``: the tool's name, and its arguments as JSON text.
        conversation: the parts before it, in order; results are of kind ``tool_result``.
        suspect: how likely a text holds instructions for the model that reads it, 0 to 1, such as
            the classifier's ``indirect`` score. Asked only about results that touch on the call.
    """
    results = [part for part in conversation if part.kind == "tool_result"]
    if not results:
        return Suspicion(0.0, ())
    asked = [part for part in conversation if part.role in _ASKERS and part.kind == "text"]
    wanted = _Text("\n".join(part.text for part in asked))
    read = [_Text(part.text[:_RESULT_CHARS_MAX]) for part in results]
    writes = changes_something(call.name)
    witnesses = [
        *_values(call, results, read, wanted, writes=writes),
        *_named(call, results, read, suspect),
    ]
    touched = {witness.path for witness in witnesses}
    if suspect is not None:
        witnesses += _planted(results, touched, suspect)
    if writes and not _asked_for(call.name, wanted.folded):
        witnesses.append(Witness("nobody_asked", _WEIGHTS["nobody_asked"], call.path))
    if _DEFERS.search(wanted.folded):
        witnesses = [
            witness._replace(weight=witness.weight * _DEFERRED)
            if witness.name.endswith("from_content")
            else witness
            for witness in witnesses
        ]
    doubt = 1.0
    for weight in _strongest(witnesses):
        doubt *= 1.0 - weight
    return Suspicion(round(1.0 - doubt, 3), tuple(witnesses))


def worst_call(
    conversation: Sequence[Part], *, suspect: Suspect | None = None
) -> tuple[Part, Suspicion] | None:
    """The call of a finished conversation that is most likely a hijack; None without calls.

    Agents that call several tools at once have the results of all of them written behind all of
    the calls. Here a call is therefore also judged by the results of its own turn, as far as these
    address the model; what came before it counts as in ``suspicion``.
    """
    worst: tuple[Part, Suspicion] | None = None
    for at, call in enumerate(conversation):
        if call.kind != "tool_call":
            continue
        turn = _rest_of_turn(conversation, at)
        told = [part for part in turn if suspect is not None and suspect(part.text) >= HIJACKED]
        found = suspicion(call, [*conversation[:at], *told], suspect=suspect)
        if worst is None or found.score > worst[1].score:
            worst = call, found
    return worst


def _rest_of_turn(conversation: Sequence[Part], at: int) -> list[Part]:
    rest = takewhile(lambda part: part.kind in ("tool_call", "tool_result"), conversation[at + 1 :])
    found: list[Part] = []
    answered = False
    for part in rest:
        if part.kind == "tool_call" and answered:
            break  # the agent has read the results by then
        answered = answered or part.kind == "tool_result"
        if part.kind == "tool_result":
            found.append(part)
    return found


_ASKERS = frozenset({"user", "system", "developer"})


def changes_something(tool_name: str) -> bool:
    """Whether a tool does more than look, going by its name; unknown ones do."""
    parts = name_words(tool_name)
    return not any(part in _LOOKING for part in parts) or any(part in _CHANGING for part in parts)


_LOOKING = frozenset(
    {
        *("get", "list", "search", "read", "find", "fetch", "view", "lookup", "query", "show"),
        *("check", "describe", "retrieve", "browse", "count", "summarize", "analyze", "calculate"),
        *("translate", "status", "load", "download", "select", "filter", "compare", "verify"),
    }
)
_CHANGING = frozenset(
    {
        *("send", "create", "delete", "update", "transfer", "pay", "post", "share", "grant"),
        *("add", "invite", "reserve", "book", "cancel", "execute", "run", "write", "upload"),
        *("forward", "unlock", "set", "change", "disable", "enable", "remove", "move", "approve"),
        *("buy", "order", "purchase", "submit", "publish", "schedule", "reply", "insert", "drop"),
    }
)
_NAME_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def name_words(tool_name: str) -> list[str]:
    """``EmailSend`` and ``send_email`` as words in lower case."""
    return [word.lower() for word in _NAME_WORD.findall(tool_name)]


# What people say for what tools are called.
_SAID_AS = {
    "send": r"send|e-?mail|mail|message|write to|reply|notify|tell|let .{1,20} know|forward|share",
    "email": r"e-?mail|mail|message|write to|send",
    "transfer": r"transfer|pay|wire|send|move|refund",
    "pay": r"pay|transfer|settle|send|buy",
    "create": r"create|make|add|new|set up|schedule|write|open|plan|book",
    "add": r"add|put|include|insert|invite|append|create",
    "delete": r"delete|remove|clear|erase|clean|cancel|drop",
    "update": r"update|change|edit|set|modify|correct|adjust",
    "post": r"post|publish|share|send|write|tweet",
    "share": r"share|send|give|invite|grant",
    "reserve": r"reserve|book|get|arrange",
    "book": r"book|reserve|arrange|order",
    "schedule": r"schedule|plan|book|arrange|set up|meeting|appointment",
    "buy": r"buy|purchase|order|get",
    "order": r"order|buy|purchase|get",
    "execute": r"execute|run|do|perform",
    "run": r"run|execute|start",
    "invite": r"invite|add|ask",
    "grant": r"grant|allow|give|permit|let",
}


def _asked_for(tool_name: str, wanted: str) -> bool:
    """Whether the user's words are about what the tool does, or name what it is for."""
    for word in name_words(tool_name):
        if len(word) < 3:
            continue
        said = _SAID_AS.get(word)
        if said is not None and re.search(rf"\b(?:{said})", wanted):
            return True
        if said is None and word not in _LOOKING and word[:6] in wanted:
            return True
    return False


_DEFERS = re.compile(
    r"\b(?:follow|do|execute|complete|carry out|perform|act on|take care of|work through)\b"
    r".{0,40}\b(?:instructions?|steps|tasks?|actions?|to-?dos?|requests?|what(?:ever)?\b"
    r".{0,20}\bsays?|as (?:it )?says)\b"
    r"|\b(?:pay|settle|answer|reply to|respond to|book|order|invite|contact|call|message|e-?mail)\b"
    r".{0,30}\b(?:the bill|the invoice|them|him|her|everyone|each|the sender|the one|whoever"
    r"|that|it)\b"
    r"|\b(?:address|number|account|iban|link|details|recipient|contact)\b.{0,20}"
    r"\b(?:in|from|on|mentioned|listed|given|found)\b"
)


class _Text:
    """A text as values are compared with it: without case, and without what stands between."""

    def __init__(self, text: str) -> None:
        self.folded = " ".join(text.casefold().split())
        self.dense = _BETWEEN.sub("", self.folded)

    def has(self, value: str) -> bool:
        return value in self.folded or (
            value[0].isdigit() and _BETWEEN.sub("", value) in self.dense
        )

    def share(self, phrases: Sequence[str]) -> float:
        return sum(phrase in self.folded for phrase in phrases) / len(phrases)


_BETWEEN = re.compile(r"[ .()/,-]")
_ADDRESS = re.compile(
    r"[^@\s]@[^@\s]+\.\w|https?://|www\.|\b[a-z]{2}\d{2}[a-z0-9]{8}|\d[\d ()-]{6,30}\d"
    r"|\bbc1[a-z0-9]{8}"
)


def _values(
    call: Part,
    results: Sequence[Part],
    read: Sequence[_Text],
    wanted: _Text,
    *,
    writes: bool,
) -> Iterator[Witness]:
    """Arguments that only content knew."""
    if not writes:
        return
    for pointer, value in arguments(call.text):
        folded = " ".join(value.casefold().split())
        if len(folded) < _VALUE_CHARS_MIN:
            continue
        phrases = _phrases(folded) if len(folded) >= _PHRASE_CHARS_MIN else []
        if wanted.share(phrases) >= _PHRASE_SHARE_MIN if phrases else wanted.has(folded):
            continue
        for part, text in zip(results, read, strict=True):
            if text.share(phrases) >= _PHRASE_SHARE_MIN if phrases else text.has(folded):
                address = not phrases and _ADDRESS.search(folded) is not None
                name = "address_from_content" if address else "argument_from_content"
                yield Witness(name, _WEIGHTS[name], part.path, pointer)
                break


def _phrases(folded: str) -> list[str]:
    words = folded.split()
    runs = range(max(len(words) - _PHRASE_WORDS + 1, 1))
    return [" ".join(words[at : at + _PHRASE_WORDS]) for at in runs][:_VALUES_MAX]


def _named(
    call: Part, results: Sequence[Part], read: Sequence[_Text], suspect: Suspect | None
) -> Iterator[Witness]:
    """A result that says which tool to call."""
    name = call.name.casefold()
    if len(name) < _VALUE_CHARS_MIN:
        return
    told = re.compile(
        rf"\b(?:call|use|using|invoke|run|execute|with|via)\b.{{0,30}}\b{re.escape(name)}\b"
        rf"|\b{re.escape(name)}\b.{{0,12}}\b(?:tool|function|api)\b"
    )
    for part, text in zip(results, read, strict=True):
        if name in text.folded and (
            told.search(text.folded) or (suspect is not None and suspect(part.text) >= HIJACKED)
        ):
            yield Witness("tool_named_by_content", _WEIGHTS["tool_named_by_content"], part.path)


def _planted(results: Sequence[Part], touched: set[str], suspect: Suspect) -> Iterator[Witness]:
    """Results that touch on the call and address the model besides."""
    for part in results:
        if part.path in touched:
            sure = suspect(part.text)
            if sure >= HIJACKED:
                yield Witness(
                    "planted_instruction", _WEIGHTS["planted_instruction"] * sure, part.path
                )


def _strongest(witnesses: Sequence[Witness]) -> Iterator[float]:
    """Of each kind of witness the strongest: ten arguments of one call are not ten reasons."""
    best: dict[str, float] = {}
    for witness in witnesses:
        kind = "content" if witness.name.endswith("from_content") else witness.name
        best[kind] = max(best.get(kind, 0.0), witness.weight)
    yield from best.values()


def arguments(text: str) -> list[tuple[str, str]]:
    """The texts and numbers among a call's arguments, with their JSON pointers.

    Text that is no JSON is one argument; so is everything beyond a bounded depth and number.
    """
    try:
        document = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return [("", text)] if text.strip() else []
    found: list[tuple[str, str]] = []
    _collect(document, "", 0, found)
    return found


def _collect(value: Any, pointer: str, depth: int, found: list[tuple[str, str]]) -> None:
    if len(found) >= _VALUES_MAX:
        return
    match value:
        case dict() | list() if depth >= _DEPTH_MAX:
            found.append((pointer, msgspec.json.encode(value).decode()))
        case dict():
            for name, inner in value.items():
                escaped = name.replace("~", "~0").replace("/", "~1")
                _collect(inner, f"{pointer}/{escaped}", depth + 1, found)
        case list():
            for index, inner in enumerate(value):
                _collect(inner, f"{pointer}/{index}", depth + 1, found)
        case bool() | None:
            pass
        case str():
            found.append((pointer, value))
        case _:
            found.append((pointer, str(value)))
