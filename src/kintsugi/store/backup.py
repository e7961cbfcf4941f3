"""Everything in one file, and back again.

A backup is a tar archive: ``manifest.json``, ``database.dump`` (pg_dump's custom format) and any
files of the state folder that were asked for. The manifest says how many of each there are and the
SHA-256 of every member; both are taken from the same snapshot of a database that goes on working.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

import msgspec
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from kintsugi import __version__
from kintsugi.durable import sync
from kintsugi.errors import DatabaseUnusable, InvalidInput, StoreUnavailable
from kintsugi.store.aside import SCHEMA_LOCK, set_aside
from kintsugi.store.connections import Connection, in_our_words
from kintsugi.store.migrate import prepare_database, schema_version
from kintsugi.store.programs import candidate_folders, find_client_programs

FORMAT: Final = 1
_MANIFEST: Final = "manifest.json"
_DUMP: Final = "database.dump"
_STATE: Final = "state/"
_COUNTED: Final = (
    "events",
    "event_records",
    "event_payloads",
    "evaluations",
    "configuration_versions",
    "gateways",
    "tokens",
    "exports",
)
_CHUNK_BYTES: Final = 1 << 20
_TELL_EVERY_SECONDS: Final = 2.0


class Member(msgspec.Struct, frozen=True):
    """One file in a backup."""

    bytes: int
    sha256: str


class NeededArchive(msgspec.Struct, frozen=True):
    """An archive that the saved database depends on; its files are not in the backup.

    Attributes:
        place: where it was written.
    """

    month: str
    id: str
    manifest_sha256: str
    place: str = ""
    events: int = 0
    files: int = 0
    bytes: int = 0


class Manifest(msgspec.Struct, frozen=True):
    """What a backup holds.

    Attributes:
        kintsugi, postgresql: the versions that made it.
        migration: the newest step of the schema in it.
        counts: rows by table.
        last_position: the newest event's.
        members: every other file in the archive, by name.
        archives: what else it takes to read everything (docs/archive.md).
    """

    format: int
    kintsugi: str
    postgresql: str
    migration: str
    taken_at: datetime
    counts: dict[str, int]
    last_position: int
    members: dict[str, Member]
    archives: tuple[NeededArchive, ...] = ()


def backup(
    conninfo: str,
    destination: Path,
    *,
    now: datetime,
    state_files: Mapping[str, Path] | None = None,
    tell: Callable[[str], None] = lambda _: None,
    folders: Callable[[], Iterable[Path]] = candidate_folders,
) -> Manifest:
    """Write a backup of a database that may be in use; nobody has to wait for it.

    The file appears complete, readable by its owner only, read back and checked, or not at all.

    Args:
        state_files: further files by their names relative to the state folder.
        tell: gets a sentence now and then.

    Raises:
        InvalidInput: the destination exists, or is in a folder that does not.
        StoreUnavailable: the database cannot be reached.
        DatabaseUnusable: pg_dump failed, is older than the server, or the disk is full.
    """
    if destination.exists():
        raise InvalidInput(f"{destination} exists; a backup never replaces anything")
    if not destination.parent.is_dir():
        raise InvalidInput(f"there is no folder {destination.parent}")
    try:
        # Beside the destination, so that the end is a rename on the same disk.
        with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".kt-backup-") as name:
            unfinished = Path(name)
            files = {_STATE + key: path for key, path in (state_files or {}).items()}
            manifest = _dump(conninfo, unfinished, files, now=now, tell=tell, folders=folders)
            archive = unfinished / "archive"
            _write_archive(archive, manifest, {_DUMP: unfinished / _DUMP, **files})
            tell("checking the backup")
            read_manifest(archive)
            os.link(archive, destination)  # unlike a rename, refuses to replace
            sync(destination.parent)
    except FileExistsError:
        raise InvalidInput(f"{destination} exists; a backup never replaces anything") from None
    except OSError as error:
        raise DatabaseUnusable(f"the backup cannot be written: {error}") from error
    return manifest


def restore(
    conninfo: str,
    source: Path,
    *,
    now: datetime,
    state: Path | None = None,
    replace: bool = False,
    tell: Callable[[str], None] = lambda _: None,
    folders: Callable[[], Iterable[Path]] = candidate_folders,
) -> Manifest:
    """Bring a backup back, all or nothing, and migrate it to this version.

    Args:
        state: where the state files of the backup go; those that are there already stay.
        replace: give up what the database holds now.

    Raises:
        InvalidInput: the file is no backup, was damaged, or is newer than this program; or the
            database is not empty and ``replace`` was not said, or is in use.
        StoreUnavailable: the database cannot be reached.
        DatabaseUnusable: the server is older than the one that was saved, or pg_restore failed.
    """
    tell("checking the backup")
    manifest = read_manifest(source)
    with (
        tempfile.TemporaryDirectory(prefix="kt-restore-") as name,
        in_our_words(),
        psycopg.connect(conninfo, autocommit=True) as connection,
    ):
        _require_fit(connection, manifest, replace=replace)
        programs = find_client_programs(_major(connection), folders=folders())
        dump = Path(name, _DUMP)
        _extract(source, _DUMP, dump)
        connection.execute("SELECT pg_advisory_lock(%s)", [SCHEMA_LOCK])
        with set_aside(connection):
            tell(f"restoring {manifest.counts['events']:,} events")
            _run(
                [
                    programs.path("pg_restore"),
                    "--single-transaction",
                    "--exit-on-error",
                    "--no-owner",
                    "--no-acl",
                    str(dump),
                ],
                conninfo,
                watch=None,
                tell=tell,
            )
            restored = _counts(connection)
            if restored != manifest.counts:
                raise DatabaseUnusable(
                    f"the restored database holds {restored}, the backup said {manifest.counts}"
                )
    prepare_database(conninfo, now=now)
    if state is not None:
        _restore_state(source, manifest, state)
    return manifest


def read_manifest(source: Path) -> Manifest:
    """Check every byte of a backup against its manifest.

    Raises:
        InvalidInput: it is no backup, was damaged, or this program is too old for it.
    """
    try:
        with tarfile.open(source, "r:") as archive:
            manifest = msgspec.json.decode(_member(archive, _MANIFEST).read(), type=Manifest)
            if manifest.format > FORMAT:
                raise InvalidInput(
                    f"{source} was made by Kintsugi {manifest.kintsugi}, in a form that this "
                    "version does not know"
                )
            names = set(archive.getnames()) - {_MANIFEST}
            found = {name: _digest(_member(archive, name)) for name in names}
    except (tarfile.TarError, msgspec.MsgspecError, EOFError, OSError) as error:
        raise InvalidInput(f"{source} is not a whole Kintsugi backup: {error}") from error
    for name in sorted(names | set(manifest.members)):
        if found.get(name) != manifest.members.get(name):
            raise InvalidInput(
                f'{source} was damaged or changed: "{name}" is not what the manifest says'
            )
    return manifest


def _dump(
    conninfo: str,
    folder: Path,
    files: Mapping[str, Path],
    *,
    now: datetime,
    tell: Callable[[str], None],
    folders: Callable[[], Iterable[Path]],
) -> Manifest:
    with in_our_words(), psycopg.connect(conninfo) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        migration = schema_version(connection)
        if migration is None:
            raise InvalidInput("the database holds no Kintsugi data yet; there is nothing to save")
        programs = find_client_programs(_major(connection), folders=folders())
        row = connection.execute(
            "SELECT pg_export_snapshot(), last_position, pg_database_size(current_database())"
            " FROM kintsugi.ingest_position"
        ).fetchone()
        if row is None:
            raise InvalidInput("the database holds no Kintsugi data yet; there is nothing to save")
        snapshot, last_position, database_bytes = row
        counts = _counts(connection)
        tell(f"saving {counts['events']:,} events ({database_bytes / 1e6:,.0f} MB in the database)")
        _run(
            [
                programs.path("pg_dump"),
                "--format=custom",
                "--compress=3",
                "--no-owner",
                "--no-acl",
                "--exclude-table-data=kintsugi.reader_login",
                f"--snapshot={snapshot}",
                f"--file={folder / _DUMP}",
            ],
            conninfo,
            watch=folder / _DUMP,
            tell=tell,
        )
        _run([programs.path("pg_restore"), "--list", str(folder / _DUMP)], None, None, tell)
        members = {}
        for name, path in {_DUMP: folder / _DUMP, **files}.items():
            with path.open("rb") as file:
                members[name] = _digest(file)
        return Manifest(
            format=FORMAT,
            kintsugi=__version__,
            postgresql=_server_version(connection),
            migration=migration,
            taken_at=now,
            counts=counts,
            last_position=last_position,
            members=members,
            archives=_archives(connection),
        )


def _write_archive(archive: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    descriptor = os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with tarfile.open(fileobj=file, mode="w:", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, _MANIFEST, io.BytesIO(text), len(text), manifest.taken_at)
            for name, path in files.items():
                with path.open("rb") as content:
                    _add(tar, name, content, manifest.members[name].bytes, manifest.taken_at)
        file.flush()
        os.fsync(file.fileno())


def _add(
    tar: tarfile.TarFile, name: str, content: IO[bytes], size_bytes: int, at: datetime
) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size_bytes, int(at.timestamp()), 0o600
    tar.addfile(member, content)


def _require_fit(connection: Connection, manifest: Manifest, *, replace: bool) -> None:
    if _major(connection) < int(re.findall(r"\d+", manifest.postgresql)[0]):
        raise DatabaseUnusable(
            f"the backup was taken from PostgreSQL {manifest.postgresql}; this server is "
            f"{_server_version(connection)}, and an older one cannot take it"
        )
    if others := _others(connection):
        raise InvalidInput(
            f"the database is in use by {others} other connections; stop what uses it first"
        )
    if not replace and schema_version(connection) is not None:
        held = _counts(connection)
        raise InvalidInput(
            f"the database is not empty ({held['events']:,} events, "
            f"{held['configuration_versions']:,} configuration versions); restore into an empty "
            "one, or say that what is there may be replaced"
        )


def _others(connection: Connection, *, patience_seconds: float = 3.0) -> int:
    """How many others are connected, after those that are on their way out have gone."""
    deadline = time.monotonic() + patience_seconds
    while True:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchone()
        others = int(row[0]) if row else 0
        if not others or time.monotonic() > deadline:
            return others
        time.sleep(0.05)


def _counts(connection: Connection) -> dict[str, int]:
    counts = {}
    for table in _COUNTED:
        statement = sql.SQL("SELECT count(*) FROM kintsugi.{}").format(sql.Identifier(table))
        row = connection.execute(statement).fetchone()
        counts[table] = int(row[0]) if row else 0
    return counts


def _archives(connection: Connection) -> tuple[NeededArchive, ...]:
    rows = connection.execute(
        "SELECT record FROM kintsugi.archives WHERE in_force ORDER BY month, id"
    ).fetchall()
    return tuple(msgspec.json.decode(record, type=NeededArchive) for (record,) in rows)


def _run(
    command: list[str], conninfo: str | None, watch: Path | None, tell: Callable[[str], None]
) -> None:
    """Run one of PostgreSQL's programs; told now and then how much ``watch`` has grown."""
    environment = dict(os.environ, LC_ALL="C")
    if conninfo is not None:
        # Not on the command line, where every user of the machine can read it.
        settings: dict[str, Any] = {**conninfo_to_dict(conninfo)}
        password = settings.pop("password", None)
        if password is not None:
            environment["PGPASSWORD"] = str(password)
        command = [*command, f"--dbname={make_conninfo(**settings)}"]
    with subprocess.Popen(  # noqa: S603 - a program that we looked for, with our own arguments
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        umask=0o077,
    ) as process:
        told = time.monotonic()
        while True:
            try:
                _, said = process.communicate(timeout=_TELL_EVERY_SECONDS)
                break
            except subprocess.TimeoutExpired:
                if watch is not None and watch.exists():
                    tell(f"{watch.stat().st_size / 1e6:,.0f} MB written")
                else:
                    tell(f"{Path(command[0]).name} runs ({time.monotonic() - told:.0f} s)")
    if process.returncode != 0:
        if "could not connect" in said or "connection to server" in said:
            raise StoreUnavailable(f"the database cannot be reached: {said.strip()}")
        raise DatabaseUnusable(f"{Path(command[0]).name} failed: {said.strip()}")


def _extract(source: Path, name: str, target: Path) -> None:
    with tarfile.open(source, "r:") as archive, target.open("wb") as file:
        content = _member(archive, name)
        while chunk := content.read(_CHUNK_BYTES):
            file.write(chunk)


def _restore_state(source: Path, manifest: Manifest, state: Path) -> None:
    for name in manifest.members:
        relative = PurePosixPath(name.removeprefix(_STATE))
        if not name.startswith(_STATE) or relative.is_absolute() or ".." in relative.parts:
            continue
        target = state / relative
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch(mode=0o600)
            _extract(source, name, target)


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    """A regular file in the archive; anything else is not ours."""
    try:
        content = archive.extractfile(archive.getmember(name))
    except KeyError:
        raise tarfile.ReadError(f'there is no "{name}" in it') from None
    if content is None:
        raise tarfile.ReadError(f'"{name}" is not a file')
    return content


def _digest(file: IO[bytes]) -> Member:
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(_CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
    return Member(size, digest.hexdigest())


def _major(connection: Connection) -> int:
    return connection.info.server_version // 10_000


def _server_version(connection: Connection) -> str:
    return str(connection.info.parameter_status("server_version")).split()[0]
