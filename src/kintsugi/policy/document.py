"""YAML text into a tree in which every key and value knows its line and column.

Built from ruamel.yaml's event stream with a stack of our own, so that depth, size and aliases are
bounded before any recursion could start. Plain scalars follow the core schema of YAML 1.2
(§10.3.2): ``yes``, ``on`` and ``0777`` have no second meaning. Numbers are those of JSON.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec
from ruamel.yaml import YAML, events
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from kintsugi.model.config import Position
from kintsugi.policy.diagnostics import Problems

BYTES_MAX = 1_048_576
DEPTH_MAX = 48
NODES_MAX = 50_000  # counted after aliases are expanded

_Plain: TypeAlias = str | int | float | bool | None

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}|0o[0-7]{1,18}|0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, _Plain] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# Credentials that can be told by their shape alone. For messages and E018; the detector of
# secrets in traffic is policy/rules/secrets_detector.
SECRET_VALUE = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,}"
    r"|xox[abprs]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{30,}|kt_[a-z]{2,8}_[A-Za-z0-9_-]{16,}"
    r"|github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_-]{20,}|[rs]k_live_[A-Za-z0-9]{16,}"
    r"|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{30,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_STRING_TAGS = ("!", "tag:yaml.org,2002:str")


class Scalar(msgspec.Struct, frozen=True):
    """A value without parts; ``text`` is what the author wrote, without quotes."""

    value: _Plain
    text: str
    position: Position


class Sequence(msgspec.Struct, frozen=True):
    """A list."""

    items: tuple[Node, ...]
    position: Position


class Entry(msgspec.Struct, frozen=True):
    """One key of a mapping, with its own place."""

    key: str
    position: Position
    value: Node


class Mapping(msgspec.Struct, frozen=True):
    """Keys in the order of the file; each appears once."""

    entries: tuple[Entry, ...]
    position: Position

    def entry(self, key: str) -> Entry | None:
        """A key with its place and value, or None."""
        return next((entry for entry in self.entries if entry.key == key), None)

    def get(self, key: str) -> Node | None:
        """The value under a key, or None."""
        entry = self.entry(key)
        return None if entry is None else entry.value

    def keys(self) -> tuple[str, ...]:
        """All keys, in order."""
        return tuple(entry.key for entry in self.entries)


Node: TypeAlias = Scalar | Sequence | Mapping


def read_document(source: str | bytes, problems: Problems) -> Node | None:
    """The one document in a text; None when it cannot be read, with the reasons in ``problems``.

    Never raises, whatever the bytes. An empty text is an empty mapping.
    """
    text = decode(source, problems)
    if text is None:
        return None
    builder = _Builder(problems)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.take(event)
    except _Refused:
        return None
    except YAMLError as error:
        problems.add(
            "E004", _yaml_message(error), _yaml_position(error, text), help=_yaml_help(text)
        )
        return None
    except Exception as error:  # noqa: BLE001  # outer edge of a foreign parser fed with any bytes
        problems.add("E004", f"cannot be read as YAML: {type(error).__name__}", Position())
        return None
    return builder.root or Mapping((), Position())


def plain(node: Node) -> Any:
    """The tree as Python's own dictionaries, lists and scalars."""
    match node:
        case Mapping():
            return {entry.key: plain(entry.value) for entry in node.entries}
        case Sequence():
            return [plain(item) for item in node.items]
        case Scalar():
            return node.value


def places(node: Node, path: str = "") -> Iterator[tuple[str, Position]]:
    """Dotted path and place of every value below a node.

    The place is the value's own for text and numbers and the key's for collections: it is what an
    author looks for.
    """
    if isinstance(node, Mapping):
        for entry in node.entries:
            below = join(path, entry.key)
            is_scalar = isinstance(entry.value, Scalar)
            yield below, entry.value.position if is_scalar else entry.position
            yield from places(entry.value, below)
    elif isinstance(node, Sequence):
        for index, item in enumerate(node.items):
            yield f"{path}.{index}", item.position
            yield from places(item, f"{path}.{index}")


def join(path: str, key: str) -> str:
    """``policy`` and ``pii-detector`` make ``policy.pii-detector``."""
    return f"{path}.{key}" if path else key


