"""What is done with an archive, one durable step at a time: writing, verifying, bringing back.

A month leaves the database only after everything of it was read again from where it was written,
compared with what the database holds, and checked against the Merkle log. Leaving is one
transaction with the archive's registration, so that at any moment a record is in the database, or
in an archive that the database knows, and never in neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, LiteralString

import msgspec
from psycopg.sql import SQL, Identifier

from kintsugi import __version__
from kintsugi.errors import (
    ArchiveDamaged,
    ArchiveUnavailable,
    ProofInvalid,
    StateConflict,
)
from kintsugi.ledger.leaves import root_of
from kintsugi.ledger.merkle import HASH_BYTES, leaf_hash
from kintsugi.model.archive import (
    FINDINGS_MAX,
    Archive,
    ArchivedFile,
    ArchiveFinding,
    Holds,
    Manifest,
    parse_month,
)
from kintsugi.model.custody import custody_entry
from kintsugi.model.log import LogStore
from kintsugi.store.archive_parquet import COLUMNS, FORMAT, Parquet, line, selected
from kintsugi.store.archive_shelf import Copies, Shelf
from kintsugi.store.connections import Connection, Database
from kintsugi.store.contents import ContentRow, Opener
from kintsugi.store.custody import add_custody
from kintsugi.store.migrate import HEAD
from kintsugi.store.search_text import payload_words, to_tsvector
from kintsugi.store.statements import load_statements

_SQL: Final = load_statements("archives")
_INGEST: Final = load_statements("events")
MANIFEST: Final = "manifest.json"
EVENTS_PER_FILE: Final = 50_000
_BYTES_PER_FILE: Final = 64_000_000
_ROWS_PER_FETCH: Final = 1000
# Of one table for its emptying; everybody who stores events waits as long.
_LOCK_WAIT: Final = "2s"
_MOVED: Final = {
    "event_records": "id",
    "event_payloads": "id",
    "evaluations": "event_id",
    "event_texts": "id",
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_OF_MONTH: Final[LiteralString] = (
    "e.id >= kintsugi.first_id(%(first)s) AND e.id < kintsugi.first_id(%(end)s)"
)
_EVENTS: Final[LiteralString] = (
    "SELECT "  # noqa: S608 - columns that we name
    + selected("events", {"": "e", "record": "r", "data_key": "p", "sealed": "p"})
    + " FROM kintsugi.events AS e JOIN kintsugi.event_records AS r ON r.id = e.id"
    " LEFT JOIN kintsugi.event_payloads AS p ON p.id = e.id WHERE "
    + _OF_MONTH
    + " AND e.position > %(after)s AND e.position <= %(until)s ORDER BY e.position LIMIT %(limit)s"
)
_EVALUATIONS: Final[LiteralString] = (
    "SELECT "  # noqa: S608 - columns that we name
    + selected("evaluations", {"": "v", "position": "e"})
    + " FROM kintsugi.events AS e JOIN kintsugi.evaluations AS v ON v.event_id = e.id WHERE "
    + _OF_MONTH
    + " AND e.position BETWEEN %(after)s AND %(until)s ORDER BY e.position, v.ordinal"
)
_PLACE: Final = {holds: list(columns) for holds, columns in COLUMNS.items()}

Save = Callable[[Connection, Archive], None]
"""Saves a claimed archive in a transaction, or raises VersionConflict."""


class Tasks:
    """The steps, on one place. ``save`` is the queue's."""

    def __init__(
        self,
        database: Database,
        shelf: Shelf,
        copies: Copies,
        parquet: Parquet,
        opener: Opener,
        log: LogStore,
        *,
        events_per_file: int = EVENTS_PER_FILE,
    ) -> None:
        self._database = database
        self._shelf = shelf
        self._copies = copies
        self._parquet = parquet
        self._opener = opener
        self._log = log
        self._events_per_file = events_per_file

    def write(self, archive: Archive, save: Save, *, now: datetime) -> Archive:
        """Count, then write a file with its evaluations, and at the end register the archive."""
        if archive.total is None:
            return self._begin(archive, save)
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["bounds"], [archive.id]).fetchone()
            after, number = (row[1] or 0, row[2]) if row is not None else (0, 0)
            rows = self._next_events(connection, archive, after=after)
            evaluations = []
            if rows:
                values = {**_times(archive), "after": rows[0][1], "until": rows[-1][1]}
                evaluations = connection.execute(_EVALUATIONS.encode(), values).fetchall()
        if not rows:
            return self._register(archive, save, now=now)
        bounds = (rows[0][1], rows[-1][1])
        name = f"{number + 1:06d}.{archive.attempt}"
        files = [self._write_file(archive, "events", f"{name}-events", rows, bounds)]
        self._check_with_log(rows)
        if evaluations:
            files.append(
                self._write_file(archive, "evaluations", f"{name}-evaluations", evaluations, bounds)
            )
        written = msgspec.structs.replace(
            archive,
            worked=archive.worked + len(rows),
            events=archive.events + len(rows),
            evaluations=archive.evaluations + len(evaluations),
            files=archive.files + len(files),
            bytes=archive.bytes + sum(file.bytes for file in files),
        )
        with self._database.transaction() as connection:
            for file in files:
                connection.execute(_SQL["add_file"], [archive.id, *_values(file)])
            save(connection, written)
        return written

    def verify(self, archive: Archive, save: Save, *, now: datetime) -> Archive:
        """Read one file as it is there now, and compare it with what was written and the log."""
        if not archive.cursor:
            archive = msgspec.structs.replace(
                archive, findings=tuple(self._check_manifest(archive))
            )
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["next_file"], [archive.id, archive.cursor]).fetchone()
        if row is None:
            checked = msgspec.structs.replace(
                archive, state="done", verified_at=now, finished_at=now
            )
            entry = custody_entry(
                "verify",
                f"archive:{archive.id}",
                actor=archive.actor,
                now=now,
                reason=f"{len(archive.findings)} findings" if archive.findings else "as written",
                digest_before=f"sha256:{archive.manifest_sha256}",
                digest_after="" if archive.findings else f"sha256:{archive.manifest_sha256}",
            )
            with self._database.transaction() as connection:
                save(connection, checked)
                add_custody(connection, entry, now=now)
            return checked
        file = ArchivedFile(*row)
        found = (*archive.findings, *self._check_file(archive, file))
        checked = msgspec.structs.replace(
            archive,
            cursor=file.name,
            worked=archive.worked + (file.rows if file.holds == "events" else 0),
            findings=found[:FINDINGS_MAX],
        )
        with self._database.transaction() as connection:
            save(connection, checked)
        return checked

    def restore(self, archive: Archive, save: Save, *, now: datetime) -> Archive:
        """Put the rows of one file back; at the end, the archive is in force no longer."""
        with self._database.transaction() as connection:
            row = connection.execute(_SQL["next_file"], [archive.id, archive.cursor]).fetchone()
        if row is None:
            back = msgspec.structs.replace(archive, state="done", restored_at=now, finished_at=now)
            entry = custody_entry(
                "archive",
                f"archive:{archive.id}",
                actor=archive.actor,
                now=now,
                reason=archive.reason or "brought back",
                digest_before=f"sha256:{archive.manifest_sha256}",
            )
            with self._database.transaction() as connection:
                save(connection, back)
                add_custody(connection, entry, now=now)
            return back
        file = ArchivedFile(*row)
        rows = list(self._parquet.rows(file.holds, self._copy(archive, file)))
        back = msgspec.structs.replace(
            archive,
            cursor=file.name,
            worked=archive.worked + (file.rows if file.holds == "events" else 0),
        )
        with self._database.transaction() as connection:
            connection.execute(_INGEST["create_month"], [parse_month(archive.month)[0]])
            if file.holds == "events":
                _put_events(connection, rows)
            else:
                _put_evaluations(connection, rows)
            save(connection, back)
        if file.holds == "events":
            self._index(rows)
        return back

    def _begin(self, archive: Archive, save: Save) -> Archive:
        times = _times(archive)
        with self._database.transaction() as connection:
            row = connection.execute(_INGEST["last_position"]).fetchone()
            until = int(row[0]) if row is not None else 0
            values = {**times, "until": until}
            hot, still_open = _two(connection, "count_hot", values)
            (known,) = _row(connection, "count_known", values)
            archived = sum(
                msgspec.json.decode(record, type=Archive).events
                for (record,) in connection.execute(_SQL["in_force"], {"month": archive.month})
            )
            if hot == 0:
                raise StateConflict(f"nothing of {archive.month} is in the database to be archived")
            if still_open:
                raise StateConflict(
                    f"{still_open:,} contents of {archive.month} are not sealed yet, and what lies "
                    "open could not be erased in an archive; the control plane seals them in the "
                    "background where it has a key (see `kt status`), try again then"
                )
            if known > hot + archived:
                raise StateConflict(
                    f"{known - hot - archived:,} records of {archive.month} are missing from the "
                    "database; find out which with `kt doctor --full` before anything is moved"
                )
            begun = msgspec.structs.replace(
                archive, place=self._shelf.address, until_position=until, total=hot
            )
            save(connection, begun)
        return begun

    def _next_events(
        self, connection: Connection, archive: Archive, *, after: int
    ) -> list[tuple[Any, ...]]:
        values = {
            **_times(archive),
            "after": after,
            "until": archive.until_position,
            "limit": self._events_per_file,
        }
        rows: list[tuple[Any, ...]] = []
        size = 0
        with connection.cursor(name="archived") as cursor:
            cursor.itersize = _ROWS_PER_FETCH
            for row in cursor.execute(_EVENTS.encode(), values):
                rows.append(row)
                size += len(row[-3]) + len(row[-1] or b"")
                if size >= _BYTES_PER_FILE:
                    break
        return rows

    def _write_file(
        self,
        archive: Archive,
        holds: Holds,
        stem: str,
        rows: list[tuple[Any, ...]],
        bounds: tuple[int, int],
    ) -> ArchivedFile:
        """Write rows to the archive, read them back from there, and compare."""
        name = f"{stem}.parquet"
        path = f"{archive.folder}/{name}"
        with self._local(), self._copies.scratch() as lines, self._copies.scratch() as draft:
            longest = 0
            with lines.open("wb") as file:
                for row in rows:
                    text = line(holds, row)
                    longest = max(longest, len(text))
                    file.write(text)
            self._parquet.write(holds, lines, draft, longest_bytes=longest)
            self._shelf.put(path, draft)
            with self._copies.scratch() as back:
                digest = self._shelf.fetch(path, back)
                size = back.stat().st_size
                if list(self._parquet.rows(holds, back)) != rows:
                    raise ArchiveDamaged(
                        f"{self._shelf.address}/{path} does not give back what was written; "
                        "nothing was taken out of the database"
                    )
        return ArchivedFile(name, holds, len(rows), *bounds, size, digest)

    @contextmanager
    def _local(self) -> Iterator[None]:
        """Name our own disk where that is what fails."""
        try:
            yield
        except OSError as error:
            raise ArchiveUnavailable(
                f"files cannot be prepared for the archive on this machine: {error.strerror}"
            ) from error

    def _check_with_log(self, rows: list[tuple[Any, ...]]) -> None:
        found = list(self._disagreements({row[1]: row[-3] for row in rows}))
        if found:
            raise ProofInvalid(
                f"{found[0].where}: {found[0].what}; nothing of this month was taken out of the "
                "database, see `kt doctor --full`"
            )

    def _disagreements(self, records: dict[int, str]) -> Iterator[ArchiveFinding]:
        """Where records, by their positions, are not those of the log's batches."""
        if not records:
            return
        with self._database.transaction() as connection:
            bounds = {"first": min(records), "last": max(records)}
            batches = connection.execute(_SQL["batches"], bounds).fetchall()
        proven = 0
        for first, last, leaf, kept, data in batches:
            own = {at: records[at] for at in range(first, last + 1) if at in records}
            if not own:
                continue
            proven += len(own)
            root = msgspec.json.decode(data)["root"]
            whole = bytes(kept) if kept is not None else b""
            hashes = [whole[at : at + HASH_BYTES] for at in range(0, len(whole), HASH_BYTES)]
            if not hashes:  # from before they were kept: the whole batch is computed
                stored = {at: record for at, _, record in self._log.batch(first, last).rows}
                texts = [own.get(at, stored.get(at, "")) for at in range(first, last + 1)]
                hashes = [leaf_hash(text.encode()) for text in texts]
            if root_of(hashes) != root:
                yield ArchiveFinding(
                    f"leaf {leaf}", f"the records {first} to {last} are not those that it tells of"
                )
                continue
            for at, record in own.items():
                if leaf_hash(record.encode()) != hashes[at - first]:
                    yield ArchiveFinding(
                        f"position {at}", f"the record is not the one that leaf {leaf} tells of"
                    )
        if proven != len(records):
            yield ArchiveFinding(
                f"positions {min(records)} to {max(records)}",
                f"{len(records) - proven} records are in no batch of the log",
            )

    def _register(self, archive: Archive, save: Save, *, now: datetime) -> Archive:
        """Take what was archived out of the database."""
        if archive.events != archive.total:
            raise StateConflict(
                f"{archive.total} records of {archive.month} were counted and {archive.events} "
                "written; the month changed meanwhile, archive it anew"
            )
        manifest_sha256 = self._write_manifest(archive)
        done = msgspec.structs.replace(
            archive,
            manifest_sha256=manifest_sha256,
            state="done",
            archived_at=now,
            finished_at=now,
        )
        entry = custody_entry(
            "archive",
            f"archive:{archive.id}",
            actor=archive.actor,
            now=now,
            reason=archive.reason,
            digest_after=f"sha256:{manifest_sha256}",
        )
        values = {**_times(archive), "until": archive.until_position}
        with self._database.transaction() as connection:
            # Counted before anything is locked: what may still change of these is erased content.
            hot, still_open = _two(connection, "count_hot", values)
            if hot != archive.events or still_open:
                raise StateConflict(
                    f"{archive.month} holds {hot} records and {archive.events} were archived; "
                    "the month changed meanwhile, archive it anew"
                )
            connection.execute(SQL("SET LOCAL lock_timeout = {}").format(_LOCK_WAIT))
            connection.execute(_INGEST["lock_ingest"])
            _empty(connection, archive.month, values)
            save(connection, done)
            add_custody(connection, entry, now=now)
        return done

    def _write_manifest(self, archive: Archive) -> str:
        with self._database.transaction() as connection:
            rows = connection.execute(_SQL["files"], [archive.id]).fetchall()
            (first, last, _) = _row(connection, "bounds", [archive.id])
            (first_leaf,) = _row(connection, "leaf_at", [first])
            (last_leaf,) = _row(connection, "leaf_at", [last])
        manifest = Manifest(
            FORMAT,
            __version__,
            HEAD,
            archive.id,
            archive.month,
            archive.until_position,
            archive.events,
            archive.evaluations,
            first_leaf,
            last_leaf,
            tuple(ArchivedFile(*row) for row in rows),
        )
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        path = f"{archive.folder}/{MANIFEST}"
        with self._local(), self._copies.scratch() as draft, self._copies.scratch() as back:
            draft.write_bytes(text)
            self._shelf.put(path, draft)
            digest = self._shelf.fetch(path, back)
            if back.read_bytes() != text:
                raise ArchiveDamaged(f"{self._shelf.address}/{path} is not what was written")
        return digest

    def _check_manifest(self, archive: Archive) -> Iterator[ArchiveFinding]:
        path = f"{archive.folder}/{MANIFEST}"
        try:
            with self._local(), self._copies.scratch() as back:
                if self._shelf.fetch(path, back) != archive.manifest_sha256:
                    yield ArchiveFinding(path, _differs(back, archive.manifest_sha256))
        except ArchiveUnavailable as error:
            yield ArchiveFinding(path, str(error))

    def _check_file(self, archive: Archive, file: ArchivedFile) -> Iterator[ArchiveFinding]:
        path = f"{archive.folder}/{file.name}"
        try:
            with self._local(), self._copies.scratch() as back:
                if self._shelf.fetch(path, back) != file.sha256:
                    yield ArchiveFinding(path, _differs(back, file.sha256, file.bytes))
                if file.holds == "events":
                    # Also of a damaged one, to say which records the damage is in.
                    rows = self._parquet.rows("events", back)
                    records = {row[1]: str(row[-3]) for row in rows}
                    for one in self._disagreements(records):
                        yield ArchiveFinding(f"{path}, {one.where}", one.what)
        except ArchiveUnavailable as error:
            yield ArchiveFinding(path, str(error).replace(back.name, path))

    def _copy(self, archive: Archive, file: ArchivedFile) -> Path:
        return self._copies.path(f"{archive.folder}/{file.name}", file.sha256)

    def _index(self, rows: list[tuple[Any, ...]]) -> None:
        """Make what came back findable by its words."""
        at = _PLACE["events"]
        with self._database.transaction() as connection:
            found = connection.execute(_SQL["hot"], [[row[0] for row in rows]]).fetchall()
            times = {row[0]: _moment(row[at.index("timestamp")]) for row in rows}
            texts = []
            for identifier, record, *content in found:
                payload = self._opener.event(record, ContentRow(*content)).payload
                if words := payload_words(payload):
                    texts.append((identifier, times[identifier], to_tsvector(words)))
            if texts:
                columns = [list(column) for column in zip(*texts, strict=True)]
                connection.execute(_SQL["add_texts"], columns)


