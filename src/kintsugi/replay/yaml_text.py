"""What a value states as block YAML, in which every text is a JSON string.

So nothing in a hostile prompt has a meaning in YAML, whichever version of it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from kintsugi.model.harmless import json_text

_PLAIN_KEY: Final = re.compile("[a-z][a-z_]*[a-z]")
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off"})
# What YAML 1.2 §5.1 does not count as printable and JSON leaves alone.
_UNPRINTABLE: Final = re.compile("[\ufffe\uffff]")


def stated(value: Any) -> Any:
    """A value as plain JSON, without the fields that say no more than their default."""
    match value:
        case msgspec.Struct():
            return {
                field.encode_name: stated(getattr(value, field.name))
                for field in msgspec.structs.fields(value)
                if field.required or getattr(value, field.name) != _default(field)
            }
        case Mapping():
            return {key: stated(inner) for key, inner in value.items()}
        case tuple() | list():
            return [stated(inner) for inner in value]
        case _:
            return value


def _default(field: msgspec.structs.FieldInfo) -> Any:
    made = field.default_factory
    return field.default if made is msgspec.NODEFAULT else made()


def yaml_text(value: dict[str, Any]) -> str:
    """A document."""
    return "\n".join(_mapping(value, "")) + "\n"


def _mapping(value: dict[str, Any], indent: str) -> Iterator[str]:
    for key, inner in value.items():
        yield from _entry(f"{indent}{_key(key)}:", inner, indent)


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    match value:
        case dict() if value:
            yield head
            yield from _mapping(value, f"{indent}  ")
        case list() if value:
            yield head
            for item in value:
                yield from _item(item, f"{indent}  ")
        case _:
            yield f"{head} {_scalar(value)}"


def _item(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        first, *rest = _mapping(value, f"{indent}  ")
        yield f"{indent}- {first.lstrip(' ')}"
        yield from rest
    else:
        # A list in a list stays on one line.
        yield f"{indent}- {_scalar(value)}"


def _key(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) and key not in _WORDS else _scalar(key)


def _scalar(value: Any) -> str:
    text = json_text(value, indent=0)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
