"""The newest events that say something, in time whatever they say.

There are two ways: to look through the newest events until the page is full, which suits frequent
words, or to fetch every event of the index and sort, which suits rare ones. The planner cannot
choose between them: it takes any word that is not among the most frequent for one in two hundred
events. So the newest events are looked through first, up to a number that takes a few milliseconds.
Words that do not fill a page from these are rare enough for the index. Not so phrases: the index
has to fetch every event that holds their words, wherever they stand. They are looked for further,
if that promises to fill the page; a phrase of frequent words that are almost never together stays
slow.
"""

from __future__ import annotations

from typing import Any, Final

from psycopg.sql import SQL

from kintsugi.store.connections import Connection
from kintsugi.store.event_search import Condition
from kintsugi.store.search_text import parse_search, to_tsquery

# Where both ways cost about the same at a million events: 5,000 looked through or 10,000 fetched.
_WALK_TEXTS: Final = 5000
# With another filter each event costs a lookup in a second table.
_WALK_EVENTS: Final = 3000
_FURTHER: Final = 10

_WALK_THROUGH_TEXTS: Final = SQL(
    """
    SELECT page.timestamp, page.id::text, record
    FROM (
        SELECT newest.id, newest.timestamp
        FROM (
            SELECT e.id, e.timestamp, e.document
            FROM kintsugi.event_texts AS e
            WHERE {where}
            ORDER BY e.timestamp DESC, e.id DESC
            LIMIT %s
        ) AS newest
        WHERE newest.document @@ %s::tsquery
        ORDER BY newest.timestamp DESC, newest.id DESC
        LIMIT %s
    ) AS page
    JOIN kintsugi.event_records USING (id)
    ORDER BY page.timestamp DESC, page.id DESC
    """
)
_WALK_THROUGH_EVENTS: Final = SQL(
    """
    SELECT page.timestamp, page.id::text, record
    FROM (
        SELECT newest.id, newest.timestamp
        FROM (
            SELECT e.id, e.timestamp
            FROM {tables}
            WHERE {where}
            ORDER BY e.timestamp DESC, e.id DESC
            LIMIT %s
        ) AS newest
        -- One by one, in order, so that it ends when the page is full.
        CROSS JOIN LATERAL (
            SELECT FROM kintsugi.event_texts AS text
            WHERE text.id = newest.id AND text.document @@ %s::tsquery
            OFFSET 0
        ) AS said
        ORDER BY newest.timestamp DESC, newest.id DESC
        LIMIT %s
    ) AS page
    JOIN kintsugi.event_records USING (id)
    ORDER BY page.timestamp DESC, page.id DESC
    """
)
_INDEX_OF_TEXTS: Final = SQL(
    """
    WITH found AS MATERIALIZED (
        SELECT e.id, e.timestamp
        FROM kintsugi.event_texts AS e
        WHERE e.document @@ %s::tsquery AND {where}
    )
    SELECT page.timestamp, page.id::text, record
    FROM (SELECT * FROM found ORDER BY timestamp DESC, id DESC LIMIT %s) AS page
    JOIN kintsugi.event_records USING (id)
    ORDER BY page.timestamp DESC, page.id DESC
    """
)
_INDEX_AND_EVENTS: Final = SQL(
    """
    WITH found AS MATERIALIZED (
        SELECT id FROM kintsugi.event_texts WHERE document @@ %s::tsquery
    )
    SELECT page.timestamp, page.id::text, record
    FROM (
        SELECT e.id, e.timestamp
        FROM {tables} JOIN found ON found.id = e.id
        WHERE {where}
        ORDER BY e.timestamp DESC, e.id DESC
        LIMIT %s
    ) AS page
    JOIN kintsugi.event_records USING (id)
    ORDER BY page.timestamp DESC, page.id DESC
    """
)
_AT_LEAST_TEXTS: Final = SQL(
    "SELECT count(*) FROM (SELECT FROM kintsugi.event_texts AS e WHERE {where} LIMIT %s) AS counted"
)
_AT_LEAST_EVENTS: Final = SQL(
    "SELECT count(*) FROM (SELECT FROM {tables} WHERE {where} LIMIT %s) AS counted"
)


def newest_saying(
    connection: Connection, q: str, condition: Condition, *, limit: int
) -> list[tuple[Any, ...]]:
    """At most ``limit`` rows of timestamp, id and record, newest first.

    Args:
        condition: every other filter.
    """
    phrases = parse_search(q)
    query = to_tsquery(phrases)
    # Texts carry times and ids themselves; only other filters need the events.
    if condition.time_only:
        walk, index, at_least = _WALK_THROUGH_TEXTS, _INDEX_OF_TEXTS, _AT_LEAST_TEXTS
        most = _WALK_TEXTS
    else:
        walk, index, at_least = _WALK_THROUGH_EVENTS, _INDEX_AND_EVENTS, _AT_LEAST_EVENTS
        most = _WALK_EVENTS
    values = condition.values
    holds_phrase = any(len(phrase) > 1 for phrase in phrases)
    for bound in (most, most * _FURTHER) if holds_phrase else (most,):
        rows = connection.execute(condition.fill(walk), [*values, bound, query, limit]).fetchall()
        if len(rows) == limit:
            return rows
        counted = connection.execute(condition.fill(at_least), [*values, bound]).fetchone()
        if counted is not None and counted[0] < bound:
            return rows  # that was all of them
        if len(rows) * _FURTHER < limit:
            break
    return connection.execute(condition.fill(index), [query, *values, limit]).fetchall()