def _times(archive: Archive) -> dict[str, Any]:
    first, end = parse_month(archive.month)
    return {"first": first, "end": end}


def _empty(connection: Connection, month: str, values: dict[str, Any]) -> None:
    """Empty a month's partitions, all but what was stored after the archive began.

    TRUNCATE rather than dropping them: it gives the disk back as quickly, locks these partitions
    instead of the whole table, and leaves them for what comes late.
    """
    late = [identifier for (identifier,) in connection.execute(_SQL["late_records"], values)]
    for table, column in _MOVED.items():
        child = Identifier("kintsugi", f"{table}_{month.replace('-', '_')}")
        connection.execute(SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(child))
        if late:
            connection.execute(
                SQL(
                    "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS"
                    " SELECT * FROM {} WHERE {} = ANY(%s)"
                ).format(Identifier(f"late_{table}"), child, Identifier(column)),
                [late],
            )
        connection.execute(SQL("TRUNCATE {}").format(child))
        if late:
            connection.execute(
                SQL("INSERT INTO {} SELECT * FROM {}").format(child, Identifier(f"late_{table}"))
            )


def _put_events(connection: Connection, rows: list[tuple[Any, ...]]) -> None:
    at = _PLACE["events"]
    record, data_key, sealed = at.index("record"), at.index("data_key"), at.index("sealed")
    ids = [row[0] for row in rows]
    connection.execute(_SQL["add_records"], [ids, [row[record] for row in rows]])
    kept = [row for row in rows if row[data_key] is not None]
    if kept:
        connection.execute(
            _SQL["add_payloads"],
            [
                [row[0] for row in kept],
                [row[data_key] for row in kept],
                [row[sealed] for row in kept],
            ],
        )


