"""The journal's line format: encode, decode, and find the first damage. Pure.

A line is ``{"crc":"<8 hex>","seq":N,"chain":"<64 hex>","record":{...}}`` and a newline:

- ``crc`` is the CRC-32 of every byte after ``"crc":"........",`` up to, and without, the newline.
  It tells accidents (a torn write, a flipped bit) apart from whole lines.
- ``chain`` is SHA-256(previous chain, record). It ties each record to all before it, so that a
  line that is removed, moved or rewritten with a fresh CRC shows.
- ``seq`` counts the lines of one series, headers included.

A series is the run of one writer over one or more segment files. Each segment begins with a
header record of kind ``opened`` that carries the sequence number and chain it continues from, so
a segment verifies alone and in its series. Lines of an earlier segment with a ``seq`` that a
later header repeats are void: their sync failed and they were written again.
"""

from __future__ import annotations

import re
from binascii import hexlify
from datetime import datetime
from hashlib import sha256
from typing import Literal
from zlib import crc32

import msgspec

CHAIN_START = bytes(32)
FORMAT_VERSION = 1

# Lower-case digits only: a capital one is a flipped bit too.
_LINE = re.compile(
    rb'\{"crc":"([0-9a-f]{8})","seq":([0-9]{1,18}),"chain":"([0-9a-f]{64})","record":'
)
_BODY = len(b'{"crc":"00000000",')


class Header(msgspec.Struct, frozen=True, tag_field="kind", tag="opened"):
    """The first record of a segment.

    Attributes:
        previous_seq, previous_chain: the last line that this segment continues; 0 and 64 zeros
            when it is the first of its series.
        reason: ``started``, ``rotated`` (the one before was full) or ``sync_failed`` (what the one
            before holds after ``previous_seq`` is void and stands here again).
    """

    format: int
    gateway_id: str
    worker_id: str
    segment: int
    opened_at: datetime
    previous_seq: int
    previous_chain: str
    reason: Literal["started", "rotated", "sync_failed"]


class Line(msgspec.Struct, frozen=True, gc=False):
    """One whole, valid line; ``offset`` to ``end`` (exclusive, newline included) is its place."""

    seq: int
    chain: bytes
    record: bytes
    offset: int
    end: int


class Position(msgspec.Struct, frozen=True):
    """The last line that was read: what the next one must continue."""

    seq: int
    chain: bytes


class Damage(msgspec.Struct, frozen=True):
    """The first place where the bytes stop being a journal.

    Attributes:
        offset: where the damaged line begins.
        resume_at: where the next line with a right CRC begins; the end of the bytes if none does.
            The same as ``offset`` when the line itself is whole but does not continue the one
            before.
        resume_seq: the sequence number of that line; None if there is none.
        seq: the sequence number that was expected there; None when nothing was read before it.
        torn: the bytes simply end inside a line, as a write that was cut short leaves them.
            Anything else is corruption of what was whole once.
    """

    offset: int
    resume_at: int
    resume_seq: int | None
    seq: int | None
    why: str
    torn: bool


class Scan(msgspec.Struct, frozen=True):
    """Whole records from the start of the bytes up to the first damage, if there is one."""

    lines: tuple[Line, ...]
    end: int
    damage: Damage | None


class LineDamaged(ValueError):
    """These bytes are not a whole line; the message says why."""


def encode_line(record: bytes, seq: int, chain: bytes) -> tuple[bytes, bytes]:
    """The line, newline included, and the chain after it.

    Args:
        record: one JSON object without a raw newline, as msgspec writes it.
        chain: the 32 bytes after the line before; ``CHAIN_START`` for the first.
    """
    after = sha256(chain + record).digest()
    head = b'"seq":%d,"chain":"%b","record":' % (seq, hexlify(after))
    crc = crc32(b"}", crc32(record, crc32(head)))
    return b'{"crc":"%08x",%b%b}\n' % (crc, head, record), after


