"""What a package holds of the incident that it is about, besides its events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, get_args

import msgspec

from kintsugi.errors import NotFound
from kintsugi.ledger.package import contents
from kintsugi.ledger.package.writer import PackageWriter
from kintsugi.model.affected import Affected, AffectedKind
from kintsugi.model.freeze import Freeze
from kintsugi.model.incident import Incident, TimelineEntry, record_of
from kintsugi.model.stores import Stores

_AT_ONCE: Final = 500
# Of one incident; it says so where there is more.
_ENTRIES_MAX: Final = 100_000


def add_incident(writer: PackageWriter, key: str, stores: Stores) -> list[Freeze]:
    """Add its record, timeline, freezes, signals and what it affected; its freezes.

    An incident that only gateways named has none of these.
    """
    try:
        incident = stores.incidents.get(key)
    except NotFound:
        writer.remark(f'No incident "{key}" is known here; gateways named it on these events.')
        return []
    writer.add_text(contents.INCIDENT, record_of(incident) + b"\n")
    signals: dict[str, None] = {}
    for number, told in enumerate(_timeline(incident, stores)):
        if number == _ENTRIES_MAX:
            writer.remark(f"Of the incident's timeline the newest {_ENTRIES_MAX:,} are here.")
            break
        writer.add_text(contents.INCIDENT_TIMELINE, msgspec.json.encode(told) + b"\n")
        kind, _, name = str(told.entry.detail.get("subject", "")).partition(":")
        if kind == "signal":
            signals[name] = None
    for name in signals:
        try:
            found = stores.signals.get(name)
        except NotFound:
            continue
        writer.add_text(contents.SIGNALS, msgspec.json.encode(found) + b"\n")
    freezes = stores.freezes.of(incident.id)
    for freeze in freezes:
        writer.add_text(contents.FREEZES, msgspec.json.encode(freeze) + b"\n")
    for one in _affected(incident, stores):
        writer.add_text(contents.AFFECTED, msgspec.json.encode(one) + b"\n")
    return freezes


def _timeline(incident: Incident, stores: Stores) -> Iterator[TimelineEntry]:
    cursor: str | None = None
    while True:
        found, cursor = stores.incidents.timeline(
            incident.id, order="at", pinned_only=False, limit=_AT_ONCE, cursor=cursor
        )
        yield from found
        if cursor is None:
            return


def _affected(incident: Incident, stores: Stores) -> Iterator[Affected]:
    kinds = get_args(AffectedKind)
    after: tuple[str, str] | None = None
    while found := stores.affected.page(incident.id, kinds, status="", limit=_AT_ONCE, after=after):
        yield from found
        after = found[-1].kind, found[-1].key
