"""Builds an evidence package for an export job: collects, writes, packs and, if asked, encrypts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import msgspec

from kintsugi.api.package_incident import add_incident
from kintsugi.api.trajectory_job import line_of, trajectories_around
from kintsugi.errors import InvalidInput, NotFound
from kintsugi.ledger.leaves import ConfigurationLeaf, content_digest, custody_leaf, leaf_data
from kintsugi.ledger.log_keys import load_keys
from kintsugi.ledger.merkle import Edge
from kintsugi.ledger.package import contents
from kintsugi.ledger.package.encryption import encrypt
from kintsugi.ledger.package.files import ArchiveFormat, pack
from kintsugi.ledger.package.writer import PackageWriter, Selection
from kintsugi.model.configurations import ConfigurationVersion
from kintsugi.model.event_filter import EventFilter, both
from kintsugi.model.exports import ExportJob
from kintsugi.model.freeze import Freeze
from kintsugi.model.holds import Hold
from kintsugi.model.span import Span
from kintsugi.model.stores import Stores

_AT_ONCE: Final = 1000
_SPANS_MAX: Final = 10_000
_NO_SPAN_CONTENT: Final = (
    "What applications reported of the content of their steps is left out; the steps are here."
)

T = TypeVar("T")


def build_package(
    job: ExportJob,
    stores: Stores,
    draft: Path,
    *,
    log_key_file: Path,
    progress: Callable[[int], None],
) -> int:
    """Write the package of a job to a file; how many events are in it.

    Args:
        draft: the file; a folder beside it is used and removed.
        progress: gets the number of events so far, now and then; may raise to stop.

    Raises:
        NotFound: nothing matches: a package of nothing would prove nothing.
        InvalidInput: too much matches, or a recipient is none.
    """
    folder = draft.with_name(f"{draft.name}.bag")
    try:
        folder.mkdir(mode=0o700)
        selection = Selection(
            id=job.id,
            made_at=job.started_at or job.created_at,
            made_by=job.actor or job.created_by,
            reason=job.reason,
            asked=asked(job.where),
            content="unredacted" if job.unredacted else "redacted",
        )
        with PackageWriter(folder, selection) as writer:
            _collect(writer, job, stores, progress)
            size, hashes = stores.log.edge()
            writer.finish(
                Edge(size, hashes),
                stores.log.nodes,
                load_keys(log_key_file),
                tell=lambda: progress(writer.events),
            )
            events = writer.events
        archive = draft.with_name(f"{draft.name}.plain") if job.recipients else draft
        progress(events)
        pack(
            folder,
            archive,
            _kind(job),
            top=f"kintsugi-package-{job.id}",
            tell=lambda: progress(events),
        )
        if job.recipients:
            progress(events)
            encrypt(archive, draft, job.recipients)
        return events
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        draft.with_name(f"{draft.name}.plain").unlink(missing_ok=True)


def asked(where: EventFilter) -> dict[str, str]:
    """A filter in the API's words, without what does not restrict."""
    told: dict[str, Any] = msgspec.to_builtins(where)
    return {name: str(value) for name, value in told.items() if value}


def _collect(
    writer: PackageWriter, job: ExportJob, stores: Stores, progress: Callable[[int], None]
) -> None:
    for batch in stores.packages.batches(job.where, unredacted=job.unredacted):
        writer.add_batch(batch)
        progress(writer.events)
    for some in _chunks(dict.fromkeys([*filter(None, [job.where.trace]), *writer.traces])):
        for trace_id in stores.packages.reported(some):
            progress(writer.events)
            _add_spans(writer, stores.spans.spans(trace_id, limit=_SPANS_MAX + 1, content=False))
    if not writer.events and not writer.spans:
        raise NotFound("nothing matches, so there is nothing to package")
    _add_trajectories(writer, job, stores, progress)
    freezes = add_incident(writer, job.where.incident, stores) if job.where.incident else []
    for config_version in sorted(writer.config_versions):
        _add_configuration(writer, config_version, stores)
    for event_id in dict.fromkeys(writer.escalated):
        try:
            writer.add_escalation(stores.oversight.escalation(event_id))
        except NotFound:
            writer.remark(f"The escalation {event_id} is not known here.")
    holds = list(_holds(job, stores))
    for hold in holds:
        writer.add_hold(hold)
    for entries in _chunks(_objects(writer, job, holds, freezes)):
        progress(writer.events)
        found = stores.custody.of(entries)
        told = {entry.id: leaf_data(custody_leaf(entry)).decode() for entry in found}
        leaves = stores.packages.leaves_of(list(told.values()))
        for entry in found:
            text = told[entry.id]
            writer.add_custody(entry, leaf=leaves.get(text), leaf_data=text)


