"""Who may see an incident: everybody who may look at incidents, or only those who work on it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from kintsugi.model.incident import Assessment, Incident, Visibility
from kintsugi.model.signal import Severity

STRICTNESS: Final[tuple[Visibility, ...]] = ("open", "reference", "hidden")

# What holds until a person decides otherwise; the strictest counts.
BY_SEVERITY: Final[Mapping[Severity, Visibility]] = MappingProxyType({"critical": "reference"})
BY_CATEGORY: Final[Mapping[str, Visibility]] = MappingProxyType(
    {"security_and_data_leakage": "reference"}
)
RESTRICTED_TITLE: Final = "(restricted)"


def visibility_of(incident: Incident) -> Visibility:
    """What others see of it: all, only that it exists, or nothing."""
    if incident.visibility is not None:
        return incident.visibility
    by_default: list[Visibility] = ["open"]
    if incident.severity is not None:
        by_default.append(BY_SEVERITY.get(incident.severity, "open"))
    by_default += [BY_CATEGORY.get(one, "open") for one in incident.categories]
    return max(by_default, key=STRICTNESS.index)


def seers_of(incident: Incident) -> tuple[str, ...]:
    """The names of those who may see it although it is restricted: holders of its roles, and
    people to whom sight was granted."""
    holders = (term.person for term in incident.roles if term.renounced_at is None)
    return tuple(dict.fromkeys((*holders, *incident.people)))


def may_see(incident: Incident, name: str) -> bool:
    """Whether a person without the permission to see every incident may see this one."""
    return visibility_of(incident) == "open" or name in seers_of(incident)


def veiled(incident: Incident) -> Incident:
    """What others see of one that shows its reference only: that it exists, how grave it is, where
    it stands, and whom to ask."""
    return Incident(
        id=incident.id,
        number=incident.number,
        version=incident.version,
        title=RESTRICTED_TITLE,
        state=incident.state,
        reported_at=incident.reported_at,
        reported_by="",
        updated_at=incident.reported_at,
        visibility="reference",
        assessment=(
            Assessment({}, incident.severity, (), "", incident.reported_at)
            if incident.severity is not None
            else None
        ),
        roles=tuple(
            msgspec.structs.replace(term, assigned_by="", handover="")
            for term in incident.roles
            if term.role == "commander" and term.renounced_at is None
        ),
    )
