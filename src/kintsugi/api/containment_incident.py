"""The incident that is declared together with a containment: one call, one transaction.

Containing never waits for it. What keeps the incident from being declared is told, not raised, and
the containment is in force without one.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
import structlog

from kintsugi.api.control import Control
from kintsugi.api.incidents import actor_from
from kintsugi.api.permissions import Scope, allows
from kintsugi.errors import KintsugiError
from kintsugi.incidents.commands import Act
from kintsugi.incidents.opening import opened
from kintsugi.model.containment import Containment
from kintsugi.model.incident import Change
from kintsugi.model.tokens import Token

log = structlog.get_logger(__name__)

_TITLE_CHARS_MAX: Final = 300


class DeclaredIncident(msgspec.Struct, frozen=True):
    """What became of the incident.

    Attributes:
        status: ``not_attempted`` or ``failed`` where ``why`` says what is in the way, and in a dry
            run.
        reference: such as ``INC-000042``.
    """

    status: Literal["declared", "not_attempted", "failed"]
    reference: str = ""
    why: str = ""


def may_declare(caller: Token) -> bool:
    """Whether the caller may begin an incident, besides containing."""
    return allows(caller.scopes, Scope.INCIDENTS_REPORT)


def put_with_incident(
    control: Control, caller: Token, containment: Containment, title: str
) -> tuple[Containment, DeclaredIncident]:
    """Keep a containment and the incident that begins with it.

    Args:
        title: the containment's reason where it says nothing.

    Returns:
        The containment as it was kept, and what became of the incident.
    """
    store = control.stores.containments
    if not may_declare(caller):
        store.put(containment)
        why = f"declaring takes the scope {Scope.INCIDENTS_REPORT.value}"
        return containment, DeclaredIncident("not_attempted", why=why)
    change = _begun(control, caller, containment, title)
    named = msgspec.structs.replace(containment, incident_id=change.incident.id)
    try:
        made = store.put(named, declaring=change)
    except KintsugiError as error:
        log.warning("containment.not_declared", containment_id=containment.id, error=str(error))
        store.put(containment)
        return containment, DeclaredIncident("failed", why=str(error))
    return named, DeclaredIncident("declared", made.reference if made is not None else "")


def _begun(control: Control, caller: Token, containment: Containment, title: str) -> Change:
    act = Act(actor_from(caller), control.clock(), reason=containment.reason)
    words = title.strip() or containment.reason
    return opened(
        words[:_TITLE_CHARS_MAX],
        act,
        state="declared",
        source=f"containment:{containment.id}",
    )
