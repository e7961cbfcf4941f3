"""A streamed answer under judgement: what may leave when, and with which bytes.

Three modes. ``buffer`` holds everything until the whole answer is judged. ``window`` lets a frame
go as soon as no rule could still match a text that it carries. ``observe`` lets everything go and
only records. In every mode the decision on record is the one on the whole texts, so it is the
decision that the same answer gets when it is not streamed.

Tool calls that a policy may stop stay here whole, in every mode but ``observe``: from the first
frame of one on, nothing leaves before the answer is complete and judged. A tool is run once, so a
call that turned out wrong could not be called back.

The end of an answer (the frame that finishes the last choice, ``[DONE]``, and what follows) stays
here in every mode until the exchange has its record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

import msgspec

from kintsugi.gateway.chunks import Chunks
from kintsugi.gateway.dialects.changes import Called, CannotChange
from kintsugi.gateway.dialects.dialect import Channel, FrameView, Piece, StreamReader
from kintsugi.gateway.dialects.json_text import MalformedDocument
from kintsugi.gateway.dialects.splice import CannotSplice, apply_edits, splice
from kintsugi.gateway.sse import FrameSplitter, frame_data, with_data
from kintsugi.model.config import Streaming
from kintsugi.model.content import Edit, Part
from kintsugi.model.decision import Decision
from kintsugi.model.verdict import Verdict

Judge = Callable[[Sequence[Part], bool], Decision]
Settled = Callable[[Part, Decision], int]

_NOTHING_SAID = FrameView()
# A match whose end does not come (an endless key) keeps its text here. It is looked at again only
# when the text has grown by this share, which bounds the work by a multiple of the text.
_REGROWTH = 8


class Window:
    """How far one channel has been judged.

    Attributes:
        settled: characters before this one will not change and are judged for good.
        judged: characters that the last judgement saw.
        saw_end: the last judgement saw all there will be.
        edits: for settled text, in characters of the whole channel.
        context: the text from ``context_start`` on, as far as it was judged.
        keeps_all: arguments of tool calls are JSON, which is read from its beginning; they are of
            no use before they are complete, so they are looked at in growing steps only.
    """

    __slots__ = (
        "channel",
        "context",
        "context_start",
        "edits",
        "judged",
        "keeps_all",
        "pieces_seen",
        "saw_end",
        "settled",
    )

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.keeps_all = channel.kind == "tool_call"
        self.settled = 0
        self.judged = 0
        self.saw_end = False
        self.edits: list[Edit] = []
        self.context = ""
        self.context_start = 0
        self.pieces_seen = 0

    @property
    def waits(self) -> bool:
        """Whether it is whole and not settled yet."""
        return self.channel.closed and self.settled < self.channel.length

    def due(self, hold_chars: int) -> bool:
        """Whether enough is new to look again."""
        if self.channel.closed and not self.saw_end:
            return self.waits  # what was held back for more text need not be any longer
        new = self.channel.length - self.judged
        if self.keeps_all:
            return new * _REGROWTH > self.judged
        held = self.channel.length - self.settled
        return new > 0 and (held <= 4 * hold_chars + 64 or new * _REGROWTH >= held)

    def part(self) -> Part:
        """The unsettled text with its context, for rules to look at."""
        channel = self.channel
        self.context += "".join(channel.pieces[self.pieces_seen :])
        self.pieces_seen = len(channel.pieces)
        self.judged = channel.length
        self.saw_end = channel.closed
        return Part(
            channel.role,
            channel.kind,
            self.context,
            channel.path,
            self.settled - self.context_start,
            channel.name,
        )

    def settle(self, limit: int, edits: Sequence[Edit], context_chars: int) -> None:
        """Settle the text before ``limit``, which no edit reaches across."""
        shift = self.context_start
        self.edits += [
            Edit(edit.path, edit.start + shift, edit.end + shift, edit.replacement)
            for edit in edits
            if edit.start + shift < limit
        ]
        self.settled = limit
        if self.keeps_all:
            return
        start = max(self.context_start, self.settled - context_chars)
        self.context = self.context[start - shift :]
        self.context_start = start


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A frame that is held; ``data`` is None when it carries none."""

    raw: bytes
    data: bytes | None
    view: FrameView


