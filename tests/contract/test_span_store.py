"""What the store of spans promises."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

import msgspec
import psycopg
import pytest

from kintsugi.errors import InvalidInput, NotFound
from kintsugi.model.custody import CustodyFilter, custody_entry
from kintsugi.model.span import Held, Span, SpanContent, SpanEvent, Step, TraceFilter
from kintsugi.model.stores import Stores
from kintsugi.model.vault import Subject
from kintsugi.model.verdict import Verdict
from tests.contract.conftest import Maker
from tests.contract.test_vault_store import queued
from tests.databases import NOON
from tests.store.made import event

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OTHER = "0af7651916cd43dd8448eb211c80319c"
SECOND = timedelta(seconds=1)


def span(number: int = 1, *, at: datetime | None = None, **changes: Any) -> Span:
    at = at or NOON + number * SECOND
    made = Span(
        trace_id=TRACE,
        span_id=f"{number:016x}",
        name=f"step {number}",
        step=Step.TOOL,
        started_at=at,
        ended_at=at + SECOND,
        service="checkout",
        attributes={"gen_ai.conversation.id": "s1", "user.id": "ada"},
        content=SpanContent(attributes={"input.value": f"text {number}"}),
    )
    return msgspec.structs.replace(made, **changes)


def test_spans_come_back_as_they_were_with_their_content_only_when_asked_for(
    stores: Stores,
) -> None:
    spans = [span(2), span(1)]
    assert msgspec.structs.astuple(stores.spans.append(spans)) == (2, 0)
    assert stores.spans.spans(TRACE, limit=10, content=True) == [span(1), span(2)]
    assert stores.spans.spans(TRACE, limit=1) == [span(1, content=None)]
    assert stores.spans.span(TRACE, span(2).span_id) == span(2)
    with pytest.raises(NotFound, match="no span"):
        stores.spans.span(TRACE, "ffffffffffffffff")
    assert stores.spans.spans(OTHER, limit=10) == []
    assert stores.spans.trace(OTHER) is None


def test_a_span_is_stored_once_and_the_first_word_stays(stores: Stores) -> None:
    stores.spans.append([span(1)])
    again = stores.spans.append([span(1, name="changed"), span(2), span(2)])
    assert (again.stored, again.duplicates) == (1, 2)
    moved = stores.spans.append([span(1, at=NOON + 20 * SECOND)])
    assert (moved.stored, moved.duplicates) == (0, 1)
    assert [found.name for found in stores.spans.spans(TRACE, limit=10)] == ["step 1", "step 2"]
    summary = stores.spans.trace(TRACE)
    assert summary is not None
    assert summary.spans == 2


def test_a_trace_knows_its_times_its_failures_and_its_strictest_decision(stores: Stores) -> None:
    stores.spans.append([span(3, status="error", step=Step.RETRIEVAL)])
    stores.events.append(
        [
            event(1, trace_id=TRACE, verdict=Verdict.BLOCK, agent_id="a1"),
            event(2, trace_id=TRACE, verdict=Verdict.FLAG),
            event(3),
        ]
    )
    stores.spans.append([span(1)])
    summary = stores.spans.trace(TRACE)
    assert summary is not None
    assert (summary.spans, summary.decisions, summary.failed) == (2, 2, 1)
    assert summary.verdict is Verdict.BLOCK
    assert summary.started_at <= NOON + SECOND
    assert summary.ended_at == NOON + 4 * SECOND
    assert {"service:checkout", "session:s1", "user:ada", "agent:a1"} <= set(summary.labels)
    assert {"step:tool", "step:retrieval"} <= set(summary.labels)


def test_traces_of_decisions_alone_are_listed_too(stores: Stores) -> None:
    stores.events.append([event(1, trace_id=OTHER, verdict=Verdict.ALLOW)])
    found, _ = stores.spans.page(TraceFilter(verdict=Verdict.ALLOW), limit=5)
    assert [trace.trace_id for trace in found] == [OTHER]
    assert found[0].spans == 0


def test_filters_narrow_the_list(stores: Stores) -> None:
    other = span(9, trace_id=OTHER, service="search", status="error", step=Step.WRITE)
    stores.spans.append([span(1), other])

    def ids(**where: Any) -> list[str]:
        wanted = TraceFilter(**where)
        found, _ = stores.spans.page(wanted, limit=10)
        assert stores.spans.count(wanted, ceiling=10) == len(found)
        return [trace.trace_id for trace in found]

    assert ids() == [OTHER, TRACE]
    assert ids(service="search") == [OTHER]
    assert ids(session="s1", user="ada", service="checkout") == [TRACE]
    assert ids(step=Step.WRITE) == [OTHER]
    assert ids(failed=False) == [TRACE]
    assert ids(failed=True) == [OTHER]
    assert ids(since=NOON + 5 * SECOND) == [OTHER]
    assert ids(until=NOON + 5 * SECOND) == [TRACE]
    assert ids(verdict=Verdict.BLOCK) == []
    assert stores.spans.count(TraceFilter(), ceiling=1) == 1


def test_pages_hold_every_trace_once(stores: Stores) -> None:
    stores.spans.append([span(n, trace_id=f"{n:032x}", at=NOON) for n in range(1, 8)])
    seen: list[str] = []
    cursor = None
    while True:
        found, cursor = stores.spans.page(TraceFilter(), limit=3, cursor=cursor)
        seen += [trace.trace_id for trace in found]
        if cursor is None:
            break
    assert seen == [f"{n:032x}" for n in range(7, 0, -1)]
    with pytest.raises(InvalidInput):
        stores.spans.page(TraceFilter(), limit=3, cursor="nonsense")


def test_hostile_text_is_kept_as_it_is(stores: Stores) -> None:
    hostile = "nul \x00 half \ud800 tab\t back\\slash \\N line\nend \u202e"
    made = span(
        1,
        name=hostile,
        service=hostile,
        attributes={"gen_ai.agent.name": hostile},
        content=SpanContent(
            attributes={hostile: hostile}, events=(SpanEvent(hostile, NOON, {"x": [hostile]}),)
        ),
    )
    stores.spans.append([made])
    assert stores.spans.span(TRACE, made.span_id) == made
    found, _ = stores.spans.page(TraceFilter(service=hostile), limit=2)
    assert [trace.trace_id for trace in found] == [TRACE]
    assert stores.spans.spans(hostile, limit=1) == []
    stores.events.append([event(1, trace_id=hostile)])
    assert stores.spans.trace(hostile) is not None


def test_a_trace_reaches_over_months(stores: Stores) -> None:
    late = span(2, at=NOON + timedelta(days=40))
    stores.spans.append([span(1), late])
    stores.spans.append([late])
    assert [found.span_id for found in stores.spans.spans(TRACE, limit=5)] == [
        span(1).span_id,
        late.span_id,
    ]


def test_labels_of_a_trace_do_not_grow_without_end(stores: Stores) -> None:
    stores.spans.append([span(n, service=f"service-{n}") for n in range(1, 200)])
    summary = stores.spans.trace(TRACE)
    assert summary is not None
    assert len(summary.labels) == 64


def test_batches_that_meet_neither_wait_for_ever_nor_store_twice(stores: Stores) -> None:
    spans = [span(n, trace_id=f"{n % 5 + 1:032x}") for n in range(1, 40)]
    events = [event(n, trace_id=f"{n % 5 + 1:032x}") for n in range(1, 40)]
    stored: list[int] = []

    def send(batch: list[Span]) -> None:
        stored.append(stores.spans.append(batch).stored)

    threads = [
        threading.Thread(target=send, args=(batch,))
        for batch in (spans, spans[::-1], spans[10:], spans[::2])
    ]
    threads.append(threading.Thread(target=stores.events.append, args=(events,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(stored) == len(spans)
    found, _ = stores.spans.page(TraceFilter(), limit=10)
    assert sum(trace.spans for trace in found) == len(spans)
    assert sum(trace.decisions for trace in found) == len(events)


def test_content_of_spans_can_be_erased_by_whom_the_trace_tells_of(stores: Stores) -> None:
    user, session = {"user.id": "ada"}, {"gen_ai.conversation.id": "s1"}
    stores.spans.append(
        [
            span(1, trace_id="a" * 32, attributes=user),
            span(2, trace_id="a" * 32, attributes=session),
            span(3, trace_id="b" * 32, attributes=session),
            span(4, trace_id="c" * 32, attributes={}),
        ]
    )
    ada, s1 = Subject("user", "ada"), Subject("session", "s1")
    assert (stores.spans.contents_of(ada), stores.spans.contents_of(s1)) == (2, 1)
    assert stores.spans.erase_contents(ada) == 2
    assert stores.spans.erase_contents(ada) == 0
    assert [one.content for one in stores.spans.spans("a" * 32, limit=9, content=True)] == [
        None
    ] * 2
    assert stores.spans.spans("b" * 32, limit=9, content=True)[0].content is not None
    assert stores.spans.erase_contents(s1) == 1
    assert stores.spans.erase_contents(Subject("event", "c" * 32)) == 0
    assert stores.spans.spans("c" * 32, limit=9, content=True)[0].content is not None


def test_contents_lie_in_the_database_sealed(maker: Maker) -> None:
    stores = maker.empty()
    stores.spans.append([span(1, content=SpanContent(attributes={"input.value": "my wish"}))])
    if maker.conninfo:
        with psycopg.connect(maker.conninfo) as connection:
            rows = connection.execute(
                "SELECT s.record, c.content, c.sealed FROM kintsugi.spans AS s"
                " JOIN kintsugi.span_contents AS c USING (trace_id, span_id)"
            ).fetchall()
        assert [content for _, content, _ in rows] == [None]
        assert "my wish" not in str(rows)
    assert stores.spans.spans(TRACE, limit=1, content=True)[0].content is not None


def test_revealing_a_content_is_on_record_and_nothing_is_shown_without(stores: Stores) -> None:
    stores.spans.append([span(1), span(2, content=None)])
    entry = custody_entry("reveal", f"span:{TRACE}/1", actor="ana/t1", now=NOON, reason="review")
    assert stores.spans.reveal(TRACE, span(1).span_id, entry) == span(1)
    for missing in (span(2).span_id, "ffffffffffffffff"):
        again = custody_entry("reveal", "span:x", actor="ana/t1", now=NOON, reason="review")
        with pytest.raises(NotFound):
            stores.spans.reveal(TRACE, missing, again)
    found, _ = stores.custody.page(CustodyFilter(), limit=10)
    assert [one.id for one in found] == [entry.id]


def test_an_erasure_takes_the_contents_of_every_trace_of_its_subject(stores: Stores) -> None:
    held: tuple[Held, ...] = ("tool_arguments",)
    nobody: dict[str, Any] = {"attributes": {}, "service": ""}
    stores.spans.append([span(1, holds=held, **nobody)])  # whose it is becomes known later
    stores.events.append([event(2, trace_id=TRACE, user_id="ada")])
    stores.spans.append(
        [span(3, holds=held, **nobody), span(4, trace_id=OTHER, holds=held, **nobody)]
    )
    ada = Subject("user", "ada")
    until = NOON + timedelta(minutes=1)
    assert stores.spans.contents_of(ada, until=until) == 2
    assert stores.spans.contents_of(ada, until=NOON) == 0
    assert stores.spans.erase_contents(ada, until=NOON) == 0
    assert stores.spans.erase_contents(ada, until=until) == 2
    assert stores.spans.erase_contents(ada) == 0
    assert stores.spans.contents_of(ada) == 0
    for content in (False, True):
        found = stores.spans.spans(TRACE, limit=5, content=content)
        assert [(one.content, one.holds) for one in found] == [(None, ()), (None, ())]
    (kept,) = stores.spans.spans(OTHER, limit=5, content=True)
    assert kept.holds == held
    assert kept.content is not None


def test_what_was_destroyed_with_its_key_cannot_be_read_and_is_not_kept_anew(
    maker: Maker,
) -> None:
    stores = maker.empty()
    if not maker.conninfo:
        return  # keys of the memory double are only names
    stores.spans.append([span(1, holds=("tool_result",))])
    stores.events.append([event(1, user_id="ada")])
    job = queued(stores, "ada")
    stores.erasures.destroy(job, now=NOON + timedelta(hours=1))
    (found,) = stores.spans.spans(TRACE, limit=5, content=True)
    assert (found.content, found.holds) == (None, ())
    assert stores.spans.spans(TRACE, limit=5)[0].holds == ()
    stores.spans.append([span(2, holds=("tool_result",))])  # late, and from before
    assert [one.content for one in stores.spans.spans(TRACE, limit=5, content=True)] == [None, None]
    new = span(3, at=NOON + timedelta(hours=2), holds=("tool_result",))
    stores.spans.append([new])
    assert stores.spans.span(TRACE, new.span_id) == new
