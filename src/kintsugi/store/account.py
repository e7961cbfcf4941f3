"""The operating-system account that the built-in database runs under.

PostgreSQL refuses to run as root, rightly. Root steps down to an unprivileged account that exists;
nobody's account is ever created or changed.
"""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Final

import msgspec

from kintsugi.errors import DatabaseUnusable

# In order of fitness. "nobody" comes last: others share it.
STEP_DOWN_TO: Final = ("kintsugi", "postgres", "_postgres", "nobody")
_SET_URL = "; set KT_DATABASE_URL to a PostgreSQL that runs"


class Account(msgspec.Struct, frozen=True):
    """Who runs the database, and whether that means to step down from root."""

    name: str
    uid: int
    gid: int
    steps_down: bool

    def spawn(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        output: IO[bytes] | int,
        keep: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a program under this account, apart from our terminal and our signals.

        Args:
            keep: descriptors that it inherits.
        """
        return subprocess.Popen(  # noqa: S603 - our own programs with our own arguments
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=keep,
            env=self._environment(),
            user=self.uid if self.steps_down else None,
            group=self.gid if self.steps_down else None,
            extra_groups=() if self.steps_down else None,
            umask=0o077,
        )

    def own(self, path: Path) -> None:
        """Give a file or folder that we made to this account."""
        if self.steps_down:
            os.chown(path, self.uid, self.gid)

    def can_run(self, program: Path) -> bool:
        """Whether this account reaches a program and may execute it."""
        try:
            ran = subprocess.run(  # noqa: S603 - a fixed argument of a program found by us
                [program, "--version"],
                cwd="/",
                capture_output=True,
                env=self._environment(),
                user=self.uid if self.steps_down else None,
                group=self.gid if self.steps_down else None,
                extra_groups=() if self.steps_down else None,
                timeout=20,
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return ran.returncode == 0

    def can_enter(self, folder: Path) -> bool:
        """Whether this account may pass through a folder and all that stand above it."""
        if not self.steps_down:
            return True
        folder = folder.resolve()
        return all(self._may_search(parent.stat()) for parent in (folder, *folder.parents))

    def _may_search(self, status: os.stat_result) -> bool:
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)

    def _environment(self) -> dict[str, str]:
        # The caller's PG* settings would steer the server, and its locale the messages we read.
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PG", "LC_")) and name not in {"LANG", "LANGUAGE"}
        }
        return {**kept, "LC_ALL": "C"}


def choose_account(*, owner_uid: int | None = None) -> Account:
    """The account to run under.

    Args:
        owner_uid: who owns the data directory that is there already; it stays the owner.

    Raises:
        DatabaseUnusable: this user has no name, or root finds nobody to step down to.
    """
    uid = os.geteuid()
    if uid != 0:
        try:
            mine = pwd.getpwuid(uid)
        except KeyError:
            raise DatabaseUnusable(
                f"user id {uid} has no entry in /etc/passwd, and PostgreSQL runs under no nameless "
                f"user; add the entry, or{_SET_URL[1:]}"
            ) from None
        if owner_uid not in (None, uid):
            raise DatabaseUnusable(
                f"the database belongs to user id {owner_uid} and you are {mine.pw_name} ({uid}); "
                f"run as its owner, choose another --state, or{_SET_URL[1:]}"
            )
        return Account(mine.pw_name, uid, mine.pw_gid, steps_down=False)
    for entry in _unprivileged(STEP_DOWN_TO):
        if owner_uid in (None, entry.pw_uid):
            return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, steps_down=True)
    if owner_uid:
        try:
            entry = pwd.getpwuid(owner_uid)
        except KeyError:
            raise DatabaseUnusable(
                f"the database belongs to user id {owner_uid}, which has no name here{_SET_URL}"
            ) from None
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, steps_down=True)
    raise DatabaseUnusable(
        "PostgreSQL does not run as root, and none of these users exists here to step down to: "
        f"{', '.join(STEP_DOWN_TO)}. Start kt as an ordinary user, or{_SET_URL[1:]}"
    )


def _unprivileged(names: Iterable[str]) -> Iterable[pwd.struct_passwd]:
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            yield entry
