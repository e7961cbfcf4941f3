"""What the server's stores bring to a proof: the cases, the configuration of their time, and the
one that shall mend it; and what of a proof comes to bind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from kintsugi.errors import InvalidInput, NotFound
from kintsugi.incidents.commands import Act
from kintsugi.model.configurations import ConfigurationVersion
from kintsugi.model.incident import Incident, new_id
from kintsugi.model.proof import CaseRun, Proof, ProofFilter, ProofRun
from kintsugi.model.regression import Regression, RegressionFilter
from kintsugi.model.regression_ledger import Binding, LedgerEntry
from kintsugi.model.stores import Stores
from kintsugi.replay.prove import Charge, Judge, prove

# More proofs of one incident are not looked at: people prove again after each change.
PROOFS_READ: Final = 20


class Proven(msgspec.Struct, frozen=True):
    """A case as it was proven.

    Attributes:
        proof_id: empty where the proof is about to be stored, which then names itself.
    """

    regression: Regression
    proof_id: str = ""


def prove_incident(
    stores: Stores, incident: Incident, candidate: Judge | None, *, at: datetime, by: str
) -> Proof:
    """Try every approved case of an incident, and of those merged into it.

    Args:
        candidate: in place of the newest version of its configuration.

    Raises:
        InvalidInput: no case tests the candidate's configuration.
    """
    bench = Bench(stores)
    since = incident.first_occurred_at or incident.detected_at or incident.reported_at
    cases = approved_cases(stores, incident)
    known = sorted({one.config_id for one in cases})
    if candidate is not None and cases and candidate.config_id not in known:
        raise InvalidInput(
            f"{candidate.name} is no version of what the cases of {incident.reference} test: "
            f"{', '.join(known)}"
        )
    earlier = {} if not cases else _red_runs_before(stores, incident)
    charges = []
    for one in cases:
        red = bench.red(one, since)
        theirs = candidate is not None and candidate.config_id == one.config_id
        green = candidate if theirs and candidate is not None else bench.newest(one.config_id)
        then = earlier.get((one.id, one.digest, red.name)) or _when_approved(one, red)
        charges.append(Charge(one, red, green, then))
    return prove(charges, incident_id=incident.id, reference=incident.reference, at=at, by=by)


def approved_cases(stores: Stores, incident: Incident) -> list[Regression]:
    """Those of an incident and of all that were merged into it."""
    return [
        one
        for each in stores.incidents.family(incident.id)
        for one in stores.regressions.scan(RegressionFilter(incident=each, state="approved"))
    ]


def proofs_of(stores: Stores, incident: Incident) -> list[Proof]:
    """The newest of an incident and of those merged into it, newest first."""
    family = tuple(stores.incidents.family(incident.id))
    found, _ = stores.proofs.page(ProofFilter(family), limit=PROOFS_READ)
    return found


def binding_of(
    stores: Stores, cases: Iterable[Proven], published: Mapping[str, int], act: Act
) -> Binding:
    """What comes to bind of cases that are proven. What binds already stays as it is.

    Args:
        published: the version of each configuration that they were proven on, the newest.
    """
    wanted = list(cases)
    standing = stores.ledger.standing([one.regression.id for one in wanted])
    gateways = stores.gateways.list()
    entries = []
    for proven in wanted:
        one = proven.regression
        if one.id in standing and standing[one.id].binds:
            continue
        ran = {
            record.report.id for record in gateways if record.report.config_id == one.config_id
        } | _gateway_of(stores, one)
        entries.append(
            LedgerEntry(
                id=new_id(act.now),
                act="bound",
                at=act.now,
                by=act.actor.reference,
                regression_id=one.id,
                version=one.version,
                digest=one.digest,
                case_kind=one.kind,
                incident_id=one.incident_id,
                config_id=one.config_id,
                gateways=tuple(sorted(ran)),
                proof_id=proven.proof_id,
            )
        )
    tested = {one.config_id for one in entries}
    return Binding(
        tuple(entries), {name: version for name, version in published.items() if name in tested}
    )


def named_version(name: str) -> tuple[str, int]:
    """A configuration's id and version number out of ``ID@V``.

    Raises:
        InvalidInput: it is no such name.
    """
    config_id, _, version = name.rpartition("@")
    if not config_id or not version.isdecimal() or len(version) > 9:
        raise InvalidInput(f'"{name}" is no version of a configuration; write ID@NUMBER')
    return config_id, int(version)


def judge_of(version: ConfigurationVersion) -> Judge:
    """A published version as cases run on it."""
    name = f"{version.id}@{version.version}"
    return Judge(version.id, name, version.content, version.revision)


class Bench:
    """Finds the configurations that cases are tried on, each read once."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._versions: dict[str, list[ConfigurationVersion]] = {}

    def newest(self, config_id: str) -> Judge:
        """The version in force: the newest that was published."""
        versions = self._of(config_id)
        if not versions:
            missing = f'no version of "{config_id}" was ever published'
            return Judge(config_id, config_id, None, missing=missing)
        return judge_of(versions[0])

    def red(self, one: Regression, since: datetime) -> Judge:
        """What decided when it went wrong; for a source without a decision, what was in force when
        its incident began."""
        name, revision = one.source.config_version, one.source.revision
        versions = self._of(one.config_id)
        if not name:
            then = next((each for each in versions if each.created_at <= since), None)
            if then is not None:
                return judge_of(then)
            missing = f"no version of {one.config_id} was published before {since:%F %T} UTC"
            return Judge(one.config_id, f"{one.config_id}@0", None, missing=missing)
        number = name.rpartition("@")[2]
        for each in versions:
            # A gateway that still ran its own file named the pack's version: then it is the one
            # that means the same.
            same = each.revision == revision
            if str(each.version) == number if number.isdecimal() else same:
                told = judge_of(each)
                return Judge(one.config_id, told.name, told.content, revision or each.revision)
        missing = f"{name} is not kept here, and no version that is means the same"
        return Judge(one.config_id, name, None, revision, missing)

    def _of(self, config_id: str) -> list[ConfigurationVersion]:
        if config_id not in self._versions:
            self._versions[config_id] = self._stores.configurations.versions(config_id)
        return self._versions[config_id]


