"""Makes what events say findable, beside the requests, so that ingest does not pay for it."""

from __future__ import annotations

from typing import Final

from kintsugi.model.events import EventStore

# News of events wakes it; this is for what another process left when it was killed.
SEARCHING_EVERY_SECONDS: Final = 10.0
# Between steps: the database keeps time for ingest and for whoever reads.
SEARCHING_PAUSE_SECONDS: Final = 0.05
_STEP_EVENTS: Final = 200


class Searching:
    """Fills the full-text index of the recorded content; one process at a time does."""

    def __init__(self, events: EventStore) -> None:
        self._events = events

    def work_once(self) -> bool:
        """Work some events through; whether there were any."""
        return self._events.index_pending(limit=_STEP_EVENTS) > 0
