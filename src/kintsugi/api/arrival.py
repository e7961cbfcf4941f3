"""Events that are known of before they are stored: gateways tell at once that a person is asked,
and their records come when they have shipped them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from kintsugi.api.control import Control
from kintsugi.errors import Expired, NotFound, NotStoredYet
from kintsugi.model.event import DecisionEvent
from kintsugi.model.ids import uuid7_time
from kintsugi.model.oversight import OPEN, Escalation

# Records arrive within seconds. What is older and not here is a gap, which status tells of.
_ON_ITS_WAY: Final = timedelta(minutes=2)


def arrived(control: Control, event_id: str) -> DecisionEvent:
    """An event with its content.

    Raises:
        NotStoredYet: it is not here, and known to come; the message says what it waits for.
        NotFound: it is not here.
    """
    try:
        return control.stores.events.get(event_id)
    except Expired:
        raise
    except NotFound:
        if why := _awaited(control, event_id, control.clock()):
            raise NotStoredYet(why) from None
        raise


def _awaited(control: Control, event_id: str, now: datetime) -> str:
    """What an event waits for; empty where nobody knows of it."""
    try:
        return _of_escalation(control.stores.oversight.escalation(event_id), now)
    except NotFound:
        pass
    try:
        age = now - uuid7_time(event_id)
    except ValueError:
        return ""
    if age > _ON_ITS_WAY:
        return ""
    seconds = max(round(age.total_seconds()), 0)
    return (
        f"event {event_id} is not stored, and by its id {seconds} seconds old: its gateway may "
        "have to ship it yet; try again, and see `kt status` where it does not come"
    )


def _of_escalation(found: Escalation, now: datetime) -> str:
    report = found.report
    if report.held_until is not None and now < report.held_until and found.at(now) in OPEN:
        return (
            f"gateway {report.gateway_id} still holds the answer of escalation {found.id}, and "
            f"records it when a person has decided (kt escalations approve|reject {found.id}), or "
            f"at {report.held_until:%H:%M:%S} UTC"
        )
    return (
        f"the event of escalation {found.id} is not stored yet: gateway {report.gateway_id} has "
        "still to ship it; try again, and see `kt status` where it does not come"
    )
