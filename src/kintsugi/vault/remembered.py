"""Erasures as they are remembered outside the database: one JSON line each, only ever added to.

A database that is restored from before an erasure knows nothing of it. The list does, and whatever
it holds is erased again before anything is served.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from kintsugi.errors import EvidenceUnavailable
from kintsugi.model.erasure import Remembered

FILE: Final = "erasures.jsonl"
_DECODER: Final = msgspec.json.Decoder(Remembered)


def read(path: Path) -> list[Remembered]:
    """What a list holds, oldest first; nothing where there is no file.

    A last line that was torn by a crash counts as not written: whoever wrote it writes it again.

    Raises:
        EvidenceUnavailable: the file cannot be read, or another line is damaged.
    """
    try:
        *lines, _torn = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EvidenceUnavailable(
            f"the list of erasures cannot be read from {path}: {error}"
        ) from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(_DECODER.decode(line))
        except msgspec.MsgspecError as error:
            raise EvidenceUnavailable(
                f"{path}:{number} is no line of a list of erasures: {error}"
            ) from None
    return found


def remember(path: Path, erasures: Iterable[Remembered]) -> int:
    """Add what the list does not hold yet, on disk when this returns; how many those were.

    Raises:
        EvidenceUnavailable: the file cannot be read or written.
    """
    known = {one.id for one in read(path)}
    new = [one for one in erasures if one.id not in known]
    if not new:
        return 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            whole = file.read()
            torn = len(whole) - (whole.rfind(b"\n") + 1)
            file.seek(len(whole) - torn)
            file.truncate()
            file.write(b"".join(msgspec.json.encode(one) + b"\n" for one in new))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise EvidenceUnavailable(
            f"the list of erasures cannot be written to {path}: {error}"
        ) from error
    return len(new)
