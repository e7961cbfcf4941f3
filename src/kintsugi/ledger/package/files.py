"""Packages on a disk: as a folder, a zip or a tar archive. The only file here that touches one.

An archive carries a seal, the SHA-256 of its own bytes, where other programs do not look: in the
comment of a zip, and behind the end of a tar. The bag inside proves its contents; the seal finds
what is changed between them (a name in a directory, a date, a bit that no program reads).
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Literal

from kintsugi.errors import InvalidInput

ArchiveFormat = Literal["zip", "tar"]
Seal = Literal["holds", "broken", "none"]

AGE_MAGIC: Final = b"age-encryption.org/v1"
CHUNK_BYTES: Final = 1 << 20
_MARK: Final = b"kintsugi-seal sha256:"
_SEAL_BYTES: Final = len(_MARK) + 64
_EOCD: Final = b"PK\x05\x06"
_EOCD_BYTES: Final = 22
_BLOCK: Final = 512
_NOON_1980: Final = (1980, 1, 1, 12, 0, 0)

# What zipfile, tarfile and zlib raise on bytes that are no archive any more.
BROKEN: Final = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    OSError,
)


class PackageFiles(ABC):
    """The files of a package by their names in the bag.

    Attributes:
        sizes: bytes by name.
        trouble: what is wrong with the container itself, in words.
    """

    sizes: dict[str, int]
    trouble: list[str]

    @abstractmethod
    def open(self, name: str) -> BinaryIO:
        """Read one file; raises one of ``BROKEN`` where it cannot be read (on)."""

    def seal(self) -> Seal | None:
        """What the container's seal says; None for a folder, which has none."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Let go of the container."""


class FolderFiles(PackageFiles):
    """A bag in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.sizes = {}
        self.trouble = []
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                self.sizes[name] = path.lstat().st_size
            elif not stat.S_ISDIR(mode):
                self.trouble.append(f"{name} is neither a file nor a folder")

    def open(self, name: str) -> BinaryIO:
        return (self._folder / name).open("rb")

    def close(self) -> None:
        """A folder is not held."""


class ZipFiles(PackageFiles):
    """A bag in a zip archive."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._zip = zipfile.ZipFile(path)
        self._members: dict[str, zipfile.ZipInfo] = {}
        self.trouble = []
        names = _Names(self.trouble)
        for member in self._zip.infolist():
            if (name := names.take(member.filename, is_folder=member.is_dir())) is not None:
                self._members[name] = member
        self.sizes = {name: member.file_size for name, member in self._members.items()}

    def open(self, name: str) -> BinaryIO:
        # The digest in the manifest says more than a CRC, and where; an early stop says less.
        found = self._zip.open(self._members[name])
        found._expected_crc = None  # type: ignore[attr-defined]
        return found  # type: ignore[return-value]

    def seal(self) -> Seal:
        with self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _EOCD_BYTES - 0xFFFF))
            tail = file.read()
            at = tail.rfind(_EOCD)
            comment = tail[at + _EOCD_BYTES :]
            if at < 0 or not comment:
                return "none"
            # All but the comment and its length, which must be that of a seal.
            covered = size - len(comment) - 2
            length = tail[at + _EOCD_BYTES - 2 : at + _EOCD_BYTES]
            wanted = _MARK + _digest(file, covered)
            right = comment == wanted and length == struct.pack("<H", _SEAL_BYTES)
            return "holds" if right else "broken"

    def close(self) -> None:
        self._zip.close()


