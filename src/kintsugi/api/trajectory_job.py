"""Trajectories as a file: successes and failures apart, and a manifest that says what they are.

A run belongs to the window in which it ended. So exchanges are read from a while before the window
on, and until the idle time behind it: only then is it known which runs were over.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from kintsugi import __version__
from kintsugi.model.event import DecisionEvent
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.exports import ExportJob
from kintsugi.model.stores import Stores
from kintsugi.model.trajectory import SCHEMA, RunKind, Trajectory, TrajectoryRules
from kintsugi.replay.trajectories import Runs, run_of, trajectories

SUCCESSES: Final = "trajectory_samples.jsonl"
FAILURES: Final = "failed_trajectories.jsonl"
MANIFEST: Final = "manifest.json"
# Nothing is stored from before.
EARLIEST: Final = datetime(2020, 1, 1, tzinfo=UTC)
# Filters that hold for all of a conversation; others would cut it to pieces.
FILTERS: Final = ("gateway", "user", "team", "tenant", "workflow", "agent", "session", "trace")

# Idle times before the window: a run of up to so long is told whole.
_LEAD: Final = 12
_RUNS_OF_EVENTS_MAX: Final = 1_000
_PROGRESS_EVERY: Final = 64


class Manifest(msgspec.Struct, frozen=True):
    """What an export of trajectories holds.

    Attributes:
        unfinished: runs of the window that were not over when it was written; ask again later.
    """

    schema: str
    kintsugi: str
    written_at: datetime
    filter: EventFilter
    rules: TrajectoryRules
    exchanges: int
    successes: int
    failures: int
    unfinished: int


def write_trajectories(
    job: ExportJob,
    stores: Stores,
    draft: Path,
    *,
    now: datetime,
    progress: Callable[[int], None],
) -> int:
    """Write a zip archive with both files and the manifest; how many exchanges were read."""
    rules = job.trajectories or TrajectoryRules()
    idle = timedelta(seconds=rules.idle_seconds)
    since = max(job.where.since, EARLIEST) if job.where.since else None
    until = min(job.where.until or now, now)
    began_at = since - _LEAD * idle if since else None
    looked_at = msgspec.structs.replace(job.where, since=began_at, until=until + idle)
    runs = Runs(rules, began_at=began_at)
    parts = {name: draft.with_name(f"{draft.name}.{name}") for name in (SUCCESSES, FAILURES)}
    counts = {SUCCESSES: 0, FAILURES: 0}
    read = 0

    def write(found: Iterable[Trajectory], files: dict[str, BinaryIO]) -> None:
        for one in found:
            if one.timestamp <= until and (since is None or one.timestamp >= since):
                name = SUCCESSES if one.completed else FAILURES
                files[name].write(line_of(one))
                counts[name] += 1

    try:
        with ExitStack() as stack:
            files: dict[str, BinaryIO] = {
                name: stack.enter_context(path.open("wb")) for name, path in parts.items()
            }
            for event in stores.events.scan(looked_at, payload=True):
                write(runs.add(event), files)
                read += 1
                if not read % _PROGRESS_EVERY:
                    progress(read)
            over, still_open = runs.finish(now)
            write(over, files)
        manifest = Manifest(
            SCHEMA,
            __version__,
            now,
            job.where,
            rules,
            read,
            counts[SUCCESSES],
            counts[FAILURES],
            sum(last_at <= until for last_at in still_open),
        )
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, path in parts.items():
                archive.write(path, name)
            text = msgspec.json.format(msgspec.json.encode(manifest)).decode()
            archive.writestr(MANIFEST, text + "\n")
    finally:
        for path in parts.values():
            path.unlink(missing_ok=True)
    return read


def line_of(trajectory: Trajectory) -> bytes:
    """One line of JSON; half a surrogate pair in a recorded text is escaped."""
    try:
        return msgspec.json.encode(trajectory) + b"\n"
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(trajectory)).encode() + b"\n"


def trajectories_around(
    stores: Stores,
    events: Iterable[DecisionEvent],
    rules: TrajectoryRules | None = None,
    *,
    tell: Callable[[], None] = lambda: None,
) -> list[Trajectory]:
    """The whole runs that some events belong to, for packages; at most the first thousand runs.

    Args:
        events: payloads are not needed; each run is read from the store.
        tell: called before each run.
    """
    rules = rules or TrajectoryRules()
    idle = timedelta(seconds=rules.idle_seconds)
    wanted: dict[tuple[RunKind, str], list[DecisionEvent]] = {}
    for event in events:
        key = run_of(event)
        if key in wanted or len(wanted) < _RUNS_OF_EVENTS_MAX:
            wanted.setdefault(key, []).append(event)
    found: list[Trajectory] = []
    for (kind, subject), members in wanted.items():
        tell()
        if kind == "exchange":
            found += trajectories([stores.events.get(members[0].id)], rules)
            continue
        times = [event.timestamp for event in members]
        where = EventFilter(
            since=min(times) - _LEAD * idle,
            until=max(times) + _LEAD * idle,
            session=subject if kind == "session" else "",
            trace=subject if kind == "trace" else "",
        )
        ids = {event.id for event in members}
        read = [
            event
            for event in stores.events.scan(where, payload=True)
            if run_of(event) == (kind, subject)
        ]
        found += [
            run
            for run in trajectories(read, rules)
            if not ids.isdisjoint(one.event_id for one in run.exchanges)
        ]
    return found
