"""Where content is besides the events, as far as this control plane knows: files of exports, what
applications report in traces, and regression cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from kintsugi.api.export_worker import FOLDER, file_name
from kintsugi.model.erasure import PlaceReached
from kintsugi.model.exports import ExportJob
from kintsugi.model.holds import narrowed
from kintsugi.model.report import report_of_subject
from kintsugi.model.stores import Stores
from kintsugi.model.vault import Subject

_PAGE: Final = 200


class ExportedFiles:
    """Result files of exports that may hold content of the subject.

    Which events a file holds is not kept; a file goes when its filter, full text aside, matches an
    event of the subject from before it was finished. So one may go that held none of it, and none
    stays that did.
    """

    name = "exports"

    def __init__(self, stores: Stores, state_dir: Path, clock: Callable[[], datetime]) -> None:
        self._stores = stores
        self._state_dir = state_dir
        self._clock = clock

    def holds(self, subject: Subject) -> int:
        return sum(job.state == "done" and not job.withdrawn for job in self._touched(subject))

    def erase(self, subject: Subject, *, erasure_id: str) -> PlaceReached:
        removed = 0
        for job in self._touched(subject):
            self._unlink(job)
            if job.withdrawn or job.state not in ("done", "running"):
                continue
            before = self._stores.exports.withdraw(job.id, erasure_id=erasure_id, now=self._clock())
            removed += before.state == "done"
        return PlaceReached(self.name, "done", removed=removed, detail="result files")

    def left(self, subject: Subject, *, erasure_id: str) -> int:
        return sum(
            job.withdrawn == erasure_id and self._path(job).exists()
            for job in self._touched(subject)
        )

    def _touched(self, subject: Subject) -> Iterator[ExportJob]:
        cursor = None
        while True:
            jobs, cursor = self._stores.exports.page(limit=_PAGE, cursor=cursor)
            for job in jobs:
                where = narrowed(msgspec.structs.replace(job.where, q=""), subject)
                if where is not None and self._stores.events.count(where, ceiling=1):
                    yield job
            if cursor is None:
                return

    def _path(self, job: ExportJob) -> Path:
        return self._state_dir / (job.path or f"{FOLDER}/{file_name(job)}")

    def _unlink(self, job: ExportJob) -> None:
        if job.state == "done" or job.state == "running":
            self._path(job).unlink(missing_ok=True)


class ReportedSpans:
    """What applications report in traces that tell of the subject; the spans stay, without it."""

    name = "traces"

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def holds(self, subject: Subject, /) -> int:
        return self._stores.spans.contents_of(subject)

    def erase(self, subject: Subject, /, *, erasure_id: str) -> PlaceReached:
        removed = self._stores.spans.erase_contents(subject, until=self._until(erasure_id))
        return PlaceReached(self.name, "done", removed=removed, detail="contents of spans")

    def left(self, subject: Subject, /, *, erasure_id: str) -> int:
        return self._stores.spans.contents_of(subject, until=self._until(erasure_id))

    def _until(self, erasure_id: str) -> datetime | None:
        """What began later is new content; another control plane may ask long afterwards."""
        return self._stores.erasures.erasure(erasure_id).destroyed_at


class ReportFiles:
    """What came with a report; the report stays, without it."""

    name = "reports"

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def holds(self, subject: Subject, /) -> int:
        return self._stores.reports.files_of(report_of_subject(subject))

    def erase(self, subject: Subject, /, *, erasure_id: str) -> PlaceReached:  # noqa: ARG002
        removed = self._stores.reports.erase_files(report_of_subject(subject))
        return PlaceReached(self.name, "done", removed=removed, detail="files of a report")

    def left(self, subject: Subject, /, *, erasure_id: str) -> int:  # noqa: ARG002
        return self.holds(subject)


class RegressionCases:
    """Cases made of what the subject said. They stay, cut from it; where somebody kept sensitive
    content in spite of the gate, that goes, and the incident wants another case."""

    name = "regressions"

    def __init__(self, stores: Stores, clock: Callable[[], datetime]) -> None:
        self._stores = stores
        self._clock = clock

    def holds(self, subject: Subject, /) -> int:
        return self._stores.regressions.matter(str(subject))

    def erase(self, subject: Subject, /, *, erasure_id: str) -> PlaceReached:
        removed = self._stores.regressions.forget(
            str(subject), by=f"erasure/{erasure_id}", now=self._clock()
        )
        return PlaceReached(self.name, "done", removed=removed, detail="ties of regression cases")

    def left(self, subject: Subject, /, *, erasure_id: str) -> int:  # noqa: ARG002
        return self.holds(subject)
