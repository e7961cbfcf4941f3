"""The supervisor's share of what people decide: quarantines kept over restarts, approvals used up.

Everything but ``pushed`` runs on the supervisor's loop; requests to the control plane run in one
thread of their own, in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import msgspec
import structlog

from kintsugi.durable import write_whole
from kintsugi.errors import ApiUnreachable
from kintsugi.gateway.control_plane import ControlPlane, problem_of
from kintsugi.gateway.worker_messages import Quarantined, Redeem, Redeemed, ToWorker
from kintsugi.model.containment import Containment
from kintsugi.model.event import Quarantine, UsedApproval
from kintsugi.model.oversight import HeldEscalation, OversightPush, QuarantineRecord

log = structlog.get_logger(__name__)

Kind = TypeVar("Kind", bound=msgspec.Struct)


class Kept(msgspec.Struct, frozen=True):
    """One quarantine in force.

    Attributes:
        known: the control plane has told of it, so it ends when the control plane does not any
            more. One that only this gateway knows stays until its record has arrived there.
    """

    quarantine: Quarantine
    known: bool = False


class _Used(msgspec.Struct, frozen=True):
    resolved_by: str = ""
    resolved_at: datetime | None = None


class _Data(msgspec.Struct, frozen=True):
    data: _Used = _Used()


class OversightKeeper:
    """One gateway's.

    Args:
        tell: gives a message to every worker.
        connect: makes a connection to the control plane; None where there is none.
    """

    def __init__(
        self,
        path: Path,
        *,
        tell: Callable[[ToWorker], None],
        connect: Callable[[], ControlPlane] | None,
    ) -> None:
        self._path = path
        self._tell = tell
        kept = _read_all(path, Kept)
        self._kept: dict[str, Kept] = {one.quarantine.id: one for one in kept}
        self._resolutions = OversightPush().resolutions
        self._contained_path = path.with_name("containments.json")
        self._containments: tuple[Containment, ...] = _read_all(self._contained_path, Containment)
        self._control_plane = connect() if connect is not None else None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="oversight")

    @property
    def quarantines(self) -> int:
        """How many are in force."""
        return len(self._kept)

    def greet(self) -> list[ToWorker]:
        """What a worker that has just started must know."""
        messages = []
        if self._kept:
            messages.append(ToWorker(quarantines=self._in_force()))
        if self._resolutions:
            messages.append(ToWorker(resolutions=self._resolutions))
        if self._containments:
            messages.append(ToWorker(containments=self._containments))
        return messages

    def quarantined(self, told: Quarantined) -> None:
        """A worker's decision froze something."""
        self._kept[told.quarantine.id] = Kept(told.quarantine)
        self._tell(ToWorker(quarantines=self._in_force()))
        self._save()
        log.warning(
            "gateway.quarantined",
            scope=told.quarantine.scope,
            policy=told.policy_name,
            reason_code=told.reason_code,
            event_id=told.quarantine.id,
        )

    def pushed(self, push: OversightPush, loop: asyncio.AbstractEventLoop) -> None:
        """The control plane says what holds now; called in the follower's thread."""
        loop.call_soon_threadsafe(self.take, push)

    def take(self, push: OversightPush) -> None:
        """Take in what the control plane says."""
        kept = merged(self._kept, push.quarantines, push.released)
        if kept != self._kept:
            changed = kept.keys() != self._kept.keys()
            self._kept = kept
            if changed:
                self._tell(ToWorker(quarantines=self._in_force()))
            self._save()
        if push.containments != self._containments:
            self._containments = push.containments
            self._tell(ToWorker(containments=push.containments))
            self._keep(self._contained_path, push.containments)
        if push.resolutions != self._resolutions:
            self._resolutions = push.resolutions
            self._tell(ToWorker(resolutions=push.resolutions))

    def held(self, report: HeldEscalation) -> None:
        """An answer waits for a reviewer: the control plane must know now, not when it is over."""
        if self._control_plane is not None:
            self._thread.submit(self._report, report)

    def redeem(self, wish: Redeem, answer: Callable[[Redeemed], None]) -> None:
        """Use an approval up at the control plane, which knows whether anybody else has."""
        if self._control_plane is None:
            answer(Redeemed(wish.number))
            return
        loop = asyncio.get_running_loop()

        def use() -> None:
            approval = self._use(wish)
            loop.call_soon_threadsafe(answer, Redeemed(wish.number, approval))

        self._thread.submit(use)

    def close(self) -> None:
        """Ask the control plane nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._control_plane is not None:
            self._control_plane.abort()

    def _report(self, report: HeldEscalation) -> None:
        path = "/v1/escalations"
        why = self._post(path, msgspec.json.encode(report))[1]
        if why:
            log.error("escalation.not_reported", escalation_id=report.id, why=why)

    def _use(self, wish: Redeem) -> UsedApproval | None:
        path = f"/v1/escalations/{quote(wish.escalation_id, safe='')}/use"
        body = {
            "action_digest": wish.action_digest,
            "revision": wish.revision,
            "event_id": wish.event_id,
        }
        answer, why = self._post(path, msgspec.json.encode(body))
        if why:
            log.warning("escalation.not_usable", escalation_id=wish.escalation_id, why=why)
            return None
        used = msgspec.json.decode(answer, type=_Data).data
        return UsedApproval(wish.escalation_id, used.resolved_by, used.resolved_at)

    def _post(self, path: str, body: bytes) -> tuple[bytes, str]:
        """The answer's body, and why there is none that counts."""
        if self._control_plane is None:
            return b"", "there is no control plane"
        try:
            answer = self._control_plane.request("POST", path, body)
        except ApiUnreachable as error:
            return b"", str(error)
        if answer.status >= 300:
            return b"", f"{answer.status}: {problem_of(answer).detail}"
        return answer.body, ""

    def _in_force(self) -> tuple[Quarantine, ...]:
        return tuple(one.quarantine for one in self._kept.values())

    def _save(self) -> None:
        self._keep(self._path, tuple(self._kept.values()))

    def _keep(self, path: Path, things: Sequence[msgspec.Struct]) -> None:
        try:
            write_whole(path, msgspec.json.encode(things))
        except OSError as error:  # in force all the same; a restart would ask the control plane
            log.error("oversight.not_kept", file=str(path), error=str(error))


def _read_all(path: Path, kind: type[Kind]) -> tuple[Kind, ...]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[kind, ...])  # type: ignore[valid-type]
    except FileNotFoundError:
        return ()
    except msgspec.MsgspecError as error:
        # Moved aside, not forgotten: somebody has to look at what was in force.
        aside = path.with_suffix(f".unreadable-{datetime.now(UTC):%Y%m%dT%H%M%S}")
        path.rename(aside)
        log.error("oversight.unreadable", kept_in=str(aside), error=str(error))
        return ()


def merged(
    kept: dict[str, Kept], told: Sequence[QuarantineRecord], released: Sequence[str]
) -> dict[str, Kept]:
    """What is in force, given what the control plane tells."""
    found = {
        record.id: Kept(Quarantine(record.id, record.scope, record.subject), known=True)
        for record in told
    }
    for identifier, one in kept.items():
        if identifier not in found and not one.known and identifier not in released:
            found[identifier] = one
    return found
