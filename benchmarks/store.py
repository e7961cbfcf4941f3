"""What the store costs: ingest beside a raw COPY, then every read at a million events.

    python -m benchmarks.store [--events 1000000] [--folder DIR] [--wheel]

Ingest is given per second and per CPU-second of client and server together. The baseline copies the
very same bytes into tables without an index, in batches of the same size, so that the ratio says
what order, idempotency, partitions, rollups and indexes cost. Reads are medians, in milliseconds.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from kintsugi.model.decision import Evaluation, Finding, Mode, Phase
from kintsugi.model.event import DecisionEvent, ExchangeStatus, Payload
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.ids import uuid7
from kintsugi.model.verdict import Verdict
from kintsugi.store import PostgresStores, open_stores
from kintsugi.store.embedded import DatabaseHandle, Embedded
from kintsugi.store.event_rows import event_rows
from kintsugi.store.programs import candidate_folders
from kintsugi.store.remains import server_processes

BATCH = 1000
DAYS = 7
RUNS = 15
# The seed's window, 14:00 to 16:00 on 23 April 2026, lies on the sixth day.
START = datetime(2026, 4, 18, tzinfo=UTC)
NOW = START + timedelta(days=DAYS)
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

SEED_QUERIES = {
    "timeline of the incident": """
        SELECT
        date_trunc('minute', timestamp) AS minute,
        decision,
        COUNT(*) AS count
        FROM ai_decision_events
        WHERE timestamp BETWEEN '2026-04-23 14:00:00Z' AND '2026-04-23 16:00:00Z'
        GROUP BY minute, decision
        ORDER BY minute;""",
    "which policy blocked most": """
        SELECT
        pe.policy_name,
        COUNT(*) AS block_count
        FROM policy_evaluations pe
        JOIN ai_decision_events e ON pe.event_id = e.id
        WHERE e.timestamp BETWEEN '2026-04-23 14:00:00Z' AND '2026-04-23 16:00:00Z'
        AND pe.result = 'block'
        GROUP BY pe.policy_name
        ORDER BY block_count DESC;""",
    "impacted users": """
        SELECT DISTINCT user_id, COUNT(*) AS blocked_requests
        FROM ai_decision_events
        WHERE timestamp BETWEEN '2026-04-23 14:00:00Z' AND '2026-04-23 16:00:00Z'
        AND decision = 'blocked'
        GROUP BY user_id
        ORDER BY blocked_requests DESC
        LIMIT 20;""",
}

COMMON = (
    *("please", "summarise", "the", "attached", "contract", "for", "our", "customer", "in", "Lyon"),
    *("and", "list", "every", "clause", "that", "mentions", "liability", "insurance", "delivery"),
    *("refund", "invoice", "payment", "deadline", "warranty", "renewal", "notice"),
)
# Frequent as words are in a language: the second half as often as the first, the third a third.
WORDS = (*COMMON, *(f"word{number}" for number in range(20_000)))
WEIGHTS = list(itertools.accumulate(1 / rank for rank in range(1, len(WORDS) + 1)))
KINDS = ("prompt-injection", "pii-detector", "secrets-detector")
REASONS = ("prompt_injection.detected", "pii.detected", "secrets.detected")


def main() -> None:
    """Run everything once and print it."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--events", type=int, default=1_000_000)
    arguments.add_argument("--folder", type=Path, default=None)
    arguments.add_argument("--wheel", action="store_true", help="use the wheel's PostgreSQL")
    given = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kt-bench-", dir=given.folder))
    folder.chmod(0o755)
    folders = [path for path in candidate_folders() if "pixeltable" in str(path) or not given.wheel]
    try:
        with Embedded(folder, tell=print, folders=lambda: folders) as server:
            print(f"PostgreSQL {server.version}, {given.events:,} events, {os.cpu_count()} cores")
            with open_stores(server.conninfo, now=lambda: NOW) as stores:
                measure(server, folder, stores, given.events)
    finally:
        shutil.rmtree(folder)


