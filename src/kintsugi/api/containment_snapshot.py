"""The snapshot of evidence that every containment takes: what its scope did in the last hour.

Stopping never waits for it: the position up to which it reaches is noted before, the freeze itself
is queued after the containment is in force, and what keeps it from being queued is told, not
raised.
"""

from __future__ import annotations

import msgspec
import structlog

from kintsugi.api.control import Control
from kintsugi.api.freezes import begin_freeze
from kintsugi.errors import KintsugiError
from kintsugi.incidents.commands import Act
from kintsugi.incidents.freezing import scope_filter
from kintsugi.model.containment import Containment
from kintsugi.model.incident import Actor

log = structlog.get_logger(__name__)


class Snapshot(msgspec.Struct, frozen=True):
    """What became of the snapshot.

    Attributes:
        status: ``queued``, or ``not_attempted``: ``why`` says what is in the way.
        freeze_id: where it is done.
    """

    status: str
    freeze_id: str = ""
    why: str = ""


def take_snapshot(control: Control, containment: Containment, actor: Actor, bound: int) -> Snapshot:
    """Queue the freeze of a containment that is in force.

    Args:
        bound: the last position of the store before it was put in force.
    """
    if not containment.incident_id:
        return Snapshot("not_attempted", why="it belongs to no incident")
    act = Act(actor, containment.created_at, reason=f"containment: {containment.reason}")
    where = scope_filter(containment.scope, now=containment.created_at)
    try:
        incident = control.stores.incidents.get(containment.incident_id)
        origin = f"containment:{containment.id}"
        found = begin_freeze(control, incident, where, bound, act, origin=origin)
    except KintsugiError as error:
        log.warning("snapshot.not_taken", containment_id=containment.id, error=str(error))
        return Snapshot("not_attempted", why=str(error))
    return Snapshot("queued", found.id)
