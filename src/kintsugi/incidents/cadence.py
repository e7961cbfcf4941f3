"""When somebody should tell where things stand, and when the review is due. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from kintsugi.incidents.severity import duties_of
from kintsugi.model.incident import ENDED, Incident


def update_due(incident: Incident) -> datetime | None:
    """When the team should hear more; None before it is declared and after it has ended."""
    if incident.state in ENDED or incident.state in ("reported", "triage"):
        return None
    since = incident.last_update_at or incident.reached.get("declared", incident.reported_at)
    return since + timedelta(minutes=duties_of(incident.severity).update_minutes)


def review_due(incident: Incident) -> datetime | None:
    """When the review should be published; None until harm has stopped, and after it has ended."""
    stopped = incident.reached.get("monitoring") or incident.reached.get("contained")
    if stopped is None or incident.state in ENDED:
        return None
    return stopped + timedelta(days=duties_of(incident.severity).review_days)
