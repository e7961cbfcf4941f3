"""Whether what a package holds is what the log recorded, and whether its table tells the truth."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple

import msgspec

from kintsugi.errors import ProofInvalid
from kintsugi.ledger.checkpoint import Checkpoint
from kintsugi.ledger.completeness import Tally
from kintsugi.ledger.leaves import (
    ConfigurationLeaf,
    CustodyLeaf,
    EventsLeaf,
    Leaf,
)
from kintsugi.ledger.merkle import HASH_BYTES, leaf_hash
from kintsugi.ledger.package import contents
from kintsugi.ledger.package.contents import (
    NOT_JSON,
    BatchLine,
    ConfigurationLine,
    ContentLine,
    LogLine,
    PackageInfo,
    event_of,
    record_of,
)
from kintsugi.ledger.package.files import PackageFiles
from kintsugi.ledger.package.findings import Findings
from kintsugi.ledger.package.lines import align, decoded, document, lines, whole
from kintsugi.ledger.package.tree import Climb
from kintsugi.model.custody import custody_digest
from kintsugi.model.event import DecisionEvent
from kintsugi.model.evidence import Evidence
from kintsugi.model.oversight import Escalation
from kintsugi.model.span import Span

_decode_leaf = msgspec.json.Decoder(Leaf).decode


class Counted(NamedTuple):
    """How much was gone through."""

    events: int
    proven: int
    unproven: int


class _Expected(NamedTuple):
    """A record that a batch tells of.

    Attributes:
        proven: its hash leads to the root that the batch's leaf tells of.
    """

    hash: bytes
    leaf: int
    proven: bool


class _Record(NamedTuple):
    """A record as it stands in the package."""

    number: int
    text: bytes
    hash: bytes


def check_records(
    files: PackageFiles, info: PackageInfo, checkpoint: Checkpoint | None, findings: Findings
) -> Counted:
    """Check events, configurations and custody against the log, and the table against them all."""
    log = _Log(files, findings)
    tally = Tally()
    counted = _check_events(files, log, tally, findings)
    log.finish(checkpoint)
    if counted.events != info.events:
        findings.add(
            "count.wrong",
            f"tells of {info.events} events; there are {counted.events}",
            file=contents.PACKAGE,
        )
    texts = _check_configurations(files, log, findings)
    _check_custody(files, log, findings)
    for _, span in decoded(files, contents.SPANS, Span, findings):
        tally.add_span(span)
    resolved = {
        escalation.id
        for _, escalation in decoded(files, contents.ESCALATIONS, Escalation, findings)
        if escalation.resolved_at is not None
    }
    told = document(files, contents.COMPLETENESS, tuple[Evidence, ...], findings)
    if told is not None:
        _compare(told, tally.table(configurations=texts, resolved=resolved), findings)
    return counted


class _Log:
    """The log with its gaps, gone through once, from its beginning.

    Attributes:
        configurations, custody: leaves of these kinds that were passed, by what they are about.
    """

    def __init__(self, files: PackageFiles, findings: Findings) -> None:
        self._findings = findings
        self._climb = Climb()
        self._sound = True
        self._batches = self._walk(files)
        self._next: tuple[int, EventsLeaf] | None = None
        self.configurations: dict[tuple[str, int], ConfigurationLeaf] = {}
        self.custody: dict[str, CustodyLeaf] = {}

    def batch(self, position: int) -> EventsLeaf | None:
        """The leaf of a batch of events; asked for in the order of the log."""
        while self._next is None or self._next[0] < position:
            self._next = next(self._batches, None)
            if self._next is None:
                return None
        return self._next[1] if self._next[0] == position else None

    def finish(self, checkpoint: Checkpoint | None) -> None:
        """Go to the end, and compare with the checkpoint."""
        for _ in self._batches:
            pass
        if checkpoint is None or not self._sound:
            return
        if self._climb.size != checkpoint.size:
            why = f"covers {self._climb.size} leaves, the checkpoint {checkpoint.size}"
        elif self._climb.root() != checkpoint.root:
            why = "its leaves and hashes do not lead to the root of the checkpoint"
        else:
            return
        self._findings.add("proof.broken", why, file=contents.LOG)

    def _walk(self, files: PackageFiles) -> Iterator[tuple[int, EventsLeaf]]:
        for number, line in decoded(files, contents.LOG, LogLine, self._findings):
            try:
                position = self._climb.size
                if line.leaf is None:
                    self._climb.add(hash_of(line.hash), line.level)
                    if position >> line.level != line.position:
                        raise ProofInvalid(f"the subtree begins at leaf {position}")
                    continue
                if line.leaf != position:
                    raise ProofInvalid(f"this is leaf {position}, not {line.leaf}")
                self._climb.add(leaf_hash(line.data.encode()))
                leaf = _decode_leaf(line.data)
            except (ProofInvalid, *NOT_JSON) as error:
                self._sound = False
                self._findings.add("proof.broken", str(error), file=contents.LOG, line=number)
                continue
            if isinstance(leaf, EventsLeaf):
                yield position, leaf
            elif isinstance(leaf, ConfigurationLeaf):
                self.configurations[leaf.id, leaf.version] = leaf
            elif isinstance(leaf, CustodyLeaf):
                self.custody[leaf.id] = leaf


def hash_of(text: str) -> bytes:
    """A hash as it is written: 64 digits, in lower case.

    Raises:
        ProofInvalid: it is none.
    """
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != HASH_BYTES or found.hex() != text:
        raise ProofInvalid(f'"{text[:70]}" is no hash')
    return found


def _check_events(files: PackageFiles, log: _Log, tally: Tally, findings: Findings) -> Counted:
    events = proven = unproven = 0
    content = decoded(files, contents.CONTENT, ContentLine, findings)
    in_step = True
    pairs = align(
        _records(files, findings),
        _expected(files, log, findings),
        lambda record, expected: record.hash == expected.hash,
    )
    for record, expected, same in pairs:
        if record is None and expected is not None:
            findings.add(
                "event.missing",
                "an event that the proofs tell of is not there",
                file=contents.EVENTS,
                leaf=expected.leaf,
            )
            next(content, None)
        if record is None:
            continue
        events += 1
        if expected is None:
            _tell(findings, "event.extra", "no proof tells of this event", record)
        elif not expected.proven:
            unproven += 1
        elif same:
            proven += 1
        else:
            _tell(findings, "event.altered", "is not as it was recorded", record, expected.leaf)
        event = _event(record)
        _, said = next(content, (0, None)) if in_step else (0, None)
        if event is None:
            if same:
                _tell(findings, "line.malformed", "this is no decision event", record)
            continue
        if said is not None and said.event_id == event.id:
            event = msgspec.structs.replace(event, payload=said.payload)
        elif in_step and contents.CONTENT in files.sizes:
            in_step = False
            findings.add(
                "content.misplaced",
                f"does not follow the events: event {event.id} is not the next one here",
                file=contents.CONTENT,
            )
        tally.add_event(event)
    return Counted(events, proven, unproven)


def _records(files: PackageFiles, findings: Findings) -> Iterator[_Record]:
    for number, text in lines(files, contents.EVENTS, findings):
        try:
            record = record_of(text)
        except NOT_JSON:
            record = text
        yield _Record(number, record, leaf_hash(record))


def _expected(files: PackageFiles, log: _Log, findings: Findings) -> Iterator[_Expected]:
    for number, batch in decoded(files, contents.BATCHES, BatchLine, findings):
        why = ""
        try:
            hashes = [hash_of(found) for _, found in batch.records]
            leaf = log.batch(batch.leaf)
            if leaf is None:
                why = "the log of this package has no batch of events there"
            elif leaf.last_position - leaf.first_position + 1 != batch.size:
                why = "the batch has another size than its leaf tells of"
            elif batch.whole and _batch_root(batch, hashes).hex() != leaf.root:
                why = (
                    "the records of this batch are not those that were recorded: their hashes do "
                    "not lead to the root in its leaf"
                )
        except ProofInvalid as error:
            why, hashes = str(error), []
        if why:
            findings.add("proof.broken", why, file=contents.BATCHES, line=number, leaf=batch.leaf)
        sound = batch.whole and not why
        yield from (_Expected(found, batch.leaf, sound) for found in hashes)


def _batch_root(batch: BatchLine, hashes: list[bytes]) -> bytes:
    """The root of a batch from the records that are here and the hashes of the others."""
    parts = [(index, 0, found) for (index, _), found in zip(batch.records, hashes, strict=True)]
    parts += [(position << level, level, hash_of(found)) for level, position, found in batch.others]
    climb = Climb()
    for start, level, found in sorted(parts):
        if start != climb.size:
            raise ProofInvalid(f"the batch has nothing, or two things, at record {climb.size}")
        climb.add(found, level)
    if climb.size != batch.size:
        raise ProofInvalid(f"the proof covers {climb.size} of {batch.size} records")
    return climb.root()


def _check_configurations(files: PackageFiles, log: _Log, findings: Findings) -> set[str]:
    """The versions whose text is here."""
    found: set[str] = set()
    for number, line in decoded(files, contents.CONFIGURATIONS, ConfigurationLine, findings):
        if not line.file:
            continue
        text = whole(files, line.file, findings)
        if text is None:
            continue
        found.add(line.config_version)
        name, _, version = line.config_version.rpartition("@")
        leaf = log.configurations.get((name, int(version) if version.isdecimal() else -1))
        if leaf is None:
            if line.logged:
                findings.add(
                    "proof.missing",
                    f"{line.config_version} is said to be in the log, and is not",
                    file=contents.CONFIGURATIONS,
                    line=number,
                )
        elif f"sha256:{sha256(text).hexdigest()}" != leaf.content_digest:
            findings.add(
                "configuration.altered",
                f"is not the text of {line.config_version} that was recorded",
                file=line.file,
            )
    return found


def _check_custody(files: PackageFiles, log: _Log, findings: Findings) -> None:
    for number, text in lines(files, contents.CUSTODY, findings):
        try:
            identifier = msgspec.json.decode(text)["id"]
        except (*NOT_JSON, KeyError, TypeError):
            findings.add("line.malformed", "no custody entry", file=contents.CUSTODY, line=number)
            continue
        leaf = log.custody.get(identifier)
        if leaf is None:
            findings.add(
                "proof.missing", "the log has no such entry", file=contents.CUSTODY, line=number
            )
        elif custody_digest(text) != leaf.entry_digest:
            findings.add(
                "custody.altered", "is not as it was recorded", file=contents.CUSTODY, line=number
            )


def _compare(told: tuple[Evidence, ...], found: tuple[Evidence, ...], findings: Findings) -> None:
    by_key = {line.key: line for line in told}
    for line in found:
        said = by_key.pop(line.key, None)
        if said != line:
            findings.add(
                "completeness.false",
                f'"{line.title}" is {line.state.value} by what is here '
                f"(held: {_list(line.held)}; missing: {_list(line.missing)}); the table says "
                + ("nothing" if said is None else f"{said.state.value} (held: {_list(said.held)})"),
                file=contents.COMPLETENESS,
            )
    for key in by_key:
        findings.add("completeness.false", f'tells of "{key}"', file=contents.COMPLETENESS)


def _list(parts: tuple[str, ...]) -> str:
    return ", ".join(parts) or "nothing"


def _event(record: _Record) -> DecisionEvent | None:
    try:
        return event_of(record.text)
    except (ValueError, *NOT_JSON):
        return None


def _tell(
    findings: Findings, code: str, what: str, record: _Record, leaf: int | None = None
) -> None:
    event = _event(record)
    name = "this event" if event is None else f"event {event.id}"
    findings.add(code, f"{name} {what}", file=contents.EVENTS, line=record.number, leaf=leaf)
