"""Frames of server-sent events, however the bytes arrive."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.gateway.sse import FrameSplitter, frame_data, with_data

lines = st.sampled_from([b"data: a", b"data:b", b": note", b"event: x", b"id", b"data", b""])
line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])


def feed(chunks: list[bytes]) -> tuple[list[bytes], bytes]:
    splitter = FrameSplitter()
    frames = [frame for chunk in chunks for frame in splitter.feed(chunk)]
    return frames, splitter.take_rest()


def events_of(frames: list[bytes]) -> list[bytes]:
    return [data for frame in frames if (data := frame_data(frame)) is not None]


@given(st.lists(st.tuples(lines, line_ends), max_size=12), st.data())
def test_any_split_gives_the_same_bytes_and_the_same_events(
    written: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    stream = b"".join(line + end for line, end in written)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    edges = [0, *cuts, len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    frames, rest = feed(chunks)
    whole, whole_rest = feed([stream])
    assert b"".join(frames) + rest == stream
    assert events_of([*frames, rest]) == events_of([*whole, whole_rest])


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_of_the_standard_ends_a_frame(end: bytes) -> None:
    frames, rest = feed([b"data: a" + end + end + b"data: b" + end + b"data: c" + end + end])
    assert events_of(frames) == [b"a", b"b\nc"]
    assert rest == b""


@pytest.mark.parametrize("end", [b"\n\n", b"\r\r", b"\r\n\r\n"])
def test_a_frame_of_many_reads_ends_wherever_its_end_is_cut(end: bytes) -> None:
    text = b"data: " + b"x" * 40 + end + b"data: b"
    for size in range(1, 9):
        chunks = [text[start : start + size] for start in range(0, len(text), size)]
        frames, rest = feed(chunks)
        assert events_of(frames) == [b"x" * 40]
        assert b"".join(frames) + rest == text


def test_comments_and_fields_without_data_carry_nothing() -> None:
    assert frame_data(b": keep-alive\n\n") is None
    assert frame_data(b"event: ping\n\n") is None
    assert frame_data(b"\n\n") is None


def test_a_byte_order_mark_does_not_hide_the_first_event() -> None:
    assert frame_data(b"\xef\xbb\xbfdata: a\n\n") == b"a"


def test_only_one_space_after_the_colon_is_not_data() -> None:
    assert frame_data(b"data:  a\n\n") == b" a"
    assert frame_data(b"data:a\n\n") == b"a"


def test_new_data_keeps_the_other_lines_and_the_line_ends() -> None:
    frame = b"event: m\r\nid: 7\r\ndata: old\r\ndata: older\r\n\r\n"
    changed = with_data(frame, b"one\ntwo")
    assert changed == b"event: m\r\nid: 7\r\ndata: one\r\ndata: two\r\n\r\n"
    assert frame_data(changed) == b"one\ntwo"


def test_half_a_line_end_at_the_edge_of_a_frame_stays_half() -> None:
    assert with_data(b"data: old\r\n\r", b"new") == b"data: new\r\n\r"
    assert with_data(b"\ndata: old\r\n\r\n", b"new") == b"\ndata: new\r\n\r\n"
    assert with_data(b"\xef\xbb\xbfdata: old", b"new") == b"\xef\xbb\xbfdata: new"
