"""Whether a configuration meets every regression case that binds it.

The cases are read in stretches and run one after the other on what is compiled once. Cases that do
not bind (any more) cost nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from kintsugi.api.control import Control
from kintsugi.api.proving import judge_of
from kintsugi.errors import Blocked, Forbidden, NotFound
from kintsugi.ledger.leaves import content_digest
from kintsugi.model.blocker import Blocker
from kintsugi.model.config import CaseExpected
from kintsugi.model.containment import Containment
from kintsugi.model.incident import Incident
from kintsugi.model.notice import notice
from kintsugi.model.proof import CaseRun
from kintsugi.model.regression import Regression
from kintsugi.model.regression_ledger import BoundFilter, LedgerEntry
from kintsugi.model.stores import Stores
from kintsugi.replay.prove import Court, Judge

_STRETCH: Final = 200
_NAMED_MAX: Final = 100
_WORDS: Final = ("verdict", "reason_code", "policy")
_REPLACE: Final = "mend the configuration; or replace the case: kt regressions replace"
_TAMPERED: Final = "kt doctor compares the ledger with the log; restore what was changed"


class Breach(msgspec.Struct, frozen=True):
    """A case that binds, and does not hold.

    Attributes:
        code: ``broken``, ``could_not_run`` or ``not_as_bound``.
        expected, came: in words, without text of the case.
    """

    regression_id: str
    incident_id: str
    code: str
    expected: str
    came: str


def bound_cases(stores: Stores, config_id: str) -> list[LedgerEntry]:
    """Those that bind a configuration: they test it, or what a gateway ran that follows it now."""
    following = [
        record.report.id
        for record in stores.gateways.list()
        if record.report.config_id == config_id
    ]
    return stores.ledger.bound(BoundFilter(config_id=config_id, gateways=tuple(following)))


def binds(entry: LedgerEntry, config_id: str, following: Collection[str]) -> bool:
    """Whether a case binds a configuration that these gateways follow, as in ``bound_cases``."""
    return entry.config_id == config_id or any(one in following for one in entry.gateways)


def breaches(
    stores: Stores,
    judge: Judge,
    entries: Sequence[LedgerEntry],
    *,
    under: Sequence[Containment] = (),
) -> list[Breach]:
    """Run cases that bind on a configuration: those that it does not meet.

    Args:
        under: containments that all of them are taken to be in the scope of.
    """
    court = Court(judge, under)
    found: list[Breach] = []
    for start in range(0, len(entries), _STRETCH):
        for entry, regression in _kept(stores, entries[start : start + _STRETCH]):
            found += _breach(entry, regression, court)
    return found


def require_held(stores: Stores, after: Regression) -> None:
    """Refuse to strengthen a case that binds beyond what the version in force holds.

    Raises:
        Blocked: the newest version of its configuration does not meet it so.
    """
    bound = stores.ledger.standing([after.id]).get(after.id)
    if bound is None or not bound.binds or bound.digest == after.digest:
        return
    newest = stores.configurations.get(after.config_id)
    run = Court(judge_of(newest)).try_one(after)
    if not run.met:
        name = f"{newest.id}@{newest.version}"
        expected = expected_words(after.case.expected)
        told = f"{name} is in force: expected {expected}; {run.why or f'came {_came(run)}'}"
        blocker = Blocker(
            "case.expected", "not_held", told, "publish a version that meets it first"
        )
        raise Blocked(
            f"{after.id} binds, and may not ask for what does not hold: {told}", [blocker]
        )


class PublishGuard:
    """Stands before a version of a configuration.

    Args:
        by: who wants to publish it, NAME/ID.
    """

    def __init__(self, control: Control, config_id: str, content: str, *, by: str) -> None:
        self._control = control
        self._config_id = config_id
        self._content = content
        self._by = by
        self._mark = -1

    def check(self, *, dry_run: bool = False) -> None:
        """Refuse what breaks a case that binds.

        Raises:
            Blocked: with every such case.
        """
        stores = self._control.all_stores
        self._mark = stores.ledger.mark()
        entries = bound_cases(stores, self._config_id)
        if not entries:
            return
        judge = Judge(self._config_id, self._config_id, self._content)
        found = breaches(stores, judge, entries)
        if found:
            if not dry_run:
                self._tell(found)
            raise Blocked(self._summary(found, len(entries)), self._blockers(found))

    def check_again(self) -> None:
        """Refuse it for what came to bind since the check; nothing can any more now.

        Raises:
            Blocked: as above.
        """
        if self._control.all_stores.ledger.mark() != self._mark:
            self.check()

    def _summary(self, found: Sequence[Breach], tried: int) -> str:
        count = "1 regression case does" if len(found) == 1 else f"{len(found)} regression cases do"
        return (
            f"nothing was published: {count} not hold on this version of {self._config_id}, of "
            f"{tried} that bind it because their incidents were closed with them"
        )

    def _blockers(self, found: Sequence[Breach]) -> list[Blocker]:
        incidents = _incidents(self._control.stores, found)
        return [
            Blocker(
                one.regression_id,
                one.code,
                f"({incidents.get(one.incident_id, 'a restricted incident')}) expected "
                f"{one.expected}; {one.came}",
                _TAMPERED if one.code == "not_as_bound" else _REPLACE,
            )
            for one in found
        ]

    def _tell(self, found: Sequence[Breach]) -> None:
        data = {
            "config_id": self._config_id,
            "cases": len(found),
            "regression_ids": [one.regression_id for one in found[:_NAMED_MAX]],
            "incidents": sorted({one.incident_id for one in found})[:_NAMED_MAX],
            "actor": self._by,
        }
        about = f"configuration:{self._config_id}"
        told = notice("regression.refused_publish", about, data, now=self._control.clock())
        # A gateway tries its own file again each time that it comes back.
        key = f"refused_publish:{self._config_id}:{content_digest(self._content)}:{self._mark}"
        self._control.all_stores.notices.add_once(key, told)


def _kept(
    stores: Stores, entries: Sequence[LedgerEntry]
) -> Iterator[tuple[LedgerEntry, Regression | None]]:
    found = stores.regressions.named([one.regression_id for one in entries])
    for one in entries:
        yield one, found.get(one.regression_id)


def _breach(entry: LedgerEntry, regression: Regression | None, court: Court) -> Iterator[Breach]:
    if regression is None or regression.lost:
        why = "it is not kept here" if regression is None else regression.lost
        yield _of(entry, "could_not_run", "what was bound", why)
    elif regression.digest != entry.digest:
        why = "what is kept is not what was bound: somebody changed the database"
        yield _of(entry, "not_as_bound", "what was bound", why)
    else:
        run = court.try_one(regression)
        if run.met is None:
            yield _of(entry, "could_not_run", expected_words(regression.case.expected), run.why)
        elif not run.met:
            expected = expected_words(regression.case.expected)
            yield _of(entry, "broken", expected, f"came {_came(run)}")


def _of(entry: LedgerEntry, code: str, expected: str, came: str) -> Breach:
    return Breach(entry.regression_id, entry.incident_id, code, expected, came)


def expected_words(expected: CaseExpected) -> str:
    """What a case expects, without the texts that may be somebody's."""
    told = [
        f"{name} {value}" if name in _WORDS else name
        for name, value in msgspec.structs.asdict(expected).items()
        if value is not None
    ]
    return ", ".join(told)


def _came(run: CaseRun) -> str:
    told = [f"verdict {run.verdict}"]
    if run.policy_name:
        told.append(f"by {run.policy_name}, {run.reason_code}")
    texts = [name for name in run.unmet if name not in _WORDS]
    return " ".join(told) + (f"; not met: {', '.join(texts)}" if texts else "")


def _incidents(stores: Stores, found: Iterable[Breach]) -> Mapping[str, str]:
    """References of those incidents that the caller may see."""
    references = {}
    for one in {each.incident_id for each in found}:
        incident = _seen(stores, one)
        if incident is not None:
            references[one] = incident.reference
    return references


def _seen(stores: Stores, incident_id: str) -> Incident | None:
    try:
        return stores.incidents.get(incident_id)
    except (NotFound, Forbidden):
        return None
