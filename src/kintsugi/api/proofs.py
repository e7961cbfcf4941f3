"""``/v1/proofs``: cases of an incident that failed on the configuration of its time, and hold on
another."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import One, Page, one, part
from kintsugi.api.configurations import CONTENT_BYTES_MAX, CONTENT_CHARS_MAX
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.edits import DryRun
from kintsugi.api.event_query import PageQuery
from kintsugi.api.incidents import IncidentKey, actor_from
from kintsugi.api.permissions import Scope
from kintsugi.api.proving import (
    Proven,
    binding_of,
    judge_of,
    named_version,
    prove_incident,
)
from kintsugi.api.routing import Routes
from kintsugi.errors import ConfigurationInvalid, InvalidInput
from kintsugi.incidents.commands import Act
from kintsugi.model.incident import Incident
from kintsugi.model.proof import Proof, ProofFilter, ProofResult, proof_digest
from kintsugi.model.regression_ledger import Binding, BoundFilter
from kintsugi.policy.lint import lint
from kintsugi.replay.prove import Judge

routes = Routes("proofs")

ProofKey = Annotated[str, Path(max_length=20, description="PRF-000007")]


class Trial(BaseModel):
    """What to try the cases on: a published version, or the text of a file; the newest version of
    each configuration where neither is given."""

    model_config = ConfigDict(extra="forbid")

    config_version: Annotated[str, Field(max_length=300, description="ID@V")] = ""
    content: Annotated[
        str, Field(max_length=CONTENT_CHARS_MAX, description="The YAML of a candidate.")
    ] = ""


class ProofsQuery(PageQuery):
    """Which proofs."""

    incident: Annotated[str, Field(max_length=64, description="Its id or reference.")] = ""
    passed: bool | None = None


class ProofView(msgspec.Struct, frozen=True):
    """A proof as it was stored.

    Attributes:
        record_digest: what its leaf in the log says, at position ``leaf``; null in a dry run.
        bound: ids of the cases that bind from this proof on, because their incident was closed
            before they were proven.
    """

    proof: Proof
    record_digest: str
    leaf: int | None
    bound: tuple[str, ...] = ()


class ProofSummary(msgspec.Struct, frozen=True):
    """A proof in a list; ``results`` counts its cases."""

    id: str
    incident_id: str
    reference: str
    at: datetime
    by: str
    passed: bool
    results: dict[ProofResult, int]
    red: tuple[str, ...]
    green: tuple[str, ...]


@routes.add(
    "POST",
    "/v1/incidents/{incident_id}/prove",
    Scope.REGRESSIONS_PROVE,
    answer=One[ProofView],
    status=201,
    parameters=True,
    body_bytes_max=CONTENT_BYTES_MAX,
)
def prove_cases(
    control: Ctl,
    caller: Caller,
    incident_id: IncidentKey,
    query: DryRun,
    trial: Trial | None = None,
) -> Response:
    """Run every approved case on the configuration of its time, where it has to fail, and on the
    candidate, where it has to hold; twins have to hold on both. Both runs are kept."""
    incident = control.stores.incidents.get(incident_id)
    act = Act(actor_from(caller), control.clock())
    candidate = _candidate(control, trial or Trial())
    proof = prove_incident(control.stores, incident, candidate, at=act.now, by=act.actor.reference)
    if query.dry_run:
        return one(ProofView(proof, proof_digest(proof), None))
    binding = _binds_now(control, incident, proof, act) if candidate is None else Binding(())
    kept = control.stores.proofs.add(proof, binding)
    bound = tuple(entry.regression_id for entry in binding.entries)
    return one(_view(control, kept, bound), status=201)


@routes.add(
    "GET",
    "/v1/proofs",
    Scope.REGRESSIONS_READ,
    answer=Page[ProofSummary],
    parameters=True,
)
def list_proofs(control: Ctl, query: Annotated[ProofsQuery, Query()]) -> Response:
    """Proofs, newest first. ``meta.total`` counts what this page shows."""
    incidents: tuple[str, ...] = ()
    if query.incident:
        found = control.stores.incidents.get(query.incident)
        incidents = tuple(control.stores.incidents.family(found.id))
    where = ProofFilter(incidents, query.passed)
    proofs, cursor = control.stores.proofs.page(
        where, limit=max(query.limit, 1), cursor=query.cursor
    )
    return part([_summary(each) for each in proofs], cursor)


@routes.add("GET", "/v1/proofs/{proof_id}", Scope.REGRESSIONS_READ, answer=One[ProofView])
def show_proof(control: Ctl, proof_id: ProofKey) -> Response:
    """One proof, with the place of its leaf in the log."""
    return one(_view(control, control.stores.proofs.get(proof_id)))


def _candidate(control: Control, trial: Trial) -> Judge | None:
    if trial.config_version and trial.content:
        raise InvalidInput("body: give config_version or content, not both")
    if trial.config_version:
        version = control.stores.configurations.get(*named_version(trial.config_version))
        return judge_of(version)
    if not trial.content:
        return None
    report = lint(trial.content, file="candidate.yaml")
    if not report.valid or report.pack is None:
        raise ConfigurationInvalid(
            "The candidate has errors; nothing was tried on it.", report.diagnostics
        )
    return Judge(report.pack.id, report.pack.id, trial.content, report.revision)


def _binds_now(control: Control, incident: Incident, proof: Proof, act: Act) -> Binding:
    """What a proof on the newest versions makes bind: of an incident that was closed, or of which
    something binds already, every case that it proves."""
    stores = control.stores
    family = tuple(stores.incidents.family(incident.id))
    if incident.state != "closed" and not stores.ledger.bound(BoundFilter(incidents=family)):
        return Binding(())
    published = dict(
        named_version(run.config_version)
        for run in proof.runs
        if run.side == "green" and not run.error
    )
    proven = [
        Proven(stores.regressions.get(case.regression_id, case.version))
        for case in proof.cases
        if case.result == "proved"
    ]
    return binding_of(stores, proven, published, act)


def _view(control: Control, proof: Proof, bound: tuple[str, ...] = ()) -> ProofView:
    return ProofView(proof, proof_digest(proof), control.stores.log.named(proof.id), bound)


def _summary(proof: Proof) -> ProofSummary:
    counts: dict[ProofResult, int] = {}
    for case in proof.cases:
        counts[case.result] = counts.get(case.result, 0) + 1
    return ProofSummary(
        id=proof.id,
        incident_id=proof.incident_id,
        reference=proof.reference,
        at=proof.at,
        by=proof.by,
        passed=proof.passed,
        results=counts,
        red=tuple(dict.fromkeys(case.red for case in proof.cases)),
        green=tuple(dict.fromkeys(case.green for case in proof.cases)),
    )
