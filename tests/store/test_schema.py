"""The schema: the sum of its migrations, and what its partitions are for."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

import kintsugi.store.migrations
from kintsugi.errors import DatabaseUnusable, StoreUnavailable
from kintsugi.model.event_filter import EventFilter
from kintsugi.store import PostgresStores, open_stores
from kintsugi.store.migrate import HEAD, SETTINGS, prepare_database
from kintsugi.store.programs import candidate_folders, find_client_programs
from tests.databases import NOON, Server
from tests.store.made import blocked, event

pytestmark = pytest.mark.postgres
MIGRATIONS = Path(kintsugi.store.migrations.__file__).parent


@contextmanager
def empty_database(server: Server) -> Iterator[str]:
    conninfo = server.create(template="template0")
    try:
        yield conninfo
    finally:
        server.drop(conninfo)


def dumped_schema(conninfo: str) -> list[str]:
    """Every statement of the schema, sorted; without months, comments and Alembic's own table."""
    with psycopg.connect(conninfo) as connection:
        major = connection.info.server_version // 10_000
    programs = find_client_programs(major, folders=candidate_folders())
    dump = subprocess.run(
        [
            programs.path("pg_dump"),
            "--schema-only",
            "--exclude-table=kintsugi.*_20*",
            "--exclude-table=kintsugi.alembic_version",
            f"--dbname={conninfo}",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    without_comments = re.sub(r"^(--.*|\\\w+ .*)?\n", "", dump, flags=re.MULTILINE)
    return sorted(without_comments.split(";\n"))


def test_the_schema_file_is_the_sum_of_all_migrations(server: Server, conninfo: str) -> None:
    schema = (MIGRATIONS.parent / "schema.sql").read_bytes()
    with empty_database(server) as other:
        with psycopg.connect(other) as connection:
            connection.execute(schema)
        assert dumped_schema(conninfo) == dumped_schema(other)


def test_the_head_that_opening_compares_with_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_servers_that_start_together_migrate_once(server: Server) -> None:
    with empty_database(server) as conninfo:
        with ThreadPoolExecutor(4) as starters:
            for started in [
                starters.submit(prepare_database, conninfo, now=NOON) for _ in range(4)
            ]:
                started.result()
        with psycopg.connect(conninfo) as connection:
            versions = connection.execute("SELECT * FROM kintsugi.alembic_version").fetchall()
        assert versions == [(HEAD,)]


def test_a_database_of_a_newer_kintsugi_is_left_alone(server: Server) -> None:
    conninfo = server.create()
    with psycopg.connect(conninfo) as connection:
        connection.execute("UPDATE kintsugi.alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseUnusable, match="newer Kintsugi"):
        open_stores(conninfo)
    server.drop(conninfo)


def test_a_role_that_may_not_create_the_schema_is_told_so(server: Server) -> None:
    with empty_database(server) as conninfo:
        with psycopg.connect(conninfo) as connection:
            connection.execute("CREATE ROLE kt_poor LOGIN PASSWORD 'poor'")
        try:
            poor = psycopg.conninfo.make_conninfo(conninfo, user="kt_poor", password="poor")
            with pytest.raises(DatabaseUnusable, match="must own its database"):
                open_stores(poor)
        finally:
            with psycopg.connect(conninfo) as connection:
                connection.execute("DROP ROLE kt_poor")


def test_a_database_in_another_encoding_is_refused(server: Server) -> None:
    with psycopg.connect(server.handle.conninfo, autocommit=True) as connection:
        connection.execute(
            "CREATE DATABASE kt_latin TEMPLATE template0 ENCODING 'LATIN1'"
            " LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
        )
    with pytest.raises(DatabaseUnusable, match="LATIN1"):
        open_stores(server.conninfo("kt_latin"))
    server.drop(server.conninfo("kt_latin"))


def test_a_database_that_is_not_there_is_unavailable(server: Server) -> None:
    with pytest.raises(StoreUnavailable, match="does not exist"):
        open_stores(server.conninfo("kt_nowhere"))


def test_settings_hold_for_every_client(stores: PostgresStores, conninfo: str) -> None:
    with psycopg.connect(conninfo) as connection:
        for name, value in SETTINGS.items():
            row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            assert row == (value,)


def plan_of(connection: psycopg.Connection[Any], query: str) -> str:
    return "\n".join(row[0] for row in connection.execute(f"EXPLAIN {query}".encode()))


@pytest.fixture(scope="module")
def two_years(stores: PostgresStores) -> PostgresStores:
    """Some events in each of the last 24 months."""
    stores.events.append(
        [
            made
            for month in range(24)
            for number, at in enumerate([NOON - timedelta(days=30.4 * month)] * 6)
            for made in [(blocked if number % 2 else event)(number, at=at)]
        ]
    )
    with psycopg.connect(stores.database.conninfo, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    return stores


def test_a_time_window_touches_only_its_month(two_years: PostgresStores) -> None:
    with psycopg.connect(two_years.database.conninfo) as connection:
        plan = plan_of(
            connection,
            "SELECT * FROM ai_decision_events WHERE timestamp"
            " BETWEEN '2026-04-23 14:00:00Z' AND '2026-04-23 16:00:00Z'",
        )
    assert set(re.findall(r"events_\d{4}_\d{2}", plan)) == {"events_2026_04"}


def test_a_join_on_the_id_alone_touches_only_the_month_of_the_window(
    two_years: PostgresStores,
) -> None:
    with psycopg.connect(two_years.database.conninfo) as connection:
        plan = plan_of(
            connection,
            "SELECT pe.policy_name FROM policy_evaluations pe"
            " JOIN ai_decision_events e ON pe.event_id = e.id WHERE e.timestamp"
            " BETWEEN '2026-04-23 14:00:00Z' AND '2026-04-23 16:00:00Z' AND pe.result = 'block'",
        )
    assert set(re.findall(r"(?:events|evaluations)_\d{4}_\d{2}", plan)) == {
        "events_2026_04",
        "evaluations_2026_04",
    }


def test_an_id_leads_to_its_month(two_years: PostgresStores) -> None:
    with psycopg.connect(two_years.database.conninfo) as connection:
        plan = plan_of(connection, f"SELECT * FROM kintsugi.events WHERE id = '{event().id}'")
    assert set(re.findall(r"events_\d{4}_\d{2}", plan)) == {"events_2026_04"}


def test_a_row_without_a_month_is_refused_by_the_database(two_years: PostgresStores) -> None:
    lost = event(1, at=datetime(2019, 5, 1, tzinfo=UTC))
    with (
        psycopg.connect(two_years.database.conninfo) as connection,
        pytest.raises(psycopg.errors.CheckViolation, match="no partition"),
    ):
        connection.execute(
            "INSERT INTO kintsugi.event_records (id, record) VALUES (%s, '')", [lost.id]
        )


def test_a_month_that_was_dropped_comes_back_when_it_is_needed(two_years: PostgresStores) -> None:
    old = event(1, at=NOON - timedelta(days=400))
    two_years.events.append([old])
    month = f"{old.timestamp:%Y_%m}"
    with psycopg.connect(two_years.database.conninfo) as connection:
        for table in ("events", "event_records", "event_payloads", "evaluations", "event_texts"):
            connection.execute(f"DROP TABLE kintsugi.{table}_{month}".encode())
    assert two_years.events.append([old]).stored == 1


def test_a_new_month_does_not_wait_for_a_long_read(conninfo: str) -> None:
    with open_stores(conninfo, now=lambda: NOON) as stores:
        stores.events.append([event(3), event(4)])
        reading = stores.events.scan(EventFilter(), payload=False)
        next(reading)
        finished = threading.Event()

        def store() -> None:
            stores.events.append([event(5, at=datetime(2021, 7, 1, tzinfo=UTC))])
            finished.set()

        writer = threading.Thread(target=store)
        writer.start()
        assert finished.wait(timeout=10)
        writer.join()
        assert sum(1 for _ in reading) >= 1
