"""The configuration file as a JSON Schema (2020-12), for editors, made from the structs.

It knows nothing by itself: sections, kinds, their options and the words that explain them come
from the code that reads them. What only the parser can tell (that a fallback names a target, that
a pattern compiles) stays with ``kt policy lint``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import inspect

from kintsugi.model.config import CaseExpected, Gateway, Mcp, Pack, Relaxation, SecretRef
from kintsugi.model.verdict import Verdict
from kintsugi.policy.chain import RELAXED, Policies
from kintsugi.policy.reasons import REASONS
from kintsugi.policy.rule import RuleKind
from kintsugi.policy.rules import KINDS
from kintsugi.policy.suites import Testing
from kintsugi.policy.targets import Providers
from kintsugi.policy.typed import deprecation

SCHEMA_FILE = "policy-config.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ON_ERROR = (Verdict.ALLOW, Verdict.FLAG, Verdict.BLOCK)

Schema = dict[str, Any]


def configuration_schema() -> Schema:
    """The schema of a whole file: the canonical shape, the second one, or tests alone."""
    defined = _Definitions()
    sections = {
        "pack": defined.of(Pack),
        "gateway": defined.of(Gateway),
        "providers": defined.of(Providers),
        "mcp": defined.of(Mcp),
        "policies": _policies(defined.of(Policies)),
        "policy": _policy(defined),
        "testing": defined.of(Testing),
    }
    expected = defined.schemas[CaseExpected.__name__]["properties"]
    expected["verdict"] |= {"anyOf": [{"enum": [*Verdict.spellings(), None]}]}
    expected["reason_code"] |= {"anyOf": [{"enum": [*_reason_codes(), None]}]}
    canonical = _object(sections, required=["pack", "policies"])
    fragment = _object({"testing": sections["testing"]}, required=["testing"])
    policies_is_list = {
        "properties": {"policies": {"type": "array"}},
        "required": ["policies"],
    }
    only_testing = {"required": ["testing"], "maxProperties": 1}
    return {
        "$schema": _DIALECT,
        "title": "Kintsugi configuration",
        "type": "object",
        "if": policies_is_list,
        "then": _second_shape(sections, defined),
        "else": {"if": only_testing, "then": fragment, "else": canonical},
        "$defs": defined.schemas,
    }


class _Definitions:
    """Schemas of structs, each under one name."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}
        self._names: dict[type, str] = {}

    def of(self, struct: type[msgspec.Struct]) -> Schema:
        """A reference to the schema of a struct."""
        return self._of(inspect.type_info(struct))

    def _of(self, expected: inspect.Type) -> Schema:
        match expected:
            case inspect.Metadata(type=inner):
                instead = deprecation(expected)
                told = {} if instead is None else {"deprecated": True, "description": instead}
                return self._of(inner) | told
            case inspect.StructType():
                return self._struct(expected)
            case inspect.UnionType(types=types):
                return {"anyOf": [self._of(option) for option in types]}
            case inspect.DictType(value_type=value):
                return {"type": "object", "additionalProperties": self._of(value)}
            case (
                inspect.ListType(item_type=item)
                | inspect.VarTupleType(item_type=item)
                | inspect.SetType(item_type=item)
                | inspect.FrozenSetType(item_type=item)
            ):
                sizes = {"minItems": expected.min_length, "maxItems": expected.max_length}
                return {"type": "array", "items": self._of(item)} | _given(sizes)
            case inspect.LiteralType(values=values):
                return {"enum": list(values)}
            case inspect.EnumType(cls=enum):
                return {"enum": [member.value for member in enum]}
            case _:
                return _scalar(expected)

    def _struct(self, expected: inspect.StructType) -> Schema:
        struct = expected.cls
        if struct not in self._names:
            name = self._names[struct] = self._free_name(struct)
            self.schemas[name] = {}  # known before its fields are, which may hold it again
            self.schemas[name] = self.fields(expected)
        return {"$ref": f"#/$defs/{self._names[struct]}"}

    def fields(self, expected: inspect.StructType) -> Schema:
        """A struct's own schema."""
        words = field_descriptions(expected.cls)
        properties = {}
        for field in expected.fields:
            told: Schema = {"description": words[field.name]} if field.name in words else {}
            if not field.required and isinstance(field.default, str | int | float | bool):
                told["default"] = field.default
            properties[field.encode_name] = told | self._of(field.type)
        required = [field.encode_name for field in expected.fields if field.required]
        if expected.cls is SecretRef:
            return _object(properties, required=required)
        # "prompt-injection:" with nothing below takes every default.
        return _object(properties, required=required, or_nothing=not required)

    def _free_name(self, struct: type) -> str:
        """The class's name, with that of its rule where several have the same."""
        *_, folder, file = struct.__module__.split(".")
        owner = folder if file == "rule" else file
        name = f"{owner}.{struct.__qualname__}" if file == "rule" else struct.__qualname__
        return name if name not in self.schemas else f"{owner}.{struct.__qualname__}"


