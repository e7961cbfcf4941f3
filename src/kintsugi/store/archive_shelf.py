"""Where archived files are kept, a folder or an object store that obstore speaks to, and the copies
of them that reads are made from.

Nothing is believed that comes from there: a file counts only with the digest that it was written
with, which the database keeps and the log tells of.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from kintsugi.durable import sync
from kintsugi.errors import ArchiveDamaged, ArchiveUnavailable, InvalidInput

_LOCAL: Final = "file://"
CACHE_BYTES: Final = 4_000_000_000
_PARAMETERS: Final = re.compile(r"\?[^\s\"')]*")
_CHUNK_BYTES: Final = 4 * 1024 * 1024
# A copy is not removed while somebody may be about to open it.
_IN_USE_SECONDS: Final = 120.0
# Of each request, and for all tries of one: people wait for reads.
_TIMEOUT: Final = "30s"
_PATIENCE: Final = timedelta(seconds=20)


class Place(msgspec.Struct, frozen=True):
    """How to reach an archive.

    Attributes:
        address: ``file:///…``, ``s3://BUCKET/FOLDER``, ``gs://…``, ``az://…`` without credentials;
            those come from the environment, as the store's own tools read them.
        copies: a folder for copies of what is read.
    """

    address: str
    copies: Path
    copies_bytes: int = CACHE_BYTES


def address_of(text: str) -> str:
    """The address of an archive from what an operator wrote: a URL or a folder.

    Raises:
        InvalidInput: it names no place, or holds credentials.
    """
    if "://" not in text:
        return Path(text).expanduser().absolute().as_uri()
    try:
        parts = urlsplit(text)
        username, password = parts.username, parts.password
    except ValueError:
        raise InvalidInput("KT_ARCHIVE_URL is no URL") from None
    if username or password or parts.query or parts.fragment:
        # Not repeated: what stands in it is a secret.
        raise InvalidInput(
            f"KT_ARCHIVE_URL ({parts.scheme}://…): leave credentials and options out of the "
            "address; they come from the environment (AWS_ACCESS_KEY_ID and the like)"
        )
    return text.rstrip("/")


class Shelf:
    """The files of one place. Each call reaches out; nothing is kept open."""

    def __init__(self, address: str) -> None:
        """Touch nothing yet."""
        self.address = address

    def put(self, name: str, source: Path) -> None:
        """Write a file, whole or not at all; one of this name is replaced.

        Raises:
            ArchiveUnavailable: it cannot be written.
        """
        with self._told(name, "written", make=True) as store:
            store.put(name, source)
            if self.address.startswith(_LOCAL):
                # The database gives up its own copy next.
                written = Path(unquote(urlsplit(self.address).path), name)
                sync(written)
                sync(written.parent)

    def fetch(self, name: str, target: Path) -> str:
        """Copy a file; the SHA-256 of what came.

        Raises:
            ArchiveUnavailable: it is not there, or cannot be read.
        """
        digest = hashlib.sha256()
        with self._told(name, "read") as store, target.open("wb") as file:
            for chunk in store.get(name).stream(min_chunk_size=_CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
        return digest.hexdigest()

    def sizes(self, folder: str) -> dict[str, int]:
        """The files below a folder by name, with their bytes.

        Raises:
            ArchiveUnavailable: it cannot be listed.
        """
        with self._told(folder, "listed") as store:
            return {
                str(one["path"]).removeprefix(f"{folder}/"): int(one["size"])
                for some in store.list(f"{folder}/")
                for one in some
            }

    def remove(self, names: Sequence[str]) -> None:
        """Remove files; those that are gone already are no error.

        Raises:
            ArchiveUnavailable: one of them cannot be removed.
        """
        for name in names:
            with self._told(name, "removed") as store, suppress(FileNotFoundError):
                store.delete(name)

    @contextmanager
    def _told(self, name: str, done: str, *, make: bool = False) -> Iterator[Any]:
        from obstore.exceptions import BaseError  # here: only whoever has an archive pays for it

        try:
            yield self._store(make=make)
        except FileNotFoundError:
            raise ArchiveUnavailable(f"{self.address}/{name} is missing") from None
        except (BaseError, OSError) as error:
            raise ArchiveUnavailable(
                f"{self.address}/{name} cannot be {done}: {_first_line(error)}"
            ) from None

    def _store(self, *, make: bool) -> Any:
        if not self.address:
            raise ArchiveUnavailable(
                "this control plane knows no archive; name it with --archive-url or KT_ARCHIVE_URL"
            )
        from obstore.store import LocalStore, from_url

        if self.address.startswith(_LOCAL):
            return LocalStore.from_url(self.address, mkdir=make)
        return from_url(
            self.address,
            client_options={
                "timeout": _TIMEOUT,
                "connect_timeout": "5s",
                # The client reads it from the environment only where it gets no options at all.
                "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true"),
            },
            retry_config={"max_retries": 3, "retry_timeout": _PATIENCE},
        )


class Copies:
    """Checked copies of archived files on this machine, as many as there is room for."""

    def __init__(self, shelf: Shelf, folder: Path, *, bytes_max: int = CACHE_BYTES) -> None:
        self._shelf = shelf
        self._folder = folder
        self._bytes_max = bytes_max

    def path(self, name: str, sha256: str) -> Path:
        """A copy of the file that was written with this digest.

        Raises:
            ArchiveUnavailable: it is not to be had.
            ArchiveDamaged: what is there now is not what was written.
        """
        # By digest, so that one name never stands for two contents.
        kept = self._folder / f"{sha256}.parquet"
        with suppress(FileNotFoundError):
            os.utime(kept)
            return kept
        with self.scratch() as draft:
            found = self._shelf.fetch(name, draft)
            if found != sha256:
                raise ArchiveDamaged(
                    f"{self._shelf.address}/{name} is not what was archived (its SHA-256 is "
                    f"{found}, it was {sha256}); bring that file back from a copy of the archive, "
                    "and see `kt archive verify`"
                )
            draft.replace(kept)
        self._make_room()
        return kept

    def forget(self, digests: Sequence[str]) -> None:
        """Remove the copies of files that are gone."""
        for sha256 in digests:
            (self._folder / f"{sha256}.parquet").unlink(missing_ok=True)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A path for a file that is gone at the end of the block."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f".{os.getpid()}.{secrets.token_hex(8)}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _make_room(self) -> None:
        """Remove what was not used for the longest time, and what killed processes left."""
        found = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in found)
        old = time.time() - _IN_USE_SECONDS
        for used, size, path in sorted(found):
            abandoned = path.name.startswith(".") and used < old - 86_400
            if abandoned or (total > self._bytes_max and used < old):
                path.unlink(missing_ok=True)
                total -= size


def _first_line(error: Exception) -> str:
    """What went wrong, without the parameters of addresses: they may be signatures."""
    return _PARAMETERS.sub("?…", str(error).partition("\n")[0])
