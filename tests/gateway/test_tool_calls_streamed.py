"""Tool calls in streams of every dialect: judged whole, and nothing of a refused one leaves."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.gateway import commands as c
from kintsugi.gateway.dialects import BY_PATH
from kintsugi.gateway.dialects.json_text import MalformedDocument
from kintsugi.gateway.sse import FrameSplitter, frame_data
from kintsugi.model.verdict import Verdict
from tests.gateway.playbook import Playbook, in_force
from tests.gateway.wires import WIRES, Wire

# Every tool of the wires is called "f".
DENYING = {
    mode: in_force("agent-firewall: {denied_tools: [f]}", gateway=f"streaming: {mode}")
    for mode in ("buffer", "window", "observe")
}
words = st.sampled_from(["{}", "a", '{"x": 1}', "so "])


def cut(stream: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(stream) + 1) for place in at}), len(stream)]
    return [stream[a:b] for a, b in pairwise(edges) if a < b]


def play(wire: Wire, mode: str, chunks: list[bytes]) -> Playbook:
    book = Playbook(DENYING[mode])
    book.request(wire.request(True), target=wire.target)
    book.streamed(chunks)
    return book


def calls_in(wire: Wire, stream: bytes) -> bool:
    """Whether a client would read anything of a tool call."""
    reader = BY_PATH[wire.target].open_stream()
    for raw in FrameSplitter().feed(stream + b"\n\n"):
        data = frame_data(raw)
        if data is not None:
            try:
                reader.read(data)
            except MalformedDocument:  # the wires send such frames, too
                continue
    return any(channel.kind == "tool_call" for channel in reader.channels)


@pytest.mark.parametrize("mode", ["buffer", "window"])
@pytest.mark.parametrize("wire", WIRES, ids=str)
@given(data=st.data(), at=st.lists(st.integers(0, 4000), max_size=8))
def test_a_refused_call_is_refused_in_any_split_and_nothing_of_it_leaves(
    wire: Wire, mode: str, data: st.DataObject, at: list[int]
) -> None:
    stream = data.draw(wire.streams(words))
    whole = play(wire, mode, [stream])
    split = play(wire, mode, cut(stream, at))
    assert split.event.verdict is whole.event.verdict
    assert split.event.evaluations == whole.event.evaluations
    streamed = b"".join(command.data for command in split.all(c.SendData))
    if split.event.verdict is Verdict.BLOCK and split.event.error == "":
        assert not calls_in(wire, streamed)
        if not split.all(c.SendData):
            assert b"tool_blocked" in split.sent()


@pytest.mark.parametrize("wire", WIRES, ids=str)
def test_a_stream_without_calls_is_not_held_for_them(wire: Wire) -> None:
    stream = wire.stream_of("Let me look. ", "There is nothing.")
    book = Playbook(DENYING["window"])
    book.request(wire.request(True), target=wire.target)
    book.admitted()
    book.head(200, b"text/event-stream")
    book.data(stream)
    assert b"There is nothing." in book.sent()  # though the stream has not been recorded yet
