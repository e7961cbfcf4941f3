"""What follows from incidents, in memory, for unit tests."""

from __future__ import annotations

from kintsugi.errors import NotFound
from kintsugi.model.followup import (
    Followup,
    FollowupFilter,
    FollowupOrder,
    followup_record,
    kind_of,
    read_followup,
)
from kintsugi.store.cursors import paged, place_in
from kintsugi.store.followups import conflict_of, next_version, place
from kintsugi.store.uuids import parse_uuid


class MemoryFollowups:
    """The same promises as ``PostgresFollowups``; the lock is that of ``MemoryIncidents``."""

    def __init__(self) -> None:
        self._found: dict[str, Followup] = {}

    def get(self, followup_id: str) -> Followup:
        identifier = parse_uuid(followup_id)
        try:
            return self._found[str(identifier)]
        except KeyError:
            raise NotFound(f'there is nothing with the id "{followup_id}"') from None

    def page(
        self,
        where: FollowupFilter,
        *,
        order: FollowupOrder,
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[Followup], str | None]:
        after = place_in(cursor)
        newest = order == "newest"
        found = sorted(
            (
                one
                for one in list(self._found.values())
                if _is(one, where)
                and (
                    after is None
                    or (place(one, order) < after if newest else place(one, order) > after)
                )
            ),
            key=lambda one: place(one, order),
            reverse=newest,
        )
        return paged(found, limit, lambda one: place(one, order))

    def check(self, followup: Followup) -> None:
        """Raise when it cannot be kept.

        Raises:
            VersionConflict: it is at another version than the one it was changed from.
        """
        stored = self._found.get(followup.id)
        if followup.version != (0 if stored is None else stored.version):
            raise conflict_of(followup)

    def keep(self, followup: Followup) -> None:
        """Store it as a new version."""
        # As a database gives it back: nothing of the caller's is shared.
        self._found[followup.id] = read_followup(followup_record(next_version(followup)))


def _is(followup: Followup, where: FollowupFilter) -> bool:
    due = followup.due_at
    return (
        where.kind in ("", kind_of(followup))
        and where.incident in ("", *followup.incidents)
        and where.status in ("", followup.status)
        and where.party in ("", followup.party)
        and where.settled in (None, followup.settled)
        and (where.due_before is None or (due is not None and due < where.due_before))
    )
