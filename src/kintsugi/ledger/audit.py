"""Whether the log's tables are still what was written: leaves, nodes, edge and records. Pure.

A proof shows that one thing is in the log. An audit computes the log again from its leaves and
what they tell of, and names the first thing that is not as it was, as closely as can be known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from kintsugi.ledger.leaves import ConfigurationLeaf, EventsLeaf, Leaf, content_digest, root_of
from kintsugi.ledger.merkle import Edge, Node, append, leaf_hash
from kintsugi.model.log import RecordedBatch

_leaf = msgspec.json.Decoder(Leaf)


class AuditFinding(msgspec.Struct, frozen=True):
    """One thing that is not as it was recorded.

    Attributes:
        where: the row, as closely as can be known: ``leaf 17``, ``node 3/2``, ``event ID``.
    """

    where: str
    what: str


def decode_leaf(data: str) -> Leaf | None:
    """What a leaf tells of; None when that cannot be read."""
    try:
        leaf: Leaf = _leaf.decode(data)
    except msgspec.MsgspecError:
        return None
    return leaf


def audit_nodes(
    edge: Edge, leaves: Sequence[str], kept: Mapping[tuple[int, int], bytes]
) -> tuple[Edge, list[AuditFinding]]:
    """Compute the nodes that these leaves complete behind ``edge``, and compare.

    Returns:
        The edge after them, and every node that is missing or differs.
    """
    after, complete = append(edge, [leaf_hash(data.encode()) for data in leaves])
    found: list[AuditFinding] = []
    for node, expected in complete:
        if kept.get(node) == expected:
            continue
        where = f"leaf {node.position}" if node.level == 0 else f"node {node.level}/{node.position}"
        if node not in kept:
            found.append(AuditFinding(where, "its hash is missing"))
        elif node.level == 0:
            found.append(AuditFinding(where, "its text or its hash was changed"))
        else:
            found.append(AuditFinding(where, "is not the hash of what stands below it"))
    return after, found


def nodes_completed(first: int, count: int) -> list[Node]:
    """Which nodes become complete when so many leaves are added behind the first ``first``."""
    nodes = []
    for position in range(first, first + count):
        level, at = 0, position
        nodes.append(Node(level, at))
        while at % 2 == 1:
            level, at = level + 1, at // 2
            nodes.append(Node(level, at))
    return nodes


def audit_batch(told: EventsLeaf, batch: RecordedBatch) -> list[AuditFinding]:
    """Hold the records of a batch against its leaf."""
    expected = told.last_position - told.first_position + 1
    stored = {position: (identifier, record) for position, identifier, record in batch.rows}
    places = range(told.first_position, told.last_position + 1)
    expired = frozenset(batch.expired)
    kept = dict(zip(places, batch.hashes, strict=False))
    hashes = [
        leaf_hash(stored[place][1].encode()) if place in stored else kept.get(place, b"")
        for place in places
        if place in stored or place in expired
    ]
    if len(hashes) == expected and root_of(hashes) == told.root:
        return []
    if len(batch.hashes) != expected or root_of(batch.hashes) != told.root:
        span = f"events at positions {told.first_position} to {told.last_position}"
        return [AuditFinding(span, f"at least one of {expected} was changed or removed")]
    found = []
    for place, then in zip(places, batch.hashes, strict=True):
        if place in expired and place not in stored:
            continue
        if place not in stored:
            found.append(AuditFinding(f"event at position {place}", "was removed"))
            continue
        identifier, record = stored[place]
        if not record:
            found.append(AuditFinding(f"event {identifier}", "its record was removed"))
        elif leaf_hash(record.encode()) != then:
            found.append(AuditFinding(f"event {identifier}", "its record was changed"))
    return found


def audit_configuration(told: ConfigurationLeaf, content: str | None) -> list[AuditFinding]:
    """Hold a version's text against its leaf."""
    where = f"configuration {told.id}@{told.version}"
    if content is None:
        return [AuditFinding(where, "was removed")]
    if content_digest(content) != told.content_digest:
        return [AuditFinding(where, "its text was changed")]
    return []
