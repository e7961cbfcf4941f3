"""The line format: what is whole is read, what is not is told exactly."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.ledger.journal import (
    CHAIN_START,
    Header,
    LineDamaged,
    Position,
    decode_header,
    decode_line,
    encode_header,
    encode_line,
    scan,
)

HEADER = Header(
    format=1,
    gateway_id="gw-1",
    worker_id="w0",
    segment=0,
    opened_at=datetime(2026, 11, 21, tzinfo=UTC),
    previous_seq=0,
    previous_chain=CHAIN_START.hex(),
    reason="started",
)

# JSON text never holds a raw control character, so a record never holds a newline.
RECORDS = st.lists(
    st.text(st.characters(min_codepoint=32, codec="utf-8"), max_size=40).map(
        lambda text: b'{"text":"' + text.encode() + b'"}'
    ),
    max_size=6,
)


def segment(records: list[bytes]) -> tuple[bytes, list[int]]:
    """A segment's bytes, and where each of its lines ends, the header's first."""
    data, position = encode_header(HEADER)
    ends = [len(data)]
    seq, chain = position.seq, position.chain
    for record in records:
        seq += 1
        line, chain = encode_line(record, seq, chain)
        data += line
        ends.append(len(data))
    return data, ends


def test_a_line_has_the_documented_shape() -> None:
    line, chain = encode_line(b'{"a":1}', 7, CHAIN_START)
    assert line == (
        b'{"crc":"%b","seq":7,"chain":"%b","record":{"a":1}}\n' % (line[8:16], chain.hex().encode())
    )


@given(RECORDS)
def test_what_was_written_is_read(records: list[bytes]) -> None:
    data, ends = segment(records)
    found = scan(data)
    assert [line.record for line in found.lines[1:]] == records
    assert [line.end for line in found.lines] == ends
    assert found.damage is None
    assert found.end == len(data)


@given(RECORDS, st.data())
def test_any_truncation_yields_exactly_the_whole_records(
    records: list[bytes], data: st.DataObject
) -> None:
    content, ends = segment(records)
    length = data.draw(st.integers(0, len(content)))
    found = scan(content[:length])
    whole = [end for end in ends if end <= length]
    assert [line.end for line in found.lines] == whole
    assert found.end == (whole[-1] if whole else 0)
    if length == found.end:
        assert found.damage is None
    else:
        assert found.damage is not None
        assert found.damage.torn
        assert found.damage.offset == found.end


@given(RECORDS, st.data())
def test_any_single_flipped_bit_is_detected_at_its_line(
    records: list[bytes], data: st.DataObject
) -> None:
    content, ends = segment(records)
    at = data.draw(st.integers(0, len(content) - 1))
    flipped = bytearray(content)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    found = scan(bytes(flipped))
    before = [end for end in ends if end <= at]
    assert [line.end for line in found.lines] == before
    assert found.damage is not None
    assert found.damage.offset == (before[-1] if before else 0)


@given(RECORDS, st.data())
def test_reading_goes_on_after_a_damaged_line(records: list[bytes], data: st.DataObject) -> None:
    content, ends = segment([*records, b'{"last":true}'])
    damaged = data.draw(st.integers(0, len(ends) - 2))
    start = ends[damaged - 1] if damaged else 0
    broken = content[:start] + b"x" + content[start + 1 :]
    found = scan(broken)
    assert found.damage is not None
    assert not found.damage.torn
    assert found.damage.resume_at == ends[damaged]
    assert found.damage.resume_seq == damaged + 2
    rest = scan(
        broken[ends[damaged] :],
        after=Position(damaged + 1, b""),
        offset=ends[damaged],
        verify_chain=False,
    )
    assert rest.lines[-1].record == b'{"last":true}'


@given(st.binary(max_size=200))
def test_bytes_that_are_no_journal_yield_nothing_and_never_raise(data: bytes) -> None:
    found = scan(data)
    assert found.lines == ()
    assert (found.damage is None) == (data == b"")


def test_a_removed_line_shows_although_every_crc_is_right() -> None:
    content, ends = segment([b'{"a":1}', b'{"a":2}', b'{"a":3}'])
    found = scan(content[: ends[1]] + content[ends[2] :])
    assert found.damage is not None
    assert found.damage.why == "seq is 4 instead of 3"
    assert found.damage.resume_at == found.damage.offset == ends[1]


def test_a_rewritten_line_with_a_fresh_crc_breaks_the_chain() -> None:
    content, ends = segment([b'{"a":1}', b'{"a":2}'])
    forged, _ = encode_line(b'{"a":9}', 2, CHAIN_START)
    found = scan(content[: ends[0]] + forged + content[ends[1] :])
    assert found.damage is not None
    assert found.damage.why == "the chain does not continue from the line before"


def test_a_tail_of_zeros_as_a_power_loss_leaves_it_is_torn() -> None:
    content, ends = segment([b'{"a":1}'])
    found = scan(content + bytes(512))
    assert found.end == ends[-1]
    assert found.damage is not None
    assert found.damage.torn


def test_a_scan_stops_after_the_lines_it_was_asked_for() -> None:
    content, ends = segment([b'{"a":1}', b'{"a":2}'])
    found = scan(content, lines_max=2)
    assert found.end == ends[1]
    assert found.damage is None


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b'{"crc":"00000000"', id="only the beginning"),
        pytest.param(b'{"crc":"00000000","seq":1}', id="a wrong CRC"),
    ],
)
def test_a_line_that_is_none_is_refused(line: bytes) -> None:
    with pytest.raises(LineDamaged):
        decode_line(line)


def test_a_header_of_another_format_is_refused() -> None:
    with pytest.raises(LineDamaged, match="format 2 is not known"):
        decode_header(
            b'{"kind":"opened","format":2,"gateway_id":"g","worker_id":"w","segment":0,'
            b'"opened_at":"2026-11-21T00:00:00Z","previous_seq":0,"previous_chain":"00",'
            b'"reason":"started"}'
        )
