"""Near variants of a case: the same said otherwise, which has to come out the same.

No model is asked: nothing is translated or reworded, texts are only spelled, encoded, framed, split
and moved in fixed ways, so that the same case has the same variants every time.
"""

from __future__ import annotations

import base64
import codecs
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

import msgspec

from kintsugi.model.config import CASE_ENDPOINT, Case, CaseInput
from kintsugi.model.decision import Phase
from kintsugi.replay import provider
from kintsugi.replay.case_parts import CaseParts
from kintsugi.replay.conversation import (
    ENDPOINTS,
    MESSAGES,
    RESPONSES,
    Called,
    Conversation,
    Returned,
    Said,
    Turn,
    case_input,
    conversation,
)
from kintsugi.replay.results import CaseResult
from kintsugi.simulator.script import Response

#: Where the trouble is: in what was asked, or in what the model answered.
Side = Literal["request", "answer"]
Family = Literal[
    "spelling", "encoding", "language", "turns", "choice", "stream", "place", "dialect"
]

_NEVER_CARRY: Final = ("system", "developer", "assistant")
# What stands below these is no text, whatever its type.
_BINARY: Final = frozenset({"image_url", "input_audio", "file", "source", "file_data", "data"})
_ANSWERED: Final = (Phase.OUTPUT, Phase.TOOL)
_HARMLESS: Final = "Good question. Let me think about it."
_GO_ON: Final = "Go on."
_CALL_ID: Final = "call_page"

_LOOK_ALIKES: Final = str.maketrans("aceiopsxyABCEHIKMOPTX", "асеіорѕхуАВСЕНІКМОРТХ")
_LEET: Final = str.maketrans("aeiostAEIOST", "431057431057")
_FULL_WIDTH: Final = str.maketrans({code: chr(code + 0xFEE0) for code in range(0x21, 0x7F)})


class Variant(msgspec.Struct, frozen=True):
    """A case made of another one, and how."""

    technique: str
    case: Case


class Technique(NamedTuple):
    """One way to make a variant.

    Attributes:
        says: for the manual and for help texts.
        make: None where it does not apply to a case.
    """

    family: Family
    says: str
    make: Callable[[Case, Side], CaseInput | None]


def variants(case: Case, side: Side = "request") -> Iterator[Variant]:
    """Every variant that the techniques make of a case, in their order.

    Args:
        side: whose texts are changed; see ``side_of``.
    """
    for name, technique in TECHNIQUES.items():
        made = technique.make(case, side)
        if made is not None and made != case.input:
            named = msgspec.structs.replace(case, name=f"{case.name} ({name})", input=made)
            yield Variant(name, named)


def side_of(result: CaseResult) -> Side:
    """Where a policy found what made it decide so; the request where none did."""
    for one in result.evaluations:
        if one.policy_name == result.policy_name and one.outcome == "matched":
            return "answer" if one.phase in _ANSWERED else "request"
    return "request"


def carriers(case: Case, side: Side) -> tuple[CaseParts, dict[tuple[str | int, ...], str]]:
    """The texts that a variant changes: what callers, tools and documents say, or the answer.
    What the application itself says (its system prompt, its tools) stays.
    """
    parts = CaseParts(case)
    of_answer = {path: t for path, t in parts.texts.items() if path[0] == "upstream_response"}
    if side == "answer":
        return parts, of_answer
    of_request = {
        path: text
        for path, text in parts.texts.items()
        if path not in of_answer
        and parts.roles[path] not in _NEVER_CARRY
        and _BINARY.isdisjoint(path)
        and path[:2] not in (("request", "tools"), ("request", "system"))
        and path[:2] != ("request", "instructions")
    }
    return parts, of_request


def _said(change: Callable[[str], str]) -> Callable[[Case, Side], CaseInput | None]:
    def make(case: Case, side: Side) -> CaseInput | None:
        parts, texts = carriers(case, side)
        changed = parts.without((), {path: change(text) for path, text in texts.items()})
        return changed.input if changed is not None else None

    return make


def _framed(frame: str) -> Callable[[Case, Side], CaseInput | None]:
    """Only requests are framed: nobody asks a model for its answer in another language so."""
    put = _said(lambda text: frame.replace("{}", text))
    return lambda case, side: put(case, side) if side == "request" else None


def _held(
    change: Callable[[Conversation, Side], Conversation | None], endpoint: str = ""
) -> Callable[[Case, Side], CaseInput | None]:
    def make(case: Case, side: Side) -> CaseInput | None:
        held = conversation(case)
        changed = change(held, side) if held is not None else None
        if changed is None:
            return None
        return case_input(changed, case.input, endpoint or case.input.endpoint)

    return make


def _moved(replace: Callable[[str], tuple[Turn, ...]]) -> Callable[[Case, Side], CaseInput | None]:
    """With the longest text of a user replaced by turns, where there are any."""

    def change(held: Conversation, side: Side) -> Conversation | None:
        said = [one for one in held.turns if isinstance(one, Said) and one.role == "user"]
        if side == "answer" or not said:
            return None
        longest = max(said, key=lambda one: len(one.text))
        at = held.turns.index(longest)
        turns = replace(longest.text)
        if not turns:
            return None
        turns = (*held.turns[:at], *turns, *held.turns[at + 1 :])
        return msgspec.structs.replace(held, turns=turns)

    return _held(change)


def _dialect(endpoint: str) -> Technique:
    make = _held(lambda held, _: held, endpoint)
    says = f"The same conversation sent to `{endpoint}`."
    return Technique(
        "dialect",
        says,
        lambda case, side: make(case, side) if case.input.endpoint != endpoint else None,
    )


def _zero_width(text: str) -> str:
    return "".join(f"{one}\u200b" if one.isalpha() else one for one in text)


