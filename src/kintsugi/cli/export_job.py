"""An export from the command line: queue it, watch it, fetch it, check it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from kintsugi.cli.client import Client
from kintsugi.cli.output import Output
from kintsugi.errors import InvalidInput, KintsugiError

_POLL_SECONDS = 0.1
_POLL_SECONDS_MAX = 1.0


class ExportRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What to export; ``filter`` and ``trajectories`` under the API's names; ``recipients`` and
    ``unredacted`` are for packages."""

    type: str
    format: str
    filter: dict[str, str] = {}
    trajectories: dict[str, Any] | None = None
    reason: str = ""
    recipients: tuple[str, ...] = ()
    unredacted: bool = False


class Job(msgspec.Struct, frozen=True):
    """The part of a job that the command line computes with."""

    id: str
    state: str
    format: str = ""
    total: int | None = None
    written: int = 0
    bytes: int = 0
    sha256: str = ""
    error: str = ""


def run_job(client: Client, request: ExportRequest, output: Output) -> Job:
    """Queue an export and wait for its end.

    Raises:
        KintsugiError: it failed or was cancelled.
    """
    job = msgspec.convert(client.post("/v1/exports", request), Job)
    pause = _POLL_SECONDS
    with Progress(
        TextColumn("exporting"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} events"),
        TimeRemainingColumn(),
        console=output.talk_console(),
        transient=True,
    ) as progress:
        task = progress.add_task("export", total=0)
        while job.state in ("queued", "running"):
            time.sleep(pause)
            pause = min(pause * 1.3, _POLL_SECONDS_MAX)
            job = msgspec.convert(client.get(f"/v1/exports/{job.id}"), Job)
            progress.update(task, total=job.total or 0, completed=job.written)
    if job.state != "done":
        raise KintsugiError(f"export {job.id} {job.state}: {job.error or 'no reason given'}")
    return job


def download(client: Client, job: Job, target: Path, output: Output) -> None:
    """Fetch a finished export into a file, which appears only when it is whole and correct.

    Raises:
        KintsugiError: what arrived is not what the control plane wrote.
        InvalidInput: the file cannot be written.
    """
    with (
        _fresh(target) as file,
        Progress(
            TextColumn("downloading"),
            BarColumn(),
            DownloadColumn(),
            console=output.talk_console(),
            transient=True,
        ) as progress,
    ):
        task = progress.add_task("download", total=job.bytes)
        digest = client.download(
            f"/v1/exports/{job.id}/content",
            file,
            lambda done: progress.update(task, completed=done),
        )
        if digest != job.sha256:
            raise KintsugiError(
                f"export {job.id} arrived damaged: SHA-256 {digest}, expected {job.sha256}"
            )


@contextmanager
def _fresh(target: Path) -> Iterator[IO[bytes]]:
    """A file that takes the target's place when the block ends well, and is gone otherwise."""
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        file = draft.open("xb")
    except OSError as error:
        raise InvalidInput(f"{target} cannot be written: {error.strerror}") from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
