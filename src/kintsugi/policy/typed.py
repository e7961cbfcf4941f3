"""A positioned tree into typed values, driven by the msgspec types themselves.

msgspec stops at the first problem and knows no places; here every problem of a document is
reported, each where it stands. The types stay the one description of what is allowed. Reading
always gives a value, blank where the document was wrong, so that later checks can go on and report
what else is wrong; whoever reads looks at the problems before using it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping as AbstractMapping
from datetime import date
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from kintsugi.model.config import Position, SecretRef
from kintsugi.model.verdict import Verdict
from kintsugi.policy.diagnostics import Problems, listed, nearest
from kintsugi.policy.document import (
    Entry,
    Mapping,
    Node,
    Scalar,
    Sequence,
    join,
    noun,
    plain,
    shortened,
)

T = TypeVar("T")


# Keys under which people put a secret itself. Reported as what it is rather than as unknown.
_SECRET_KEY = re.compile(
    r"(?:api[-_]?key|secret|token|password|passwd|credentials?)$", re.IGNORECASE
)


class TypedReader:
    """Reads nodes as types; what is wrong goes to ``problems``."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def read(self, node: Node, of: type[T], path: str, at: Position | None = None) -> T:
        """One value of a type.

        Args:
            at: the place to point at when something is missing, the node's own by default.
        """
        value: T = self._value(node, inspect.type_info(of), path, at or node.position)
        return value

    def _value(self, node: Node, expected: inspect.Type, path: str, at: Position) -> Any:
        match expected:
            case inspect.Metadata(type=inner):
                return self._value(node, inner, path, at)
            case inspect.AnyType():
                return plain(node)
            case inspect.StructType():
                return self._struct(node, expected, path, at)
            case inspect.UnionType():
                return self._union(node, expected, path, at)
            case (
                inspect.ListType(item_type=item)
                | inspect.VarTupleType(item_type=item)
                | inspect.SetType(item_type=item)
                | inspect.FrozenSetType(item_type=item)
            ):
                return self._collection(node, expected, item, path)
            case inspect.DictType():
                return self._dictionary(node, expected, path)
            case inspect.LiteralType(values=values):
                return self._choice(node, expected, {str(v): v for v in values}, path)
            case inspect.EnumType(cls=enum):
                return self._choice(node, expected, {str(m.value): m for m in enum}, path)
            case _:
                return self._scalar(node, expected, path)

    def _struct(self, node: Node, expected: inspect.StructType, path: str, at: Position) -> Any:
        if isinstance(node, Scalar) and node.value is None:
            node = Mapping((), node.position)  # "prompt-injection:" with nothing below
        if expected.cls is SecretRef and isinstance(node, Scalar):
            self._secret(node.position, path)
            return _blank(expected)
        if not isinstance(node, Mapping):
            return self._wrong(node, expected, path)
        fields = {field.encode_name: field for field in expected.fields}
        values: dict[str, Any] = {}
        for entry in node.entries:
            field = fields.get(entry.key)
            below = join(path, entry.key)
            if field is None:
                self.unknown_key(entry.key, tuple(fields), entry.position, below)
            else:
                self._deprecated(field.type, entry, below)
                values[field.name] = self._value(entry.value, field.type, below, entry.position)
        for name, field in fields.items():
            if field.required and field.name not in values:
                self.problems.add(
                    "E006",
                    f'"{name}" is missing',
                    at,
                    join(path, name),
                    help=f"add {name}: {_example(field.type)}",
                )
                values[field.name] = _blank(field.type)
        return expected.cls(**values)

    def _deprecated(self, of: inspect.Type, entry: Entry, path: str) -> None:
        """Report a key that is still read and has another name now; see ``deprecation``."""
        if (instead := deprecation(of)) is not None:
            self.problems.add(
                "W112", f'"{entry.key}" is deprecated', entry.position, path, help=instead
            )

    def unknown_key(self, key: str, known: tuple[str, ...], at: Position, path: str) -> None:
        """Report a key that means nothing here."""
        if _SECRET_KEY.search(key) and "secret_key_ref" in known:
            self._secret(at, path)
            return
        self.problems.add(
            "E002",
            f'unknown key "{shortened(key)}"',
            at,
            path,
            help=f"keys here: {listed(known)}" if known else "no keys are allowed here",
            suggestion=nearest(key, known),
        )

    def _secret(self, at: Position, path: str) -> None:
        self.problems.add(
            "E018",
            "a secret stands here in plain text",
            at,
            path,
            help="name the environment variable that holds it: secret_key_ref: {env: NAME}",
        )

    def _union(self, node: Node, expected: inspect.UnionType, path: str, at: Position) -> Any:
        is_null = isinstance(node, Scalar) and node.value is None
        if is_null and any(isinstance(t, inspect.NoneType) for t in expected.types):
            return None
        options = [t for t in expected.types if not isinstance(t, inspect.NoneType)]
        for option in options:
            if _fits(node, option):
                return self._value(node, option, path, at)
        if len(options) == 1:
            return self._value(node, options[0], path, at)
        return self._wrong(node, expected, path)

    def _collection(self, node: Node, expected: Any, item: inspect.Type, path: str) -> Any:
        if not isinstance(node, Sequence):
            return self._wrong(node, expected, path)
        values = [
            self._value(child, item, f"{path}.{index}", child.position)
            for index, child in enumerate(node.items)
        ]
        if (problem := _length_problem(len(values), expected, "items")) is not None:
            self.problems.add("E009", problem, node.position, path)
        makers: dict[type, Any] = {
            inspect.ListType: list,
            inspect.SetType: set,
            inspect.FrozenSetType: frozenset,
        }
        return makers.get(type(expected), tuple)(values)

    def _dictionary(self, node: Node, expected: inspect.DictType, path: str) -> Any:
        if not isinstance(node, Mapping):
            return self._wrong(node, expected, path)
        values: dict[Any, Any] = {}
        for entry in node.entries:
            below = join(path, entry.key)
            key_node = Scalar(entry.key, entry.key, entry.position)
            key = self._value(key_node, expected.key_type, below, entry.position)
            values[key] = self._value(entry.value, expected.value_type, below, entry.position)
        return values

    def _choice(
        self, node: Node, expected: inspect.Type, allowed: AbstractMapping[str, Any], path: str
    ) -> Any:
        """One of some words. A word of the verdict scale is taken in every accepted spelling."""
        if not isinstance(node, Scalar) or node.value is None:
            return self._wrong(node, expected, path)
        word = node.text.strip()
        for spelling in (word, word.lower(), _as_verdict(word)):
            if spelling in allowed:
                return allowed[spelling]
        self.problems.add(
            "E008",
            f'"{shortened(word)}" is not allowed',
            node.position,
            path,
            help=f"use one of: {listed(allowed)}",
            suggestion=nearest(word, allowed),
        )
        return _blank(expected)

    def _scalar(self, node: Node, expected: inspect.Type, path: str) -> Any:
        value = node.value if isinstance(node, Scalar) else None
        match expected, value:
            case inspect.BoolType(), bool():
                return value
            case (inspect.IntType(), int()) if not isinstance(value, bool):
                return self._within(value, expected, node, path)
            case (inspect.FloatType(), int() | float()) if not isinstance(value, bool):
                return self._within(float(value), expected, node, path)
            case inspect.StrType(), str():
                return self._text(value, expected, node, path)
            case inspect.DateType(), str():
                return self._date(value, node, path)
            case (inspect.NoneType(), None) if isinstance(node, Scalar):
                return None
            case _, None if not isinstance(expected, _OWN):
                return self._convert(node, expected, path)
        return self._wrong(node, expected, path)

    def _convert(self, node: Node, expected: inspect.Type, path: str) -> Any:
        """Types that have no case above are left to msgspec."""
        target = getattr(expected, "cls", None)
        try:
            return msgspec.convert(plain(node), target)
        except msgspec.ValidationError as error:
            self.problems.add("E005", str(error), node.position, path)
            return _blank(expected)

    def _within(self, number: float, expected: Any, node: Node, path: str) -> Any:
        for bound, word, holds in (
            (expected.ge, "at least", operator.ge),
            (expected.gt, "more than", operator.gt),
            (expected.le, "at most", operator.le),
            (expected.lt, "less than", operator.lt),
        ):
            if bound is not None and not holds(number, bound):
                self.problems.add(
                    "E009",
                    f"{number:g} is out of range",
                    node.position,
                    path,
                    help=f"use {word} {bound:g}",
                )
                return _blank(expected)
        return number

    def _text(self, text: str, expected: inspect.StrType, node: Node, path: str) -> Any:
        if (problem := _length_problem(len(text), expected, "characters")) is not None:
            self.problems.add("E009", problem, node.position, path)
            return _blank(expected)
        if expected.pattern is not None and not re.search(expected.pattern, text):
            self.problems.add(
                "E008",
                f'"{shortened(text)}" has not the right form',
                node.position,
                path,
                help=f"it must match {expected.pattern}",
            )
            return _blank(expected)
        return text

    def _date(self, text: str, node: Node, path: str) -> date:
        try:
            return date.fromisoformat(text)
        except ValueError:
            self.problems.add(
                "E008",
                f'"{shortened(text)}" is no date',
                node.position,
                path,
                help="write year, month and day: 2026-12-31",
            )
            return date.max

    def _wrong(self, node: Node, expected: inspect.Type, path: str) -> Any:
        self.problems.add(
            "E005",
            f"expected {_article(expected)}, found {noun(node)}",
            node.position,
            path,
            help=_type_help(node, expected),
        )
        return _blank(expected)


