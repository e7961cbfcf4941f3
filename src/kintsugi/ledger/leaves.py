"""What stands in the leaves of the log: canonical JSON, one object for each thing recorded. Pure.

A leaf never holds content. It holds digests, so that a person's text can be erased later without
breaking a proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

import msgspec

from kintsugi.ledger.merkle import Edge, append, leaf_hash
from kintsugi.model.audit import AuditEntry, audit_digest, audit_record
from kintsugi.model.containment import Containment, ContainmentAct
from kintsugi.model.custody import CustodyEntry, custody_digest, custody_record
from kintsugi.model.incident import Entry, Incident, digest_of, record_of
from kintsugi.model.journal import JournalSpan
from kintsugi.model.overrides import Override
from kintsugi.model.proof import Proof, proof_digest
from kintsugi.model.regression import Regression
from kintsugi.model.regression_ledger import LedgerEntry, ledger_digest
from kintsugi.model.report import Report, report_digest
from kintsugi.model.retention import RetentionRun
from kintsugi.model.workflow import Workflow


class EventsLeaf(msgspec.Struct, frozen=True, tag_field="kind", tag="events", omit_defaults=True):
    """A batch of decision events that was stored in one transaction.

    Attributes:
        first_position, last_position: of its events in the order of storing; none is left out.
        root: the Merkle root (hex) of the batch: its leaves are the events' records, as text, in
            that order.
        journals: which lines of which journals the batch came from; left out where nobody told.
    """

    first_position: int
    last_position: int
    root: str
    recorded_at: datetime
    journals: tuple[JournalSpan, ...] = ()


class ConfigurationLeaf(msgspec.Struct, frozen=True, tag_field="kind", tag="configuration"):
    """A version of a configuration that came to be.

    Attributes:
        content_digest: ``sha256:...`` of its text.
    """

    id: str
    version: int
    revision: str
    content_digest: str
    author: str
    recorded_at: datetime


class CustodyLeaf(msgspec.Struct, frozen=True, tag_field="kind", tag="custody"):
    """Something that was done with evidence. Who and why are names and words of people, so the
    leaf holds only their digest.

    Attributes:
        entry_digest: ``sha256:...`` of the entry's record.
    """

    id: str
    action: str
    object: str
    entry_digest: str
    recorded_at: datetime


class ErasureLeaf(msgspec.Struct, frozen=True, tag_field="kind", tag="erasure"):
    """Content that was erased: the proof that it happened, which tells nobody whose it was.

    Attributes:
        receipt_digest: of the receipt (``model/erasure.py``), which holds a salt.
        keys, events: how many data keys and contents were destroyed.
    """

    id: str
    receipt_digest: str
    keys: int
    events: int
    destroyed_at: datetime
    recorded_at: datetime


class ContainmentLeaf(msgspec.Struct, frozen=True, tag_field="kind", tag="containment"):
    """A containment that was asked for, put in force, released, or judged: see ``Bypassed``.

    Attributes:
        record_digest: ``sha256:...`` of its record, as it is from then on.
    """

    id: str
    act: ContainmentAct
    lever: str
    record_digest: str
    recorded_at: datetime


class OverrideLeaf(msgspec.Struct, frozen=True, tag_field="kind", tag="override"):
    """A person's decision in place of a policy, or that nobody decided in time. Who and why are in
    the record, so the leaf holds its digest.

    Attributes:
        record_digest: ``sha256:...`` of the override's record.
    """

    id: str
    escalation: str
    outcome: str
    record_digest: str
    recorded_at: datetime


class IncidentLeaf(msgspec.Struct, frozen=True, tag_field="kind", tag="incident"):
    """A change of an incident. Its record and its entries are people's words, so the leaf holds
    only their digests.

    Attributes:
        version: of the incident, after the change.
        record_digest: ``sha256:...`` of its record, after the change.
        entry_digests: of the entries that tell of the change, in order.
    """

    incident: str
    version: int
    state: str
    record_digest: str
    entry_digests: tuple[str, ...]
    recorded_at: datetime


class WorkflowLeaf(msgspec.Struct, frozen=True, tag_field="kind", tag="workflow"):
    """A version of a workflow's registration. It names people, so the leaf holds only its digest.

    Attributes:
        record_digest: ``sha256:...`` of its record.
    """

    name: str
    version: int
    record_digest: str
    recorded_at: datetime


class RetentionLeaf(msgspec.Struct, frozen=True, tag_field="kind", tag="retention"):
    """Evidence that was removed at the end of its time, and what was kept beyond it.

    Attributes:
        version: of the settings that the run went by.
        outcomes_digest: ``sha256:...`` of what the run did with each class.
        removed, kept: things, by class; what is nothing is left out.
    """

    id: str
    version: int
    outcomes_digest: str
    removed: dict[str, int]
    kept: dict[str, int]
    recorded_at: datetime


class ReportLeaf(msgspec.Struct, frozen=True, tag_field="kind", tag="report"):
    """A report that came in. It is somebody's words, so the leaf holds only its digest: that of the
    receipt.

    Attributes:
        record_digest: ``sha256:...`` of its record.
    """

    report: str
    channel: str
    record_digest: str
    recorded_at: datetime


class RegressionLeaf(msgspec.Struct, frozen=True, tag_field="kind", tag="regression"):
    """A version of a regression case. It tells of somebody's exchange, so the leaf holds only the
    digest of its content.

    Attributes:
        digest: ``sha256:...`` of everything that it sends and expects.
        incident: id of the incident that it is locked to.
    """

    id: str
    version: int
    state: str
    digest: str
    incident: str
    recorded_at: datetime


class ProofLeaf(msgspec.Struct, frozen=True, tag_field="kind", tag="proof"):
    """A red/green proof. The digest covers both runs, with every case and configuration in them:
    whoever signs the log signs what came of them.

    Attributes:
        incident: id of the incident that it is about.
        record_digest: ``sha256:...`` of its record.
    """

    id: str
    incident: str
    passed: bool
    record_digest: str
    recorded_at: datetime


class RegressionLedgerLeaf(msgspec.Struct, frozen=True, tag_field="kind", tag="regression_ledger"):
    """An entry of the regression ledger. Who and why are names and words of people, so the leaf
    holds the digest of its record.

    Attributes:
        case: id of the regression case, and ``digest`` what of it binds.
        record_digest: ``sha256:...`` of the entry's record.
    """

    id: str
    act: str
    case: str
    digest: str
    record_digest: str
    recorded_at: datetime


class AuditLeaf(msgspec.Struct, frozen=True, tag_field="kind", tag="audit"):
    """A call of the control plane. Who and what are names, so the leaf holds only their digest.

    Attributes:
        entry_digest: ``sha256:...`` of the entry's record.
    """

    id: str
    entry_digest: str
    recorded_at: datetime


Leaf = (
    EventsLeaf
    | ConfigurationLeaf
    | CustodyLeaf
    | ErasureLeaf
    | ContainmentLeaf
    | IncidentLeaf
    | OverrideLeaf
    | WorkflowLeaf
    | RetentionLeaf
    | ReportLeaf
    | RegressionLeaf
    | ProofLeaf
    | RegressionLedgerLeaf
    | AuditLeaf
)

_encode = msgspec.json.Encoder(order="deterministic").encode


def leaf_data(leaf: Leaf) -> bytes:
    """The bytes that a leaf is hashed from."""
    return _encode(leaf)


def kind_of(leaf: Leaf) -> str:
    """The word that its data carries as ``kind``."""
    return str(leaf.__struct_config__.tag)


def batch_root(records: Sequence[bytes]) -> str:
    """The root of a batch of records, hex."""
    return root_of([leaf_hash(record) for record in records])


def root_of(hashes: Sequence[bytes]) -> str:
    """The root over the leaf hashes of a batch's records, hex."""
    edge, _ = append(Edge(), hashes)
    return edge.root().hex()


