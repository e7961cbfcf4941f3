"""Actions: agreed, owned, dated, ended; told in every incident that they belong to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.errors import Blocked, InvalidInput
from kintsugi.incidents import actions
from kintsugi.incidents.severity import DUTIES
from kintsugi.model.action import Action
from kintsugi.model.incident import Incident, SeverityOverride
from kintsugi.model.signal import Severity
from tests.incidents.cases import ANA, CHIEF, NOON, act, incident

INCIDENT = incident()
OTHER = msgspec.structs.replace(INCIDENT, id="019db9a0-0000-7000-8000-000000000002", number=43)


def agreed(into: Incident = INCIDENT, **more: Any) -> Action:
    new = actions.NewAction("Rebuild the index", "fix", **more)
    [made] = actions.agreed(into, new, act()).keep
    assert isinstance(made, Action)
    return made


@pytest.mark.parametrize("severity", list(DUTIES))
def test_the_date_follows_from_the_severity_where_nobody_chooses_one(severity: Severity) -> None:
    found = incident(override=SeverityOverride(severity, "as it is", "ana/1", NOON))
    made = agreed(found)
    assert made.due_at == act().now + timedelta(days=DUTIES[severity].action_days)
    assert made.due_by_default
    assert not agreed(found, due_at=act().now + timedelta(days=1)).due_by_default


def test_an_action_is_told_in_each_of_its_incidents_and_kept_once() -> None:
    made = agreed()
    changes = actions.linked([INCIDENT, OTHER], made, act())
    assert [len(change.entries) for change in changes] == [1, 1]
    [kept] = [one for change in changes for one in change.keep]
    assert kept.incidents == (INCIDENT.id, OTHER.id)
    assert "INC-000043" in changes[1].entries[0].text


def test_actions_go_on_when_their_incident_is_closed() -> None:
    closed = incident("closed")
    [change] = actions.done([closed], agreed(), act(), evidence=["sha256:00"])
    [after] = change.keep
    assert isinstance(after, Action)
    assert (after.state, after.evidence, after.settled) == ("done", ("sha256:00",), True)
    assert change.incident.state == "closed"


def test_what_stands_in_the_way_is_told() -> None:
    made = agreed()
    with pytest.raises(Blocked, match="a reason is needed"):
        actions.dropped([INCIDENT], made, act(reason=""))
    with pytest.raises(Blocked, match="nothing shows that it is done"):
        actions.done([INCIDENT], made, act(reason=" "))
    with pytest.raises(Blocked, match="a reason is needed"):
        actions.rescheduled([INCIDENT], made, NOON + timedelta(days=9), act(reason=""))
    with pytest.raises(InvalidInput, match="lies behind"):
        actions.rescheduled([INCIDENT], made, NOON, act())
    with pytest.raises(InvalidInput, match="already"):
        actions.linked([INCIDENT], made, act(), ticket="")
    [dropped] = actions.dropped([INCIDENT], made, act())[0].keep
    assert isinstance(dropped, Action)
    with pytest.raises(Blocked, match="it is dropped"):
        actions.assigned([INCIDENT], dropped, "bo", act())
    [again] = actions.reopened([INCIDENT], dropped, act())[0].keep
    assert isinstance(again, Action)
    assert (again.state, again.ended_by, again.end_reason) == ("open", "", "")


def test_only_the_commander_decides_that_nothing_has_to_be_done() -> None:
    with pytest.raises(Blocked) as caught:
        actions.none_needed(INCIDENT, act(ANA, reason=""), actions=2)
    assert {one.code for one in caught.value.blockers} == {"not_in_command", "reason", "actions"}
    after = actions.none_needed(INCIDENT, act(CHIEF, reason="a drill"), actions=0).incident
    assert after.no_actions == "a drill"
    new = actions.NewAction("Rebuild the index", "fix")
    assert actions.agreed(after, new, act()).incident.no_actions == ""


def test_the_gate_asks_for_actions_that_are_owned_and_dated() -> None:
    made = agreed()
    [missing] = actions.gaps([], none_needed_because="")
    assert "no action is agreed" in missing
    assert actions.gaps([], none_needed_because="a drill") == []
    undated = msgspec.structs.replace(made, due_at=None)
    assert len(actions.gaps([undated], none_needed_because="")) == 2
    owned = msgspec.structs.replace(made, owner="bo")
    assert actions.gaps([owned], none_needed_because="") == []
    dropped = msgspec.structs.replace(made, state="dropped")
    assert actions.gaps([dropped, owned], none_needed_because="") == []
    assert actions.gaps([dropped], none_needed_because="") == [missing]


@pytest.mark.parametrize(
    "address",
    [
        "https://tracker.example/T-42",
        "http://localhost:8080/browse/T-42?x=1#c",
        "https://[::1]/t",
    ],
)
def test_addresses_of_tickets_are_kept_as_given(address: str) -> None:
    assert actions.checked_ticket(f" {address} ") == address


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "T-42",
        "https://",
        "https://user:secret@tracker.example/",
        "https://tracker.example/a b",
        "https://tracker.example/\u202ea",
        "ftp://tracker.example/1",
        "https://tracker.example:99999/",
        "https://[::1/",
        "//tracker.example/1",
    ],
)
def test_what_is_no_address_of_a_ticket_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="ticket"):
        actions.checked_ticket(address)


@given(st.text(max_size=60))
def test_a_ticket_is_nothing_or_an_address_of_the_web(address: str) -> None:
    try:
        kept = actions.checked_ticket(address)
    except InvalidInput:
        return
    assert not kept or kept.split(":")[0].casefold() in ("http", "https")
