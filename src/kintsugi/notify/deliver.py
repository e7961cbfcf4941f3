"""Delivering what one target has due: tried, judged, saved step by step."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec
import structlog

from kintsugi import __version__
from kintsugi.model.notice import Notice
from kintsugi.model.notify import (
    AnyTarget,
    Channel,
    Delivery,
    NotifyStore,
    Secrets,
    Try,
    Webhook,
    Work,
)
from kintsugi.notify import apprise, egress, signing
from kintsugi.notify.messages import of_notice, webhook_body
from kintsugi.notify.plan import WINDOW, Parcel, planned
from kintsugi.notify.schedule import after_try, rest_of, target_after

log = structlog.get_logger(__name__)


def attempt(target: AnyTarget, secrets: Secrets, one: Notice, *, now: datetime) -> Try:
    """Send one notice once, as it would be sent by itself."""
    if isinstance(target, Channel):
        return apprise.send(
            secrets.current,
            of_notice(one),
            allow_private_network=target.allow_private_network,
            now=now,
        )
    body = webhook_body(one)
    return egress.post(
        target.url,
        {
            "content-type": "application/json",
            "user-agent": f"Kintsugi/{__version__}",
            **signing.headers(one.id, body, secrets.signing(now), now=now),
        },
        body,
        allow_private_network=target.allow_private_network,
        now=now,
    )


class Deliverer:
    """Works off what was claimed.

    Args:
        stopping: ends it between two attempts; another runner goes on.
        given_up: told of a target that was disabled because nothing arrives.
    """

    def __init__(
        self,
        store: NotifyStore,
        clock: Callable[[], datetime],
        *,
        stopping: Callable[[], bool],
        given_up: Callable[[AnyTarget], None],
        chance: random.Random | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._stopping = stopping
        self._given_up = given_up
        self._chance = chance or random.Random()  # noqa: S311 - jitter, not a secret

    def work(self, work: Work) -> None:
        """Deliver what is due, in order, until something fails or the lease is nearly over.

        Raises:
            VersionConflict: the lease was over; somebody else goes on.
        """
        target = work.target
        if isinstance(target, Channel):
            plan = planned(target, work.deliveries, now=self._clock())
            self._store.settle(work, target, plan.held, now=self._clock())
            parcels: Iterable[Parcel] = plan.parcels
            target = self._send_all(work, target, parcels)
        else:
            target = self._post_all(work, target)
        now = self._clock()
        self._store.settle(
            work, target, (), now=now, resting_until=rest_of(target, now=now), release=True
        )
        if work.target.enabled and not target.enabled:
            self._given_up(target)

    def _post_all(self, work: Work, target: Webhook) -> AnyTarget:
        after: AnyTarget = target
        for delivery in work.deliveries:
            if self._over(work):
                break
            tried = attempt(after, work.secrets, delivery.notice, now=self._clock())
            after = self._settle(work, after, (delivery,), tried)
            if not tried.arrived:
                break
        return after

    def _send_all(self, work: Work, target: Channel, parcels: Iterable[Parcel]) -> AnyTarget:
        after: AnyTarget = target
        for parcel in parcels:
            if self._over(work):
                break
            now = self._clock()
            tried = apprise.send(
                work.secrets.current,
                parcel.message,
                allow_private_network=target.allow_private_network,
                now=now,
            )
            if isinstance(after, Channel):
                recent = (*(at for at in after.recent if at > now - WINDOW), now)
                after = msgspec.structs.replace(after, recent=recent)
            after = self._settle(work, after, parcel.deliveries, tried)
            if not tried.arrived:
                break
        return after

    def _settle(
        self, work: Work, target: AnyTarget, deliveries: Iterable[Delivery], tried: Try
    ) -> AnyTarget:
        now = self._clock()
        went = [after_try(one, tried, now=now, chance=self._chance) for one in deliveries]
        after = target_after(target, tried, now=now)
        self._store.settle(work, after, went, now=now)
        if not tried.arrived:
            log.warning("notify.failed", target=after.name, error=tried.error)
        return after

    def _over(self, work: Work) -> bool:
        # An attempt must end within the lease, or somebody else would make it too.
        longest = (
            apprise.TIMEOUT_SECONDS
            if isinstance(work.target, Channel)
            else (egress.TIMEOUT_SECONDS)
        )
        left = (work.until - self._clock()).total_seconds()
        return self._stopping() or left < longest
