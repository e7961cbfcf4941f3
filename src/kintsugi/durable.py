"""Files that a crash leaves whole: replaced in one step, or lists that are only ever added to.

Whatever is written has mode 0600 unless its writer says otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from kintsugi.errors import EvidenceUnavailable

Line = TypeVar("Line")


def sync(path: Path) -> None:
    """Make a file durable, or the creations, renames and deletions in a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes, *, durable: bool = True, mode: int = 0o600) -> None:
    """Replace a file in one step: a reader, or a crash, sees the old content or the new.

    Args:
        durable: sync file and directory before returning. Without it the new content may be
            lost, but never half of it seen, when the machine stops.
        mode: of the new file, less the umask.
    """
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)  # of a writer that died; its mode may be another
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync(path.parent)


def read_lines(path: Path, kind: type[Line], *, what: str) -> list[Line]:
    """What a list of JSON lines holds, oldest first; nothing where there is no file.

    A last line that was torn by a crash counts as not written: whoever wrote it writes it again.

    Args:
        what: the list, as errors call it.

    Raises:
        EvidenceUnavailable: the file cannot be read, or another line is damaged.
    """
    decoder = msgspec.json.Decoder(kind)
    try:
        *lines, _torn = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EvidenceUnavailable(f"{what} cannot be read from {path}: {error}") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(decoder.decode(line))
        except msgspec.MsgspecError as error:
            raise EvidenceUnavailable(f"{path}:{number} is no line of {what}: {error}") from None
    return found


def add_lines(path: Path, lines: Iterable[bytes], *, what: str) -> None:
    """Add to a list, over a line that a crash tore; on disk when this returns.

    Raises:
        EvidenceUnavailable: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            whole = file.read()
            file.seek(whole.rfind(b"\n") + 1)
            file.truncate()
            file.write(b"".join(line + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        if not whole:
            sync(path.parent)
    except OSError as error:
        raise EvidenceUnavailable(f"{what} cannot be written to {path}: {error}") from error
