"""Writes a package into a folder, file by file, in memory that does not grow with its content."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, NamedTuple, Self

import msgspec

from kintsugi import __version__
from kintsugi.errors import InvalidInput
from kintsugi.ledger.checkpoint import Checkpoint
from kintsugi.ledger.completeness import Tally
from kintsugi.ledger.leaves import EventsLeaf, Leaf
from kintsugi.ledger.merkle import Edge, Node, ReadNodes, append, leaf_hash
from kintsugi.ledger.note import SigningKey
from kintsugi.ledger.package import bag, contents, readme
from kintsugi.ledger.package.contents import (
    BatchLine,
    ConfigurationLine,
    ContentLine,
    ContentView,
    LogLine,
    PackageInfo,
    TimelineLine,
    configuration_file,
    record_line,
)
from kintsugi.ledger.package.dsse import STATEMENT_TYPE, Statement, Subject, seal
from kintsugi.ledger.package.tree import gaps
from kintsugi.ledger.proof import record_hash
from kintsugi.model.configurations import ConfigurationVersion
from kintsugi.model.custody import CustodyEntry, custody_record
from kintsugi.model.event import DecisionEvent, ExchangeStatus
from kintsugi.model.holds import Hold
from kintsugi.model.oversight import Escalation
from kintsugi.model.packages import PackedBatch
from kintsugi.model.span import Span
from kintsugi.model.verdict import Verdict

EVENTS_MAX: Final = 1_000_000
# What the timeline shows; every event is in events.jsonl.
_TIMELINE_MAX: Final = 100_000
_NODES_AT_ONCE: Final = 1000

_encode = msgspec.json.Encoder().encode
_decode_leaf = msgspec.json.Decoder(Leaf).decode


class Selection(NamedTuple):
    """What a package is to hold, and for whom.

    Attributes:
        asked: the filter, under the API's names.
    """

    id: str
    made_at: datetime
    made_by: str
    reason: str
    asked: dict[str, str]
    content: ContentView


class PackageWriter:
    """Takes what belongs into a package, and finishes it as a signed bag.

    Attributes:
        config_versions: how many events name each configuration version.
        traces: the traces that events belong to.
        escalated: events that were handed to a person, or went on by an approval.
    """

    def __init__(self, folder: Path, selection: Selection) -> None:
        self._folder = folder
        self._selection = selection
        self._open: dict[str, _Sink] = {}
        self._digests: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        self._tally = Tally()
        self._timeline: list[TimelineLine] = []
        self._left_out = 0
        self._leaves: dict[int, str] = {}
        self._texts: set[str] = set()
        self._resolved: set[str] = set()
        self._remarks: list[str] = []
        self.config_versions: Counter[str] = Counter()
        self.traces: dict[str, None] = {}
        self.escalated: list[str] = []
        self.event_ids: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for sink in self._open.values():
            sink.file.close()

    @property
    def events(self) -> int:
        """How many were taken so far."""
        return self._counts["events"]

    @property
    def spans(self) -> int:
        """How many reported steps were taken so far."""
        return self._counts["spans"]

    def add_batch(self, batch: PackedBatch) -> None:
        """Take the chosen events of a batch, with their proof.

        Raises:
            InvalidInput: the package gets too large.
        """
        leaf = _decode_leaf(batch.data)
        if not isinstance(leaf, EventsLeaf):
            raise InvalidInput(f"leaf {batch.leaf} of the log tells of no events")
        self._leaves[batch.leaf] = batch.data
        size = leaf.last_position - leaf.first_position + 1
        hashes = [record_hash(record) for record in batch.records]
        whole = len(hashes) == size
        records = tuple((one.index, leaf_hash(one.record.encode()).hex()) for one in batch.chosen)
        others = _others(hashes, [one.index for one in batch.chosen]) if whole else ()
        self._line(contents.BATCHES, BatchLine(batch.leaf, size, records, others, whole))
        if not whole:
            self._counts["unproven"] += len(batch.chosen)
        for one in batch.chosen:
            self._add_event(one.record, one.event)

    def add_span(self, span: Span) -> None:
        """Take a step that an application reported; after all events."""
        self._line(contents.SPANS, span)
        self._counts["spans"] += 1
        self._tally.add_span(span)
        if not span.parent_span_id or span.status == "error":
            self._happened(
                span.started_at, "span", f"{span.service}: {span.name}".strip(": "), span.span_id
            )

    def add_configuration(
        self,
        config_version: str,
        version: ConfigurationVersion | None,
        *,
        leaf: int | None = None,
        leaf_data: str = "",
    ) -> None:
        """Take a version that was in force, as far as it is known."""
        events = self.config_versions[config_version]
        self._counts["configurations"] += 1
        if version is None:
            self._line(contents.CONFIGURATIONS, ConfigurationLine(config_version, events))
            return
        text = version.content.encode()
        file = configuration_file(config_version, hashlib.sha256(text).hexdigest())
        if file not in self._digests:
            self._write(file, text)
        self._texts.add(config_version)
        if leaf is not None:
            self._leaves[leaf] = leaf_data
        line = ConfigurationLine(
            config_version,
            events,
            file,
            version.revision,
            version.author,
            version.note,
            version.created_at,
            logged=leaf is not None,
        )
        self._line(contents.CONFIGURATIONS, line)
        self._happened(
            version.created_at, "configuration", f"{config_version} published by {version.author}"
        )

    def add_escalation(self, escalation: Escalation) -> None:
        """Take what was asked of a person, and the answer."""
        self._line(contents.ESCALATIONS, escalation)
        self._counts["escalations"] += 1
        self._happened(escalation.report.created_at, "escalation", "asked", escalation.id)
        if escalation.resolved_at is not None:
            self._resolved.add(escalation.id)
            what = f"{escalation.status} by {escalation.resolved_by}: {escalation.reason}"
            self._happened(escalation.resolved_at, "escalation", what, escalation.id)

    def add_custody(self, entry: CustodyEntry, *, leaf: int | None, leaf_data: str) -> None:
        """Take an entry about something in the package."""
        self._sink(contents.CUSTODY).write(custody_record(entry) + b"\n")
        if leaf is not None:
            self._leaves[leaf] = leaf_data
        self._counts["custody"] += 1
        self._happened(entry.at, "custody", f"{entry.action} by {entry.actor}", entry.object)

    def add_hold(self, hold: Hold) -> None:
        """Take a legal hold that covers something of the package."""
        self._line(contents.HOLDS, hold)
        self._happened(hold.placed_at, "hold", f"{hold.name} placed by {hold.placed_by}", hold.id)

    def add_text(self, file: str, line: bytes) -> None:
        """Take a line, with its newline, of another file."""
        self._sink(file).write(line)

    def happened(self, line: TimelineLine) -> None:
        """Take something into the timeline."""
        self._happened(line.at, line.kind, line.what, line.ref)

    def remark(self, sentence: str) -> None:
        """Tell the reader something besides."""
        if sentence not in self._remarks:
            self._remarks.append(sentence)

    def finish(
        self, edge: Edge, read: ReadNodes, keys: Sequence[SigningKey], *, tell: Callable[[], None]
    ) -> PackageInfo:
        """Write the proofs and everything that describes the rest, and sign it.

        Args:
            edge: of the log, read after everything was taken.
            keys: the log's; each signs.
            tell: called now and then while hashes are read.
        """
        checkpoint = Checkpoint(keys[0].verifier.name, edge.size, edge.root())
        self._write_log(edge.size, read, tell)
        self._write(contents.CHECKPOINT, checkpoint.sign(*keys).encode())
        self._write(contents.KEYS, "".join(f"{key.verifier}\n" for key in keys).encode())
        self._write_timeline()
        for name in (contents.EVENTS, contents.CONTENT, contents.BATCHES, contents.CUSTODY):
            self._sink(name)
        table = self._tally.table(configurations=self._texts, resolved=self._resolved)
        self._write(contents.COMPLETENESS, msgspec.json.format(_encode(table)) + b"\n")
        info = self._info(checkpoint)
        self._write(contents.PACKAGE, msgspec.json.format(_encode(info)) + b"\n")
        for name in list(self._open):
            self._close(name)
        listed = sorted({*self._sizes, contents.README, contents.CRATE})
        self._write(contents.README, readme.readme(info, table, listed))
        self._write(contents.CRATE, readme.crate(info, self._sizes))
        self._write_bag(info, checkpoint, keys)
        return info

    def _add_event(self, record: str, event: DecisionEvent) -> None:
        self._counts["events"] += 1
        if self._counts["events"] > EVENTS_MAX:
            raise InvalidInput(
                f"more than {EVENTS_MAX:,} events match; narrow the window or the filters"
            )
        self._sink(contents.EVENTS).write(record_line(record))
        said = ContentLine(event.id, event.payload, event.request_digest, event.response_digest)
        self._line(contents.CONTENT, said)
        self._tally.add_event(event)
        self._counts["erased"] += event.payload.erased is not None
        if event.payload.expired is not None:
            note = event.payload.expired
            self.remark(f"Some content {note}, before this package was made.")
        if event.payload.unreadable:
            self.remark(f"Some content cannot be opened: {event.payload.unreadable}.")
        self.event_ids.append(event.id)
        self.config_versions[event.config_version] += bool(event.config_version)
        if event.trace_id:
            self.traces[event.trace_id] = None
        if event.escalation is not None:
            self.escalated.append(event.id)
        if event.approval is not None:
            self.escalated.append(event.approval.escalation_id)
        if event.verdict is not Verdict.ALLOW or event.status is not ExchangeStatus.ANSWERED:
            what = f"{event.verdict.value}: {event.reason_code} ({event.status.value})"
            self._happened(event.timestamp, "decision", what, event.id)

    def _info(self, checkpoint: Checkpoint) -> PackageInfo:
        chosen, counts = self._selection, self._counts
        return PackageInfo(
            format=contents.FORMAT,
            id=chosen.id,
            made_at=chosen.made_at,
            made_by=chosen.made_by,
            reason=chosen.reason,
            kintsugi=__version__,
            selection=chosen.asked,
            content=chosen.content,
            events=counts["events"],
            spans=counts["spans"],
            escalations=counts["escalations"],
            custody=counts["custody"],
            configurations=counts["configurations"],
            origin=checkpoint.origin,
            checkpoint_size=checkpoint.size,
            erased=counts["erased"],
            unproven=counts["unproven"],
            remarks=tuple(self._remarks),
        )

    def _write_log(self, size: int, read: ReadNodes, tell: Callable[[], None]) -> None:
        """The log from its beginning: our leaves, and the fewest hashes for all the others."""
        shown = sorted(self._leaves)
        own = iter(shown)
        nodes = gaps(shown, size)
        following = next(own, None)
        while some := list(islice(nodes, _NODES_AT_ONCE)):
            tell()
            for node, found in zip(some, read(some), strict=True):
                while following is not None and following < node.position << node.level:
                    self._line(contents.LOG, LogLine(following, self._leaves[following]))
                    following = next(own, None)
                line = LogLine(level=node.level, position=node.position, hash=found.hex())
                self._line(contents.LOG, line)
        while following is not None:
            self._line(contents.LOG, LogLine(following, self._leaves[following]))
            following = next(own, None)

    def _write_timeline(self) -> None:
        for line in sorted(self._timeline, key=lambda line: line.at):
            self._line(contents.TIMELINE, line)
        self._sink(contents.TIMELINE)
        if self._left_out:
            self._remarks.append(
                f"The timeline shows {len(self._timeline):,} entries and leaves out "
                f"{self._left_out:,}; every event is in {contents.EVENTS}."
            )

    def _write_bag(
        self, info: PackageInfo, checkpoint: Checkpoint, keys: Sequence[SigningKey]
    ) -> None:
        payload = {n: size for n, size in self._sizes.items() if n.startswith(bag.PAYLOAD)}
        manifest = {name: self._digests[name] for name in payload}
        self._write(bag.DECLARATION, bag.DECLARATION_TEXT)
        described = (
            ("Source-Organization", info.origin),
            ("External-Identifier", info.id),
            ("External-Description", f"Evidence of {info.events} decisions"),
            ("Bagging-Date", info.made_at.date().isoformat()),
            ("Bag-Software-Agent", f"Kintsugi {info.kintsugi}"),
            ("Payload-Oxum", f"{sum(payload.values())}.{len(payload)}"),
        )
        self._write(bag.INFO, bag.info_text(described))
        self._write(bag.MANIFEST, bag.manifest_text(manifest))
        statement = Statement(
            STATEMENT_TYPE,
            tuple(
                Subject(name, {"sha256": self._digests[name]})
                for name in (bag.MANIFEST, bag.INFO, bag.DECLARATION)
            ),
            contents.PREDICATE_TYPE,
            {
                "package": msgspec.to_builtins(info),
                "log": {
                    "origin": checkpoint.origin,
                    "size": checkpoint.size,
                    "root": checkpoint.root.hex(),
                },
            },
        )
        self._write(bag.STATEMENT, seal(statement, keys))
        tags = {name: self._digests[name] for name in bag.TAG_FILES}
        self._write(bag.TAG_MANIFEST, bag.manifest_text(tags))

    def _happened(self, at: datetime, kind: Any, what: str, ref: str = "") -> None:
        if len(self._timeline) < _TIMELINE_MAX:
            self._timeline.append(TimelineLine(at, kind, what, ref))
        else:
            self._left_out += 1

    def _line(self, name: str, value: Any) -> None:
        self._sink(name).write(_encode(value) + b"\n")

    def _sink(self, name: str) -> _Sink:
        sink = self._open.get(name)
        if sink is None:
            sink = self._open[name] = _Sink(self._path(name))
        return sink

    def _write(self, name: str, text: bytes) -> None:
        self._open[name] = sink = _Sink(self._path(name))
        sink.write(text)
        self._close(name)

    def _close(self, name: str) -> None:
        sink = self._open.pop(name)
        sink.file.close()
        self._digests[name] = sink.digest.hexdigest()
        self._sizes[name] = sink.size

    def _path(self, name: str) -> Path:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class _Sink:
    """A file that is being written, and its digest so far."""

    def __init__(self, path: Path) -> None:
        self.file: BinaryIO = path.open("xb", buffering=1 << 18)
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Add bytes."""
        self.file.write(data)
        self.digest.update(data)
        self.size += len(data)


def _others(hashes: Sequence[bytes], chosen: Iterable[int]) -> tuple[tuple[int, int, str], ...]:
    """The subtrees of a batch without any chosen record in them."""
    _, complete = append(Edge(), hashes)
    nodes: dict[Node, bytes] = dict(complete)
    return tuple(
        (node.level, node.position, nodes[node].hex()) for node in gaps(chosen, len(hashes))
    )