def deprecation(of: inspect.Type) -> str | None:
    """What to write instead of a key that is still read; None where it is not deprecated.

    A field says so by its type: ``Annotated[str, Meta(extra={"deprecated": "use action"})]``.
    """
    extra = of.extra if isinstance(of, inspect.Metadata) else None
    return None if extra is None else extra.get("deprecated")


_OWN = (inspect.BoolType, inspect.IntType, inspect.FloatType, inspect.StrType, inspect.NoneType)


def _fits(node: Node, expected: inspect.Type) -> bool:
    """Whether the shape of a node is that of a type, its content aside."""
    match node:
        case Mapping():
            return isinstance(expected, (inspect.StructType, inspect.DictType, inspect.AnyType))
        case Sequence():
            return isinstance(
                expected,
                (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType),
            )
        case Scalar(value=bool()):
            return isinstance(expected, inspect.BoolType)
        case Scalar(value=int()):
            return isinstance(expected, (inspect.IntType, inspect.FloatType))
        case Scalar(value=float()):
            return isinstance(expected, inspect.FloatType)
        case Scalar():
            return isinstance(
                expected,
                (inspect.StrType, inspect.DateType, inspect.LiteralType, inspect.EnumType),
            )


def _article(expected: inspect.Type) -> str:
    """A type in the words of a message."""
    match expected:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number"
        case inspect.FloatType():
            return "a number"
        case inspect.StrType():
            return "text"
        case inspect.DateType():
            return "a date"
        case inspect.StructType() | inspect.DictType():
            return "a mapping"
        case inspect.LiteralType(values=values):
            return f"one of {listed(map(str, values))}"
        case inspect.EnumType(cls=enum):
            return f"one of {listed(str(member.value) for member in enum)}"
        case inspect.NoneType():
            return "nothing"
        case inspect.UnionType(types=types):
            named = (_article(t) for t in types if not isinstance(t, inspect.NoneType))
            return " or ".join(named)
        case _:
            return "a list"


