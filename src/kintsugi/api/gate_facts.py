"""What the server's stores tell of an incident's close gates."""

from __future__ import annotations

import msgspec

from kintsugi.api.learning import Learned, bound_at_close, learned
from kintsugi.incidents.actions import gaps
from kintsugi.incidents.commands import Act
from kintsugi.incidents.freezing import missing_evidence
from kintsugi.incidents.gates import GateFacts
from kintsugi.incidents.lifecycle import Move, moved
from kintsugi.model.action import Action
from kintsugi.model.followup import FollowupFilter
from kintsugi.model.incident import Change, Incident
from kintsugi.model.stores import Stores

# More than anybody keeps an eye on; beyond it the gate asks to drop some.
_ACTIONS_MAX = 1000


def gate_facts(stores: Stores, incident: Incident, lesson: Learned | None = None) -> GateFacts:
    """Everything that is computed; each part of the operation fills in its own field."""
    return GateFacts(
        evidence=missing_evidence(stores.freezes.of(incident.id)),
        actions=_actions(stores, incident),
        review=_review(stores, incident),
        learning=(lesson or learned(stores, incident)).missing,
    )


def closed(stores: Stores, incident: Incident, act: Act) -> Change:
    """Close an incident, where every gate is passed; what is proven of it binds from then on.

    Raises:
        Blocked: with everything that stands in the way.
    """
    lesson = learned(stores, incident)
    change = moved(incident, "close", act, Move(facts=gate_facts(stores, incident, lesson)))
    return msgspec.structs.replace(change, bind=bound_at_close(stores, lesson, act))


def _actions(stores: Stores, incident: Incident) -> tuple[str, ...]:
    where = FollowupFilter(kind="action", incident=incident.id)
    found, cursor = stores.followups.page(where, order="newest", limit=_ACTIONS_MAX)
    if cursor is not None:
        return (f"it has more than {_ACTIONS_MAX} actions",)
    actions = [one for one in found if isinstance(one, Action)]
    return tuple(gaps(actions, none_needed_because=incident.no_actions))


def _review(stores: Stores, incident: Incident) -> tuple[str, ...] | None:
    """Nothing is missing once it was published, after the last investigation began; where it was
    not, somebody may vouch for one that is kept elsewhere."""
    since = incident.reached.get("investigating")
    where = FollowupFilter(kind="edition", incident=incident.id)
    newest, _ = stores.followups.page(where, order="newest", limit=1)
    if newest and (since is None or newest[0].created_at >= since):
        return ()
    return None
