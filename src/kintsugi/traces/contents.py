"""What the content of a span says, in one form, whatever convention it came in.

Messages take the shape of the OpenTelemetry GenAI conventions: ``{"role", "parts": [...]}`` with
parts ``text``, ``reasoning``, ``tool_call`` and ``tool_call_response``. Reading is tolerant: what
has no place in that shape stays in the raw content beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from kintsugi.model.span import Held, SpanContent, Step


class Place(NamedTuple):
    """Where senders put one kind of content.

    Attributes:
        names: attributes that hold all of it, of the span or of the events named.
        prefixes: attributes that hold a list flattened to ``PREFIX.0.message.role``.
        events: events that hold a piece each.
    """

    held: Held
    names: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    events: tuple[str, ...] = ()


PLACES: Final[tuple[Place, ...]] = (
    Place("system_instructions", ("gen_ai.system_instructions",)),
    Place(
        "input_messages",
        ("gen_ai.input.messages", "gen_ai.prompt", "llm.input_messages", "llm.prompts"),
        ("llm.input_messages.", "gen_ai.prompt.", "llm.prompts."),
        (
            "gen_ai.content.prompt",
            "gen_ai.system.message",
            "gen_ai.user.message",
            "gen_ai.assistant.message",
            "gen_ai.tool.message",
        ),
    ),
    Place(
        "output_messages",
        ("gen_ai.output.messages", "gen_ai.completion", "llm.output_messages"),
        ("llm.output_messages.", "gen_ai.completion.", "llm.choices."),
        ("gen_ai.content.completion", "gen_ai.choice"),
    ),
    Place(
        "tool_definitions",
        ("gen_ai.tool.definitions", "llm.tools"),
        ("llm.tools.", "llm.request.functions."),
    ),
    Place("tool_arguments", ("gen_ai.tool.call.arguments", "tool_call.function.arguments")),
    Place("tool_result", ("gen_ai.tool.call.result", "gen_ai.tool.call.response")),
    Place("retrieval_query", ("gen_ai.retrieval.query.text", "reranker.query")),
    Place(
        "retrieval_filters",
        ("kintsugi.retrieval.filters", "gen_ai.retrieval.filters", "pinecone.query.filter"),
    ),
    Place(
        "documents",
        ("gen_ai.retrieval.documents", "kintsugi.retrieval.documents", "retrieval.documents"),
        ("retrieval.documents.", "reranker.output_documents."),
        ("db.query.result", "db.search.result"),
    ),
)
# One pair of attributes for whatever a step takes and gives.
_INPUTS: Final = ("input.value", "traceloop.entity.input")
_OUTPUTS: Final = ("output.value", "traceloop.entity.output")
_GENERIC: Final[Mapping[Step, tuple[Held, Held]]] = {
    Step.TOOL: ("tool_arguments", "tool_result"),
    Step.RETRIEVAL: ("retrieval_query", "documents"),
}
_EVENT_ROLES: Final = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.choice": "assistant",
}
_WRAPPERS: Final = ("message", "document", "tool", "prompt", "completion")
_TIMES: Final = frozenset(
    {
        *("updated_at", "modified_at", "last_modified", "indexed_at", "published_at"),
        *("created_at", "date", "timestamp", "version"),
    }
)
_NUMBERED: Final = re.compile(r"\.\d")
_DEPTH_MAX: Final = 32


def read_content(content: SpanContent, step: Step) -> dict[Held, Any]:
    """Every kind of content that is there, in canonical form."""
    found: dict[Held, Any] = {}
    numbered = {name: v for name, v in content.attributes.items() if _NUMBERED.search(name)}
    for place in PLACES:
        value = _value(place, content, numbered)
        if value not in (None, "", [], {}):
            found[place.held] = value
    taken, given = _GENERIC.get(step, ("input_messages", "output_messages"))
    for held, names in ((taken, _INPUTS), (given, _OUTPUTS)):
        value = next((content.attributes[name] for name in names if name in content.attributes), "")
        if held not in found and value != "":
            found[held] = _parsed(value)
    for held in ("input_messages", "output_messages"):
        if held in found:
            found[held] = messages(found[held])
    if documents := found.get("documents"):
        scored = [each for each in _dicts(documents) if _score(each) is not None]
        if scored:
            found["document_scores"] = [_score(each) for each in scored]
        if times := [time for each in _dicts(documents) for time in _times(each)]:
            found["document_times"] = times
    if fresh := content.attributes.get("kintsugi.retrieval.fresh_as_of"):
        found["document_times"] = [fresh]
    return found


def messages(value: Any) -> list[dict[str, Any]]:
    """Messages of any convention as ``{"role", "parts"}``."""
    several = value if isinstance(value, list) else [value]
    return [_message(each) for each in several]


def unflatten(attributes: Mapping[str, Any], prefix: str) -> list[Any]:
    """The list behind ``PREFIX0.a.b``, in order of its numbers; gaps close."""
    items: dict[int, dict[str, Any]] = {}
    for name, value in attributes.items():
        if not name.startswith(prefix):
            continue
        number, _, rest = name[len(prefix) :].partition(".")
        if number.isascii() and number.isdigit() and len(number) < 7:
            path = rest.split(".", _DEPTH_MAX)
            _put(items.setdefault(int(number), {}), path, value)
    return [_unwrapped(_listed(items[number])) for number in sorted(items)]


def _value(place: Place, content: SpanContent, numbered: Mapping[str, Any]) -> Any:
    for name in place.names:
        if name in content.attributes:
            return _parsed(content.attributes[name])
    for prefix in place.prefixes if numbered else ():
        if found := unflatten(numbered, prefix):
            return found
    pieces: list[Any] = []
    for event in content.events:
        whole = [event.attributes[name] for name in place.names if name in event.attributes]
        if whole:
            parsed = _parsed(whole[0])
            pieces += parsed if isinstance(parsed, list) else [parsed]
        elif event.name in place.events:
            role = _EVENT_ROLES.get(event.name)
            plain = {name: _parsed(value) for name, value in event.attributes.items()}
            pieces.append({"role": role, **plain} if role else plain)
    return pieces


def _parsed(value: Any) -> Any:
    """JSON where a text is JSON of a structure, else the text."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return found if _is_shallow(found, _DEPTH_MAX) else value
    return value


