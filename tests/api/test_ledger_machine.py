"""Whatever people do over the API, around it, or by going back to a backup: a case that ever bound
binds on, or the ledger says what stands in; and what does not meet it is refused or told."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from starlette.testclient import TestClient

from kintsugi.api.erasure_places import RegressionCases
from kintsugi.api.permissions import Scope
from kintsugi.api.unproven import UNPROVEN, UnprovenWatch
from kintsugi.errors import NotFound
from kintsugi.ledger.regression_copy import LedgerCopy, bind_again
from kintsugi.model.config import Case
from kintsugi.model.containment import Containment
from kintsugi.model.regression import CaseSource, KeptSensitive, Regression
from kintsugi.model.regression_ledger import BoundFilter, LedgerEntry
from kintsugi.model.stores import Stores
from kintsugi.model.strength import weakened
from kintsugi.model.vault import Subject
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import revision
from kintsugi.store.memory import memory_stores
from tests.api.test_api_proofs import LOW, add_case, config
from tests.control_plane import Clock, bearer, control_plane, make_report, make_token

TERMS = ("aurora", "borealis")
BLOCKED = st.sets(st.sampled_from(TERMS)).map(lambda found: tuple(sorted(found)))
CONFIGS = st.sampled_from(["support", "support", "support", "sales"])
NUMBERS = st.integers(1, 4)
VERDICTS = st.sampled_from(["allow", "block"])
ADA = Subject("user", "ada")
# What a database holds; a restore puts it back.
_DATA = (list, dict, set)


class LedgerMachine(RuleBasedStateMachine):
    """The control plane on memory stores, two configurations and one gateway."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._clock = Clock()
        self._stores: Stores = memory_stores(now=self._clock)
        app = control_plane(self._stores, Path(self._folder.name), self._clock)
        self._client = TestClient(app, follow_redirects=False)
        self._client.headers.update(bearer(make_token(self._stores)))
        self._second = make_token(self._stores, Scope.CONTAINMENTS_APPROVE, name="eve")
        self._file = Path(self._folder.name) / "regression-ledger.jsonl"
        self._backups: list[dict[tuple[str, str], Any]] = []
        # Every case that ever bound, as strict as it ever was.
        self._ever: dict[str, Case] = {}
        self._runs: tuple[str, tuple[str, ...]] = ("support", ())

    def teardown(self) -> None:
        self._folder.cleanup()

    @initialize()
    def first_version(self) -> None:
        assert self._put("support", ()).status_code == 200
        self._gateway("support", ())
        self.something_goes_wrong_and_is_mended("aurora", sensitive=False)

    # What people do.

    @rule(term=st.sampled_from(TERMS), sensitive=st.booleans())
    def something_goes_wrong(self, term: str, sensitive: bool) -> None:
        self._incident(term, sensitive)

    def _incident(self, term: str, sensitive: bool) -> str:
        made = self._post("/v1/incidents", title=f"About {term}")
        key = str(made.json()["data"]["reference"])
        verdict = "allow" if term in self._newest("support") else "block"
        more: dict[str, Any] = {"kept": _kept(), "subject": str(ADA)} if sensitive else {}
        self._case(key, f"all about {term} of {key}", verdict, **more)
        return key

    def _case(self, key: str, text: str, verdict: str, **more: Any) -> str:
        # The first version blocks neither word, and every later one may.
        version = 1 if verdict == "block" else self._stores.configurations.get("support").version
        source = CaseSource("hand", "", config_version=f"support@{version}")
        made = add_case(
            self._stores,
            self._client,
            key,
            text,
            verdict=verdict,
            approve=False,
            source=source,
            **more,
        )
        return made.id

    @rule(term=st.sampled_from(TERMS), sensitive=st.booleans())
    def something_goes_wrong_and_is_mended(self, term: str, sensitive: bool) -> None:
        key = self._incident(term, sensitive)
        terms = {*self._newest("support")} ^ {term}
        self._put("support", tuple(sorted(terms)))
        self.prove_and_close(int(key.rpartition("-")[2]), waived=False)

    @precondition(lambda self: self._bound())
    @rule(which=st.integers(0, 9), proven=st.booleans())
    def another_case_stands_in(self, which: int, proven: bool) -> None:
        """Of the same incident where that is still there; bound itself, or only approved."""
        bound = self._bound()
        entry = bound[which % len(bound)]
        found = self._client.get(f"/v1/incidents/{entry.incident_id}").json().get("data")
        if found is None or entry.config_id != "support":
            return
        kept = self._kept_as_bound(entry)
        text = str(kept.case.input.messages[0]["content"]) if kept is not None else "all about gnus"
        name = self._case(found["reference"], f"{text} again", "block")
        self._post(f"/v1/regressions/{name}/approve", reason="seen")
        if proven:
            self._post(f"/v1/incidents/{found['reference']}/prove")
        path = f"/v1/regressions/{entry.regression_id}/replace"
        self._post(path, by=name, reason="it hangs on an old model")

    @rule(number=NUMBERS, verb=st.sampled_from(["approve", "approve", "reject"]))
    def decide(self, number: int, verb: str) -> None:
        self._post(f"/v1/regressions/REG-{number}/{verb}", reason="seen")

    @rule(number=NUMBERS, verdict=VERDICTS, policy=st.sampled_from(["", "dlp-filter"]))
    def edit(self, number: int, verdict: str, policy: str) -> None:
        body = {"expected": {"verdict": verdict, "policy": policy}, "reason": "edited"}
        self._client.put(f"/v1/regressions/REG-{number}", json=body)

    @rule(number=NUMBERS, other=NUMBERS)
    def replace(self, number: int, other: int) -> None:
        self._post(f"/v1/regressions/REG-{number}/replace", by=f"REG-{other}", reason="old")

    @rule(number=NUMBERS)
    def prove(self, number: int) -> None:
        self._post(f"/v1/incidents/INC-{number}/prove")

    @rule(number=NUMBERS, waived=st.booleans())
    def prove_and_close(self, number: int, waived: bool) -> None:
        found = self._client.get(f"/v1/regressions?incident=INC-{number}").json().get("data", [])
        for one in found:
            self._post(f"/v1/regressions/{one['id']}/approve", reason="seen")
        self._post(f"/v1/incidents/INC-{number}/prove")
        steps: dict[str, dict[str, Any]] = {
            "assign": {"role": "commander", "person": "ana"},
            "assess": {"factors": LOW},
            "contain": {"reason": "stopped"},
            "judge": {"enforcement": "missed", "harm": "harm"},
            "investigate": {},
            "describe": {"decision": "stop the term"},
            "remediate": {},
            "monitor": {"reason": "stopped"},
            "review": {},
        }
        for verb, body in steps.items():
            self._post(f"/v1/incidents/INC-{number}/{verb}", **body)
        if waived:
            waiver = {"gate": "learning", "owner": "eve", "reason": "no time", "expires": "2027"}
            self._post(f"/v1/incidents/INC-{number}/waive", **waiver)
        self._post(f"/v1/incidents/INC-{number}/close", reason="over")

    @rule(number=NUMBERS, other=NUMBERS, verb=st.sampled_from(["reopen", "merge", "restrict"]))
    def move(self, number: int, other: int, verb: str) -> None:
        into = {"into": f"INC-{other}"} if verb == "merge" else {}
        self._post(f"/v1/incidents/INC-{number}/{verb}", reason="why not", **into)

    @rule(name=CONFIGS, terms=BLOCKED, number=st.integers(0, 5))
    def publish(self, name: str, terms: tuple[str, ...], number: int) -> None:
        """A version, or a return to an earlier one."""
        before = self._maybe_newest(name)
        if number and before is not None:
            answer = self._post(f"/v1/configurations/{name}/rollback", version=number)
        else:
            answer = self._put(name, terms)
        after = self._maybe_newest(name)
        if answer.status_code != 200:
            assert after == before
        elif after is not None and after != before:
            assert [one for one in self._binding(name) if not self._holds(one, after)] == []

    @rule(what=st.sampled_from(["bypass", "the first version", "the newest version"]))
    def loosen(self, what: str) -> None:
        """By a bypass of everything, or a version that decides whatever is published later."""
        lever: dict[str, Any] = {"name": "bypass"}
        if what != "bypass":
            newest = self._stores.configurations.get("support").version
            version = 1 if what == "the first version" else newest
            lever = {"name": "pin-policy", "config_version": f"support@{version}"}
        made = self._post(
            "/v1/containments", lever=lever, reason="blocks all", declare="Over-block"
        )
        if made.status_code != 201:
            return
        told = made.json()["data"]["containment"]
        path = f"/v1/containments/{told['id']}/approve"
        self._client.post(path, json={}, headers=bearer(self._second))
        kept = self._stores.containments.get(told["id"])
        if kept.lever.loosens:
            names = kept.breaks.regression_ids if kept.breaks is not None else ()
            assert sorted(names) == self._lets_through(kept)

    @rule()
    def tighten_again(self) -> None:
        for one in self._stores.containments.in_force(now=self._clock(), limit=99):
            self._post(f"/v1/containments/{one.id}/release", reason="mended")

    @rule()
    def erase(self) -> None:
        RegressionCases(self._stores, self._clock).erase(ADA, erasure_id="e")

    # What goes around it.

    @rule(name=CONFIGS, terms=BLOCKED)
    def a_gateway_runs_its_own_file(self, name: str, terms: tuple[str, ...]) -> None:
        self._gateway(name, terms)

    @rule(terms=BLOCKED)
    def somebody_changes_the_newest_version_in_the_database(self, terms: tuple[str, ...]) -> None:
        content = config("zebra", *terms)
        self._stores.configurations.put(
            config_id="support", content=content, revision=revision(parse_config(content)),
            author="eve", note="", pack_version="1", now=self._clock(),
        )  # fmt: skip

    @rule()
    def back_up(self) -> None:
        self._backups.append({key: copy.deepcopy(value) for key, value in self._data()})

    @precondition(lambda self: self._backups)
    @rule(which=st.integers(0, 9))
    def restore(self, which: int) -> None:
        data = copy.deepcopy(self._backups[which % len(self._backups)])
        for store, name in data:
            setattr(getattr(self._stores, store), name, data[store, name])
        bind_again(self._stores, self._file, now=self._clock())

    # What has to hold.

    @invariant()
    def what_ever_bound_binds_on_or_its_tombstone_tells(self) -> None:
        self._clock.advance(seconds=1)
        copied = LedgerCopy(self._stores.ledger, self._file)
        while copied.follow_once():
            pass
        standing = self._stores.ledger.standing([*self._ever])
        assert standing.keys() == self._ever.keys()
        for entry in standing.values():
            if entry.act == "replaced":
                assert entry.reason
                assert entry.replaced_by in self._ever or self._stands(entry.replaced_by)
        for entry in self._stores.ledger.bound(BoundFilter()):
            kept = self._kept_as_bound(entry)
            if kept is not None:
                before = self._ever.get(entry.regression_id, kept.case)
                assert not weakened(before, kept.case)
                self._ever[entry.regression_id] = kept.case
            else:
                assert entry.regression_id in self._ever
        assert self._stores.ledger.check() == []

    @invariant()
    def what_runs_and_does_not_meet_it_is_told(self) -> None:
        UnprovenWatch(self._stores, self._clock).look_once()
        found, _ = self._stores.signals.page("unresolved", kind=UNPROVEN, limit=99)
        told = {(one.subject, name) for one in found for name in one.detail["regression_ids"]}
        unknown = {one.subject for one in found if not one.detail["regression_ids"]}
        name, terms = self._runs
        places = [("gateway:gw-0a1b2c3d", terms, self._bound_at("gw-0a1b2c3d", name))]
        for config_id in ("support", "sales"):
            newest = self._maybe_newest(config_id)
            if newest is not None:
                tested = [one for one in self._bound() if one.config_id == config_id]
                places.append((f"configuration:{config_id}", newest[1], tested))
        for where, runs, entries in places:
            for entry in entries:
                if not self._holds(entry, (0, runs)):
                    assert (where, entry.regression_id) in told or where in unknown
        for one in self._stores.containments.in_force(now=self._clock(), limit=99):
            subject = f"containment:{one.id}"
            told_of_it = sorted({name for where, name in told if where == subject})
            assert told_of_it == self._lets_through(one)

    # Helpers.

    def _post(self, path: str, **body: Any) -> Any:
        answer = self._client.post(path, json=body)
        assert answer.status_code < 500, answer.text
        return answer

    def _put(self, name: str, terms: tuple[str, ...]) -> Any:
        body = {"content": config("zebra", *terms, name=name)}
        return self._client.put(f"/v1/configurations/{name}", json=body)

    def _gateway(self, name: str, terms: tuple[str, ...]) -> None:
        report = make_report(now=self._clock(), config_id=name)
        ran = revision(parse_config(config("zebra", *terms, name=name)))
        worker = msgspec.structs.replace(
            report.workers[0], config_version=f"{name}@1.0.0", revision=ran
        )
        report = msgspec.structs.replace(report, workers=(worker,))
        self._stores.gateways.put(report, now=self._clock())
        self._runs = name, terms

    def _newest(self, name: str) -> tuple[str, ...]:
        found = self._maybe_newest(name)
        assert found is not None
        return found[1]

    def _maybe_newest(self, name: str) -> tuple[int, tuple[str, ...]] | None:
        try:
            newest = self._stores.configurations.get(name)
        except NotFound:
            return None
        return newest.version, tuple(term for term in TERMS if term in newest.content)

    def _bound(self) -> list[LedgerEntry]:
        return self._stores.ledger.bound(BoundFilter())

    def _bound_at(self, gateway: str, name: str) -> list[LedgerEntry]:
        return [one for one in self._bound() if one.config_id == name or gateway in one.gateways]

    def _binding(self, name: str) -> list[LedgerEntry]:
        """What binds a configuration, as the manual has it."""
        follows = self._runs[0] == name
        return [
            one
            for one in self._bound()
            if one.config_id == name or (follows and "gw-0a1b2c3d" in one.gateways)
        ]

    def _holds(self, entry: LedgerEntry, version: tuple[int, tuple[str, ...]]) -> bool:
        """Whether these blocked words meet a case, worked out from its words."""
        kept = self._kept_as_bound(entry)
        if kept is None:
            return False
        words = str(kept.case.input.messages[0]["content"]).split()
        stopped = bool({*words} & {*version[1]})
        expected = kept.case.expected
        if expected.policy and not stopped:
            return False
        return expected.verdict == ("block" if stopped else "allow")

    def _lets_through(self, one: Containment) -> list[str]:
        """The cases that hold, and would not under a containment, worked out from their words."""
        found = set()
        for config_id in ("support", "sales"):
            newest = self._maybe_newest(config_id)
            pins, _, version = one.lever.config_version.rpartition("@")
            if newest is None or pins not in ("", config_id):
                continue
            for entry in self._binding(config_id):
                if not self._holds(entry, newest):
                    continue
                if pins:
                    kept = self._stores.configurations.get(pins, int(version))
                    terms = tuple(term for term in TERMS if term in kept.content)
                    held = self._holds(entry, (0, terms))
                else:
                    kept_case = self._kept_as_bound(entry)
                    held = kept_case is not None and kept_case.case.expected.verdict == "allow"
                if not held:
                    found.add(entry.regression_id)
        return sorted(found)

    def _kept_as_bound(self, entry: LedgerEntry) -> Regression | None:
        kept = self._stores.regressions.named([entry.regression_id]).get(entry.regression_id)
        if kept is None or kept.lost or kept.digest != entry.digest:
            return None
        return kept

    def _stands(self, name: str) -> bool:
        return name in self._stores.ledger.standing([name])

    def _data(self) -> Iterator[tuple[tuple[str, str], Any]]:
        for store in self._stores.__struct_fields__:
            if store in ("tokens", "idempotency", "changes"):
                continue
            for name, value in vars(getattr(self._stores, store)).items():
                if isinstance(value, _DATA) or name == "_edge":
                    yield (store, name), value


def _kept() -> tuple[KeptSensitive, ...]:
    return (KeptSensitive("pii.us_ssn", 1, "ana/1", "it hangs on it"),)


LedgerMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
TestLedger = LedgerMachine.TestCase
