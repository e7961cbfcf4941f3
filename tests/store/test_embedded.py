"""The built-in database: created, shared, and brought back from everything that can befall it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from kintsugi.errors import DatabaseUnusable
from kintsugi.store import account as accounts
from kintsugi.store.account import Account, choose_account
from kintsugi.store.embedded import Embedded
from kintsugi.store.programs import candidate_folders
from kintsugi.store.quarters import PORT
from kintsugi.store.remains import server_processes
from tests.databases import KINDS, folders_of, reachable_folder
from tests.store.processes import alive, root_only, somebody_unprivileged, user_of

pytestmark = pytest.mark.postgres


@pytest.fixture
def state() -> Iterator[Path]:
    """An empty state folder that any account can reach."""
    with reachable_folder() as folder:
        yield folder / "state"


@pytest.fixture
def home(state: Path) -> Path:
    """Where its database's files are."""
    return state / "postgres"


@contextmanager
def let_go(database: Embedded) -> Iterator[Embedded]:
    """Whatever happens, no server is left to some later test."""
    try:
        yield database
    finally:
        database.release()


def write(conninfo: str, number: int) -> None:
    with psycopg.connect(conninfo) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
        connection.execute("INSERT INTO kept VALUES (%s)", [number])


def read(conninfo: str) -> list[int]:
    with psycopg.connect(conninfo) as connection:
        rows = connection.execute("SELECT number FROM kept ORDER BY number").fetchall()
    return [row[0] for row in rows]


def kill_server(data: Path) -> None:
    """Every process of it at once, as when the power goes."""
    for pid in server_processes(data):
        with suppress(ProcessLookupError):  # of a server's helpers, some end by themselves
            os.kill(pid, signal.SIGKILL)


@pytest.mark.alone
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_kept_is_there_at_the_next_start(state: Path, home: Path, kind: str) -> None:
    told: list[str] = []
    folders = folders_of(kind)
    with let_go(Embedded(state, tell=told.append, folders=lambda: folders)) as database:
        first = database.start()
        assert any("creating the database" in said for said in told)
        write(first.conninfo, 1)
        database.release()
        assert not server_processes(home / "data")
        told.clear()
        started = time.monotonic()
        second = database.start()
        assert time.monotonic() - started < 10, "a later start takes a fraction of a second"
        assert told == []
        assert read(second.url) == [1]
        assert second.pid != first.pid
        assert second.version.startswith("18" if kind == "wheel" else "1")
        database.release()


def test_it_is_on_no_network_and_closed_to_others(state: Path, home: Path) -> None:
    with Embedded(state) as handle:
        with psycopg.connect(handle.conninfo) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        folder = home / "socket"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / f".s.PGSQL.{PORT}").stat().st_mode) == 0o700
        assert stat.S_IMODE((home / "data").stat().st_mode) == 0o700
        rules = (home / "data" / "pg_hba.conf").read_text()
        assert "trust" not in rules
        assert "host" not in rules


@root_only
def test_another_account_cannot_even_knock(state: Path, home: Path) -> None:
    with Embedded(state), socket.socket(socket.AF_UNIX) as knocking:
        os.seteuid(somebody_unprivileged())
        try:
            with pytest.raises(PermissionError):
                knocking.connect(str(home / "socket" / f".s.PGSQL.{PORT}"))
        finally:
            os.seteuid(0)


@root_only
def test_root_steps_down_and_makes_no_user(state: Path, home: Path) -> None:
    before = Path("/etc/passwd").read_bytes()
    with Embedded(state) as handle:
        owner = (home / "data").stat().st_uid
        assert owner != 0
        assert Path(f"/proc/{handle.pid}").stat().st_uid == owner
    assert Path("/etc/passwd").read_bytes() == before


@root_only
def test_an_ordinary_user_has_a_database_of_its_own(state: Path, home: Path) -> None:
    uid = somebody_unprivileged()
    state.mkdir()
    os.chown(state, uid, uid)
    with user_of(state, uid=uid) as user:
        pid = user.pid()
        assert Path(f"/proc/{pid}").stat().st_uid == uid
        user.leave()
        assert not alive(pid)
    # Root goes on with the same owner.
    with Embedded(state) as handle:
        assert Path(f"/proc/{handle.pid}").stat().st_uid == uid


@root_only
def test_a_user_without_a_name_is_told_what_to_do(state: Path) -> None:
    state.mkdir()
    os.chown(state, 23456, 23456)
    with user_of(state, uid=23456) as user:
        said = user.said()
    assert "23456 has no entry in /etc/passwd" in said
    assert "KT_DATABASE_URL" in said