def noun(node: Node) -> str:
    """What a node is, in the words of a message."""
    match node:
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
        case Scalar(value=None):
            return "nothing"
        case Scalar(value=bool()):
            return f"{node.text}"
        case Scalar(value=str()):
            return f'the text "{shortened(node.text)}"'
        case Scalar():
            return f"the number {shortened(node.text)}"


def shortened(text: str, length: int = 60) -> str:
    """Text for a message: one line, no control characters, cut when long, secrets masked."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    shown = SECRET_VALUE.sub(lambda match: f"{match.group()[:4]}…", shown)
    return shown if len(shown) <= length else f"{shown[: length - 1]}…"


class _Refused(Exception):  # ends the reading; the reason is in the problems
    """The document breaks a limit."""


class _Measured(msgspec.Struct, frozen=True):
    """A node with how many values and levels it adds wherever it is placed."""

    node: Node
    size: int
    height: int


class _Open:
    """A collection that is still being read."""

    def __init__(self, position: Position, anchor: str | None, *, mapping: bool) -> None:
        self.position = position
        self.anchor = anchor
        self.mapping = mapping
        self.items: list[Node] = []
        self.entries: dict[str, Entry] = {}
        self.merged: list[Entry] = []
        self.key: Scalar | None = None
        self.size = 1  # nodes here and below, aliases expanded
        self.height = 1  # levels here and below, aliases expanded


class _Builder:
    """Turns events into nodes."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.root: Node | None = None
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Measured] = {}
        self._documents = 0

    def take(self, event: Any) -> None:
        """Handle one event.

        Raises:
            _Refused: a limit is broken, or there is more than one document.
        """
        match event:
            case events.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._refuse("E004", "a second document starts here; one is expected", event)
            case events.MappingStartEvent() | events.SequenceStartEvent():
                self._open(event, mapping=isinstance(event, events.MappingStartEvent))
            case events.MappingEndEvent() | events.SequenceEndEvent():
                self._close(event)
            case events.ScalarEvent():
                scalar = _Measured(self._scalar(event), size=1, height=0)
                self._keep(event.anchor, scalar)
                self._place(scalar, event)
            case events.AliasEvent():
                self._alias(event)

    def _open(self, event: Any, *, mapping: bool) -> None:
        if len(self._stack) >= DEPTH_MAX:
            self._refuse("E022", f"nested deeper than {DEPTH_MAX} levels", event)
        if event.tag is not None and str(event.tag) not in _COLLECTION_TAGS:
            self._complain_of_tag(event)
        if self._stack and self._stack[-1].mapping and self._stack[-1].key is None:
            self._refuse("E005", "a key must be plain text, not a collection", event)
        self._stack.append(_Open(_position(event), event.anchor, mapping=mapping))

    def _close(self, event: Any) -> None:
        done = self._stack.pop()
        node: Node
        if done.mapping:
            inherited = [entry for entry in done.merged if entry.key not in done.entries]
            node = Mapping((*inherited, *done.entries.values()), done.position)
        else:
            node = Sequence(tuple(done.items), done.position)
        measured = _Measured(node, done.size, done.height)
        self._keep(done.anchor, measured)
        self._place(measured, event)

    def _alias(self, event: Any) -> None:
        known = self._anchors.get(event.anchor)
        if known is None:
            self._refuse(
                "E004", f'alias "*{event.anchor}" stands for nothing defined before it', event
            )
        else:
            self._place(known, event)

    def _keep(self, anchor: str | None, measured: _Measured) -> None:
        if anchor is not None:
            self._anchors[anchor] = measured

    def _place(self, measured: _Measured, event: Any) -> None:
        node = measured.node
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1]
        parent.size += measured.size
        parent.height = max(parent.height, measured.height + 1)
        if parent.size > NODES_MAX:
            self._refuse("E022", f"more than {NODES_MAX:,} values, aliases expanded", event)
        if len(self._stack) + measured.height > DEPTH_MAX:
            self._refuse("E022", f"nested deeper than {DEPTH_MAX} levels", event)
        if not parent.mapping:
            parent.items.append(node)
        elif parent.key is None:
            if not isinstance(node, Scalar):
                self._refuse("E005", "a key must be plain text, not a collection", event)
            else:
                parent.key = node
        else:
            key, parent.key = parent.key, None
            self._pair(parent, key, node)

    def _pair(self, parent: _Open, key: Scalar, value: Node) -> None:
        if key.text == "<<":
            self._merge(parent, key, value)
        elif key.text in parent.entries:
            first = parent.entries[key.text].position
            self.problems.add(
                "E007",
                f'key "{shortened(key.text)}" is written twice',
                key.position,
                self._path(key.text),
                help=f"it stands at line {first.line} already; keep one",
            )
        else:
            parent.entries[key.text] = Entry(key.text, key.position, value)

    def _merge(self, parent: _Open, key: Scalar, value: Node) -> None:
        sources = value.items if isinstance(value, Sequence) else (value,)
        for source in sources:
            if isinstance(source, Mapping):
                known = {entry.key for entry in parent.merged}
                parent.merged.extend(e for e in source.entries if e.key not in known)
            else:
                self.problems.add(
                    "E005",
                    f"<< needs a mapping to merge, not {noun(source)}",
                    key.position,
                    self._path("<<"),
                )

    def _path(self, key: str) -> str:
        """The dotted path of a key in the innermost open mapping."""
        path = ""
        for above in self._stack[:-1]:
            if above.mapping and above.key is not None:
                path = join(path, above.key.text)
            elif not above.mapping:
                path = f"{path}.{len(above.items)}"
        return join(path, shortened(key))

    def _scalar(self, event: Any) -> Scalar:
        text = whole_characters(event.value)
        quoted = event.style is not None or not event.implicit[0]
        if event.tag is not None and str(event.tag) not in _STRING_TAGS:
            self._complain_of_tag(event)
        return Scalar(text if quoted else _resolve(text), text, _position(event))

    def _complain_of_tag(self, event: Any) -> None:
        self.problems.add(
            "E004",
            f'tag "{shortened(str(event.tag))}" is not supported',
            _position(event),
            help="write the value without a tag",
        )

    def _refuse(self, code: str, message: str, event: Any) -> None:
        self.problems.add(code, message, _position(event))
        raise _Refused