def _type_help(node: Node, expected: inspect.Type) -> str:
    match expected, node:
        case inspect.StrType(), Scalar(value=value) if value is not None:
            # Where text is wanted, 1.4 or true was most likely meant as text.
            return f'put it in quotes: "{shortened(node.text)}"'
        case inspect.BoolType(), _:
            return "write true or false; yes, no, on and off are texts in YAML 1.2"
        case _:
            return f"write {_example(expected)}"


def _blank(expected: inspect.Type) -> Any:
    """A value of a type that stands in for one that could not be read."""
    match expected:
        case inspect.Metadata(type=inner):
            return _blank(inner)
        case inspect.StructType(cls=struct, fields=fields):
            return struct(**{f.name: _blank(f.type) for f in fields if f.required})
        case inspect.UnionType(types=types):
            return None if expected.includes_none else _blank(types[0])
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.EnumType(cls=enum):
            return next(iter(enum))
        case _:
            return _BLANKS.get(type(expected))


_BLANKS: dict[type, Any] = {
    inspect.StrType: "",
    inspect.IntType: 0,
    inspect.FloatType: 0.0,
    inspect.BoolType: False,
    inspect.DateType: date.max,
    inspect.VarTupleType: (),
    inspect.ListType: [],
    inspect.DictType: {},
    inspect.FrozenSetType: frozenset(),
}


def _example(expected: inspect.Type) -> str:
    match expected:
        case inspect.StrType():
            return '"..."'
        case inspect.DateType():
            return "2026-12-31"
        case inspect.StructType(fields=fields):
            required = (field.encode_name for field in fields if field.required)
            return f"{{{', '.join(f'{name}: ...' for name in required)}}}"
        case inspect.ListType() | inspect.VarTupleType():
            return "[...]"
        case _:
            return "..."


def _length_problem(length: int, expected: Any, unit: str) -> str | None:
    if expected.min_length is not None and length < expected.min_length:
        return f"{length} {unit}; at least {expected.min_length} are needed"
    if expected.max_length is not None and length > expected.max_length:
        return f"{length} {unit}; at most {expected.max_length} are allowed"
    return None


def _as_verdict(word: str) -> str:
    try:
        canonical: str = Verdict.parse(word).value
    except ValueError:
        return word
    return canonical