class StreamSession:
    """One streamed answer, from its first byte to its decision.

    Args:
        hold_chars, context_chars: see ``Plan``.
        judge: decides on parts of the answer and is told whether they are complete, see
            ``ExchangeView.complete``.
        judges_whole: some rule looks at complete answers only, so no window stands for the whole.
        holds_calls: frames from the first tool call on wait for the end.
        notes_chunks: note in which pieces the answer comes.
        settled: up to where a judgement on a part is final, see ``policy.decide.settled``.
        fails_open: let frames pass that cannot be read.

    Attributes:
        stop: the decision that ended the stream early; None while it goes on.
        unreadable: why the stream cannot be judged any further; empty while it can.
        cannot_redact: an edit cannot be made in a frame, so nothing more may leave.
        failed_open: a frame passed that could not be read.
        started: some of it was let go already.
        decision: on the whole answer; None before ``conclude``.
        ended_between_frames: a further frame could follow the last one.
        inconsistent: the whole text was judged stricter than its windows were: a defect in a rule.
        chunks: the pieces that it came in; None where they are not noted.
    """

    def __init__(
        self,
        reader: StreamReader,
        *,
        mode: Streaming,
        hold_chars: int,
        context_chars: int,
        judge: Judge,
        settled: Settled,
        judges_whole: bool,
        fails_open: bool,
        holds_calls: bool = False,
        notes_chunks: bool = False,
    ) -> None:
        self.reader = reader
        self.mode = mode
        self.stop: Decision | None = None
        self.unreadable = ""
        self.cannot_redact = False
        self.failed_open = False
        self.started = False
        self.inconsistent = False
        self.ended_between_frames = True
        self.decision: Decision | None = None
        self.byte_count = 0
        self.digest = hashlib.sha256()
        self.finished_choices: set[int] = set()
        self.chunks = Chunks() if notes_chunks else None
        self._judge = judge
        self._settled = settled
        self._judges_whole = judges_whole
        self._hold_chars = hold_chars
        self._context_chars = context_chars
        self._fails_open = fails_open
        self._holds_calls = holds_calls
        self._channels_seen = 0
        self._calls_from: int | None = None  # position in _held of the first frame of a tool call
        self._waits_for_person = False  # a person will have to be asked about the whole
        self._splitter = FrameSplitter()
        self._held: list[Frame] = []
        self._ending: int | None = (
            None  # position in _held from which on frames wait for the record
        )
        self._windows: dict[str, Window] = {}
        self._windows_made = 0  # for so many of the reader's channels
        self._open: list[Window] = []  # those that are not settled to their end
        self._edited = False  # some text has an edit
        self._whole: Decision | None = None  # a judgement that saw all text there is

    @property
    def ended_early(self) -> bool:
        """Whether nothing more is to be read or sent of it."""
        return self.stop is not None or self.cannot_redact or self.unreadable != ""

    def feed(self, data: bytes) -> bytes:
        """Take in what one read delivered; return what may leave now.

        After that it may have ended (``ended_early``), and then nothing is returned.
        """
        self.byte_count += len(data)
        self.digest.update(data)
        self._take(self._splitter.feed(data))
        if self.unreadable:
            return b""
        if self.mode == "window" and self._hold_chars and not self._waits_for_person:
            self._judge_windows()
            if self.stop is not None:
                return b""
        return b"" if self.mode == "buffer" or self._waits_for_person else self._release()

    def take_last(self) -> None:
        """Upstream is done: take in the last frame, though its empty line is missing.

        A client that reads on to the end of the connection would read that frame too.
        """
        rest = self._splitter.take_rest()
        if rest:
            self.ended_between_frames = not rest.strip(b"\r\n")
            self._take([rest])

    def parts(self) -> list[Part]:
        """All the texts so far, in the order of a whole answer."""
        channels = sorted(self.reader.channels, key=_rank)
        return [channel.part() for channel in channels if channel.length or channel.name]

    def conclude(self) -> None:
        """Decide on all the text there is, complete or not; once."""
        channels = sorted(self.reader.channels, key=_rank)
        whole = self._whole
        if whole is None:
            # A call without arguments is a call.
            spoken = [one for one in channels if one.length or one.kind == "tool_call"]
            whole = self._judge([channel.part() for channel in spoken], True)
        if self.stop is not None and not whole.verdict.stops:
            whole, self.inconsistent = self.stop, True
        self.decision = whole
        if whole.verdict.stops and self.mode != "observe":
            self.stop = whole
        self._settle_everything(whole)
        # Nothing is judged after this. Whoever judges knows the session too, and a ring of objects
        # would be left to the collector for every stream.
        del self._judge

    def rest(self) -> bytes:
        """Everything that is still held, edited; empty when ``cannot_redact``."""
        held, self._held = self._held, []
        return self._joined(held)

    def rest_confirmed(self, say: Callable[[Sequence[Called]], str]) -> tuple[bytes, int]:
        """Everything that is still held, edited, with words in the place of its tool calls; and
        how many calls that was.

        Raises:
            CannotChange: the dialect's streams have no such frames.
        """
        if self._calls_from is None or self.mode == "observe":
            return self.rest(), 0
        make = getattr(self.reader, "confirmation_frames", None)
        if make is None:
            raise CannotChange("calls cannot be taken out of this dialect's streams")
        held, self._held = self._held, []
        ending = len(held) if self._ending is None else self._ending
        before = self._joined(held[: self._calls_from])
        said = self._said_in(held[self._calls_from : ending])
        frames, count = make(say, said, self.finished_choices)
        after = [frame for frame in held[ending:] if not frame.view.finishes]
        return before + frames + self._joined(after), count

    def _said_in(self, frames: Sequence[Frame]) -> dict[str, str]:
        """What some frames say besides tool calls, edited, by the path of the text."""
        said: dict[str, str] = {}
        for frame in frames:
            for piece in frame.view.pieces:
                channel = piece.channel
                if channel.kind == "tool_call":
                    continue
                window = self._windows.get(channel.path)
                edits = _within(piece, window.edits) if window is not None else []
                text = apply_edits(channel.text()[piece.start : piece.end], edits)
                said[channel.path] = said.get(channel.path, "") + text
        return said

    def _take(self, frames: Iterable[bytes]) -> None:
        """Take in the frames that one read delivered, up to one that cannot be read."""
        reader, held = self.reader, self._held
        before = len(held)
        for raw in frames:
            data = frame_data(raw)
            view = _NOTHING_SAID
            if data is not None:
                try:
                    view = reader.read(data)
                except MalformedDocument as error:
                    if not self._fails_open:
                        self.unreadable = str(error)
                        break
                    self.failed_open = True
                    view = reader.read_opaque(data.decode(errors="replace"))
            if view.pieces:
                self._whole = None
            if self._holds_calls and self._calls_from is None:
                self._find_calls()
            if self._ending is None:
                if view.closing or (view.finishes and reader.all_finished):
                    self._ending = len(held)
            elif view.pieces and not reader.all_finished:
                self._ending = None  # it went on after what looked like its end
            held.append(Frame(raw, data, view))
        if self.chunks is not None:
            self.chunks.read([frame.view.pieces for frame in held[before:]])

    def _find_calls(self) -> None:
        """Note whether a tool call begins in the frame that was just read."""
        channels = self.reader.channels
        new = channels[self._channels_seen :]
        self._channels_seen = len(channels)
        if any(channel.kind == "tool_call" for channel in new):
            self._calls_from = len(self._held)

    def _judge_windows(self) -> None:
        """Judge new text, and settle what no longer text could change."""
        for channel in self.reader.channels[self._windows_made :]:
            window = self._windows[channel.path] = Window(channel)
            self._open.append(window)
        self._windows_made = len(self.reader.channels)
        windows = []
        waiting = []
        for window in self._open:
            if window.due(self._hold_chars):
                windows.append(window)
            elif window.waits:  # beside a stop that was not final
                waiting.append(window)
        if not windows:
            return
        windows += waiting
        windows.sort(key=_window_rank)
        fresh = all(window.context_start == 0 == window.settled for window in windows)
        parts = [window.part() for window in windows]
        decision = self._judge(parts, False)
        if not self._judges_whole and fresh and len(windows) == len(self._windows):
            self._whole = decision
        limits = {
            window.channel.path: window.channel.length
            if window.channel.closed
            else window.context_start + self._settled(part, decision)
            for window, part in zip(windows, parts, strict=True)
        }
        if decision.verdict is Verdict.ESCALATE:
            # What a person is asked about is the whole answer: hold it from here on.
            self._waits_for_person = True
            return
        if decision.verdict.stops:
            # Until the finding is final, hold everything: policies after it did not run.
            if self._is_final(decision, limits):
                self.stop = decision
            return
        edits = _by_path(decision.edits)
        self._edited = self._edited or bool(edits)
        for window in windows:
            path = window.channel.path
            window.settle(limits[path], edits.get(path, ()), self._context_chars)
        if any(window.channel.closed for window in windows):
            self._open = [one for one in self._open if one.waits or not one.channel.closed]

    def _is_final(self, decision: Decision, limits: dict[str, int]) -> bool:
        """Whether a stopping finding would stand whatever text came next."""
        for evaluation in decision.evaluations:
            if not evaluation.effective.stops:
                continue
            for finding in evaluation.findings:
                limit = limits.get(finding.path)
                if limit is None or not finding.length:
                    return True  # about the whole, or without a place: nothing to wait for
                if self._windows[finding.path].context_start + finding.offset < limit:
                    return True
            if not evaluation.findings:
                return True
        return False

    def _settle_everything(self, decision: Decision) -> None:
        """Take the edits of the whole for all text that is still here."""
        edits = _by_path(decision.edits)
        self._edited = self._edited or bool(edits)
        for channel in self.reader.channels:
            window = self._windows.get(channel.path)
            if window is None:
                window = self._windows[channel.path] = Window(channel)
            whole = edits.get(channel.path, [])
            if self.mode == "window" and self._hold_chars:
                settled = window.settled
                gone = [edit for edit in whole if edit.start < settled]
                if gone != [edit for edit in window.edits if edit.start < settled]:
                    self.inconsistent = True
            window.edits = whole
            window.settled = channel.length
        breaks = getattr(self.reader, "breaks", None)
        if breaks is not None and edits and self.mode != "observe" and breaks(edits):
            self.cannot_redact = True

    def _release(self) -> bytes:
        """The bytes of every frame, from the oldest on, whose texts are all settled."""
        end = len(self._held) if self._ending is None else self._ending
        if self._calls_from is not None and self.mode != "observe":
            end = min(end, self._calls_from)
        if self.mode == "observe" or self._hold_chars == 0:
            count, speaks = end, True
        else:
            count, speaks = self._settled_frames(end)
        # Until there is a word to send, a stop can still be an honest error instead of a stream.
        if not count or not (speaks or self.started):
            return b""
        going, self._held = self._held[:count], self._held[count:]
        if self._ending is not None:
            self._ending -= count
        if self._calls_from is not None:
            self._calls_from -= count
        released = self._joined(going)
        if self.cannot_redact:
            return b""
        for frame in going:
            if frame.view.finishes:
                self.finished_choices.update(frame.view.finishes)
        self.started = True
        return released

    def _joined(self, frames: Sequence[Frame]) -> bytes:
        if self.cannot_redact:
            return b""
        if not self._edited or self.mode == "observe":
            return b"".join([frame.raw for frame in frames])
        try:
            return b"".join([self._bytes(frame) for frame in frames])
        except CannotSplice:
            self.cannot_redact = True
            return b""

    def _settled_frames(self, end: int) -> tuple[int, bool]:
        """How many of the first ``end`` frames are settled, and whether one of them has text."""
        windows = self._windows
        speaks = False
        for count, frame in enumerate(self._held[:end]):
            for piece in frame.view.pieces:
                if piece.end > windows[piece.channel.path].settled:
                    return count, speaks
                # What an answer repeats of its request is no word of the answer yet.
                speaks = speaks or piece.channel.role == "assistant"
        return end, speaks

    def _bytes(self, frame: Frame) -> bytes:
        """The frame as it leaves: as it came, unless an edit touches one of its texts."""
        if frame.data is None:
            return frame.raw
        edits: list[Edit] = []
        clear: list[str] = []
        for piece in frame.view.pieces:
            window = self._windows.get(piece.channel.path)
            if window is None or not window.edits:
                continue
            touching = _within(piece, window.edits)
            if touching:
                edits += touching
                clear += self.reader.clears(piece)
        for channel, pointer in frame.view.seals:
            window = self._windows.get(channel.path)
            if window is not None and window.edits:
                clear.append(pointer)
        if not edits and not clear:
            return frame.raw
        return with_data(frame.raw, splice(frame.data, edits, clear=clear))


def _within(piece: Piece, edits: Sequence[Edit]) -> list[Edit]:
    """The share of a text's edits that falls on one piece of it.

    The marker goes where the edited span begins; from the pieces after that, the rest of the span
    is taken out.
    """
    return [
        Edit(
            piece.pointer,
            max(edit.start - piece.start, 0),
            min(edit.end, piece.end) - piece.start,
            edit.replacement if edit.start >= piece.start else "",
        )
        for edit in edits
        if edit.start < piece.end and edit.end > piece.start
    ]


def _by_path(edits: Sequence[Edit]) -> dict[str, list[Edit]]:
    found: dict[str, list[Edit]] = {}
    for edit in edits:
        found.setdefault(edit.path, []).append(edit)
    return found


def _rank(channel: Channel) -> tuple[int | str, ...]:
    return channel.rank


def _window_rank(window: Window) -> tuple[int | str, ...]:
    return window.channel.rank
