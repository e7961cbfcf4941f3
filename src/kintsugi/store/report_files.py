"""Files of reports, sealed as recorded content is: under a key of the report's own, named
``session`` and ``report:ID``, so that erasing that session erases them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from kintsugi.model.report import Arrival
from kintsugi.model.vault import Subject
from kintsugi.store.sealer import SealedContent, Sealer


class SealedFiles(NamedTuple):
    """Contents by report and digest, and the epoch in which they may be stored."""

    epoch: int
    contents: Mapping[tuple[str, str], SealedContent]


def subject_of(report_id: str) -> Subject:
    """Whose key seals the files of a report."""
    return Subject("session", f"report:{report_id}")


def place_of(report_id: str, digest: str) -> bytes:
    """What is authenticated with a content, so that it opens for no other report."""
    return sha256(f"report {UUID(report_id)} {digest}".encode()).digest()[:16]


def seal_files(sealer: Sealer, arrivals: Sequence[Arrival], *, now: datetime) -> SealedFiles | None:
    """Seal what came with reports; None where nothing did.

    Raises:
        KeyUnavailable: the newest key-encryption key is not to be had; nothing may be stored.
    """
    subjects = {one.report.id: subject_of(one.report.id) for one in arrivals if one.contents}
    if not subjects:
        return None
    epoch, keys = sealer.prepare(subjects.values(), now=now)
    return SealedFiles(
        epoch,
        {
            (one.report.id, digest): keys.seal_text(
                content, place_of(one.report.id, digest), subjects[one.report.id], at=one.report.at
            )
            for one in arrivals
            for digest, content in one.contents.items()
        },
    )
