"""The sections ``policies`` and ``policy``: which kinds run, in which order, with which options."""

from __future__ import annotations

import msgspec

from kintsugi.model.config import PolicyBlock, Position, Relaxation
from kintsugi.policy.diagnostics import Problems, listed, nearest
from kintsugi.policy.document import Entry, Mapping, Scalar, join, noun, places, shortened
from kintsugi.policy.rules import KINDS
from kintsugi.policy.shapes import canonical_kind, kind_of_type
from kintsugi.policy.typed import TypedReader

# Beside the options of every kind, and no option: it changes nothing that is decided.
RELAXED = "relaxed"


class Policies(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The section ``policies``."""

    chain: tuple[str, ...]


def read_chain(document: Mapping, problems: Problems) -> tuple[PolicyBlock, ...]:
    """The blocks of the chain in its order, those with errors left out."""
    section = document.entry("policies")
    if section is None:
        problems.add(
            "E006",
            '"policies" is missing',
            document.position,
            "policies",
            help=f"add policies: {{chain: [{listed(KINDS)}]}}",
        )
        return ()
    policies = TypedReader(problems).read(section.value, Policies, "policies", section.position)
    blocks = _policy_blocks(document, problems)
    at = dict(places(section.value, "policies"))
    if not policies.chain and not problems.reported("policies"):
        problems.add(
            "E021",
            "the chain is empty: nothing would be judged",
            at.get("policies.chain", section.position),
            "policies.chain",
            help=f"name at least one of: {listed(KINDS)}",
        )
    first: dict[str, Position] = {}
    chain = []
    for index, word in enumerate(policies.chain):
        path = f"policies.chain.{index}"
        if problems.reported(path):
            continue
        kind = canonical_kind(word)
        place = at[path]
        if kind in first:
            problems.add(
                "E020",
                f'"{kind}" stands twice in the chain',
                place,
                path,
                help=f"it stands at line {first[kind].line} already",
            )
            continue
        first[kind] = place
        if kind not in KINDS:
            _unknown_kind(word, place, path, problems)
        elif kind not in blocks:
            problems.add(
                "E003",
                f'"{kind}" is in the chain and has no block',
                place,
                path,
                help=f"add policy: {{{kind}: {{}}}}; empty braces take every default",
            )
        else:
            read = _read_block(kind, blocks[kind], problems)
            if not problems.reported(f"policy.{kind}"):
                chain.append(read)
    for kind, block in blocks.items():
        if kind not in first:
            _check_unused(kind, block, problems)
    if "audit-logger" in first and next(reversed(first)) != "audit-logger":
        problems.add(
            "W106",
            "audit-logger is not the last of the chain",
            first["audit-logger"],
            "policies.chain",
            help="put it last: it records what the others decided, and runs last anyway",
        )
    return tuple(chain)


def _policy_blocks(document: Mapping, problems: Problems) -> dict[str, Entry]:
    """Blocks under ``policy`` by kind."""
    section = document.entry("policy")
    if section is None or (isinstance(section.value, Scalar) and section.value.value is None):
        return {}
    if isinstance(section.value, Mapping):
        return {entry.key: entry for entry in section.value.entries}
    message = f"expected a mapping, found {noun(section.value)}"
    problems.add("E005", message, section.value.position, "policy")
    return {}


def _read_block(kind: str, block: Entry, problems: Problems) -> PolicyBlock:
    """A kind's options, and beside them who answers for them where they are relaxed."""
    reader = TypedReader(problems)
    path = f"policy.{kind}"
    settings, relaxed = block.value, None
    if isinstance(settings, Mapping) and (entry := settings.entry(RELAXED)) is not None:
        below = join(path, RELAXED)
        relaxed = reader.read(entry.value, Relaxation, below, entry.position)
        others = tuple(other for other in settings.entries if other is not entry)
        settings = Mapping(others, settings.position)
    options = reader.read(settings, KINDS[kind].options, path, block.position)
    return PolicyBlock(kind, options, relaxed)


def _check_unused(kind: str, block: Entry, problems: Problems) -> None:
    path = f"policy.{kind}"
    if kind not in KINDS:
        _unknown_kind(block.key, block.position, path, problems)
        return
    _read_block(kind, block, problems)
    problems.add(
        "W101",
        f'"{kind}" is not in the chain and never runs',
        block.position,
        path,
        help="add it to policies.chain, or remove the block",
    )


def _unknown_kind(word: str, at: Position, path: str, problems: Problems) -> None:
    meant = kind_of_type(word)
    problems.add(
        "E001",
        f'unknown policy kind "{shortened(word)}"',
        at,
        path,
        help=f"kinds: {listed(KINDS)}",
        suggestion=meant if meant in KINDS else nearest(word, KINDS),
    )
