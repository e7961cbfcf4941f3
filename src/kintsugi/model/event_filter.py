"""Which events: the filter that lists, exports, packages and holds share."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from kintsugi.model.verdict import Verdict


class EventFilter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which events; an empty field does not restrict. CONTRACT §5 names the parameters.

    Attributes:
        since, until: on the event's timestamp, both inclusive.
        event: an event's id.
        q: full text over the recorded (masked) payload; words are and-ed, "quoted" is a phrase.
    """

    since: datetime | None = None
    until: datetime | None = None
    verdict: Verdict | None = None
    gateway: str = ""
    user: str = ""
    team: str = ""
    workflow: str = ""
    agent: str = ""
    session: str = ""
    model: str = ""
    policy: str = ""
    reason_code: str = ""
    config_version: str = ""
    trace: str = ""
    incident: str = ""
    event: str = ""
    q: str = ""
    tenant: str = ""


def both(first: EventFilter, second: EventFilter) -> EventFilter | None:
    """What passes both filters, as a filter; None where nothing can."""
    found: dict[str, Any] = {}
    for name in EventFilter.__struct_fields__:
        one, other = getattr(first, name), getattr(second, name)
        if not one or not other or one == other:
            found[name] = one or other
        elif name == "since":
            found[name] = max(one, other)
        elif name == "until":
            found[name] = min(one, other)
        elif name == "q":
            found[name] = f"{one} {other}"
        else:
            return None
    return EventFilter(**found)