def content_digest(content: str) -> str:
    """The digest of a configuration's text."""
    return f"sha256:{sha256(content.encode()).hexdigest()}"


def containment_leaf(containment: Containment, *, now: datetime) -> ContainmentLeaf:
    """The leaf of a containment as it is now."""
    return ContainmentLeaf(
        containment.id,
        containment.last_act,
        containment.lever.name,
        f"sha256:{sha256(containment_record(containment)).hexdigest()}",
        now,
    )


def containment_record(containment: Containment) -> bytes:
    """A containment as it is stored and digested: canonical JSON."""
    return _encode(containment)


def workflow_record(workflow: Workflow) -> bytes:
    """A registration as it is stored and digested: canonical JSON."""
    return _encode(workflow)


def workflow_leaf(workflow: Workflow) -> WorkflowLeaf:
    """The leaf of a version of a registration."""
    digest = f"sha256:{sha256(workflow_record(workflow)).hexdigest()}"
    return WorkflowLeaf(workflow.name, workflow.version, digest, workflow.at)


def report_leaf(report: Report, *, now: datetime) -> ReportLeaf:
    """The leaf of a report."""
    return ReportLeaf(report.id, report.channel, report_digest(report), now)


def regression_leaf(one: Regression) -> RegressionLeaf:
    """The leaf of a version of a case."""
    return RegressionLeaf(
        one.id, one.version, one.state, one.digest, one.incident_id, one.changed_at
    )


def proof_leaf(proof: Proof) -> ProofLeaf:
    """The leaf of a proof: a function of its record alone."""
    return ProofLeaf(proof.id, proof.incident_id, proof.passed, proof_digest(proof), proof.at)


def ledger_leaf(entry: LedgerEntry) -> RegressionLedgerLeaf:
    """The leaf of an entry of the regression ledger: a function of its record alone."""
    return RegressionLedgerLeaf(
        entry.id, entry.act, entry.regression_id, entry.digest, ledger_digest(entry), entry.at
    )


def custody_leaf(entry: CustodyEntry) -> CustodyLeaf:
    """The leaf of a custody entry: a function of the entry alone, so that it can be found by it."""
    digest = custody_digest(custody_record(entry))
    return CustodyLeaf(entry.id, entry.action, entry.object, digest, entry.at)


def audit_leaf(entry: AuditEntry) -> AuditLeaf:
    """The leaf of a call: a function of its entry alone, so that it can be found by it."""
    return AuditLeaf(entry.id, audit_digest(audit_record(entry)), entry.at)


def override_leaf(override: Override) -> OverrideLeaf:
    """The leaf of an override: a function of its record alone."""
    digest = f"sha256:{sha256(override_record(override)).hexdigest()}"
    return OverrideLeaf(override.id, override.escalation_id, override.outcome, digest, override.at)


def override_record(override: Override) -> bytes:
    """An override as it is stored and digested: canonical JSON."""
    return _encode(override)


def incident_leaf(incident: Incident, entries: Sequence[Entry], *, now: datetime) -> IncidentLeaf:
    """The leaf of a change, from the incident as it is stored."""
    digests = tuple(digest_of(record_of(one)) for one in entries)
    record = digest_of(record_of(incident))
    return IncidentLeaf(incident.id, incident.version, incident.state, record, digests, now)


def retention_leaf(run: RetentionRun, *, now: datetime) -> RetentionLeaf:
    """The leaf of a run that is through."""
    return RetentionLeaf(
        run.id,
        run.version,
        run.digest,
        {one.name: one.removed for one in run.classes if one.removed},
        {one.name: one.kept for one in run.classes if one.kept},
        now,
    )
