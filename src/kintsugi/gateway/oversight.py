"""What people have decided, as one worker knows it: who is frozen, which escalations are resolved.

Outlives configurations, like the routing board. Fed by the supervisor; asked by exchanges, which
find everything empty in most gateways at most times.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
import structlog

from kintsugi.errors import InvalidInput
from kintsugi.model.config import Config
from kintsugi.model.containment import Containment, Lever
from kintsugi.model.content import Identity, Part
from kintsugi.model.event import Quarantine
from kintsugi.model.oversight import Resolution
from kintsugi.model.transform import QuarantineScope
from kintsugi.policy.containment import Contained

log = structlog.get_logger(__name__)

# Answers that one worker holds for reviewers at a time; each keeps a connection and a body.
HELD_MAX = 128

_canonical = msgspec.json.Encoder(order="deterministic").encode


class Oversight:
    """One worker's view.

    Attributes:
        frozen: what is in quarantine, by scope and subject.
        held: how many answers wait for a reviewer now.
        contained: what people have contained, also what has expired since; see ``made_ready``.
    """

    contained: tuple[Contained, ...] = ()

    def __init__(self, *, held_max: int = HELD_MAX) -> None:
        self.frozen: dict[tuple[QuarantineScope, str], Quarantine] = {}
        self.held = 0
        self._held_max = held_max
        self._approvals: dict[str, Resolution] = {}

    def freeze(self, quarantine: Quarantine) -> None:
        """From now on nothing of this may pass."""
        self.frozen[quarantine.scope, quarantine.subject] = quarantine

    def replace_frozen(self, quarantines: Iterable[Quarantine]) -> None:
        """Exactly these are frozen."""
        self.frozen = {(one.scope, one.subject): one for one in quarantines}

    def stops(self, identity: Identity, source: str) -> Quarantine | None:
        """What freezes a request, if anything does."""
        for scope in ("session", "agent", "user", "key", "source"):
            subject = subject_of(scope, identity, source)
            if subject and (found := self.frozen.get((scope, subject))) is not None:
                return found
        return None

    def containing(
        self, identity: Identity, *, model: str, region: str, said: Sequence[Part], now: datetime
    ) -> tuple[Contained, ...]:
        """The containments that an exchange is under, in the order in which they were made."""
        return tuple(
            one
            for one in self.contained
            if one.applies(identity, model=model, region=region, said=said, now=now)
        )

    def replace_resolutions(self, resolutions: Iterable[Resolution]) -> None:
        """Exactly these can be used."""
        self._approvals = {
            one.action_digest: one for one in resolutions if one.approved and one.action_digest
        }

    def approval_for(self, action_digest: str, revision: str, now: datetime) -> Resolution | None:
        """An approval of exactly this action under this plan; whether nobody has used it yet is
        settled when it is redeemed."""
        found = self._approvals.get(action_digest)
        if found is None or found.revision != revision or now >= found.expires_at:
            return None
        return found

    def spent(self, escalation_id: str) -> None:
        """An approval was used, or was no good; do not try it again."""
        self._approvals = {
            digest: one
            for digest, one in self._approvals.items()
            if one.escalation_id != escalation_id
        }

    @property
    def may_hold(self) -> bool:
        """Whether one more answer can be held."""
        return self.held < self._held_max


def made_ready(
    containments: Iterable[Containment],
    config: Config,
    config_id: str = "",
    ready: Iterable[Contained] = (),
) -> tuple[Contained, ...]:
    """Containments compiled for a configuration, for ``Oversight.contained``.

    Args:
        ready: what was made ready before. What has not changed is taken from there, so that a stop
            does not wait until everything that is pinned is compiled again.

    One that cannot be made ready stops its scope instead: whoever put it in force wanted less to
    pass, not more. One that loosens control is left out then.
    """
    known = {one.containment.id: one for one in ready if one.config is config}
    found = (
        same
        if (same := known.get(one.id)) is not None and same.containment == one
        else _made_ready(one, config, config_id)
        for one in containments
    )
    return tuple(one for one in found if one is not None)


def _made_ready(containment: Containment, config: Config, config_id: str) -> Contained | None:
    try:
        return Contained(containment, config, config_id)
    except InvalidInput as error:
        if containment.lever.loosens:
            log.error("containment.left_out", containment_id=containment.id, error=str(error))
            return None
        log.error("containment.stops_instead", containment_id=containment.id, error=str(error))
        stop = msgspec.structs.replace(containment, lever=Lever("stop"))
        return Contained(stop, config)


def subject_of(scope: QuarantineScope, identity: Identity, source: str) -> str:
    """Who is meant by a scope in one exchange; empty where the exchange does not say."""
    return {
        "session": identity.session_id,
        "agent": identity.agent_id,
        "user": identity.user_id,
        "key": identity.key_name,
        "source": source,
    }[scope]


def quarantine_for(
    event_id: str, scope: QuarantineScope, identity: Identity, source: str
) -> Quarantine | None:
    """What to freeze.

    Where the exchange does not say who it is in that scope, the next wider one that it does say
    is frozen: nobody escapes by leaving a header out, and nobody else is frozen for it. None where
    nothing at all tells the caller from others.
    """
    wider: tuple[QuarantineScope, ...] = ("session", "agent", "user", "key", "source")
    for candidate in (scope, *wider[wider.index(scope) :]):
        subject = subject_of(candidate, identity, source)
        if subject:
            return Quarantine(event_id, candidate, subject)
    return None


def action_digest(
    *, dialect: str, phase: str, identity: Identity, request_digest: str, parts: Iterable[Part]
) -> str:
    """What exactly an approval is for: who does what.

    For requests that is their bytes; for answers and tool calls what they say, because the same
    request may be answered differently. Ids of the single request and its trace are no part of it.
    """
    who = msgspec.structs.replace(identity, request_id="", trace_id="", parent_span_id="")
    said = [(part.kind, part.name, part.text) for part in parts]
    named = msgspec.to_builtins(who)
    if not who.tenant_id:
        # What was approved before there were tenants stays approved.
        del named["tenant_id"]
    action = (dialect, phase, named, request_digest, said)
    try:
        text = _canonical(action)
    except UnicodeEncodeError:  # half a surrogate pair
        text = repr(action).encode("ascii", "backslashreplace")
    return "sha256:" + hashlib.sha256(text).hexdigest()
