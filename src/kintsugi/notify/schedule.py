"""When something is tried again, and when an endpoint is given up. Pure."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Final

import msgspec

from kintsugi.model.notify import AnyTarget, Delivery, Try, with_try

# As Standard Webhooks recommends: quickly at first, then for three days.
RETRY_SECONDS: Final = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
_JITTER: Final = 0.2
_RETRY_AFTER_SECONDS_MAX: Final = 86400
# An endpoint that has taken nothing for so long is not tried any more.
GIVEN_UP_AFTER: Final = timedelta(days=5)
_REST_SECONDS_MAX: Final = 60


def after_try(delivery: Delivery, tried: Try, *, now: datetime, chance: random.Random) -> Delivery:
    """The delivery after an attempt: arrived, due again, or failed for good."""
    if tried.arrived:
        return with_try(delivery, tried, state="delivered", finished_at=now)
    if delivery.attempts >= len(RETRY_SECONDS):
        return with_try(delivery, tried, state="failed", finished_at=now)
    wait = RETRY_SECONDS[delivery.attempts] * chance.uniform(1 - _JITTER, 1 + _JITTER)
    wait = max(wait, min(tried.retry_after_seconds, _RETRY_AFTER_SECONDS_MAX))
    return with_try(delivery, tried, due_at=now + timedelta(seconds=wait))


def target_after(target: AnyTarget, tried: Try, *, now: datetime) -> AnyTarget:
    """What is known of a target after an attempt; disabled when it is gone or long silent."""
    if tried.arrived:
        return msgspec.structs.replace(target, succeeded_at=now, failing_since=None, failures=0)
    since = target.failing_since or now
    after = msgspec.structs.replace(target, failing_since=since, failures=target.failures + 1)
    reason = ""
    if tried.gone:
        reason = "the receiver answered 410: it wants no more"
    elif now - since >= GIVEN_UP_AFTER:
        reason = f"nothing has arrived since {since:%Y-%m-%d %H:%M} UTC: {tried.error}"
    return (
        msgspec.structs.replace(after, enabled=False, disabled_reason=reason) if reason else after
    )


def rest_of(target: AnyTarget, *, now: datetime) -> datetime | None:
    """Until when a target that fails is left alone, so that many waiting notices do not hammer it;
    None while all is well."""
    if not target.failures:
        return None
    return now + timedelta(seconds=min(2 ** min(target.failures, 10), _REST_SECONDS_MAX))