_COLLECTION_TAGS = ("!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


def decode(source: str | bytes, problems: Problems) -> str | None:
    """The text in some bytes; None when it is too large or not UTF-8."""
    size = len(source)
    if size > BYTES_MAX:
        problems.add("E022", f"{size:,} bytes; at most {BYTES_MAX:,} are read", Position())
        return None
    try:
        raw = source.encode() if isinstance(source, str) else source
        return raw.decode("utf-8-sig")
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        problems.add("E004", f"not UTF-8: {error.reason}", Position(), help="save it as UTF-8")
        return None


def _resolve(text: str) -> _Plain:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        # YAML 1.2 reads 0777 as seven hundred and seventy-seven, which int(text, 0) refuses.
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text, base)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text


def whole_characters(text: str) -> str:
    """Join the surrogate pairs that JSON escapes (``\\ud83d\\ude00``) into characters."""
    if not any("\ud800" <= c <= "\udfff" for c in text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _position(event: Any) -> Position:
    return Position(event.start_mark.line + 1, event.start_mark.column + 1)


def _yaml_position(error: YAMLError, text: str) -> Position:
    mark = None
    if isinstance(error, ReaderError):
        before = text[: error.position]
        return Position(before.count("\n") + 1, len(before) - before.rfind("\n"))
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
    return Position(mark.line + 1, mark.column + 1) if mark else Position()


def _yaml_message(error: YAMLError) -> str:
    if isinstance(error, ReaderError):  # its character is a number, whatever its annotation says
        code = error.character if isinstance(error.character, int) else ord(error.character)
        return f"character U+{code:04X} is not allowed in YAML"
    if isinstance(error, MarkedYAMLError):
        return " ".join(part for part in (error.context, error.problem) if part)
    return shortened(str(error), 200)


def _yaml_help(text: str) -> str:
    return "indent with blanks, not tabs" if re.search(r"^ *\t", text, re.MULTILINE) else ""
