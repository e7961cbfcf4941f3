"""JSON in an answer, and the schema that it has to fit.

A schema may come with the request, so it is nobody's to trust: it may fetch nothing, its patterns
run in linear time, and what does not fit is told without quoting the answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from math import isfinite
from typing import Any, NamedTuple, NoReturn

import jsonschema_rs

VIOLATIONS_MAX = 16
_SCHEMA_CHARS_MAX = 262_144
_DETAIL_CHARS_MAX = 240
_PATTERNS = jsonschema_rs.RegexOptions()
_FENCED = re.compile(r"```(?:[A-Za-z0-9_+-]{0,20})[ \t]*\n(.*?)\n[ \t]*```", re.DOTALL)
# Their messages quote names that the answer made up.
_QUOTING = {
    "additionalProperties": "holds a property that is not declared",
    "unevaluatedProperties": "holds a property that is not declared",
    "propertyNames": "has a property name that is not allowed",
    "dependentRequired": "lacks a property that another one asks for",
}


class SchemaInvalid(ValueError):
    """A schema that cannot be used.

    Attributes:
        place: keys and positions that lead to what is wrong in it.
    """

    def __init__(self, message: str, place: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.place = place


class Violation(NamedTuple):
    """One thing that does not fit.

    Attributes:
        pointer: where in the JSON (RFC 6901). A name that the schema does not know is ``*``.
        keyword: of JSON Schema, such as ``required``.
        message: what would fit; free of the answer's content.
    """

    pointer: str
    keyword: str
    message: str


class Schema:
    """A compiled JSON Schema; draft 2020-12 unless it says otherwise.

    Raises:
        SchemaInvalid: it is none, is too large, or refers to something outside itself.
    """

    def __init__(self, schema: Any) -> None:
        if not isinstance(schema, dict | bool):
            raise SchemaInvalid("a JSON Schema is an object, or true or false")
        try:
            self._validator = jsonschema_rs.validator_for(
                schema, offline=True, mask="the value", pattern_options=_PATTERNS
            )
        except jsonschema_rs.ValidationError as error:
            raise SchemaInvalid(
                error.message[:_DETAIL_CHARS_MAX], tuple(error.instance_path)
            ) from None
        except (ValueError, RecursionError, jsonschema_rs.ReferencingError) as error:
            raise SchemaInvalid(str(error).splitlines()[0][:_DETAIL_CHARS_MAX]) from None
        self._names = frozenset(_names(schema))

    def violations(self, value: Any) -> tuple[Violation, ...]:
        """What does not fit, at most 16."""
        if self._validator.is_valid(value):
            return ()
        found: list[Violation] = []
        for error in self._validator.iter_errors(value):
            keyword = error.kind.name
            message = _QUOTING.get(keyword) or error.message
            found.append(
                Violation(self._pointer(error.instance_path), keyword, message[:_DETAIL_CHARS_MAX])
            )
            if len(found) == VIOLATIONS_MAX:
                break
        return tuple(found)

    def _pointer(self, steps: list[str | int]) -> str:
        tokens = (
            str(step) if isinstance(step, int) else _token(step) if step in self._names else "*"
            for step in steps
        )
        return "".join(f"/{token}" for token in tokens)[:_DETAIL_CHARS_MAX]


def _token(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _names(schema: Any) -> Iterator[str]:
    """Every property that a schema names, without recursion: a schema may be deep."""
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            properties = one.get("properties")
            if isinstance(properties, dict):
                yield from properties
            required = one.get("required")
            if isinstance(required, list):
                yield from (name for name in required if isinstance(name, str))
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


@lru_cache(maxsize=128)
def asked_for(response_format: str) -> Schema | None:
    """What a request's ``response_format`` (or ``text.format``) asks of the answer.

    Returns:
        None where it asks for nothing, as ``{"type": "text"}`` does.

    Raises:
        SchemaInvalid: its schema cannot be used.
    """
    if len(response_format) > _SCHEMA_CHARS_MAX:
        raise SchemaInvalid(f"the schema is longer than {_SCHEMA_CHARS_MAX} characters")
    try:
        wanted = json.loads(response_format)
    except (ValueError, RecursionError):
        raise SchemaInvalid("the format is not JSON") from None
    wanted = wanted.get("format", wanted) if isinstance(wanted, dict) else {}
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "json_object":
        return Schema({"type": "object"})
    if kind != "json_schema":
        return None
    inner = wanted.get("json_schema", wanted)
    schema = inner.get("schema", {}) if isinstance(inner, dict) else None
    return Schema(schema)


class NotJson(ValueError):
    """A text that is not JSON, or not in one way only."""


def json_in(text: str, *, fenced: bool) -> Any:
    """The JSON value that a text is, or that its first fenced block is.

    Raises:
        NotJson: there is none.
    """
    try:
        return _decoded(text)
    except NotJson:
        block = _FENCED.search(text) if fenced else None
        if block is None:
            raise
    return _decoded(block[1])


def _decoded(text: str) -> Any:
    try:
        return json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refused, parse_float=_finite
        )
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except ValueError as error:
        raise NotJson(str(error)[:_DETAIL_CHARS_MAX]) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two parsers would read two things where a key stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotJson("a key stands twice")
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    return number if isfinite(number) else _refused("a number beyond all bounds")


def _refused(word: str) -> NoReturn:
    raise NotJson(f"{word} is no JSON number")