@root_only
def test_somebody_elses_database_is_left_alone(state: Path) -> None:
    with Embedded(state):
        pass
    with user_of(state, uid=somebody_unprivileged()) as user:
        assert "unusable: the database belongs to" in user.said()


@root_only
def test_root_without_anybody_to_step_down_to_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "STEP_DOWN_TO", ("no-such-user",))
    with pytest.raises(DatabaseUnusable, match=r"no-such-user.*KT_DATABASE_URL"):
        choose_account()


def test_users_share_one_server_and_the_last_one_out_stops_it(state: Path) -> None:
    with user_of(state) as first, user_of(state) as second, user_of(state) as third:
        pids = {first.pid(), second.pid(), third.pid()}
        assert len(pids) == 1
        (pid,) = pids
        second.leave()
        assert alive(pid)
        first.leave()
        assert alive(pid)
        third.leave()
        assert not alive(pid)


def test_killed_users_are_not_counted(state: Path) -> None:
    with user_of(state) as first, user_of(state) as second:
        pid = first.pid()
        assert second.pid() == pid
        first.kill()
        second.kill()
        assert alive(pid), "a client that dies takes nobody else's database along"
    with user_of(state) as third:
        assert third.pid() == pid
        third.leave()
    assert not alive(pid)


def test_a_user_that_is_killed_while_it_starts_leaves_a_startable_state(
    state: Path, home: Path
) -> None:
    with user_of(state) as first:
        while not (home / "data.new").exists() and not (home / "data").exists():
            time.sleep(0.005)
        first.kill()
    with user_of(state) as second:
        pid = second.pid()
        second.leave()
    assert not alive(pid)
    assert not (home / "data.new").exists()


def test_a_killed_server_is_brought_back_with_all_it_had(state: Path) -> None:
    with let_go(Embedded(state)) as database:
        handle = database.start()
        for number in range(5):
            write(handle.conninfo, number)
            assert handle.pid is not None
            os.kill(handle.pid, signal.SIGKILL)
            killed, handle = handle.pid, database.start()
            assert handle.pid != killed
        assert read(handle.conninfo) == [0, 1, 2, 3, 4]


