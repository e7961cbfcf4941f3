"""The repair ledger: what becomes of affected records, and who is told. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kintsugi.errors import InvalidInput
from kintsugi.incidents.commands import Act, entry, refuse, still_open
from kintsugi.model.affected import (
    PEOPLE_ENDS,
    RECORD_ENDS,
    Affected,
    AffectedKind,
    AffectedStatus,
    Settling,
)
from kintsugi.model.blocker import Blocker
from kintsugi.model.incident import Entry, Incident


def added(
    incident: Incident,
    found: Sequence[tuple[AffectedKind, str, str, str]],
    act: Act,
) -> tuple[list[Affected], Entry]:
    """Affected records and people that a person names.

    Args:
        found: kind, key, system of a record, channel of a person.

    Raises:
        Blocked: the incident has ended.
        InvalidInput: none is named.
    """
    still_open(incident, f"add to what {incident.reference} affected")
    if not found or not all(key.strip() for _, key, _, _ in found):
        raise InvalidInput("name at least one, and none of them empty")
    kept = [
        Affected(
            incident.id,
            kind,
            key.strip(),
            "open" if kind == "record" else "to_tell",
            act.now,
            act.actor.reference,
            system=system,
            channel=channel,
        )
        for kind, key, system, channel in found
    ]
    told = entry(
        incident,
        "affected",
        f"affected: {_names([one.key for one in kept])}",
        act,
        detail={"added": [f"{one.kind}:{one.key}" for one in kept]},
    )
    return kept, told


def settling_of(
    incident: Incident,
    kind: AffectedKind,
    keys: Sequence[str],
    status: AffectedStatus,
    act: Act,
    *,
    evidence: str = "",
    channel: str | None = None,
) -> tuple[Settling, Entry]:
    """What became of some records, or that people were told; also after the incident is over.

    Raises:
        Blocked: with everything that is missing: how it is known, through which channel, or why.
        InvalidInput: none is named, or a status that its kind does not have.
    """
    begins: AffectedStatus = "open" if kind == "record" else "to_tell"
    ends = RECORD_ENDS if kind == "record" else PEOPLE_ENDS
    if status not in (begins, *ends):
        raise InvalidInput(f"status: of a {kind}, one of {', '.join((begins, *ends))}")
    if not keys:
        raise InvalidInput("keys: name at least one")
    found = []
    if status == "corrected" and not evidence.strip():
        found.append(
            Blocker(
                "evidence", "evidence", "say what shows that it is correct now", "a change's id"
            )
        )
    if status == "told" and not (channel or "").strip():
        found.append(Blocker("channel", "channel", "say how they were told", "mail, phone, ..."))
    if status in (begins, "accepted", "unrecoverable", "not_needed") and not act.reason.strip():
        found.append(Blocker("reason", "reason", "a reason is needed", "say why; it is kept"))
    refuse(f"settle {_names(keys)}", found)
    settling = Settling(
        status, act.actor.reference, act.happened_at, act.reason, evidence.strip(), channel
    )
    detail: dict[str, Any] = {"kind": kind, "keys": list(keys), "status": status}
    if evidence:
        detail["evidence"] = evidence.strip()
    word = status.replace("_", " ")
    told = entry(incident, "affected", f"{word}: {kind} {_names(keys)}", act, detail=detail)
    return settling, told


def _names(keys: Sequence[str]) -> str:
    shown = ", ".join(keys[:3])
    return shown if len(keys) <= 3 else f"{shown} and {len(keys) - 3:,} more"
