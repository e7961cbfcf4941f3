"""What the control plane does without being asked: one thread, or a few, for each concern."""

from __future__ import annotations

from typing import Protocol

from kintsugi.api.archive_worker import ArchiveWorker
from kintsugi.api.background import Background
from kintsugi.api.bypasses import BYPASSES_EVERY_SECONDS, BypassJudge
from kintsugi.api.control import Control
from kintsugi.api.export_worker import ExportWorker
from kintsugi.api.freeze_worker import FreezeWorker
from kintsugi.api.reminders import REMINDERS_EVERY_SECONDS, Reminders
from kintsugi.api.retention_worker import (
    RETENTION_EVERY_SECONDS,
    RETENTION_PAUSE_SECONDS,
    Retention,
)
from kintsugi.api.searching import SEARCHING_EVERY_SECONDS, SEARCHING_PAUSE_SECONDS, Searching
from kintsugi.api.unproven import UNPROVEN_EVERY_SECONDS, UnprovenWatch
from kintsugi.api.vault_worker import VaultWorker
from kintsugi.ledger.regression_copy import FILE as LEDGER_COPY
from kintsugi.ledger.regression_copy import LedgerCopy
from kintsugi.notify.worker import NotifyWorker


class Worker(Protocol):
    """Something that goes on beside the requests."""

    def start(self) -> None:
        """Begin to work."""

    def close(self) -> None:
        """Leave off, and wait until that is so."""


def workers_of(control: Control, *, archive_after_months: int | None) -> tuple[Worker, ...]:
    """All of them, in the order in which they are started.

    Args:
        archive_after_months: archive every month that ended so long ago; None: only when asked.
    """
    stores, feed, clock = control.stores, control.feed, control.clock
    state_dir = control.state_dir
    return (
        ExportWorker(stores, feed, state_dir, clock, log_key_file=control.log_key_file),
        VaultWorker(stores, feed, state_dir, clock, places=control.places, holds=control.holding),
        NotifyWorker(stores, feed, clock),
        Background(
            "bypasses",
            (BypassJudge(stores, clock).judge_once,),
            feed,
            channel="oversight",
            look_every_seconds=BYPASSES_EVERY_SECONDS,
        ),
        FreezeWorker(stores, feed, clock),
        ArchiveWorker(stores, feed, clock, after_months=archive_after_months),
        Background(
            "reminders",
            (Reminders(stores, clock).look_once,),
            feed,
            channel="incidents",
            look_every_seconds=REMINDERS_EVERY_SECONDS,
        ),
        Background(
            "retention",
            (Retention(stores, clock, state_dir).work_once,),
            feed,
            channel="retention",
            look_every_seconds=RETENTION_EVERY_SECONDS,
            pause_seconds=RETENTION_PAUSE_SECONDS,
        ),
        Background(
            "unproven",
            (
                LedgerCopy(stores.ledger, state_dir / LEDGER_COPY).follow_once,
                UnprovenWatch(stores, clock).look_once,
            ),
            feed,
            channel="incidents",
            look_every_seconds=UNPROVEN_EVERY_SECONDS,
        ),
        Background(
            "searching",
            (Searching(stores.events).work_once,),
            feed,
            channel="events",
            look_every_seconds=SEARCHING_EVERY_SECONDS,
            pause_seconds=SEARCHING_PAUSE_SECONDS,
        ),
    )