def encode_header(header: Header) -> tuple[bytes, Position]:
    """A segment's first line, and the position after it."""
    seq = header.previous_seq + 1
    record = msgspec.json.encode(header)
    line, chain = encode_line(record, seq, bytes.fromhex(header.previous_chain))
    return line, Position(seq, chain)


def decode_line(line: bytes, *, offset: int = 0) -> Line:
    """Read one line given without its newline; checks the CRC and the shape, not the chain.

    Raises:
        LineDamaged: it is not exactly what ``encode_line`` writes.
    """
    match = _LINE.match(line)
    if match is None or line[-1:] != b"}":
        raise LineDamaged("it has not the shape of a journal line")
    crc, seq, chain = match.groups()
    if int(crc, 16) != crc32(line[_BODY:]):
        raise LineDamaged("the CRC does not match")
    return Line(
        int(seq),
        bytes.fromhex(chain.decode("ascii")),
        line[match.end() : -1],
        offset,
        offset + len(line) + 1,
    )


def decode_header(record: bytes) -> Header:
    """Read a segment's first record.

    Raises:
        LineDamaged: it is no header, or of a format that this version does not know.
    """
    try:
        header = msgspec.json.decode(record, type=Header)
    except msgspec.DecodeError as error:
        raise LineDamaged(f"not a segment header: {error}") from None
    if header.format != FORMAT_VERSION:
        raise LineDamaged(f"format {header.format} is not known, only {FORMAT_VERSION}")
    return header


def scan(
    data: bytes,
    *,
    after: Position | None = None,
    offset: int = 0,
    lines_max: int | None = None,
    verify_chain: bool = True,
) -> Scan:
    """Every whole valid record from the start of ``data``, and the first damage.

    Args:
        data: bytes of one segment that begin with a line.
        after: the position before ``data``. Without one, ``data`` begins with a header, whose own
            carried position is used.
        offset: where ``data`` begins in its file; offsets in the result count from there.
        lines_max: stop after so many lines; what follows is not looked at.
        verify_chain: False checks CRC and sequence only, which is enough to read on and costs
            less.
    """
    lines: list[Line] = []
    last: Position | Line | None = after
    start = 0
    while start < len(data) and (lines_max is None or len(lines) < lines_max):
        whole = None
        try:
            newline = data.find(b"\n", start)
            if newline < 0:
                raise LineDamaged("the line is not complete")
            whole = decode_line(data[start:newline], offset=offset + start)
            if last is None:
                last = _carried(whole)
            if whole.seq != last.seq + 1:
                raise LineDamaged(f"seq is {whole.seq} instead of {last.seq + 1}")
            if verify_chain and sha256(last.chain + whole.record).digest() != whole.chain:
                raise LineDamaged("the chain does not continue from the line before")
        except LineDamaged as error:
            expected = None if last is None else last.seq + 1
            damage = _damage(data, start, offset, str(error), expected, whole)
            return Scan(tuple(lines), offset + start, damage)
        lines.append(whole)
        last = whole
        start = newline + 1
    return Scan(tuple(lines), offset + start, None)


def _carried(line: Line) -> Position:
    header = decode_header(line.record)
    return Position(header.previous_seq, bytes.fromhex(header.previous_chain))


def _damage(
    data: bytes, start: int, offset: int, why: str, expected_seq: int | None, whole: Line | None
) -> Damage:
    following = whole or _next_whole(data, start, offset)
    return Damage(
        offset=offset + start,
        resume_at=offset + len(data) if following is None else following.offset,
        resume_seq=None if following is None else following.seq,
        seq=expected_seq,
        why=why,
        torn=b"\n" not in data[start:],
    )


def _next_whole(data: bytes, start: int, offset: int) -> Line | None:
    """The first line with a right CRC after the damaged one."""
    while (newline := data.find(b"\n", start)) >= 0:
        start = newline + 1
        end = data.find(b"\n", start)
        if end < 0:
            break
        try:
            return decode_line(data[start:end], offset=offset + start)
        except LineDamaged:
            continue
    return None