def measure(server: DatabaseHandle, folder: Path, stores: PostgresStores, total: int) -> None:
    """Ingest, then read."""
    meter = Meter(folder / "postgres" / "data")
    batches = made_batches(total)
    measured = [next(batches) for _ in range(min(40, max(1, total // BATCH // 2)))]
    half = len(measured) // 2
    with psycopg.connect(server.conninfo) as connection:
        report("raw COPY, no index", meter.of(raw_copy(connection, measured)), measured)
    report("ingest, one writer", meter.of(lambda: append(stores, measured[:half])), measured[:half])
    report(
        "ingest, two writers", meter.of(lambda: together(stores, measured[half:])), measured[half:]
    )
    append(stores, batches, tell=True)
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
        sizes(connection, total)
        seed_queries(connection, stores)
        full_text(connection, stores)
    latest(stores)
    other_reads(stores, measured[0][0].id)


def seed_queries(connection: psycopg.Connection[Any], stores: PostgresStores) -> None:
    """In a session that is open already, and with everything that ``kt sql`` does."""
    print("\nseed queries over two hours               in psql, ms    kt sql, ms")
    for name, query in SEED_QUERIES.items():
        inside = median_ms(lambda: connection.execute(query.encode()).fetchall())  # noqa: B023
        runner = median_ms(
            lambda: stores.query.run(query, row_limit=1000, timeout_seconds=30)  # noqa: B023
        )
        print(f"  {name:38} {inside:12.1f} {runner:13.1f}")


def full_text(connection: psycopg.Connection[Any], stores: PostgresStores) -> None:
    """Make events searchable, as the control plane does in the background."""
    started = time.monotonic()
    indexed = 0
    while done := stores.events.index_pending(limit=2000):
        indexed += done
    seconds = time.monotonic() - started
    print(f"\nfull text: {indexed:,} events made searchable, {indexed / seconds:,.0f} per second")
    connection.execute("VACUUM (ANALYZE) kintsugi.event_texts")


def latest(stores: PostgresStores) -> None:
    """The newest fifty under every filter."""
    print("\nlatest 50                                            ms")
    for name, where in filters():
        found = len(stores.events.page(where, limit=50).events)
        milliseconds = median_ms(lambda: stores.events.page(where, limit=50))  # noqa: B023
        print(f"  {name:44} {milliseconds:8.1f}   ({found} found)")


def other_reads(stores: PostgresStores, some_id: str) -> None:
    """What a page of the console asks besides."""
    events = stores.events
    cursor = events.page(EventFilter(), limit=50).next_cursor
    last = events.last_position()
    blocked = EventFilter(verdict=Verdict.BLOCK)
    reads: dict[str, Callable[[], object]] = {
        "get": lambda: events.get(some_id),
        "second page": lambda: events.page(EventFilter(), limit=50, cursor=cursor),
        "count up to 10,000": lambda: events.count(EventFilter(), ceiling=10_000),
        "count blocked up to 10,000": lambda: events.count(blocked, ceiling=10_000),
        "count q, frequent word": lambda: events.count(EventFilter(q="invoice"), ceiling=10_000),
        "count q, rare word": lambda: events.count(EventFilter(q="exfiltrate"), ceiling=10_000),
        "tail of 100": lambda: events.tail(after=last - 100, where=EventFilter(), limit=100),
        "per minute, one day": lambda: events.per_minute(since=NOW - timedelta(days=1), until=NOW),
    }
    print("\nother reads                                          ms")
    for name, read in reads.items():
        print(f"  {name:44} {median_ms(read):8.1f}")
    started = time.monotonic()
    scanned = sum(1 for _ in events.scan(EventFilter(), payload=True))
    print(f"  scan with payload: {scanned / (time.monotonic() - started):,.0f} events per second")


class Cost(msgspec.Struct, frozen=True):
    """What a stretch of work took."""

    wall_seconds: float
    client_cpu_seconds: float
    server_cpu_seconds: float


class Meter:
    """Times work in this process and in every process of the server."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def of(self, work: Callable[[], None]) -> Cost:
        """Do it and say what it took."""
        server, client, wall = self._server_cpu(), time.process_time(), time.monotonic()
        work()
        return Cost(
            time.monotonic() - wall, time.process_time() - client, self._server_cpu() - server
        )

    def _server_cpu(self) -> float:
        """Of all that run, and of those that ended and were collected by the postmaster."""
        ticks = 0
        for pid in server_processes(self._data):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
        return ticks / TICKS_PER_SECOND


def report(name: str, cost: Cost, batches: Sequence[Sequence[object]]) -> None:
    """One line of the ingest table."""
    events = len(batches) * BATCH
    cpu = cost.client_cpu_seconds + cost.server_cpu_seconds
    if events:
        print(
            f"{name:22} {events / cost.wall_seconds:9,.0f} events/s {events / cpu:9,.0f} per CPU-s"
            f"   (client {cost.client_cpu_seconds / events * 1e6:.0f} us, "
            f"server {cost.server_cpu_seconds / events * 1e6:.0f} us per event)"
        )


def append(
    stores: PostgresStores, batches: Iterable[Sequence[DecisionEvent]], *, tell: bool = False
) -> None:
    """Store batch after batch."""
    for number, batch in enumerate(batches, start=1):
        stores.events.append(batch)
        if tell and number % 100 == 0:
            print(f"  {number * BATCH:,}", flush=True)


def together(stores: PostgresStores, batches: Sequence[Sequence[DecisionEvent]]) -> None:
    """Store from two threads, as two gateways would."""
    threads = [
        threading.Thread(target=append, args=(stores, batches[start::2])) for start in (0, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def raw_copy(
    connection: psycopg.Connection[Any], batches: Sequence[Sequence[DecisionEvent]]
) -> Callable[[], None]:
    """The same bytes into bare tables; the lines are made before the clock starts."""
    made: list[dict[str, bytes]] = []
    for batch in batches:
        rows = [event_rows(event) for event in batch]
        made.append(
            {
                "raw_events": b"".join(row.columns for row in rows),
                "raw_records": b"".join(row.record for row in rows),
                "raw_payloads": b"".join(row.payload for row in rows),
                "raw_evaluations": b"".join(row.evaluations for row in rows),
            }
        )
    columns = (
        "id uuid, timestamp timestamptz, latency float8, overhead float8, input int8, output int8,"
        " http int, streamed bool, " + ", ".join(f"t{number} text" for number in range(16))
    )
    for table, definition in {
        "raw_events": columns,
        "raw_records": "id uuid, record text",
        "raw_payloads": "id uuid, payload text",
        "raw_evaluations": "id uuid, timestamp timestamptz, ordinal int, findings int, "
        + ", ".join(f"t{number} text" for number in range(6)),
    }.items():
        connection.execute(f"CREATE TABLE {table} ({definition})".encode())
    connection.commit()

    def run() -> None:
        for batch in made:
            for table, lines in batch.items():
                with connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
                    copy.write(lines)
            connection.commit()
        connection.execute("DROP TABLE raw_events, raw_records, raw_payloads, raw_evaluations")
        connection.commit()

    return run


def sizes(connection: psycopg.Connection[Any], total: int) -> None:
    """What an event takes on disk."""
    rows = connection.execute(
        "SELECT regexp_replace(relname, '_\\d{4}_\\d{2}$', ''), sum(pg_table_size(oid)),"
        " sum(pg_indexes_size(oid)) FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = 'kintsugi'::regnamespace"
        " GROUP BY 1 ORDER BY 2 DESC LIMIT 5"
    ).fetchall()
    print("\nbytes per event             table    indexes")
    for name, table, indexes in rows:
        print(f"  {name:22} {table / total:8,.0f} {indexes / total:10,.0f}")


def filters() -> Iterator[tuple[str, EventFilter]]:
    """Every filter with a frequent, a rare and an unknown value."""
    yield "no filter", EventFilter()
    for verdict in (Verdict.ALLOW, Verdict.BLOCK, Verdict.QUARANTINE):
        yield f"verdict {verdict.value}", EventFilter(verdict=verdict)
    for field, values in {
        "gateway": ("gw-1", "gw-rare"),
        "user": ("user-7", "user-rare"),
        "team": ("team-3", "team-rare"),
        "workflow": ("workflow-2", "workflow-rare"),
        "agent": ("agent-5", "agent-rare"),
        "session": ("session-11", "session-rare"),
        "model": ("gpt-4o-mini", "model-rare"),
        "policy": (KINDS[0], "policy-rare"),
        "reason_code": ("policy.passed", "reason.rare"),
        "config_version": ("support-prod@3", "config-rare"),
        "trace": ("0" * 32, "trace-rare"),
        "incident": ("inc-rare",),
        "q": ("invoice", "quarterly", "word999", "exfiltrate", '"delivery refund"'),
    }.items():
        for value in (*values, "nobody-ever-said-this"):
            yield f"{field} {value}", msgspec.structs.replace(EventFilter(), **{field: value})
    window = {"since": START + timedelta(days=5, hours=14), "until": START + timedelta(days=5.7)}
    yield "two days back", msgspec.structs.replace(EventFilter(), **window)
    yield (
        "blocked, one gateway, two days back",
        msgspec.structs.replace(EventFilter(verdict=Verdict.BLOCK, gateway="gw-1"), **window),
    )
    yield "blocked, one user", EventFilter(verdict=Verdict.BLOCK, user="user-7")
    yield "blocked, rare word", EventFilter(verdict=Verdict.BLOCK, q="exfiltrate")
    yield "rare user, frequent word", EventFilter(user="user-rare", q="invoice")


def median_ms(work: Callable[[], object]) -> float:
    """The median of some runs after a first one that warms up."""
    work()
    taken = []
    for _ in range(RUNS):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1000


def made_batches(total: int) -> Iterator[list[DecisionEvent]]:
    """Synthetic decisions, evenly over the days; the same on every run."""
    dice = random.Random(7)
    step = timedelta(days=DAYS) / total
    for first in range(0, total, BATCH):
        yield [
            made_event(dice, number, START + number * step)
            for number in range(first, first + BATCH)
        ]


def made_event(dice: random.Random, number: int, at: datetime) -> DecisionEvent:
    """One decision: 1.5 kB of payload, four evaluations, one in twenty blocked."""
    rare = dice.random() < 0.00003
    blocked = dice.random() < 0.05
    which = dice.randrange(3)
    verdict = Verdict.BLOCK if blocked else Verdict.ALLOW
    return DecisionEvent(
        id=uuid7(int(at.timestamp() * 1000), dice.randbytes(10)),
        timestamp=at,
        gateway_id="gw-rare" if rare else f"gw-{dice.randrange(3)}",
        worker_id="w0",
        dialect="openai.chat",
        config_version="config-rare" if rare else f"support-prod@{dice.randrange(1, 5)}",
        revision="sha256:" + "a" * 64,
        engine_version="0.1.0",
        verdict=Verdict.QUARANTINE if rare else verdict,
        reason_code="reason.rare" if rare else REASONS[which] if blocked else "policy.passed",
        status=ExchangeStatus.BLOCKED if blocked else ExchangeStatus.ANSWERED,
        policy_name="policy-rare" if rare else KINDS[which] if blocked else "",
        http_status=409 if blocked else 200,
        model="model-rare" if rare else dice.choice(("gpt-4o-mini", "gpt-4o", "claude-sonnet")),
        provider="openai",
        target_id="openai-primary",
        upstream_status=0 if blocked else 200,
        user_id="user-rare" if rare else f"user-{int(dice.paretovariate(0.5)) % 20_000}",
        team_id="team-rare" if rare else f"team-{dice.randrange(40)}",
        session_id="session-rare" if rare else f"session-{dice.randrange(200_000)}",
        agent_id="agent-rare" if rare else f"agent-{dice.randrange(200)}",
        workflow="workflow-rare" if rare else f"workflow-{dice.randrange(30)}",
        incident_id="inc-rare" if rare else "",
        request_id=f"req-{number}",
        trace_id="trace-rare" if rare else dice.randbytes(16).hex(),
        input_tokens=dice.randrange(2000),
        output_tokens=dice.randrange(800),
        latency_ms=round(dice.uniform(100, 4000), 3),
        overhead_ms=round(dice.uniform(0.5, 4), 3),
        request_bytes=1100,
        response_bytes=600,
        request_digest="sha256:" + dice.randbytes(32).hex(),
        response_digest="sha256:" + dice.randbytes(32).hex(),
        evaluations=(*made_evaluations(blocked, which), AUDITED),
        payload=made_payload(dice, rare),
    )


AUDITED = Evaluation("audit-logger", Phase.AUDIT, Mode.ENFORCE, "clear", Verdict.ALLOW)


def made_evaluations(blocked: bool, which: int) -> Iterator[Evaluation]:
    """Three policies on the input, one of which may block."""
    for number, kind in enumerate(KINDS):
        if blocked and number == which:
            finding = Finding(
                "pattern-7", REASONS[number], Verdict.BLOCK, "/messages/1/content", 12, 30, "ab" * 8
            )
            yield Evaluation(
                kind,
                Phase.INPUT,
                Mode.ENFORCE,
                "matched",
                Verdict.BLOCK,
                REASONS[number],
                (finding,),
            )
        elif blocked and number > which:
            why = f"blocked by {KINDS[which]}"
            yield Evaluation(kind, Phase.INPUT, Mode.ENFORCE, "skipped", Verdict.ALLOW, "", (), why)
        else:
            yield Evaluation(kind, Phase.INPUT, Mode.ENFORCE, "clear", Verdict.ALLOW)


def made_payload(dice: random.Random, rare: bool) -> Payload:
    """A kilobyte asked and half a kilobyte answered, as OpenAI's dialect writes them."""
    asked = " ".join(dice.choices(WORDS, cum_weights=WEIGHTS, k=130)) + (
        " exfiltrate" if rare else ""
    )
    asked += " quarterly" if dice.random() < 0.01 else ""
    answered = " ".join(dice.choices(WORDS, cum_weights=WEIGHTS, k=60))
    return Payload(
        request=f'{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":"{asked}"}}]}}',
        response='{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant",'
        f'"content":"{answered}"}},"finish_reason":"stop"}}]}}',
    )


if __name__ == "__main__":
    main()
