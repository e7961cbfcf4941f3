"""What a reviewer is shown of an escalation, and the digest that later proves what it was."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec

from kintsugi.api.control import Control
from kintsugi.api.custody import actor_of
from kintsugi.api.permissions import Scope, allows
from kintsugi.errors import NotFound, StateConflict
from kintsugi.model.custody import custody_entry
from kintsugi.model.event import NO_PAYLOAD, Payload
from kintsugi.model.overrides import Seen
from kintsugi.model.oversight import Escalation
from kintsugi.model.tokens import Token

# Facts of the report that a reviewer goes by; what is said comes on top of them.
_FACTS: Final = (
    *("policy_name", "reason_code", "phase", "gateway_id", "config_version", "revision"),
    *("model", "action_digest"),
)
_WHO: Final = (
    *("user_id", "team_id", "tenant_id", "session_id", "agent_id", "workflow", "key_name"),
)


def content_of(control: Control, caller: Token, escalation_id: str) -> Payload:
    """What is said, redacted: from the event, or while the answer is held from its gateway's
    report. Nothing for who may not read decisions."""
    if not allows(caller.scopes, Scope.EVENTS_READ):
        return NO_PAYLOAD
    try:
        return control.stores.events.get(escalation_id).payload
    except NotFound:
        return control.stores.oversight.held_payload(escalation_id) or NO_PAYLOAD


def reveal_held(control: Control, caller: Token, escalation_id: str, *, reason: str) -> Payload:
    """What is held, without redaction, on record.

    Raises:
        NotFound: nothing is held (any more); its event can be revealed.
    """
    entry = custody_entry(
        "reveal",
        f"escalation:{escalation_id}",
        actor=actor_of(caller),
        now=control.clock(),
        reason=reason,
    )
    found = control.stores.oversight.held_payload(escalation_id, entry)
    if found is None:
        raise NotFound("nothing is held any more; reveal its event: kt events reveal")
    return found


def shown(escalation: Escalation, content: Payload) -> Seen:
    """What a reviewer is shown, as its digest and the names of what was not empty."""
    report = escalation.report
    said: dict[str, object] = {name: getattr(report, name) for name in _FACTS}
    said["phase"] = report.phase.value
    said |= {name: getattr(report.identity, name) for name in _WHO}
    said |= {"request": content.request, "response": content.response}
    said = {name: value for name, value in said.items() if value}
    record = msgspec.json.encode(
        {name: str(value).encode("utf-8", "replace").decode() for name, value in said.items()},
        order="deterministic",
    )
    return Seen(f"sha256:{sha256(record).hexdigest()}", tuple(said))


def seen_by(control: Control, caller: Token, escalation: Escalation, digest: str | None) -> Seen:
    """What the reviewer has seen, checked against what there is to be seen.

    Raises:
        StateConflict: it is something else by now.
    """
    if not digest:
        return Seen()
    there = shown(escalation, content_of(control, caller, escalation.id))
    if there.digest != digest:
        raise StateConflict("what you saw is not what is there now; look at it again")
    return there
