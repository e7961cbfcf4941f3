"""Whatever was said, held and tied: what a hold or an open incident covers never goes, what is
younger than its period never goes, and all the rest does."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kintsugi.model.event_filter import EventFilter
from kintsugi.model.stores import Stores
from tests.contract.conftest import Maker
from tests.contract.retention import DAY, keep, run_all
from tests.contract.test_incident_store import declare
from tests.contract.test_retention_store import hold, said, tie
from tests.databases import NOON

USERS = ("ada", "bob", "eve")
WORKFLOWS = ("pay", "chat")


class Said(NamedTuple):
    """An exchange: how old it is, whose, and whether an open incident has it."""

    days: int
    user: str
    workflow: str
    tied: bool


# Around the end of the period of 200 days, and around the edges of months.
AGES = st.integers(150, 260) | st.sampled_from((199, 200, 201, 204, 205, 234, 235))
EXCHANGES = st.builds(Said, AGES, st.sampled_from(USERS), st.sampled_from(WORKFLOWS), st.booleans())
FILTERS = st.builds(
    EventFilter,
    user=st.sampled_from(("", *USERS)),
    workflow=st.sampled_from(("", *WORKFLOWS)),
    since=st.none() | st.integers(150, 260).map(lambda days: NOON - days * DAY),
    q=st.sampled_from(("", "nothing says this")),
)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    exchanges=st.lists(EXCHANGES, min_size=1, max_size=8),
    holds=st.lists(FILTERS, max_size=2),
    limit=st.integers(1, 4),
)
def test_what_is_covered_or_young_stays_and_the_rest_goes(
    maker: Maker, exchanges: list[Said], holds: list[EventFilter], limit: int
) -> None:
    stores = maker.empty()
    keep(stores, payloads=200, events=200)
    made = {
        number: said(
            number,
            at=NOON - one.days * DAY + timedelta(minutes=number + 1),
            user_id=one.user,
            workflow=one.workflow,
        )
        for number, one in enumerate(exchanges)
    }
    stores.events.append(list(made.values()))
    if tied := [made[number].id for number, one in enumerate(exchanges) if one.tied]:
        tie(stores, declare(stores).id, *tied)
    for number, where in enumerate(holds):
        asked = {name: getattr(where, name) for name in ("user", "workflow", "since", "q")}
        hold(stores, f"hold {number}", **asked)
    covered = {
        event.id
        for number, event in made.items()
        if exchanges[number].tied or any(_covers(stores, where, event.id) for where in holds)
    }
    old = {event.id for event in made.values() if event.timestamp < NOON - 200 * DAY}
    first = run_all(stores, 1, limit=limit)
    outcome = first.of("payloads")
    assert (outcome.removed, outcome.kept) == (len(old - covered), len(old & covered))
    there = {event.id: event for event in stores.events.scan(EventFilter(), payload=True)}
    for event in made.values():
        if event.id in covered or event.id not in old:
            assert there[event.id].payload.request == event.payload.request
        elif event.id in there:
            assert there[event.id].payload.expired is not None
    # Months go as a whole, and only when all of it is old and nothing in it is covered.
    month = {event.id: event.timestamp.strftime("%Y-%m") for event in made.values()}
    end_of_period = (NOON - 200 * DAY).strftime("%Y-%m")
    stays = {month[one] for one in covered}
    gone = {one for one in month if month[one] < end_of_period and month[one] not in stays}
    assert there.keys() == month.keys() - gone
    again = run_all(stores, 2, now=NOON + timedelta(minutes=1), limit=limit)
    assert again.removed == 0


def _covers(stores: Stores, where: EventFilter, event_id: str) -> bool:
    only = msgspec.structs.replace(where, q="", event=event_id)
    return stores.events.count(only, ceiling=1) == 1