def test_a_killed_server_that_nobody_buried_does_not_keep_others_out(state: Path) -> None:
    # It is our child, and we do not collect it: a zombie holds its process id.
    with let_go(Embedded(state)) as ours:
        handle = ours.start()
        assert handle.pid is not None
        os.kill(handle.pid, signal.SIGKILL)
        with user_of(state) as other:
            assert other.pid() != handle.pid
            assert Path(f"/proc/{handle.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
            other.leave()


@pytest.mark.parametrize("file", ["data/postmaster.pid", f"socket/.s.PGSQL.{PORT}.lock"])
def test_lock_files_that_name_a_living_stranger_do_not_keep_it_out(
    state: Path, home: Path, file: str
) -> None:
    with let_go(Embedded(state)) as database:
        handle = database.start()
        write(handle.conninfo, 1)
        lock = (home / file).read_text()
        kill_server(home / "data")
        database.release()
        # As after a container's restart: the old process id belongs to a process of the same user.
        owner = (home / "data").stat()
        sleeper = Account("owner", owner.st_uid, owner.st_gid, steps_down=os.geteuid() == 0).spawn(
            ["sleep", "600"], cwd=Path("/"), output=-3
        )
        try:
            (home / file).write_text(lock.replace(str(handle.pid), str(sleeper.pid), 1))
            with database as restarted:
                assert read(restarted.conninfo) == [1]
        finally:
            sleeper.kill()
            sleeper.wait()


def test_two_servers_never_work_on_the_same_data(state: Path, home: Path) -> None:
    with Embedded(state) as handle:
        # A living server is seen even when all that names it is lost.
        (home / "data" / "postmaster.pid").unlink()
        (home / "socket" / f".s.PGSQL.{PORT}").unlink()
        with Embedded(state) as after:
            # Nobody could reach it any more: it was ended before another was started.
            assert handle.pid is not None
            assert not alive(handle.pid)
            assert after.pid != handle.pid


def test_a_data_directory_of_another_version_says_which_is_missing(state: Path) -> None:
    with Embedded(state, folders=lambda: folders_of("wheel")):
        pass
    with pytest.raises(DatabaseUnusable, match="was made by PostgreSQL 18"):
        Embedded(state, folders=lambda: folders_of("local")).start()


def test_no_postgresql_at_all_says_what_to_set(state: Path, tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnusable, match="KT_DATABASE_URL"):
        Embedded(state, folders=lambda: [tmp_path, tmp_path / "missing"]).start()


def wrapped(folder: Path, script: str) -> Path:
    """PostgreSQL's programs with a ``postgres`` that is a script; ``$REAL`` is the real one."""
    real = next(iter(folders_of("wheel")))
    folder.mkdir(mode=0o755)
    for program in ("initdb", "pg_dump", "pg_restore"):
        (folder / program).symlink_to(real / program)
    postgres = folder / "postgres"
    postgres.write_text(
        f"#!/bin/sh\nREAL={real}/postgres\n"
        f'case "$1" in -D) ;; *) exec $REAL "$@";; esac\n{script}\n'
    )
    postgres.chmod(0o755)
    return folder


def test_a_slow_start_is_told_and_is_no_failure(state: Path) -> None:
    told: list[str] = []
    slow = wrapped(state.parent / "slow", 'echo recovering; sleep 3; exec $REAL "$@"')
    with Embedded(state, folders=lambda: [slow], tell=told.append) as handle:
        write(handle.conninfo, 1)
    assert [said for said in told if "is starting" in said and "recovering" in said]


def test_a_server_that_cannot_start_is_quoted(state: Path) -> None:
    broken = wrapped(state.parent / "broken", "echo 'FATAL: no luck today' >&2; exit 1")
    with pytest.raises(DatabaseUnusable, match="no luck today"):
        Embedded(state, folders=lambda: [broken]).start()
    # Nothing is left that would disturb the next try.
    with Embedded(state, folders=lambda: folders_of("wheel")):
        pass


@root_only
def test_programs_out_of_reach_are_copied_beside_the_state(state: Path, home: Path) -> None:
    closed = state.parent / "closed"
    closed.mkdir(mode=0o700)
    install = folders_of("wheel")[0].parent
    package = install.parent
    shutil.copytree(install, closed / package.name / install.name)
    libraries = f"{package.name}.libs"
    shutil.copytree(package.with_name(libraries), closed / libraries)
    database = Embedded(state, folders=lambda: [closed / package.name / install.name / "bin"])
    with database as handle:
        write(handle.conninfo, 1)
        assert handle.pid is not None
        program = Path(f"/proc/{handle.pid}/exe").resolve()
    assert program.is_relative_to(home)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    with database as handle:
        assert read(handle.conninfo) == [1]


@root_only
def test_a_state_out_of_reach_keeps_its_database_in_a_shelter(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    told: list[str] = []
    with reachable_folder() as folder:
        database = Embedded(tmp_path / "state", tell=told.append, shelter=folder / "shelter")
        with database as handle:
            write(handle.conninfo, 1)
        assert [said for said in told if "cannot reach" in said]
        homes = list((folder / "shelter").iterdir())
        assert len(homes) == 1
        assert (homes[0] / "data" / "PG_VERSION").exists()
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
        # The state knows its home wherever it is moved to.
        (tmp_path / "state").rename(tmp_path / "moved")
        with Embedded(tmp_path / "moved", shelter=folder / "elsewhere") as handle:
            assert read(handle.conninfo) == [1]


def test_a_long_path_gets_a_short_socket(state: Path) -> None:
    far = state / ("far-" * 20) / ("away-" * 20)
    with Embedded(far) as handle:
        write(handle.conninfo, 1)
        folder = Path(str(conninfo_to_dict(handle.conninfo)["host"]))
        assert len(str(folder)) < 90
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    shutil.rmtree(folder)
    # Somebody put a folder of their own in its place.
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    try:
        with pytest.raises(DatabaseUnusable, match="is not a folder that only"):
            Embedded(far).start()
    finally:
        folder.rmdir()


def test_a_state_that_was_removed_under_it_is_let_go(state: Path) -> None:
    with let_go(Embedded(state)) as database:
        handle = database.start()
        shutil.rmtree(state)
        database.release()
        assert handle.pid is not None
        assert not alive(handle.pid)


def test_the_search_prefers_a_local_installation_to_the_wheel() -> None:
    folders = list(candidate_folders())
    from_wheel = [place for place, folder in enumerate(folders) if "pixeltable" in str(folder)]
    assert from_wheel == list(range(len(folders) - len(from_wheel), len(folders)))


def test_the_accounts_that_root_steps_down_to_are_never_root() -> None:
    if os.geteuid() == 0:
        assert choose_account().uid != 0
    else:
        assert choose_account().name == pwd.getpwuid(os.geteuid()).pw_name
