"""Who is told of what: webhooks and channels, and what is on its way to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, Protocol

import msgspec

from kintsugi.model.notice import Notice
from kintsugi.model.signal import Severity

SEVERITIES: Final[tuple[Severity, ...]] = ("low", "medium", "high", "critical")
TARGETS_MAX: Final = 100
# So long a secret that was replaced signs beside the new one.
ROTATION_OVERLAP: Final = timedelta(days=1)
TRIES_KEPT: Final = 12
TEST_TYPE: Final = "notify.test"


class Route(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which notices.

    Attributes:
        types: names of types; ``*`` stands for any characters.
        severity_min: nothing below.
    """

    types: tuple[str, ...] = ("*",)
    severity_min: Severity = "low"

    def takes(self, one: Notice) -> bool:
        """Whether a notice goes this way."""
        return rank(one.severity) >= rank(self.severity_min) and any(
            fnmatchcase(one.type, pattern) for pattern in self.types
        )


class QuietHours(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A time of the day in which people sleep.

    Attributes:
        start, end: ``22:00`` and ``07:00``; it may go over midnight.
        zone: IANA name of the time zone.
        below: severities below this wait until it ends. Critical notices never wait.
    """

    start: str
    end: str
    zone: str
    below: Severity = "critical"


class Try(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt to deliver.

    Attributes:
        status: of the answer; 0 where none came.
        error: what went wrong, in words that hold no secret; empty when it arrived.
        retry_after_seconds: how long the receiver asked us to wait; 0 where it did not.
        gone: the receiver said that it wants no more (410).
    """

    at: datetime
    status: int = 0
    error: str = ""
    duration_ms: int = 0
    retry_after_seconds: int = 0
    gone: bool = False

    @property
    def arrived(self) -> bool:
        """Whether the receiver has it."""
        return not self.error


class Target(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="kind"):
    """Somebody who is told.

    Attributes:
        routes: a notice that any of them takes is delivered.
        allow_private_network: also to addresses inside the own network.
        version: counts changes, from 1.
        disabled_reason: why it is not enabled, where that was not a person's wish.
        failing_since: of the first failure since anything arrived; None while all is well.
        failures: in a row.
    """

    id: str
    name: str
    routes: tuple[Route, ...]
    created_at: datetime
    created_by: str
    allow_private_network: bool = False
    version: int = 1
    enabled: bool = True
    disabled_reason: str = ""
    succeeded_at: datetime | None = None
    failing_since: datetime | None = None
    failures: int = 0

    def takes(self, one: Notice) -> bool:
        """Whether it is told of this."""
        return self.enabled and any(route.takes(one) for route in self.routes)


class Webhook(Target, frozen=True, omit_defaults=True, kw_only=True, tag="webhook"):
    """An HTTP endpoint that gets Standard Webhooks, one POST for each notice.

    Attributes:
        secret_rotated_at: when its secret was replaced last; the old one signs as well for
            ``ROTATION_OVERLAP``.
    """

    url: str
    secret_rotated_at: datetime | None = None


class Channel(Target, frozen=True, omit_defaults=True, kw_only=True, tag="channel"):
    """A chat room, a pager or a mailbox, through Apprise.

    Attributes:
        service: what kind, as Apprise calls it.
        address: its URL with everything secret masked.
        messages_max: at most so many messages in ten minutes; what is more is told together.
        recent: when messages went out in the last ten minutes.
    """

    service: str
    address: str
    quiet_hours: tuple[QuietHours, ...] = ()
    messages_max: int = 10
    recent: tuple[datetime, ...] = ()


AnyTarget = Webhook | Channel


class Secrets(msgspec.Struct, frozen=True, omit_defaults=True):
    """What must not be seen: a webhook's secrets, or a channel's URL. Stored sealed."""

    current: str
    previous: str = ""
    previous_until: datetime | None = None

    def signing(self, now: datetime) -> tuple[str, ...]:
        """The secrets that sign at this time, the newest first."""
        if self.previous and self.previous_until is not None and now < self.previous_until:
            return self.current, self.previous
        return (self.current,)

    def __repr__(self) -> str:
        return "Secrets(...)"


DeliveryState = Literal["waiting", "delivered", "failed"]


class Delivery(msgspec.Struct, frozen=True, omit_defaults=True):
    """One notice on its way to one target.

    Attributes:
        due_at: when it is tried next.
        attempts: since it was made, or sent again by a person.
        tries: the newest ``TRIES_KEPT``, oldest first.
        held: why it waits though nothing failed: ``quiet hours`` or ``too many``.
    """

    id: str
    target_id: str
    notice: Notice
    state: DeliveryState
    due_at: datetime
    attempts: int = 0
    tries: tuple[Try, ...] = ()
    held: str = ""
    finished_at: datetime | None = None


class Work(msgspec.Struct, frozen=True):
    """What one runner may deliver now; nobody else does until ``until``."""

    runner: str
    until: datetime
    target: AnyTarget
    secrets: Secrets
    deliveries: tuple[Delivery, ...]


ChangeTarget = Callable[[AnyTarget, Secrets], tuple[AnyTarget, Secrets]]


class NotifyStore(Protocol):
    """Targets, and the deliveries to them."""

    def add_target(self, target: AnyTarget, secrets: Secrets) -> None:
        """Keep a new one.

        Raises:
            InvalidInput: its id is taken or no UUID.
            StateConflict: its name is taken, or there are ``TARGETS_MAX``.
            KeyUnavailable: its secrets cannot be sealed.
        """

    def target(self, key: str) -> AnyTarget:
        """One by id or name.

        Raises:
            NotFound: there is none.
        """

    def secrets(self, target_id: str) -> Secrets:
        """Its secrets, opened.

        Raises:
            NotFound: there is none with this id.
            KeyUnavailable: the key that seals them is not to be had.
        """

    def targets(self) -> list[AnyTarget]:
        """All, by name."""

    def change_target(
        self, key: str, change: ChangeTarget, *, expected_version: int | None = None
    ) -> AnyTarget:
        """Let ``change`` see one and store what it gives back; the version counts up.

        Raises:
            NotFound: there is none.
            VersionConflict: it is at another version.
            StateConflict: the new name is taken.
        """

    def remove_target(self, key: str) -> AnyTarget:
        """Remove one with its deliveries and its secrets.

        Raises:
            NotFound: there is none.
        """

    def fan_out(self, *, now: datetime, limit: int) -> int:
        """Hand at most ``limit`` waiting notices to the targets that take them, oldest first; how
        many notices that were."""

    def claim(self, runner: str, *, now: datetime, lease_seconds: float, limit: int) -> Work | None:
        """Take a target that has something due, with at most ``limit`` of its deliveries, oldest
        first. A runner that dies loses it when the lease is over."""

    def settle(
        self,
        work: Work,
        target: AnyTarget,
        deliveries: Sequence[Delivery],
        *,
        now: datetime,
        resting_until: datetime | None = None,
        release: bool = False,
    ) -> None:
        """Save how deliveries went and what is known of the target now.

        Args:
            resting_until: the target is left alone until then.
            release: the runner is done with it.

        Raises:
            VersionConflict: the lease was over and somebody else took it; stop.
        """

    def deliveries(
        self,
        target_id: str,
        state: DeliveryState | None,
        *,
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[Delivery], str | None]:
        """Newest first, and the cursor of the next page.

        Raises:
            InvalidInput: the cursor is not one that this store gave out.
        """

    def count(self, target_id: str, state: DeliveryState, *, ceiling: int) -> int:
        """How many of a target's deliveries are in a state, counted up to ``ceiling``."""

    def redeliver(
        self, target_id: str, *, delivery_id: str = "", since: datetime | None = None, now: datetime
    ) -> int:
        """Send again: one delivery whatever became of it, or all that failed, and those notices
        that the target never got, since a time. How many those are.

        Raises:
            NotFound: there is no such delivery.
        """

    def forget(self, *, before: datetime, limit: int) -> int:
        """Remove at most ``limit`` deliveries that ended before; how many those were."""


def rank(severity: Severity) -> int:
    """Its place, from 0."""
    return SEVERITIES.index(severity)


def due_again(delivery: Delivery, *, now: datetime) -> Delivery:
    """The delivery as if it were new."""
    return msgspec.structs.replace(
        delivery, state="waiting", due_at=now, attempts=0, held="", finished_at=None
    )


def with_try(delivery: Delivery, tried: Try, **changes: Any) -> Delivery:
    """The delivery after an attempt."""
    return msgspec.structs.replace(
        delivery,
        attempts=delivery.attempts + 1,
        tries=(*delivery.tries, tried)[-TRIES_KEPT:],
        held="",
        **changes,
    )