def _is_shallow(value: Any, depth_left: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return depth_left > 0 and all(_is_shallow(each, depth_left - 1) for each in inner)


def _put(into: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        inner = into.setdefault(key, {})
        if not isinstance(inner, dict):  # "a" and "a.b" at once: the first one stays
            return
        into = inner
    into.setdefault(path[-1], _parsed(value))


def _listed(value: Any) -> Any:
    """Dictionaries whose keys are all numbers become lists."""
    if not isinstance(value, dict):
        return value
    inner = {key: _listed(one) for key, one in value.items()}
    if inner and all(key.isascii() and key.isdigit() and len(key) < 7 for key in inner):
        return [_unwrapped(inner[key]) for key in sorted(inner, key=int)]
    return inner


def _unwrapped(value: Any) -> Any:
    """OpenInference puts each item into a dictionary of its kind; a plain value stands alone."""
    if isinstance(value, dict) and len(value) == 1:
        (key,) = value
        if key == "" or (key in _WRAPPERS and isinstance(value[key], dict)):
            return value[key]
    return value


def _message(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"role": "", "parts": [{"type": "text", "content": value}]}
    if not isinstance(value, dict):
        return {"role": "", "parts": [{"type": "text", "content": json.dumps(value)}]}
    if isinstance(value.get("message"), dict):  # a choice, or an item of OpenInference
        value = {**value, **value["message"]}
    shaped: dict[str, Any] = {"role": str(value.get("role") or "")}
    if isinstance(value.get("parts"), list):
        shaped["parts"] = value["parts"]
    else:
        shaped["parts"] = list(_parts(value))
    if reason := value.get("finish_reason"):
        shaped["finish_reason"] = reason
    return shaped


def _parts(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    content = message.get("content", message.get("contents"))
    if message.get("role") == "tool":
        answered = {"id": message.get("tool_call_id", message.get("id"))}
        yield {"type": "tool_call_response", **answered, "response": content}
        return
    for piece in content if isinstance(content, list) else [content]:
        if isinstance(piece, str) and piece:
            yield {"type": "text", "content": piece}
        elif isinstance(piece, dict):
            piece = piece.get("message_content", piece)
            text = piece.get("text", piece.get("content"))
            kind = str(piece.get("type") or "text")
            known = kind in ("text", "input_text", "output_text") and isinstance(text, str)
            yield {"type": "text", "content": text} if known else dict(piece)
    for call in _dicts(message.get("tool_calls")):
        call = call.get("tool_call", call)
        function = call.get("function") if isinstance(call.get("function"), dict) else call
        arguments = function.get("arguments", function.get("function.arguments"))
        yield {
            "type": "tool_call",
            "id": call.get("id"),
            "name": function.get("name"),
            "arguments": _parsed(arguments),
        }


def _dicts(value: Any) -> Iterable[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _score(document: Mapping[str, Any]) -> Any:
    for name in ("score", "document.score", "db.query.result.score", "db.search.result.score"):
        if isinstance(document.get(name), int | float):
            return document[name]
    return None


def _times(document: Mapping[str, Any]) -> Iterator[Any]:
    metadata = document.get("metadata")
    for source in (document, _parsed(metadata) if metadata else None):
        if isinstance(source, dict):
            yield from (source[name] for name in _TIMES & source.keys())
