"""The learning gate: what of an incident is proven by the configuration in force now, and what of
that comes to bind when it is closed."""

from __future__ import annotations

import msgspec

from kintsugi.api.proving import Proven, approved_cases, binding_of, proofs_of
from kintsugi.incidents.commands import Act
from kintsugi.model.configurations import ConfigurationVersion
from kintsugi.model.incident import Incident
from kintsugi.model.proof import RESULTS, CaseProof, Proof
from kintsugi.model.regression import Regression, RegressionFilter
from kintsugi.model.regression_ledger import Binding
from kintsugi.model.stores import Stores


class Learned(msgspec.Struct, frozen=True):
    """What an incident left behind.

    Attributes:
        missing: what keeps its learning gate shut, all of it.
        proven: its cases that failed then and hold on the version in force.
        published: that version, of each configuration.
    """

    missing: tuple[str, ...]
    proven: tuple[Proven, ...]
    published: dict[str, int]


def learned(stores: Stores, incident: Incident) -> Learned:
    """Look at every case of an incident and of those merged into it."""
    missing = [*_undecided(stores, incident)]
    cases = approved_cases(stores, incident)
    if not any(one.kind == "case" for one in cases):
        missing.append("it has no approved regression case (kt regressions add EVENT)")
    proofs = proofs_of(stores, incident)
    newest = {one.id: one for one in stores.configurations.list()}
    proven = []
    for one in cases:
        found = _newest_proof(one, proofs, newest.get(one.config_id))
        if isinstance(found, str):
            missing.append(found)
        else:
            proven.append(found)
    published = {one.id: one.version for one in newest.values()}
    return Learned(tuple(missing), tuple(proven), published)


def bound_at_close(stores: Stores, found: Learned, act: Act) -> Binding:
    """What comes to bind when the incident is closed: everything of it that is proven."""
    return binding_of(stores, found.proven, found.published, act)


def _undecided(stores: Stores, incident: Incident) -> list[str]:
    """What is proposed still, and what an erasure took and nothing has replaced since."""
    told: list[str] = []
    for each in stores.incidents.family(incident.id):
        cases = list(stores.regressions.scan(RegressionFilter(incident=each)))
        told += [
            f"nobody has decided about {one.id}, which is proposed"
            for one in cases
            if one.state == "proposed"
        ]
        told += [
            f"{one.id} wants a replacement: {one.lost}"
            for one in cases
            if one.state == "erased" and not _stands_in(one, cases)
        ]
    return told


def _stands_in(gone: Regression, cases: list[Regression]) -> bool:
    """Whether somebody approved another case of the same kind after one was erased."""
    return any(
        one.state == "approved" and one.kind == gone.kind and one.created_at > gone.changed_at
        for one in cases
    )


def _newest_proof(
    one: Regression, proofs: list[Proof], newest: ConfigurationVersion | None
) -> Proven | str:
    """What proves a case as it is now on the newest version; in words where nothing does."""
    if newest is None:
        return f'no version of "{one.config_id}", which {one.id} tests, was ever published'
    outdated = ""
    for proof in proofs:
        for case in proof.cases:
            if (case.regression_id, case.digest) != (one.id, one.digest):
                continue
            if not _green_on(proof, case, newest):
                outdated = outdated or case.green
            elif case.result == "proved":
                return Proven(one, proof.id)
            else:
                return f"{one.id} is not proven: it {RESULTS[case.result]} ({proof.id})"
    if outdated:
        now = f"{newest.id}@{newest.version}"
        return f"{one.id} was proven on {outdated}, and {now} is in force: prove it again"
    return f"{one.id} has no red and green run (kt prove)"


def _green_on(proof: Proof, case: CaseProof, newest: ConfigurationVersion) -> bool:
    """Whether the green side was the newest version, or a file that means the same."""
    if case.green == f"{newest.id}@{newest.version}":
        return True
    return any(
        run.side == "green" and run.config_version == case.green and run.revision == newest.revision
        for run in proof.runs
    )
