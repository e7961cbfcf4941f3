"""Actions and the like: kept with a change of their incidents or not at all, found in order."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from kintsugi.errors import InvalidInput, NotFound, VersionConflict
from kintsugi.incidents import actions
from kintsugi.model.action import Action
from kintsugi.model.followup import Followup, FollowupFilter
from kintsugi.model.incident import Change, Incident
from kintsugi.model.stores import Stores
from tests.contract.test_incident_store import act, declare
from tests.databases import NOON

DAY = timedelta(days=1)


def agree(stores: Stores, incident: Incident, title: str = "Fix it", **more: Any) -> Action:
    new = actions.NewAction(title, "fix", **more)
    kept: list[Followup] = []

    def decide(found: tuple[Incident, ...]) -> tuple[Change, ...]:
        change = actions.agreed(found[0], new, act())
        kept.extend(change.keep)
        return (change,)

    stores.incidents.change([incident.id], decide, now=NOON)
    found = stores.followups.get(kept[0].id)
    assert isinstance(found, Action)
    return found


def titles(stores: Stores, order: Any = "due", **where: Any) -> list[str]:
    found, _ = stores.followups.page(FollowupFilter(**where), order=order, limit=100)
    return [one.title for one in found if isinstance(one, Action)]


def test_what_is_kept_comes_back_at_version_one(stores: Stores) -> None:
    made = agree(stores, declare(stores), owner="bo", due_at=NOON + DAY)
    assert (made.version, made.owner, made.due_at) == (1, "bo", NOON + DAY)
    assert stores.followups.get(made.id.upper()) == made
    for unknown in ("019db9a0-0000-7000-8000-00000000ffff", "x"):
        with pytest.raises(NotFound):
            stores.followups.get(unknown)


def test_another_version_than_the_newest_is_not_changed_and_nothing_is_told(
    stores: Stores,
) -> None:
    incident = declare(stores)
    made = agree(stores, incident)
    stores.incidents.change(
        [incident.id], lambda found: actions.assigned(found, made, "bo", act()), now=NOON
    )
    before = stores.incidents.get(incident.id)
    with pytest.raises(VersionConflict, match="version 1"):
        stores.incidents.change(
            [incident.id], lambda found: actions.assigned(found, made, "cy", act()), now=NOON
        )
    assert stores.incidents.get(incident.id) == before
    after = stores.followups.get(made.id)
    assert isinstance(after, Action)
    assert (after.version, after.owner) == (2, "bo")


def test_of_two_who_change_the_same_version_at_once_one_is_told(stores: Stores) -> None:
    incident = declare(stores)
    made = agree(stores, incident)
    gate, refused = threading.Barrier(2), list[str]()

    def assign(owner: str) -> None:
        gate.wait()
        try:
            stores.incidents.change(
                [incident.id], lambda found: actions.assigned(found, made, owner, act()), now=NOON
            )
        except VersionConflict:
            refused.append(owner)

    threads = [threading.Thread(target=assign, args=(owner,)) for owner in ("bo", "cy")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = stores.followups.get(made.id)
    assert isinstance(after, Action)
    assert sorted([*refused, after.owner]) == ["bo", "cy"]


def test_lists_are_narrowed_and_put_in_order(stores: Stores) -> None:
    one, two = declare(stores), declare(stores, "Again")
    late = agree(stores, one, "late", owner="bo", due_at=NOON + 3 * DAY)
    agree(stores, one, "soon", owner="cy", due_at=NOON + DAY)
    agree(stores, two, "between", owner="bo", due_at=NOON + 2 * DAY)
    assert titles(stores) == ["soon", "between", "late"]
    assert titles(stores, "newest") == ["between", "soon", "late"]
    assert titles(stores, incident=one.id) == ["soon", "late"]
    assert titles(stores, "newest", incident=one.id) == ["soon", "late"]
    assert titles(stores, incident="nobody") == []
    assert titles(stores, party="bo") == ["between", "late"]
    assert titles(stores, due_before=NOON + 2 * DAY) == ["soon"]
    assert titles(stores, kind="review") == []
    stores.incidents.change([one.id], lambda found: actions.dropped(found, late, act()), now=NOON)
    assert titles(stores, settled=False) == ["soon", "between"]
    assert titles(stores, status="dropped") == ["late"]
    assert titles(stores, incident=one.id, settled=True) == ["late"]


@pytest.mark.parametrize("order", ["due", "newest"])
@pytest.mark.parametrize("narrowed", [True, False])
def test_pages_show_each_once(stores: Stores, order: Any, narrowed: bool) -> None:
    incident = declare(stores)
    for number in range(5):
        agree(stores, incident, f"action {number}", due_at=NOON + (1 + number % 2) * DAY)
    where = FollowupFilter(incident=incident.id if narrowed else "")
    seen: list[str] = []
    cursor: str | None = None
    while True:
        found, cursor = stores.followups.page(where, order=order, limit=2, cursor=cursor)
        seen += [one.id for one in found]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 5
    with pytest.raises(InvalidInput, match="cursor"):
        stores.followups.page(where, order=order, limit=2, cursor="nonsense")


def test_what_belongs_to_another_incident_as_well_is_found_there(stores: Stores) -> None:
    one, two = declare(stores), declare(stores, "Again")
    made = agree(stores, one)
    stores.incidents.change(
        [one.id, two.id], lambda found: actions.linked(found, made, act()), now=NOON
    )
    assert titles(stores, incident=two.id) == titles(stores, incident=one.id) == ["Fix it"]
    for incident in (one, two):
        entries, _ = stores.incidents.timeline(incident.id, order="at", pinned_only=False, limit=10)
        assert "belongs to INC-000001, INC-000002" in entries[0].entry.text


def test_a_change_of_an_action_has_its_leaf(stores: Stores) -> None:
    incident = declare(stores)
    before = stores.log.edge()[0]
    made = agree(stores, incident)
    stores.incidents.change(
        [incident.id], lambda found: actions.assigned(found, made, "bo", act()), now=NOON
    )
    assert stores.log.edge()[0] == before + 2


def test_nothing_of_the_callers_is_shared(stores: Stores) -> None:
    made = agree(stores, declare(stores))
    assert msgspec.structs.replace(made) == stores.followups.get(made.id)