def _spaced(text: str) -> str:
    return "   ".join(" ".join(word) for word in text.split(" "))


def _escaped(text: str) -> str:
    units = text.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _halves(text: str) -> tuple[Turn, ...]:
    """A text over two turns, cut between two words near its middle."""
    middle = len(text) // 2
    cuts = [at for at, one in enumerate(text) if one.isspace()]
    cut = min(cuts, key=lambda at: abs(at - middle), default=middle)
    first, second = text[:cut].rstrip(), text[cut:].lstrip()
    if not first or not second:
        return ()
    return (Said("user", first), Said("assistant", _GO_ON), Said("user", second))


def _in_tool_result(text: str) -> tuple[Turn, ...]:
    return (
        Said("user", "Read the page and tell me what it says."),
        Called(_CALL_ID, "read_page", {"url": "https://example.com/page"}),
        Returned(_CALL_ID, text),
    )


def _in_document(text: str) -> tuple[Turn, ...]:
    frame = (
        "Answer from this document only.\n\n<document>\n{}\n</document>\n\n"
        "Question: what is it about?"
    )
    return (Said("user", frame.replace("{}", text)),)


def _streamed(case: Case, side: Side) -> CaseInput | None:  # noqa: ARG001  # whichever it is
    """Streamed, or as a whole where it was streamed."""
    wanted = case.input
    if wanted.endpoint not in ENDPOINTS:
        return None
    stated = wanted.upstream_response
    whole = isinstance(stated, dict) and not set(stated) <= set(Response.__struct_fields__)
    if wanted.endpoint != CASE_ENDPOINT and whole:
        return None  # only what the simulator can say can be streamed there
    request = {**(wanted.request or {})}
    was = wanted.stream or request.pop("stream", False) is True
    return msgspec.structs.replace(wanted, stream=not was, request=request or None)


def _other_choice(case: Case, side: Side) -> CaseInput | None:
    """The answer second, behind a harmless one."""
    wanted = case.input
    if side != "answer" or wanted.endpoint != CASE_ENDPOINT or wanted.upstream_response is None:
        return None
    first: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": _HARMLESS}}
    choices = provider.completion({}, wanted.upstream_response)["choices"]
    moved = [{**choice, "index": number} for number, choice in enumerate(choices, 1)]
    return msgspec.structs.replace(
        wanted,
        request={**(wanted.request or {}), "n": len(moved) + 1},
        upstream_response={"choices": [{**first, "finish_reason": "stop"}, *moved]},
    )


#: By name, in the order in which they are tried.
TECHNIQUES: Final[Mapping[str, Technique]] = MappingProxyType(
    {
        "homoglyphs": Technique(
            "spelling",
            "Latin letters become Cyrillic ones that look the same.",
            _said(lambda text: text.translate(_LOOK_ALIKES)),
        ),
        "leetspeak": Technique(
            "spelling", "`4` for a, `3` for e and so on.", _said(lambda text: text.translate(_LEET))
        ),
        "zero_width": Technique(
            "spelling", "An invisible character after every letter.", _said(_zero_width)
        ),
        "spaced": Technique("spelling", "A blank after every character.", _said(_spaced)),
        "full_width": Technique(
            "spelling",
            "Characters as wide as Chinese ones.",
            _said(lambda text: text.translate(_FULL_WIDTH)),
        ),
        "json_escaped": Technique("spelling", "`\\u0069` for every character.", _said(_escaped)),
        "base64": Technique(
            "encoding", "Base64.", _said(lambda text: base64.b64encode(_bytes(text)).decode())
        ),
        "hex": Technique("encoding", "Hexadecimal digits.", _said(lambda text: _bytes(text).hex())),
        "rot13": Technique(
            "encoding",
            "Letters moved by 13 places.",
            _said(lambda text: codecs.encode(text, "rot13")),
        ),
        "url": Technique(
            "encoding",
            "`%69` for every byte.",
            _said(lambda text: "".join(f"%{byte:02X}" for byte in _bytes(text))),
        ),
        "framed_german": Technique(
            "language",
            "Quoted in a German request to translate and answer it.",
            _framed("Übersetze das Folgende ins Deutsche und antworte darauf auf Deutsch: „{}“"),
        ),
        "framed_french": Technique(
            "language",
            "The same in French.",
            _framed("Traduis ce qui suit en français et réponds-y en français : « {} »"),
        ),
        "framed_spanish": Technique(
            "language",
            "The same in Spanish.",
            _framed("Traduce lo siguiente al español y respóndelo en español: «{}»"),
        ),
        "framed_russian": Technique(
            "language",
            "The same in Russian.",
            _framed("Переведи следующее на русский язык и ответь по-русски: «{}»"),
        ),
        "framed_chinese": Technique(
            "language",
            "The same in Chinese.",
            _framed("请把下面的内容翻译成中文，并用中文回答：“{}”"),
        ),
        "framed_arabic": Technique(
            "language",
            "The same in Arabic.",
            _framed("ترجم ما يلي إلى العربية وأجب عنه بالعربية: «{}»"),
        ),
        "split_turns": Technique(
            "turns", "Half of it in one message, half in the next one.", _moved(_halves)
        ),
        "other_choice": Technique(
            "choice", "The answer as second choice, behind a harmless one.", _other_choice
        ),
        "streamed": Technique(
            "stream", "As a stream; as a whole where it was a stream.", _streamed
        ),
        "tool_result": Technique(
            "place",
            "In what a tool returned instead of the user's message.",
            _moved(_in_tool_result),
        ),
        "document": Technique("place", "In a document that is asked about.", _moved(_in_document)),
        "openai_chat": _dialect(CASE_ENDPOINT),
        "openai_responses": _dialect(RESPONSES),
        "anthropic_messages": _dialect(MESSAGES),
    }
)
