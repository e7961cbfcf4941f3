"""JSON Schema on the arguments of tool calls.

Schemas come from the configuration or, with the request, from tool servers that nobody vouches for.
So a schema may fetch nothing, its patterns run in linear time, and one that cannot be understood
is reported rather than passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import jsonschema_rs
import msgspec

# Type names that tool definitions use for JSON Schema's, as Python or Gemini spell them.
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "dict": "object",
        "map": "object",
        "struct": "object",
        "hashmap": "object",
        "list": "array",
        "tuple": "array",
        "set": "array",
        "arraylist": "array",
        "str": "string",
        "char": "string",
        "int": "integer",
        "long": "integer",
        "short": "integer",
        "float": "number",
        "double": "number",
        "decimal": "number",
        "bool": "boolean",
        "none": "null",
    }
)
_KNOWN_TYPES = frozenset(("object", "array", "string", "integer", "number", "boolean", "null"))
_ANYTHING = frozenset(("any", "object?", "unknown", "mixed"))
# Keywords whose value is one schema, a list of schemas, or schemas by name.
_ONE = frozenset(
    [
        "additionalProperties",
        "unevaluatedProperties",
        "items",
        "additionalItems",
        "unevaluatedItems",
        "contains",
        "propertyNames",
        "not",
        "if",
        "then",
        "else",
        "contentSchema",
    ]
)
_LISTS = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_BY_NAME = frozenset(
    ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
)
# With these, what an object may hold is said somewhere else too.
_COMPOSED = frozenset(("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "dependentSchemas"))
_OPEN = frozenset(("additionalProperties", "unevaluatedProperties", "patternProperties"))
_DEPTH_MAX = 64
_DRAFTS = (
    "https://json-schema.org/draft/2020-12/schema",
    "http://json-schema.org/draft-07/schema#",
    "http://json-schema.org/draft-04/schema#",
)
_PATTERNS = jsonschema_rs.RegexOptions()
_VIOLATIONS_MAX = 8

Fault = Literal["missing_argument", "extra_argument", "wrong_type", "value_not_allowed"]
_FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "required": "missing_argument",
        "dependentRequired": "missing_argument",
        "additionalProperties": "extra_argument",
        "unevaluatedProperties": "extra_argument",
        "propertyNames": "extra_argument",
        "type": "wrong_type",
    }
)


class SchemaUnusable(ValueError):
    """A schema that says nothing that could be checked; the message holds none of it."""


class Violation(NamedTuple):
    """One way in which arguments do not fit.

    Attributes:
        keyword: where in the schema it is said, such as ``properties/city/type``.
    """

    fault: Fault
    keyword: str


class ToolSchema:
    """The arguments that one tool takes.

    Args:
        schema: as the tool definition has it; type names of Python and Gemini are understood.
        extra: whether arguments pass that an object with declared properties does not name, where
            the schema itself does not say.

    Raises:
        SchemaUnusable: it is no JSON Schema, or refers to something outside itself.
    """

    def __init__(self, schema: object, *, extra: bool = False) -> None:
        if not isinstance(schema, dict):
            raise SchemaUnusable("a schema must be an object")
        self._schema = _normalised(schema, extra=extra, depth=0, composed=False)
        self._validator = _compiled(self._schema)

    def violations(self, arguments: Mapping[str, Any]) -> tuple[Violation, ...]:
        """What does not fit; at most 8. An argument that may be left out may be null, or the
        default that its definition names, as models send them."""
        try:
            if self._validator.is_valid(arguments):
                return ()
            pruned = _without_defaults(arguments, self._schema, 0)
            found: list[Violation] = []
            for error in self._validator.iter_errors(pruned):
                found.append(_violation(error.schema_path))
                if len(found) == _VIOLATIONS_MAX:
                    break
        except (ValueError, RecursionError):  # a number or a depth that the validator refuses
            return (Violation("value_not_allowed", ""),)
        return tuple(found)


@lru_cache(maxsize=512)
def schema_of(text: str, *, extra: bool = False) -> ToolSchema | None:
    """The schema that a tool definition carries, compiled once for all requests that carry it.

    Returns:
        None for an empty text: the tool says nothing of its arguments.

    Raises:
        SchemaUnusable: see ``ToolSchema``.
    """
    if not text.strip():
        return None
    try:
        schema = msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise SchemaUnusable("the schema is not JSON") from None
    return ToolSchema(schema, extra=extra)


def _compiled(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """Under the draft that the schema names; without a name, the first that takes it."""
    drafts = (None,) if "$schema" in schema else _DRAFTS
    for draft in drafts:
        named = schema if draft is None else {**schema, "$schema": draft}
        try:
            return jsonschema_rs.validator_for(
                named, offline=True, pattern_options=_PATTERNS, validate_formats=False
            )
        except (ValueError, RecursionError):
            continue
    raise SchemaUnusable("it is no JSON Schema, or it refers to something outside itself")


def _violation(schema_path: list[str | int]) -> Violation:
    keyword = "/".join(str(step) for step in schema_path)[:120]
    last = next((str(step) for step in reversed(schema_path) if isinstance(step, str)), "")
    return Violation(_FAULTS.get(last, "value_not_allowed"), keyword)


def _normalised(
    schema: dict[str, Any], *, extra: bool, depth: int, composed: bool
) -> dict[str, Any]:
    """With JSON Schema's own type names, and closed against arguments that nobody declared.

    Args:
        composed: the schema is one branch of another, so it does not know all properties.
    """
    if depth > _DEPTH_MAX:
        raise SchemaUnusable(f"the schema is nested deeper than {_DEPTH_MAX} levels")
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "type":
            made |= _typed(value)
        elif key == "required" and isinstance(value, bool):
            continue  # draft 3, and some generators: said of the property itself
        elif key in _ONE and isinstance(value, dict):
            branch = composed or key in ("not", "if", "then", "else")
            made[key] = _normalised(value, extra=extra, depth=depth + 1, composed=branch)
        elif key in _LISTS and isinstance(value, list):
            branch = key != "prefixItems"
            made[key] = [_below(one, extra=extra, depth=depth, composed=branch) for one in value]
        elif key in _BY_NAME and isinstance(value, dict):
            # A definition may be one branch of whatever refers to it.
            branch = key in ("$defs", "definitions", "dependentSchemas")
            made[key] = {
                name: _below(one, extra=extra, depth=depth, composed=branch)
                for name, one in value.items()
            }
        else:
            made[key] = value
    closes = "properties" in made or (depth == 0 and made.get("type") == "object")
    if closes and not extra and not composed and not _OPEN & made.keys():
        word = "unevaluatedProperties" if _COMPOSED & made.keys() else "additionalProperties"
        made[word] = False
    return made


def _below(schema: object, *, extra: bool, depth: int, composed: bool) -> object:
    if not isinstance(schema, dict):
        return schema
    return _normalised(schema, extra=extra, depth=depth + 1, composed=composed)


def _typed(value: object) -> dict[str, Any]:
    """``type`` in JSON Schema's words; nothing where any type will do."""
    words = value if isinstance(value, list) else [value]
    types: list[str] = []
    for word in words:
        if not isinstance(word, str):
            raise SchemaUnusable("a type must be a word")
        name = word.strip().lower()
        if name in _ANYTHING:
            return {}
        name = _TYPES.get(name, name)
        if name not in _KNOWN_TYPES:
            raise SchemaUnusable("a type is none of JSON Schema's")
        types.append(name)
    unique = list(dict.fromkeys(types))
    return {"type": unique[0] if len(unique) == 1 else unique} if unique else {}


def _without_defaults(value: Any, schema: Any, depth: int) -> Any:
    """Without the properties that say nothing: a null for one that may be left out, or the very
    default that the definition names (which definitions often forget to list among the values)."""
    if not isinstance(schema, dict) or depth > _DEPTH_MAX:
        return value
    if isinstance(value, list):
        items = schema.get("items")
        return [_without_defaults(item, items, depth + 1) for item in value]
    properties = schema.get("properties")
    if not isinstance(value, dict) or not isinstance(properties, dict):
        return value
    required = schema.get("required")
    needed = frozenset(required) if isinstance(required, list) else frozenset[str]()
    return {
        key: _without_defaults(inner, properties.get(key), depth + 1)
        for key, inner in value.items()
        if key in needed or not _says_nothing(inner, properties.get(key))
    }


def _says_nothing(value: object, schema: object) -> bool:
    if not isinstance(schema, dict):
        return False
    if value is None:
        return True
    default = schema.get("default")
    return default == value and type(default) is type(value)
