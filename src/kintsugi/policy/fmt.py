"""A configuration in its canonical layout: the same document, laid out as everybody's is.

Values stay as their author wrote them, quotes and anchors included, and every comment stays with
its line. What comes out is held against what went in before anybody gets it: the same tree, the
same comments, the same revision, and nothing left to do for a second run.
"""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode, SequenceNode
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.tag import Tag

from kintsugi.errors import InvalidInput
from kintsugi.policy.diagnostics import Problems
from kintsugi.policy.document import Mapping, plain, read_document
from kintsugi.policy.fmt_lines import arrange, comments, read_events, strip, weave
from kintsugi.policy.parse import SECTIONS, check_config, invalid
from kintsugi.policy.plan import revision

LINE_LENGTH_MAX = 100
_ROUNDS_MAX = 4


class Formatted(msgspec.Struct, frozen=True):
    """A configuration before and after.

    Attributes:
        revision: of both, where it is a valid configuration; else empty.
    """

    before: str
    after: str
    revision: str

    @property
    def changed(self) -> bool:
        """Whether it was laid out differently."""
        return self.before != self.after


def format_source(source: bytes, *, file: str) -> Formatted:
    """Lay a configuration, or a file of tests, out canonically.

    Raises:
        ConfigurationInvalid: it is not readable as YAML.
        InvalidInput: it cannot be laid out without changing more than its layout; the message
            says what stands in the way. Then it stays as it is.
    """
    problems = Problems(file)
    document = read_document(source, problems)
    if document is None or problems.has_errors:
        raise invalid(problems.found)
    before = source.decode("utf-8-sig")
    if not isinstance(document, Mapping) or not document.entries:
        raise InvalidInput(f"{file}: this is no configuration; expected one of: {SECTIONS}")
    after = before
    for _ in range(_ROUNDS_MAX):
        once, after = after, _laid_out(after, file)
        if once == after:
            break
    else:
        raise InvalidInput(f"{file}: no layout is found that stays as it is; write it more simply")
    _check_same(before, after, file)
    return Formatted(before, after, _same_revision(before, after, file))


def _laid_out(text: str, file: str) -> str:
    """One round: ruamel.yaml sets indentation and spacing of what is not a comment."""
    bare = strip(text)
    try:
        document = _yaml().load(bare.text)
        spaced = _dumped(document)
        while (wide := _too_wide(document, spaced)) is not None:
            wide.fa.set_block_style()
            spaced = _dumped(document)
        if len(read_events(spaced)) != len(read_events(bare.text)):
            raise InvalidInput(f"{file}: cannot be laid out; write it more simply")
    except YAMLError as error:
        raise InvalidInput(f"{file}: cannot be laid out: {error}") from error
    return arrange(weave(spaced, bare.notes), SECTIONS)


class _NoMeaning(VersionedResolver):
    """Takes every scalar for text, so that ``no``, ``0o17`` and ``1e3`` stay as written."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:  # noqa: ARG002
        if kind is ScalarNode:
            return Tag(suffix="tag:yaml.org,2002:str")
        word = "seq" if kind is SequenceNode else "map"
        return Tag(suffix=f"tag:yaml.org,2002:{word}")


def _yaml() -> YAML:
    yaml = YAML()
    yaml.Resolver = _NoMeaning
    yaml.preserve_quotes = True
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    yaml.width = 1 << 20  # lines are broken by structure, never inside a value
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _dumped(document: Any) -> str:
    buffer = io.StringIO()
    _yaml().dump(document, buffer)
    return buffer.getvalue()


def _too_wide(document: Any, text: str) -> Any:
    """The outermost flow collection on a line that is too long; None when every line fits, or
    is one long value."""
    rows = text.splitlines()
    placed = _yaml().load(text)
    for node, twin in _flow_collections(document, placed):
        row = rows[twin.lc.line] if twin.lc.line is not None else ""
        if len(row) > LINE_LENGTH_MAX and len(node):
            return node
    return None


def _flow_collections(node: Any, twin: Any) -> list[tuple[Any, Any]]:
    """Outermost flow collections, each with its twin in the text as it was dumped."""
    if not isinstance(node, CommentedMap | CommentedSeq):
        return []
    if node.fa.flow_style():
        return [(node, twin)]
    keys = node.keys() if isinstance(node, CommentedMap) else range(len(node))
    return [pair for key in keys for pair in _flow_collections(node[key], twin[key])]


def _check_same(before: str, after: str, file: str) -> None:
    trees = []
    for text in (before, after):
        problems = Problems(file)
        document = read_document(text, problems)
        trees.append(None if document is None or problems.has_errors else plain(document))
    if trees[1] is None or trees[0] != trees[1]:
        raise InvalidInput(f"{file}: cannot be laid out without changing a value; left as it is")
    lost = Counter(comments(before)) - Counter(comments(after))
    if lost:
        raise InvalidInput(
            f'{file}: cannot be laid out without losing the comment "{next(iter(lost))}"; '
            "put it on a line of its own"
        )


def _same_revision(before: str, after: str, file: str) -> str:
    """The revision of both; empty when the file is no valid configuration."""
    configs = [check_config(text, file=file)[0] for text in (before, after)]
    was, now = ("" if config is None else revision(config) for config in configs)
    if was != now:
        raise InvalidInput(f"{file}: cannot be laid out without changing its revision")
    return was