class TarFiles(PackageFiles):
    """A bag in a tar archive, which is not compressed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tar = tarfile.open(path, "r:")  # noqa: SIM115 - closed by close()
        self._members: dict[str, tarfile.TarInfo] = {}
        self.trouble = []
        try:
            self._list()
        except BaseException:
            self._tar.close()
            raise
        self.sizes = {name: member.size for name, member in self._members.items()}

    def _list(self) -> None:
        names = _Names(self.trouble)
        for member in self._tar:
            if not member.isreg() and not member.isdir():
                self.trouble.append(f"{member.name} is neither a file nor a folder")
            elif (name := names.take(member.name, is_folder=member.isdir())) is not None:
                self._members[name] = member

    def open(self, name: str) -> BinaryIO:
        found = self._tar.extractfile(self._members[name])
        if found is None:
            raise tarfile.ReadError(f"{name} is no file")
        return found  # type: ignore[return-value]

    def seal(self) -> Seal:
        with self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size % _BLOCK or size < 3 * _BLOCK:
                return "broken"
            file.seek(size - _BLOCK)
            last = file.read(_BLOCK)
            if not any(last):
                return "none"
            wanted = _MARK + _digest(file, size - _BLOCK)
            return "holds" if last == wanted.ljust(_BLOCK, b"\0") else "broken"

    def close(self) -> None:
        self._tar.close()


class _Names:
    """Names in an archive, below its one folder; whatever could leave it is trouble."""

    def __init__(self, trouble: list[str]) -> None:
        self._trouble = trouble
        self._seen: set[str] = set()
        self._top: str | None = None

    def take(self, name: str, *, is_folder: bool) -> str | None:
        """The name in the bag; None for what is no file of it."""
        top, _, rest = name.partition("/")
        if self._top is None:
            self._top = top
        parts = PurePosixPath(rest).parts
        if top != self._top or ".." in (top, *parts) or "\\" in name or name.startswith("/"):
            self._trouble.append(f'"{name}" lies outside of the folder of the package')
        elif not is_folder and rest in self._seen:
            self._trouble.append(f'"{name}" is there twice')
        elif not is_folder and rest:
            self._seen.add(rest)
            return rest
        return None


def open_package(path: Path) -> PackageFiles:
    """The files of a package; what it is packed in is seen from the thing itself.

    Raises:
        InvalidInput: there is nothing, or it is encrypted.
        OSError, ...: one of ``BROKEN`` where it is no archive (any more).
    """
    if path.is_dir():
        return FolderFiles(path)
    try:
        with path.open("rb") as file:
            head = file.read(_BLOCK)
    except FileNotFoundError:
        raise InvalidInput(f"there is no {path}") from None
    if head.startswith(AGE_MAGIC):
        raise InvalidInput(f"{path} is encrypted; name an identity file with --identity")
    if head[257:262] == b"ustar":
        return TarFiles(path)
    return ZipFiles(path)


def is_encrypted(path: Path) -> bool:
    """Whether it is an age file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(AGE_MAGIC)) == AGE_MAGIC


def pack(
    folder: Path, archive: Path, kind: ArchiveFormat, *, top: str, tell: Callable[[], None]
) -> None:
    """Write a folder as an archive with one folder ``top`` in it, and seal it.

    The same files give the same bytes: no times and no owners of this machine are in it.

    Args:
        tell: called now and then.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in _files(folder))
    if kind == "zip":
        _pack_zip(folder, archive, names, top, tell)
    else:
        _pack_tar(folder, archive, names, top, tell)


def unpack(files: PackageFiles, folder: Path) -> None:
    """Write every file below a new folder.

    Raises:
        InvalidInput: the folder is there already, or the container is not in order.
    """
    if files.trouble:
        raise InvalidInput(f"the archive is not in order: {files.trouble[0]}")
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise InvalidInput(f"{folder} is there already; name a new folder") from None
    for name in files.sizes:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with files.open(name) as source, target.open("xb") as file:
            for chunk in chunks(source):
                file.write(chunk)


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """What is left of a file, a megabyte at a time."""
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _pack_zip(
    folder: Path, archive: Path, names: list[str], top: str, tell: Callable[[], None]
) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as packed:
        for name in names:
            member = zipfile.ZipInfo(f"{top}/{name}", _NOON_1980)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            path = folder / name
            member.file_size = path.stat().st_size
            with path.open("rb") as source, packed.open(member, "w") as file:
                for chunk in chunks(source):
                    tell()
                    file.write(chunk)
    with archive.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        seal = _MARK + _digest(file, size - 2)
        file.seek(size - 2)
        file.write(struct.pack("<H", len(seal)) + seal)


def _pack_tar(
    folder: Path, archive: Path, names: list[str], top: str, tell: Callable[[], None]
) -> None:
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as packed:
        for name in names:
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = (folder / name).stat().st_size
            member.mode = 0o644
            tell()
            with (folder / name).open("rb") as source:
                packed.addfile(member, source)
    with archive.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        seal = _MARK + _digest(file, size)
        file.seek(size)
        file.write(seal.ljust(_BLOCK, b"\0"))


def _digest(file: BinaryIO, size: int) -> bytes:
    """SHA-256 (hex) of the first so many bytes."""
    digest = hashlib.sha256()
    file.seek(0)
    while size and (chunk := file.read(min(size, CHUNK_BYTES))):
        digest.update(chunk)
        size -= len(chunk)
    return digest.hexdigest().encode()
