"""What ``kt doctor`` looks at in the evidence: the journals on this machine, and the log."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kintsugi.cli.client import Client
from kintsugi.cli.finding import Finding
from kintsugi.cli.journal import damaged, in_words, journal_folders
from kintsugi.cli.settings import Settings
from kintsugi.cli.witnessing import look_at_witness
from kintsugi.errors import ApiRefused, ApiUnreachable, KintsugiError, ProofInvalid
from kintsugi.ledger.checkpoint import open_checkpoint
from kintsugi.ledger.journal_verify import verify_journals
from kintsugi.ledger.note import VerifierKey

_JOURNAL_BYTES_MAX = 500_000_000
_JOURNAL_BYTES_WARNING = 5_000_000_000
_SPOTS = 20
_NEWEST = 100
_STRETCH = 200
_FOUND_SHOWN = 5


def journals(state: Path, *, full: bool) -> Iterator[Finding]:
    """Every journal here, unless that is much and ``full`` was not asked for."""
    folders = journal_folders(state)
    if not folders:
        yield Finding("journals", "not attempted", f"no gateway has kept one in {state}")
        return
    size = sum(path.stat().st_size for folder in folders for path in folder.glob("*.jsonl"))
    if size > _JOURNAL_BYTES_WARNING:
        yield Finding(
            "journal size",
            "warning",
            f"{size / 1e9:.1f} GB wait on this machine",
            "nothing takes them: start a control plane, or move finished segments away (manual)",
        )
    if size > _JOURNAL_BYTES_MAX and not full:
        told = f"{size / 1e9:.1f} GB of journals"
        yield Finding("journals", "not attempted", told, "kt doctor --full, or kt journal verify")
        return
    found = [series for folder in folders for series in verify_journals(folder)]
    lines = sum(series.lines for series in found)
    wrong = [in_words(one) for series in found if damaged(series) for one in series.damages]
    if wrong:
        told = "; ".join(wrong[:_FOUND_SHOWN])
        yield Finding("journals", "failed", told, "kt journal verify; keep these files")
    else:
        yield Finding("journals", "ok", f"{len(found)} with {lines} lines, every sum and chain")


def log_findings(
    client: Client,
    settings: Settings,
    *,
    full: bool,
    witnesses: tuple[str, ...],
    token: str,
    say: Callable[[str], None],
) -> Iterator[Finding]:
    """The newest checkpoint, the log computed again, and what witnesses saw of it."""
    try:
        now = client.get("/v1/log/checkpoint")
        yield _checkpoint(now)
        yield _whole(client, now["size"], say) if full else _in_spots(client, now["size"])
        yield from (_witnessed(client, settings, witness, token) for witness in witnesses)
    except (ApiUnreachable, ApiRefused) as error:
        yield Finding("log", "not attempted", str(error).splitlines()[0])


def _checkpoint(now: dict[str, Any]) -> Finding:
    try:
        keys = [VerifierKey.parse(text) for text in now["keys"]]
        checkpoint, _ = open_checkpoint(now["note"], keys, origin=now["origin"])
    except ProofInvalid as error:
        return Finding("log checkpoint", "failed", str(error), "is log-key the right file?")
    return Finding("log checkpoint", "ok", f"{checkpoint.origin}, {checkpoint.size} leaves, signed")


def _in_spots(client: Client, size: int) -> Finding:
    """The newest leaves, and some anywhere."""
    newest = max(0, size - _NEWEST)
    places = sorted(random.sample(range(newest), min(_SPOTS, newest)))
    found: list[dict[str, str]] = []
    events = leaves = 0
    for first, count in [*((place, 1) for place in places), (newest, size - newest)]:
        if count == 0:
            continue
        answer = client.get("/v1/log/audit", {"first": first, "leaves": count})
        found += answer["findings"]
        events += answer["events"]
        leaves += answer["next"] - answer["first"]
    told = f"{leaves} of {size} leaves and {events} records looked at"
    return _found("log", found, told, "kt doctor --full looks at all of it")


def _whole(client: Client, size: int, say: Callable[[str], None]) -> Finding:
    found: list[dict[str, str]] = []
    first, edge, events = 0, "", 0
    while first < size:
        asked: dict[str, str | int | float] = {"first": first, "leaves": _STRETCH, "edge": edge}
        answer = client.get("/v1/log/audit", asked)
        found += answer["findings"]
        events += answer["events"]
        first, edge, size = answer["next"], answer["edge"], answer["size"]
        say(f"log: {first} of {size} leaves, {events} records, {len(found)} findings")
    return _found("log", found, f"{size} leaves and {events} records computed again", "")


def _found(check: str, found: list[dict[str, str]], told: str, more: str) -> Finding:
    if not found:
        return Finding(check, "ok", told, more)
    wrong = "; ".join(f"{one['where']}: {one['what']}" for one in found[:_FOUND_SHOWN])
    if len(found) > _FOUND_SHOWN:
        wrong += f"; and {len(found) - _FOUND_SHOWN} more"
    return Finding(
        check, "failed", f"{wrong} ({told})", "freeze the database; find out who can write to it"
    )


def _witnessed(client: Client, settings: Settings, witness: str, token: str) -> Finding:
    name = f"witness {witness}"
    try:
        seen = look_at_witness(client, settings, witness, token)
    except ProofInvalid as error:
        return Finding(
            name,
            "failed",
            str(error),
            "was an older state restored? then restore a newer one, or say so to whoever relies on "
            "this witness and begin a new log",
        )
    except KintsugiError as error:
        return Finding(name, "not attempted", str(error).splitlines()[0])
    return Finding(name, "ok", f"saw {seen} leaves, and the log begins with them")