def _put_evaluations(connection: Connection, rows: list[tuple[Any, ...]]) -> None:
    names = _PLACE["evaluations"][1:]
    columns = [list(column) for column in zip(*rows, strict=True)][1:]
    columns[names.index("timestamp")] = [_moment(value) for value in columns[1]]
    connection.execute(
        SQL(
            "INSERT INTO kintsugi.evaluations ({}) SELECT * FROM unnest("
            "%s::uuid[], %s::timestamptz[], %s::integer[], %s::integer[], %s::text[], %s::text[],"
            " %s::text[], %s::text[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING"
        ).format(SQL(", ").join(map(Identifier, names))),
        columns,
    )


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _differs(found: Path, sha256: str, size: int | None = None) -> str:
    now = found.stat().st_size
    if size is not None and now != size:
        return f"has {now:,} bytes and had {size:,}"
    return f"its SHA-256 is not {sha256}, which it had when it was written"


def _row(connection: Connection, name: str, values: Any) -> tuple[Any, ...]:
    row = connection.execute(_SQL[name], values).fetchone()
    return row if row is not None else ()


def _two(connection: Connection, name: str, values: Any) -> tuple[int, int]:
    first, second = _row(connection, name, values)
    return int(first), int(second)


def _values(file: ArchivedFile) -> list[Any]:
    return [getattr(file, name) for name in file.__struct_fields__]
