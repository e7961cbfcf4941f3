"""What the server's stores tell of an incident's close gates."""

from __future__ import annotations

from kintsugi.incidents.actions import gaps
from kintsugi.incidents.freezing import missing_evidence
from kintsugi.incidents.gates import GateFacts
from kintsugi.model.action import Action
from kintsugi.model.followup import FollowupFilter
from kintsugi.model.incident import Incident
from kintsugi.model.stores import Stores

# More than anybody keeps an eye on; beyond it the gate asks to drop some.
_ACTIONS_MAX = 1000


def gate_facts(stores: Stores, incident: Incident) -> GateFacts:
    """Everything that is computed; each part of the operation fills in its own field."""
    return GateFacts(
        evidence=missing_evidence(stores.freezes.of(incident.id)),
        actions=_actions(stores, incident),
        review=_review(stores, incident),
    )


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
