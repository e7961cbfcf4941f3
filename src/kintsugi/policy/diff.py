"""What changes in behaviour from one configuration to another, and in which direction.

Two values of a setting are compared by meaning: an option that is written out and one that is
left at the same default are equal. The direction is told where it is certain for every kind of
policy, from the verdict scale and from the words that options are named with; where it is not, a
change is only a change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from kintsugi.model.config import Case, Config, PolicyBlock
from kintsugi.model.decision import Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.chain import RELAXED
from kintsugi.policy.document import join, shortened
from kintsugi.policy.plan import revision
from kintsugi.policy.relaxed import only_records
from kintsugi.policy.rule import RuleKind
from kintsugi.policy.rules import KINDS

What = Literal["added", "removed", "moved", "changed"]
Direction = Literal["tightened", "relaxed", "changed"]


class Change(msgspec.Struct, frozen=True):
    """One difference.

    Attributes:
        path: dotted, in the canonical shape; entries of lists by their id or name.
        before, after: as an author would write them; empty where there was or is nothing.
    """

    path: str
    what: What
    direction: Direction
    before: str = ""
    after: str = ""


class Difference(msgspec.Struct, frozen=True):
    """Everything that differs.

    Attributes:
        before, after: the revisions; equal revisions decide everything alike.
        changes: in what is decided, where requests go and how they are carried.
        notes: what decides nothing: test cases, and who answers for what is relaxed.
    """

    before: str
    after: str
    changes: tuple[Change, ...]
    notes: tuple[Change, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing that the gateway does would change."""
        return not self.changes

    def count(self, direction: Direction) -> int:
        """How many changes go one way."""
        return sum(change.direction == direction for change in self.changes)


def compare(before: Config, after: Config) -> Difference:
    """Compare two configurations by what they do."""
    found = (
        *_fields(before.pack, after.pack, "pack", only=("enabled",)),
        *_fields(before.gateway, after.gateway, "gateway"),
        *_chain(before.chain, after.chain),
        *_values(before.targets, after.targets, "providers.targets"),
        *_fields(before.routing, after.routing, "providers.routing"),
        *_fields(before.mcp, after.mcp, "mcp"),
    )
    notes = (
        *(change for change in found if _is_note(change)),
        *_keyed(_cases(before), _cases(after), "testing"),
    )
    changes = tuple(change for change in found if not _is_note(change))
    return Difference(revision(before), revision(after), changes, notes)


def _is_note(change: Change) -> bool:
    return f".{RELAXED}" in change.path


def _chain(before: Sequence[PolicyBlock], after: Sequence[PolicyBlock]) -> Iterator[Change]:
    old, new = ({block.kind: block for block in chain} for chain in (before, after))
    for kind, block in old.items():
        if kind not in new:
            loses: Direction = "relaxed" if _judges(block) else "changed"
            yield Change(f"policy.{kind}", "removed", loses, before=_shown(block.options))
    for kind, block in new.items():
        if kind not in old:
            gains: Direction = "tightened" if _judges(block) else "changed"
            yield Change(f"policy.{kind}", "added", gains, after=_shown(block.options))
        else:
            yield from _block(old[kind], block)
    common = [[kind for kind in chain if kind in old and kind in new] for chain in (old, new)]
    if common[0] != common[1]:
        was, now = (", ".join(kinds) for kinds in common)
        yield Change("policies.chain", "moved", "changed", was, now)


def _judges(block: PolicyBlock) -> bool:
    return KINDS[block.kind].phases != (Phase.AUDIT,)


def _block(before: PolicyBlock, after: PolicyBlock) -> Iterator[Change]:
    path, kind = f"policy.{before.kind}", KINDS[before.kind]
    if getattr(before.options, "phases", ()) != getattr(after.options, "phases", ()):
        yield _phases(before.options.phases, after.options.phases, path, kind)
    for change in _fields(before.options, after.options, path, without=("phases",)):
        name = change.path.removeprefix(f"{path}.")
        told = _told(name, before.options, after.options, kind)
        yield change if told is None else msgspec.structs.replace(change, direction=told)
    yield from _values(before.relaxed, after.relaxed, f"{path}.relaxed")


def _told(name: str, before: Any, after: Any, kind: RuleKind) -> Direction | None:
    """The direction of an option that every kind has; None for the kind's own."""
    if name == "mode":
        was, now = only_records(before), only_records(after)
        return "changed" if was is now else "relaxed" if now else "tightened"
    if name in ("action", "output_action", "on_error"):
        first, last = (_verdict(options, name, kind) for options in (before, after))
        return _by_size(first.strictness, last.strictness, more="tightened")
    return None


def _phases(before: Sequence[str], after: Sequence[str], path: str, kind: RuleKind) -> Change:
    every = {phase.value for phase in kind.phases}
    was, now = {*before} or every, {*after} or every
    told: Direction = "tightened" if was < now else "relaxed" if now < was else "changed"
    return Change(f"{path}.phases", "changed", told, _shown(sorted(was)), _shown(sorted(now)))


def _verdict(options: Any, name: str, kind: RuleKind) -> Verdict:
    word = getattr(options, name)
    if not word and name == "on_error":
        return Verdict.BLOCK
    if not word and name == "output_action":
        word = options.action
    try:
        return Verdict.parse(word) if word else kind.default_action
    except ValueError:
        return kind.default_action


def _fields(
    before: msgspec.Struct,
    after: msgspec.Struct,
    path: str,
    *,
    only: Sequence[str] = (),
    without: Sequence[str] = (),
) -> Iterator[Change]:
    for field in msgspec.structs.fields(type(before)):
        if (not only or field.name in only) and field.name not in without:
            was, now = getattr(before, field.name), getattr(after, field.name)
            yield from _values(was, now, join(path, field.encode_name))


