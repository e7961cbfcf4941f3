"""Lint of what the rules of a chain really look for: nowhere, for nothing, twice, or dearly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from kintsugi.model.config import Config, PolicyBlock, Position
from kintsugi.model.decision import Mode, Phase
from kintsugi.policy.automata import Pattern, PatternInvalid, compile_pattern
from kintsugi.policy.diagnostics import Problems, listed
from kintsugi.policy.document import shortened
from kintsugi.policy.plan import RuleInForce
from kintsugi.policy.rules import KINDS

RulesByPhase = Mapping[Phase, Sequence[RuleInForce]]

# Instructions of RE2's program. ``.{0,900}`` alone has 8,100; every request's text is held against
# each of them at once, and the states of that many do not fit into a set's memory.
PROGRAM_SIZE_MAX = 10_000


def check_rules(config: Config, rules: RulesByPhase, problems: Problems) -> None:
    """Check every policy of the chain against the rules that it became."""
    for block in config.chain:
        own = [
            rule for in_phase in rules.values() for rule in in_phase if rule.kind.name == block.kind
        ]
        path = f"policy.{block.kind}"
        if not own:
            _runs_nowhere(block, config, problems)
        elif all(_looks_for_nothing(rule) for rule in own):
            problems.add(
                "W110",
                f'"{block.kind}" looks for nothing: it has no pattern, term or condition',
                _place(config, path),
                path,
                help="give it something to look for, or take it out of the chain",
            )
        _check_repeated(block, config, problems)
        _check_shadowed(own, config, problems)
        _check_cost(own, config, problems)


def _runs_nowhere(block: PolicyBlock, config: Config, problems: Problems) -> None:
    can = [phase.value for phase in KINDS[block.kind].phases]
    path = f"policy.{block.kind}.phases"
    problems.add(
        "E030",
        f'"{block.kind}" runs in no phase: it would look like protection and be none',
        _place(config, path),
        path,
        help=f"it can run in: {listed(can)}; leave phases out to run in all of them",
    )


def _looks_for_nothing(rule: RuleInForce) -> bool:
    records_only = rule.kind.phases == (Phase.AUDIT,)
    return not records_only and not rule.rule.patterns and not rule.rule.judges


def _check_repeated(block: PolicyBlock, config: Config, problems: Problems) -> None:
    """The same entry twice in a list of the options."""
    for path, first, again, value in repeated_entries(block.options):
        above = f"policy.{block.kind}.{path}"
        shown = f'"{shortened(value)}"' if isinstance(value, str) else f"entry {again}"
        problems.add(
            "W109",
            f"{shown} stands here already",
            _place(config, f"{above}.{again}"),
            f"{above}.{again}",
            help=f"the same is at line {_place(config, f'{above}.{first}').line}; keep one",
        )


def repeated_entries(
    options: msgspec.Struct, prefix: str = ""
) -> Iterator[tuple[str, int, int, Any]]:
    """Path of a list, place of the first and of the repeated entry, and the entry itself."""
    for field in msgspec.structs.fields(type(options)):
        value, path = getattr(options, field.name), f"{prefix}{field.encode_name}"
        if isinstance(value, msgspec.Struct):
            yield from repeated_entries(value, f"{path}.")
        elif isinstance(value, tuple):
            for place, entry in enumerate(value):
                first = value.index(entry)
                if first != place:
                    yield path, first, place, entry


def _check_shadowed(own: Sequence[RuleInForce], config: Config, problems: Problems) -> None:
    """A pattern of the operator's own that can only match where another one stops already."""
    for rule in own:
        if rule.mode is not Mode.ENFORCE or not rule.action.stops:
            continue  # what is redacted or noted by both differs in extent
        patterns = [pattern for pattern in rule.rule.patterns if pattern.path]
        for pattern in patterns:
            literal = _literal(rule, pattern)
            wider = next((other for other in patterns if _covers(other, pattern, literal)), None)
            if wider is not None:
                path = f"policy.{rule.kind.name}.{pattern.path}"
                above = _place(config, f"policy.{rule.kind.name}.{wider.path}")
                problems.add(
                    "W109",
                    f"whatever this finds is stopped by {wider.path} already",
                    _place(config, path),
                    path,
                    help=f"see line {above.line}; remove this one, or make that one narrower",
                )


def _covers(wider: Pattern, narrower: Pattern, literal: str | None) -> bool:
    """Whether a pattern is found in every text in which another one, a literal, is found.

    Both must be of one list, whose entries are confirmed alike. The literal is tried between
    blanks and between letters, and what is found in it must be a whole word of it.
    """
    same_list = wider.path.rpartition(".")[0] == narrower.path.rpartition(".")[0]
    if not literal or not same_list or wider.regex == narrower.regex:
        return False
    try:
        searcher = compile_pattern(wider)
    except PatternInvalid:
        return False  # said already
    between_blanks = searcher.search(f" {literal} ".encode())
    if between_blanks is None or searcher.search(f"x{literal}x".encode()) is None:
        return False
    start, end = between_blanks.span()
    text = f" {literal} ".encode()
    return not _in_word(text[start - 1 : start]) and not _in_word(text[end : end + 1])


def _in_word(byte: bytes) -> bool:
    return byte.isalnum() or byte == b"_" or byte > b"\x7f"


def _literal(rule: RuleInForce, pattern: Pattern) -> str | None:
    """The one text that an entry of the options finds; None where it may find more than one."""
    entry: Any = rule.options
    for key in pattern.path.split("."):
        try:
            entry = entry[int(key)] if key.isdecimal() else getattr(entry, key)
        except (AttributeError, IndexError, TypeError):
            return None
    is_plain = isinstance(entry, str) and all(c.isalnum() or c in " -_" for c in entry)
    return entry if is_plain else None


def _check_cost(own: Sequence[RuleInForce], config: Config, problems: Problems) -> None:
    seen: set[str] = set()
    for rule in own:
        for pattern in rule.rule.patterns:
            if not pattern.path or pattern.path in seen:
                continue
            seen.add(pattern.path)
            try:
                size = int(compile_pattern(pattern).programsize)
            except PatternInvalid:
                continue  # said already
            if size > PROGRAM_SIZE_MAX:
                path = f"policy.{rule.kind.name}.{pattern.path}"
                problems.add(
                    "W113",
                    f"compiles to {size:,} instructions; each request pays for them",
                    _place(config, path),
                    path,
                    help="use smaller or fewer repetitions, such as .{0,40} for .{0,900}",
                )


def _place(config: Config, path: str) -> Position:
    """The place of a path, or of the nearest thing around it that is written in the file."""
    while path and path not in config.positions:
        path = path.rpartition(".")[0]
    return config.positions.get(path, Position())