def _red_runs_before(stores: Stores, incident: Incident) -> dict[tuple[str, str, str], ProofRun]:
    """Red runs of earlier proofs, made when the engine still meant what was recorded, by case,
    digest and configuration; the oldest of each."""
    found: dict[tuple[str, str, str], ProofRun] = {}
    for proof in proofs_of(stores, incident):
        for run in proof.runs:
            if run.side == "red" and run.same_engine and not run.error:
                for case in run.cases:
                    alone = msgspec.structs.replace(run, cases=(case,))
                    found[case.regression_id, case.digest, run.config_version] = alone
    return found


def _when_approved(one: Regression, red: Judge) -> ProofRun | None:
    """The red run that is kept with a case from its approval, where the engine of that day still
    meant what was recorded. What asks for more since then fails there all the same; of a twin it
    would have to be run again."""
    then = one.red
    if then is None or not then.same_engine or then.config_version != red.name:
        return None
    if one.kind == "twin":
        return None
    case = CaseRun(one.id, one.version, one.digest, then.met, then.verdict, then.reason_code)
    return ProofRun(
        side="red",
        config_id=red.config_id,
        config_version=red.name,
        revision=then.revision,
        recorded_revision=red.recorded_revision,
        engine_version=then.engine_version,
        same_engine=True,
        at=then.at,
        cases=(case,),
    )


def _gateway_of(stores: Stores, one: Regression) -> set[str]:
    """Where the decision was made that a case comes from."""
    if not one.source.event_id:
        return set()
    try:
        return {stores.events.get(one.source.event_id).gateway_id}
    except NotFound:
        return set()