def _add_trajectories(
    writer: PackageWriter, job: ExportJob, stores: Stores, progress: Callable[[int], None]
) -> None:
    """The whole runs that the events belong to, so that each is told to its end."""
    events = stores.events.scan(job.where, payload=False)
    for run in trajectories_around(stores, events, tell=lambda: progress(writer.events)):
        name = contents.SUCCESSES if run.completed else contents.FAILURES
        writer.add_text(name, line_of(run))


def _add_spans(writer: PackageWriter, spans: Sequence[Span]) -> None:
    if len(spans) > _SPANS_MAX:
        writer.remark(f"Of trace {spans[0].trace_id} the first {_SPANS_MAX:,} steps are here.")
    for span in spans[:_SPANS_MAX]:
        if span.holds:
            writer.remark(_NO_SPAN_CONTENT)
        # The table tells of what is here, and what was said in these steps is not.
        writer.add_span(msgspec.structs.replace(span, holds=()))


def _add_configuration(writer: PackageWriter, config_version: str, stores: Stores) -> None:
    version = version_named(config_version, stores)
    if version is None:
        writer.add_configuration(config_version, None)
        return
    leaf = ConfigurationLeaf(
        id=version.id,
        version=version.version,
        revision=version.revision,
        content_digest=content_digest(version.content),
        author=version.author,
        recorded_at=version.created_at,
    )
    text = leaf_data(leaf).decode()
    position = stores.packages.leaves_of([text]).get(text)
    writer.add_configuration(config_version, version, leaf=position, leaf_data=text)


def version_named(config_version: str, stores: Stores) -> ConfigurationVersion | None:
    """The version that events name ``ID@V``; None for what a gateway ran from a file."""
    name, _, number = config_version.rpartition("@")
    if not number.isdecimal() or len(number) > 9:
        return None
    try:
        return stores.configurations.get(name, int(number))
    except NotFound:
        return None


def _holds(job: ExportJob, stores: Stores) -> Iterator[Hold]:
    """The holds in force that cover something of the package."""
    for hold in stores.holds.list(in_force=True, limit=_AT_ONCE):
        where = both(hold.where, job.where)
        if where is not None and stores.events.count(where, ceiling=1):
            yield hold


def _objects(
    writer: PackageWriter, job: ExportJob, holds: Sequence[Hold], freezes: Sequence[Freeze]
) -> Iterator[str]:
    """What custody entries may be about that concern this package."""
    yield f"package:{job.id}"
    yield from (f"hold:{hold.id}" for hold in holds)
    yield from (f"freeze:{one.id}" for one in freezes)
    if job.where.trace:
        yield f"trace:{job.where.trace}"
    if job.where.incident:
        yield f"incident:{job.where.incident}"
    yield from (f"event:{event_id}" for event_id in writer.event_ids)


def _chunks(items: Iterable[T]) -> Iterator[Sequence[T]]:
    source = iter(items)
    while some := list(islice(source, _AT_ONCE)):
        yield some


def _kind(job: ExportJob) -> ArchiveFormat:
    for kind in get_args(ArchiveFormat):
        if kind == job.format:
            return kind  # type: ignore[no-any-return]
    raise InvalidInput(f'a package is a zip or tar file, not "{job.format}"')
