"""``/v1/log/audit``: the log computed again from what is stored, stretch by stretch."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, one
from kintsugi.api.control import Control, Ctl
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.errors import DatabaseUnusable, InvalidInput, NotFound, ProofInvalid
from kintsugi.ledger.audit import (
    AuditFinding,
    audit_batch,
    audit_configuration,
    audit_nodes,
    decode_leaf,
    nodes_completed,
)
from kintsugi.ledger.leaves import ConfigurationLeaf, EventsLeaf
from kintsugi.ledger.merkle import (
    Edge,
    edge_nodes,
    edge_of,
    inclusion_proof,
    leaf_hash,
    verify_inclusion,
)
from kintsugi.model.log import StoredLeaf

routes = Routes("log")

_EVENTS_MAX = 20_000


class AuditQuery(BaseModel):
    """Which stretch.

    Attributes:
        edge: as the answer about the stretch before gave it. Without it the nodes in front of this
            stretch are taken as they are stored.
    """

    model_config = ConfigDict(extra="forbid")

    first: Annotated[int, Field(ge=0, description="position of the first leaf")] = 0
    leaves: Annotated[int, Field(ge=1, le=500, description="how many at most")] = 100
    edge: Annotated[
        str | None,
        Field(pattern="^([0-9a-f]{64}(,[0-9a-f]{64})*)?$", max_length=5000),
    ] = None


class AuditView(msgspec.Struct, frozen=True):
    """What a stretch of the log was found to be.

    Attributes:
        next: where the next stretch begins; the size of the log when this was the last.
        edge: of the log up to there, computed; give it back with the next stretch.
        events: how many records were held against their batch.
        findings: what is not as it was recorded, with its place; empty when all is well.
    """

    first: int
    next: int
    size: int
    edge: str
    events: int
    findings: tuple[AuditFinding, ...]


@routes.add("GET", "/v1/log/audit", Scope.LOG_READ, answer=One[AuditView], parameters=True)
def audit(control: Ctl, query: Annotated[AuditQuery, Query()]) -> Response:
    """Compute a stretch of the log again from its leaves and the records that they tell of."""
    log = control.stores.log
    size, hashes = log.edge()
    if query.first > size:
        raise InvalidInput(f"query.first: the log has {size} leaves")
    findings: list[AuditFinding] = []
    before = _before(control, query, findings)
    leaves = log.stretch(first=query.first, limit=min(query.leaves, size - query.first))
    events, taken = 0, 0
    for leaf in leaves:
        if events >= _EVENTS_MAX:
            break
        if leaf.position != query.first + taken:
            findings.append(AuditFinding(f"leaf {query.first + taken}", "was removed"))
            break
        told = _audit_leaf(control, leaf, findings)
        events += told
        taken += 1
    stretch = leaves[:taken]
    wanted = nodes_completed(query.first, taken)
    after, wrong = audit_nodes(before, [leaf.data for leaf in stretch], log.nodes_there(wanted))
    findings += wrong
    if query.edge is None and stretch:
        findings += _leads_to_the_root(control, stretch[0], size, hashes)
    reached = query.first + taken
    if taken < len(leaves) and findings and findings[-1].what == "was removed":
        reached = size  # what stands behind a leaf that is gone cannot be computed
    elif reached == size and after.hashes != hashes:
        findings.append(AuditFinding("edge", "is not that of the leaves"))
    return one(
        AuditView(
            first=query.first,
            next=reached if leaves else size,
            size=size,
            edge=",".join(found.hex() for found in after.hashes),
            events=events,
            findings=tuple(findings),
        )
    )


def _before(control: Control, query: AuditQuery, findings: list[AuditFinding]) -> Edge:
    if query.edge is not None:
        hashes = tuple(bytes.fromhex(text) for text in query.edge.split(",") if text)
        if len(hashes) != len(edge_nodes(query.first)):
            raise InvalidInput(f"query.edge: not the edge of {query.first} leaves")
        return Edge(query.first, hashes)
    try:
        return edge_of(query.first, control.stores.log.nodes)
    except NotFound as missing:
        findings.append(AuditFinding("nodes", str(missing)))
        return Edge(query.first, (bytes(32),) * len(edge_nodes(query.first)))


def _audit_leaf(control: Control, leaf: StoredLeaf, findings: list[AuditFinding]) -> int:
    """Hold what a leaf tells of against what is stored; how many records that were."""
    match decode_leaf(leaf.data):
        case EventsLeaf() as told:
            try:
                batch = control.stores.log.batch(told.first_position, told.last_position)
            except DatabaseUnusable as error:
                span = f"events at positions {told.first_position} to {told.last_position}"
                findings.append(AuditFinding(span, str(error)))
                return 0
            findings += audit_batch(told, batch)
            return len(batch.rows)
        case ConfigurationLeaf() as told:
            try:
                content = control.stores.configurations.get(told.id, told.version).content
            except NotFound:
                content = None
            findings += audit_configuration(told, content)
        case None:
            findings.append(AuditFinding(f"leaf {leaf.position}", "cannot be read"))
        case _:
            pass  # its own text is the whole of what it tells here
    return 0


def _leads_to_the_root(
    control: Control, leaf: StoredLeaf, size: int, hashes: tuple[bytes, ...]
) -> list[AuditFinding]:
    try:
        way = inclusion_proof(leaf.position, size, control.stores.log.nodes)
        root = Edge(size, hashes).root()
        verify_inclusion(leaf_hash(leaf.data.encode()), leaf.position, size, way, root)
    except (NotFound, ProofInvalid) as error:
        return [AuditFinding(f"leaf {leaf.position}", f"does not lead to the root: {error}")]
    return []