def _scalar(expected: inspect.Type) -> Schema:
    match expected:
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.IntType() | inspect.FloatType():
            bounds = {
                "minimum": expected.ge,
                "exclusiveMinimum": expected.gt,
                "maximum": expected.le,
                "exclusiveMaximum": expected.lt,
            }
            is_whole = isinstance(expected, inspect.IntType)
            return {"type": "integer" if is_whole else "number"} | _given(bounds)
        case inspect.StrType():
            limits = {
                "minLength": expected.min_length,
                "maxLength": expected.max_length,
                "pattern": expected.pattern,
            }
            return {"type": "string"} | _given(limits)
        case inspect.DateType():
            return {"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
        case inspect.NoneType():
            return {"type": "null"}
        case _:
            return {}  # anything


def _policies(chain: Schema) -> Schema:
    spelled = [word for kind in KINDS for word in dict.fromkeys((kind, kind.replace("-", "_")))]
    items = {"type": "array", "minItems": 1, "items": {"enum": spelled}}
    told = {"description": "The kinds that run, in this order."}
    return {"allOf": [chain], "properties": {"chain": told | items}}


def _policy(defined: _Definitions) -> Schema:
    """Blocks by kind; snake case is read too and not offered."""
    blocks = {}
    for name, kind in KINDS.items():
        defined.schemas[f"policy.{name}"] = _block(kind, defined)
        blocks[name] = {"$ref": f"#/$defs/policy.{name}"}
    snake = {f"^{name.replace('-', '_')}$": blocks[name] for name in KINDS if "-" in name}
    return {"type": ["object", "null"], "properties": blocks, "patternProperties": snake} | {
        "additionalProperties": False
    }


def _block(kind: RuleKind, defined: _Definitions) -> Schema:
    info = inspect.type_info(kind.options)
    assert isinstance(info, inspect.StructType)  # noqa: S101  # RuleKind.options says so
    block = defined.fields(info)
    properties = block["properties"]
    for name, verdicts in (
        ("action", kind.actions),
        ("output_action", kind.actions),
        ("on_error", _ON_ERROR),
    ):
        if properties.get(name, {}).get("type") == "string":
            told = {k: v for k, v in properties[name].items() if k == "description"}
            properties[name] = told | {"enum": ["", *_spellings(verdicts)]}
    words = "Who answers for what is relaxed here, why, and until when."
    properties[RELAXED] = {"description": words} | defined.of(Relaxation)
    return {"title": kind.title, "description": kind.method} | block


def _second_shape(sections: Mapping[str, Schema], defined: _Definitions) -> Schema:
    """``policies: [{name, input: [{type, action}], output: [...]}]``; see ``shapes.py``."""
    step = {
        "type": "object",
        "required": ["type"],
        "properties": {
            "type": {"type": "string", "description": "A kind, or a name that means one."},
            "action": {"enum": list(Verdict.spellings())},
            RELAXED: defined.of(Relaxation),
        },
    }
    steps = {"type": "array", "items": step}
    policy = _object({"name": {"type": "string"}, "input": steps, "output": steps}, required=[])
    secret = {"properties": {"secret_key_ref": defined.of(SecretRef)}}
    own = defined.schemas[Gateway.__name__]
    gateway = own | {"properties": own["properties"] | secret["properties"]}
    shared = {name: sections[name] for name in ("pack", "providers", "testing")}
    policies = {"type": "array", "items": policy}
    return _object(shared | {"gateway": gateway, "policies": policies}, required=["policies"])


def _object(
    properties: Mapping[str, Schema], *, required: Iterable[str], or_nothing: bool = False
) -> Schema:
    needed = {"required": list(required)} if required else {}
    return {
        "type": ["object", "null"] if or_nothing else "object",
        "properties": dict(properties),
        "additionalProperties": False,
    } | needed


def _given(settings: Mapping[str, Any]) -> Schema:
    return {key: value for key, value in settings.items() if value is not None}


def _spellings(verdicts: Iterable[Verdict]) -> Iterator[str]:
    for verdict in verdicts:
        yield from (verdict.value, verdict.past, *verdict.synonyms)


_ENTRY = re.compile(r"(?P<indent>\s*)(?P<names>\w+(?:, \w+)*): (?P<text>.+)")


def field_descriptions(struct: type) -> dict[str, str]:
    """What the docstrings of a struct and its bases say of each field, in one line each."""
    found: dict[str, str] = {}
    for base in reversed(struct.__mro__):
        names: list[str] = []
        known = getattr(base, "__struct_fields__", ())
        for line in (base.__doc__ or "").splitlines():
            entry = _ENTRY.fullmatch(line)
            if entry is not None and set(entry["names"].split(", ")) <= set(known):
                names = entry["names"].split(", ")
                indent = len(entry["indent"])
                found |= dict.fromkeys(names, _plain(entry["text"]))
            elif names and line.strip() and len(line) - len(line.lstrip()) > indent:
                found |= {name: f"{found[name]} {_plain(line)}" for name in names}
            else:
                names = []
    return found


def _plain(text: str) -> str:
    """Prose of a docstring without its marks for code."""
    return text.strip().replace("``", "`")


def _reason_codes() -> list[str]:
    return [word for code in REASONS for word in dict.fromkeys((code, code.replace(".", "_")))]
