"""A worker's side of the control channel as exchanges use it: ask the supervisor, hear the answer.

Belongs to the worker's event loop. Whatever the supervisor does not answer in time counts as not
there: a counter as missing, an approval as no good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from kintsugi.gateway.commands import Freeze, Redeem
from kintsugi.gateway.oversight import Oversight
from kintsugi.gateway.worker_messages import (
    FromWorker,
    Quarantined,
    Reserve,
    Settle,
    ToWorker,
)
from kintsugi.gateway.worker_messages import Redeem as RedeemWish
from kintsugi.model.event import UsedApproval
from kintsugi.model.facts import Counter, CounterNeed
from kintsugi.model.oversight import HeldEscalation, Resolution

log = structlog.get_logger(__name__)

RESERVE_SECONDS = 1.0
# The supervisor asks the control plane, which may be far away.
REDEEM_SECONDS = 5.0

Cancel = Callable[[], None]
ToldCounters = Callable[[dict[str, Counter], int], None]


class _Reservation:
    """A wish that was not answered yet; ``told`` is None when nobody waits for it any more."""

    __slots__ = ("timer", "told")

    def __init__(self, told: ToldCounters, timer: asyncio.TimerHandle) -> None:
        self.told: ToldCounters | None = told
        self.timer = timer


class Link:
    """What one worker has asked and was told.

    Args:
        send: gives a line to the supervisor; False when there is none any more.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        oversight: Oversight,
        send: Callable[[FromWorker], bool],
    ) -> None:
        self.oversight = oversight
        self._loop = loop
        self._send = send
        self._number = 0
        self._reservations: dict[int, _Reservation] = {}
        self._redemptions: dict[
            int, tuple[str, Callable[[UsedApproval | None], None], asyncio.TimerHandle]
        ] = {}
        self._held: dict[str, tuple[Callable[[bool | None], None], asyncio.TimerHandle]] = {}

    # Counters

    def reserve(self, needs: tuple[CounterNeed, ...], told: ToldCounters) -> Cancel:
        """Reserve; ``told`` gets the counters and the reservation's number, once, later.

        Returns:
            Call it when nobody waits any more: what is reserved then is given back.
        """
        self._number += 1
        number = self._number
        if not self._send(FromWorker(reserve=Reserve(number, needs))):
            self._loop.call_soon(told, {}, 0)
            return lambda: None
        timer = self._loop.call_later(RESERVE_SECONDS, self._reserve_late, number)
        waiting = self._reservations[number] = _Reservation(told, timer)

        def cancel() -> None:
            waiting.told = None

        return cancel

    def settle(self, number: int, used: dict[str, float] | None) -> None:
        """End a reservation."""
        self._send(FromWorker(settle=Settle(number, used)))

    def _reserve_late(self, number: int) -> None:
        waiting = self._reservations.pop(number)
        log.warning("counters.no_answer", seconds=RESERVE_SECONDS)
        self.settle(number, None)  # comes after the wish, so it gives back whatever that took
        if waiting.told is not None:
            waiting.told({}, 0)

    # People

    def redeem(self, wish: Redeem, told: Callable[[UsedApproval | None], None]) -> None:
        """Use an approval up; ``told`` hears once whether that was possible."""
        self._number += 1
        number = self._number
        sent = self._send(
            FromWorker(
                redeem=RedeemWish(
                    number, wish.escalation_id, wish.action_digest, wish.revision, wish.event_id
                )
            )
        )
        timer = self._loop.call_later(
            REDEEM_SECONDS if sent else 0, lambda: self._redeemed(number, None)
        )
        self._redemptions[number] = (wish.escalation_id, told, timer)

    def _redeemed(self, number: int, approval: UsedApproval | None) -> None:
        found = self._redemptions.pop(number, None)
        if found is not None:
            escalation_id, told, timer = found
            timer.cancel()
            self.oversight.spent(escalation_id)
            told(approval)

    def hold(
        self, report: HeldEscalation, seconds: float, told: Callable[[bool | None], None]
    ) -> Cancel:
        """Tell reviewers; ``told`` hears once what they decided, or None when they did not."""
        self._send(FromWorker(held=report))
        timer = self._loop.call_later(seconds, self._hold_over, report.id, None)
        self._held[report.id] = (told, timer)
        self.oversight.held += 1

        def cancel() -> None:
            found = self._held.pop(report.id, None)
            if found is not None:
                found[1].cancel()
                self.oversight.held -= 1

        return cancel

    def _hold_over(self, escalation_id: str, approved: bool | None) -> None:
        found = self._held.pop(escalation_id, None)
        if found is not None:
            told, timer = found
            timer.cancel()
            self.oversight.held -= 1
            told(approved)

    def freeze(self, command: Freeze) -> None:
        """Freeze here at once, and everywhere else as soon as they hear of it."""
        self.oversight.freeze(command.quarantine)
        self._send(
            FromWorker(
                quarantined=Quarantined(
                    command.quarantine,
                    command.policy_name,
                    command.reason_code,
                    command.config_version,
                )
            )
        )

    # What the supervisor says

    def heard(self, message: ToWorker) -> None:
        """Take in a line of the supervisor's, as far as it is meant for exchanges."""
        if message.reserved is not None:
            self._reserved(message.reserved.number, message.reserved.counters)
        if message.redeemed is not None:
            self._redeemed(message.redeemed.number, message.redeemed.approval)
        if message.quarantines is not None:
            self.oversight.replace_frozen(message.quarantines)
        if message.resolutions is not None:
            self._resolved(message.resolutions)

    def _reserved(self, number: int, counters: dict[str, Counter]) -> None:
        waiting = self._reservations.pop(number, None)
        if waiting is None:
            return
        waiting.timer.cancel()
        if waiting.told is None:
            self.settle(number, None)
        else:
            waiting.told(counters, number if counters else 0)

    def _resolved(self, resolutions: tuple[Resolution, ...]) -> None:
        self.oversight.replace_resolutions(resolutions)
        if self._held:
            for one in resolutions:
                self._hold_over(one.escalation_id, one.approved)
