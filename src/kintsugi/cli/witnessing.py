"""Showing the log to a witness: a file, an object store, or another Kintsugi that cosigns."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from kintsugi.cli.client import Client
from kintsugi.cli.settings import Settings
from kintsugi.durable import write_whole
from kintsugi.errors import ApiRefused, InvalidInput, KintsugiError, ProofInvalid
from kintsugi.ledger.checkpoint import Checkpoint, open_checkpoint
from kintsugi.ledger.note import VerifierKey
from kintsugi.ledger.witness import check_next


class Shelf(Protocol):
    """Where a checkpoint and the keys that it was first signed with are kept."""

    def read(self, name: str) -> str | None:
        """A text; None when there is none."""

    def write(self, name: str, text: str) -> None:
        """Replace a text, whole or not at all."""


class FileShelf:
    """A folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> str | None:
        try:
            return (self._folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        # For everybody to read: a witness is there to be asked.
        write_whole(self._folder / name, text.encode(), mode=0o666)


class ObjectShelf:
    """A folder of an object store: S3 and what speaks like it, Google, Azure, a file system.

    Credentials come from the environment, as the store's own tools read them.
    """

    def __init__(self, url: str) -> None:
        # Here: only whoever names an object store pays for the client.
        from obstore.exceptions import BaseError
        from obstore.store import from_url

        self._refused = BaseError
        self._url = url
        try:
            self._store = from_url(url)
        except BaseError as error:
            raise InvalidInput(f"{url} names no object store: {_first_line(error)}") from None

    def read(self, name: str) -> str | None:
        try:
            return bytes(self._store.get(name).bytes()).decode()
        except FileNotFoundError:
            return None
        except self._refused as error:
            raise KintsugiError(
                f"{self._url}/{name} cannot be read: {_first_line(error)}"
            ) from None

    def write(self, name: str, text: str) -> None:
        try:
            self._store.put(name, text.encode())
        except self._refused as error:
            raise KintsugiError(
                f"{self._url}/{name} cannot be written: {_first_line(error)}"
            ) from None


def show_to_witness(client: Client, settings: Settings, to: str, token: str) -> dict[str, Any]:
    """Show the log's newest checkpoint to a witness; what it saw.

    Raises:
        ProofInvalid: the log shows another history than the witness saw before.
    """
    if _is_kintsugi(to):
        with Client(Settings(settings.state, to, token)) as other:
            return _cosigned_by(client, other)
    shelf, name = _shelf(to)
    now = client.get("/v1/log/checkpoint")
    seen, known = _kept(shelf, name, to)
    found, trusted = _check(client, now, seen, known)
    # Keys first: a checkpoint without the keys that check it would be worth nothing.
    shelf.write(f"{name}.keys", "".join(f"{key}\n" for key in trusted))
    shelf.write(name, now["note"])
    return {
        "log": found.origin,
        "seen before": seen.size if seen else "nothing",
        "size": found.size,
        "root": found.root.hex(),
        "file": to,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def look_at_witness(client: Client, settings: Settings, to: str, token: str) -> int:
    """Check the log against what a witness saw, and change nothing; the size that it saw.

    Raises:
        ProofInvalid: the log shows another history.
        InvalidInput: it saw nothing yet.
    """
    now = client.get("/v1/log/checkpoint")
    if _is_kintsugi(to):
        with Client(Settings(settings.state, to, token)) as other:
            seen_there = other.get("/v1/log/witness", {"origin": now["origin"]})
        root = bytes.fromhex(seen_there["root"])
        seen: Checkpoint | None = Checkpoint(now["origin"], seen_there["size"], root)
        known: list[VerifierKey] = []
    else:
        shelf, name = _shelf(to)
        seen, known = _kept(shelf, name, to)
    if seen is None:
        raise InvalidInput(f"{to} has seen nothing yet; `kt log witness --to {to}` shows it")
    _check(client, now, seen, known)
    return seen.size


def _first_line(error: Exception) -> str:
    """The rest is for those who debug the client itself."""
    return str(error).partition("\n")[0]


def _is_kintsugi(to: str) -> bool:
    return to.startswith(("http://", "https://"))


def _shelf(to: str) -> tuple[Shelf, str]:
    """Where a witness keeps things, and the name of its checkpoint there."""
    if "://" not in to:
        path = Path(to)
        return FileShelf(path.parent), path.name
    address = urlsplit(to)
    folder, _, name = address.path.rpartition("/")
    if not name or address.query or address.fragment or address.password:
        raise InvalidInput(f"{to} names no object; use SCHEME://BUCKET/FOLDER/NAME")
    return ObjectShelf(f"{address.scheme}://{address.netloc}{folder or '/'}"), name


def _kept(shelf: Shelf, name: str, to: str) -> tuple[Checkpoint | None, list[VerifierKey]]:
    """What a witness saw last, and the keys that it knows."""
    note = shelf.read(name)
    if note is None:
        return None, []
    keys = shelf.read(f"{name}.keys")
    if keys is None:
        raise InvalidInput(f"{to}.keys is missing: it holds the keys that {to} is signed by")
    known = [VerifierKey.parse(line) for line in keys.splitlines() if line]
    return open_checkpoint(note, known)[0], known


def _check(
    client: Client, now: dict[str, Any], seen: Checkpoint | None, known: list[VerifierKey]
) -> tuple[Checkpoint, tuple[VerifierKey, ...]]:
    told = [VerifierKey.parse(text) for text in now["keys"]]
    if seen is not None and now["size"] < seen.size:
        raise ProofInvalid(
            f"the log {now['origin']} has {now['size']} leaves and had {seen.size} when this "
            "witness saw it: what came after is gone, as after a restore of an older state"
        )
    proof = _consistency(client, seen.size if seen else 0, now["size"])
    hashes = [bytes.fromhex(text) for text in proof]
    return check_next(now["note"], known, told, seen=seen, proof=hashes)


def _consistency(client: Client, first: int, second: int) -> list[str]:
    """The proof between two sizes, hex; none is needed from nothing or to the same."""
    if first in (0, second) or first > second:
        return []
    found = client.get("/v1/log/consistency", {"first": first, "second": second})
    return [str(text) for text in found["hashes"]]


def _cosigned_by(client: Client, other: Client) -> dict[str, Any]:
    now = client.get("/v1/log/checkpoint")
    try:
        seen = int(other.get("/v1/log/witness", {"origin": now["origin"]})["size"])
    except ApiRefused as refusal:
        if refusal.status != 404:
            raise
        seen = 0
    proof = _consistency(client, seen, now["size"])
    body = {"note": now["note"], "keys": now["keys"], "proof": proof}
    signed = other.post("/v1/log/witness", body)
    key = VerifierKey.parse(signed["key"])
    _, signatures = open_checkpoint(signed["note"], [key], origin=now["origin"])
    try:
        client.post("/v1/log/cosigned", {"note": signed["note"], "key": signed["key"]})
        noted = "yes"
    except ApiRefused as refusal:  # it is cosigned all the same
        noted = f"no: {refusal}"
    return {
        "log": now["origin"],
        "seen before": seen or "nothing",
        "size": now["size"],
        "root": now["root"],
        "noted at the log": noted,
        "witness": str(key),
        "at": datetime.fromtimestamp(signatures[0].time_seconds, UTC).isoformat(),
        "note": signed["note"],
    }
