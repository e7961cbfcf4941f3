"""What a freeze pins, and what the evidence gate asks of all freezes."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from kintsugi.errors import Blocked, InvalidInput
from kintsugi.incidents.freezing import begun, missing_evidence, scope_filter
from kintsugi.model.containment import ContainmentScope
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.freeze import Freeze, FreezeVerification
from tests.incidents.cases import NOON, act, incident

FROZEN = msgspec.structs.replace(
    begun(incident(event_count=1), EventFilter(), 9, act()).freeze,
    state="done",
    frozen_at=NOON,
    verification=FreezeVerification(NOON, "ana/1", 12),
)


def test_without_a_filter_it_is_what_is_tied() -> None:
    made = begun(incident(event_count=2), EventFilter(), 9, act())
    assert made.freeze.where == made.hold.where == EventFilter(incident=incident().id)
    with pytest.raises(InvalidInput, match="nothing is tied"):
        begun(incident(), EventFilter(), 9, act())
    with pytest.raises(Blocked):
        begun(incident("closed"), EventFilter(user="ada"), 9, act())


def test_a_window_has_an_end() -> None:
    made = begun(incident(), EventFilter(user="ada"), 9, act())
    assert made.freeze.where == EventFilter(user="ada", until=NOON + timedelta(hours=1))


@pytest.mark.parametrize(
    ("freezes", "missing"),
    [
        ([], "no evidence is frozen"),
        ([msgspec.structs.replace(FROZEN, frozen_at=None, state="running")], "under way"),
        ([msgspec.structs.replace(FROZEN, verification=None)], "is not verified"),
        (
            [
                msgspec.structs.replace(
                    FROZEN, verification=FreezeVerification(NOON, "a", 1, ("gone",))
                )
            ],
            "does not verify: gone",
        ),
        (
            [msgspec.structs.replace(FROZEN, frozen_at=None, state="failed", error="disk")],
            "failed: disk",
        ),
    ],
)
def test_the_gate_is_shut_by(freezes: list[Freeze], missing: str) -> None:
    [found] = missing_evidence(freezes)
    assert missing in found


def test_the_gate_is_open_when_everything_frozen_verifies() -> None:
    assert missing_evidence([FROZEN]) == ()
    failed = msgspec.structs.replace(FROZEN, frozen_at=None, state="failed")
    assert missing_evidence([FROZEN, failed]) == ()


def test_a_scope_that_events_cannot_be_told_apart_by_does_not_narrow() -> None:
    scope = ContainmentScope(workflow="support", model="gpt-*", region="eu")
    where = scope_filter(scope, now=NOON)
    assert where == EventFilter(since=NOON - timedelta(hours=1), until=NOON, workflow="support")