def _values(before: Any, after: Any, path: str) -> Iterator[Change]:
    if before == after:
        return
    if isinstance(before, msgspec.Struct) and type(before) is type(after):
        yield from _fields(before, after, path)
    elif isinstance(before, dict) and isinstance(after, dict):
        yield from _keyed(before, after, path)
    elif isinstance(before, tuple) and isinstance(after, tuple):
        yield from _lists(before, after, path)
    else:
        yield Change(
            path, "changed", _direction(path, before, after), _shown(before), _shown(after)
        )


def _lists(before: tuple[Any, ...], after: tuple[Any, ...], path: str) -> Iterator[Change]:
    old, new = _by_name(before), _by_name(after)
    yield from _keyed(old, new, path)
    common = [[name for name in entries if name in old and name in new] for entries in (old, new)]
    if common[0] != common[1]:
        yield Change(path, "moved", "changed", ", ".join(common[0]), ", ".join(common[1]))


def _by_name(entries: tuple[Any, ...]) -> dict[str, Any]:
    """Entries by what they are known by: id, name, or all that they say."""
    named: dict[str, Any] = {}
    for entry in entries:
        name = getattr(entry, "id", "") or getattr(entry, "name", "")
        named[str(name) if name and str(name) not in named else _shown(entry)] = entry
    return named


def _keyed(before: dict[str, Any], after: dict[str, Any], path: str) -> Iterator[Change]:
    both = bool(before) and bool(after)
    for key, entry in before.items():
        if key not in after:
            told = _entry_direction(path, gained=False, both=both)
            yield Change(join(path, key), "removed", told, before=_shown(entry))
    for key, entry in after.items():
        if key not in before:
            told = _entry_direction(path, gained=True, both=both)
            yield Change(join(path, key), "added", told, after=_shown(entry))
        else:
            yield from _values(before[key], entry, join(path, key))


# Words that options are named with, in the code of every kind, and what more of them does.
_LETS_THROUGH = ("allow", "exempt", "ignore", "skip", "except", "trusted", "permit")
_STOPS: tuple[str, ...] = (
    "deny",
    "block",
    "forbid",
    "reject",
    "detect",
    "attack",
    "enforce",
    "require",
    "pattern",
)
_STOPS += ("terms", "disabled", "verify", "validate", "check", "decode", "normalize")
_LIMITS = ("max", "limit", "rpm", "tpm", "budget", "requests", "tokens", "per_minute")
_RANKS: dict[str, dict[str, int]] = {  # from weak to strict; equal numbers enforce alike
    "gateway.streaming": {"observe": 0, "window": 1, "buffer": 1},
    "gateway.durability": {"bounded": 0, "strict": 1},
    "gateway.fail_mode": {"allow": 0, "block": 1},
}


def _words(path: str) -> str:
    """The part of a path that says what a setting does: its last key, or that of its list."""
    return path.rpartition(".")[2]


def _entry_direction(path: str, *, gained: bool, both: bool) -> Direction:
    """The direction of an entry of a list that was ``gained`` or lost.

    Args:
        both: whether the list has entries before and after. An empty list of what is let through
            means "all" in some places and "nothing" in others.
    """
    name = _words(path)
    if path in ("gateway.keys", "testing"):
        return "changed"
    if any(word in name for word in _LETS_THROUGH):
        return "changed" if not both else "relaxed" if gained else "tightened"
    if any(word in name for word in _STOPS):
        return "tightened" if gained else "relaxed"
    return "changed"


def _direction(path: str, before: Any, after: Any) -> Direction:
    name = _words(path)
    if path in _RANKS:
        return _by_size(_RANKS[path][before], _RANKS[path][after], more="tightened")
    if path == "pack.enabled":  # switched off, the gateway answers nothing
        return "relaxed" if after else "tightened"
    if isinstance(before, bool) and isinstance(after, bool):
        if any(name.startswith(word) for word in _LETS_THROUGH):
            return "relaxed" if after else "tightened"
        if any(name.startswith(word) for word in _STOPS):
            return "tightened" if after else "relaxed"
    elif isinstance(before, int | float) and isinstance(after, int | float):
        is_limit = path.startswith("policy.") and any(word in name for word in _LIMITS)
        if is_limit and before and after:  # 0 is no limit in most places, and a limit in some
            return _by_size(before, after, more="relaxed")
    return "changed"


def _by_size(before: float, after: float, *, more: Direction) -> Direction:
    if before == after:
        return "changed"
    less: Direction = "relaxed" if more == "tightened" else "tightened"
    return more if after > before else less


def _cases(config: Config) -> dict[str, Case]:
    return {f"{suite.name}/{case.name}": case for suite in config.suites for case in suite.cases}


def _shown(value: Any) -> str:
    """A value on one line, defaults left out, secrets masked."""
    match value:
        case str():
            return shortened(value)
        case msgspec.Struct():
            told = [f"{name}: {_shown(inner)}" for name, inner in _set_fields(value)]
            return shortened(f"{{{', '.join(told)}}}", 200)
        case tuple() | list():
            return shortened(f"[{', '.join(map(_shown, value))}]", 200)
        case dict():
            return shortened(f"{{{', '.join(f'{k}: {_shown(v)}' for k, v in value.items())}}}", 200)
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _set_fields(struct: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    """The fields that are not at their default; of a digest only its beginning."""
    for field in msgspec.structs.fields(type(struct)):
        value = getattr(struct, field.name)
        makes_default = field.default_factory is not msgspec.NODEFAULT
        default = field.default_factory() if makes_default else field.default
        if field.required or value != default:
            yield field.encode_name, f"{value[:8]}…" if field.name == "sha256" else value
