"""Other people's SQL: what it may see, and that nothing gets it any further."""

from __future__ import annotations

import re
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from kintsugi.errors import QueryRefused
from kintsugi.model.query import QueryResult
from kintsugi.store import PostgresStores, open_stores
from kintsugi.store.programs import candidate_folders, find_client_programs
from kintsugi.store.reader import ensure_reader, reader_name
from tests.databases import NOON, Server
from tests.store.made import blocked, event, said

pytestmark = pytest.mark.postgres

INCIDENT = datetime(2026, 4, 23, 14, 0, tzinfo=UTC)
# The founding documents' own text, kept once for all tests.
DOCUMENTS = Path(__file__).parents[1] / "acceptance" / "seeds"
TIMELINE, POLICIES, USERS = (
    (DOCUMENTS / f"{name}.sql").read_text(encoding="utf-8")
    for name in ("timeline", "policies", "users")
)


@pytest.fixture(scope="module")
def stores(conninfo: str) -> PostgresStores:
    """An incident of two hours with something before and after it."""
    stores = open_stores(conninfo, now=lambda: NOON + timedelta(hours=6))
    second = timedelta(seconds=1)
    stores.events.append(
        [
            event(1, at=INCIDENT - second),
            event(2, at=INCIDENT, user_id="ana"),
            blocked(3, at=INCIDENT + 30 * second, user_id="ana"),
            blocked(4, at=INCIDENT + 61 * second, user_id="ana"),
            blocked(5, at=INCIDENT + timedelta(hours=2), user_id="bo"),
            blocked(6, at=INCIDENT + timedelta(hours=2, seconds=1), user_id="late"),
            said(7, "a secret prompt"),
        ]
    )
    return stores


@pytest.fixture(scope="module", autouse=True)
def _closed(stores: PostgresStores) -> object:
    yield
    stores.close()


def ask(stores: PostgresStores, statement: str, *, row_limit: int = 100) -> QueryResult:
    return stores.query.run(statement, row_limit=row_limit, timeout_seconds=10)


def minute(number: int) -> datetime:
    return INCIDENT + timedelta(minutes=number)


def test_the_timeline_of_the_documents_runs_as_printed(stores: PostgresStores) -> None:
    assert ask(stores, TIMELINE) == QueryResult(
        ("minute", "decision", "count"),
        (
            (minute(0), "allowed", 1),
            (minute(0), "blocked", 1),
            (minute(1), "blocked", 1),
            (minute(120), "blocked", 1),
        ),
        truncated=False,
    )


def test_the_policies_of_the_documents_run_as_printed(stores: PostgresStores) -> None:
    assert ask(stores, POLICIES) == QueryResult(
        ("policy_name", "block_count"), (("prompt-injection", 3),), truncated=False
    )


def test_the_users_of_the_documents_run_as_printed(stores: PostgresStores) -> None:
    assert ask(stores, USERS) == QueryResult(
        ("user_id", "blocked_requests"), (("ana", 2), ("bo", 1)), truncated=False
    )


def test_psql_answers_the_same_in_utc_whatever_its_zone(stores: PostgresStores) -> None:
    conninfo = stores.database.conninfo
    with psycopg.connect(conninfo) as connection:
        major = connection.info.server_version // 10_000
    psql = find_client_programs(major, folders=candidate_folders()).path("psql")
    said = [
        subprocess.run(
            [psql, "-X", "-A", "-t", "-d", conninfo, "-c", query],
            env={"TZ": "Asia/Kolkata", "PATH": "/usr/bin"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for query in (TIMELINE, POLICIES, USERS)
    ]
    assert said == [
        [
            "2026-04-23 14:00:00+00|allowed|1",
            "2026-04-23 14:00:00+00|blocked|1",
            "2026-04-23 14:01:00+00|blocked|1",
            "2026-04-23 16:00:00+00|blocked|1",
        ],
        ["prompt-injection|3"],
        ["ana|2", "bo|1"],
    ]


def test_the_views_have_the_columns_of_the_contract(stores: PostgresStores) -> None:
    events = ask(stores, "SELECT * FROM ai_decision_events WHERE false").columns
    assert events[:8] == (
        *("id", "timestamp", "decision", "user_id", "team_id"),
        *("gateway_id", "model", "provider"),
    )
    assert {"input_tokens", "output_tokens", "cost_usd", "latency_ms"} <= set(events)
    evaluations = ask(stores, "SELECT * FROM policy_evaluations WHERE false").columns
    assert {"id", "event_id", "policy_name", "result"} <= set(evaluations)


def test_results_say_what_each_policy_did(stores: PostgresStores) -> None:
    statement = (
        "SELECT policy_name, result, outcome, findings FROM policy_evaluations"
        f" WHERE event_id = '{blocked(4, at=INCIDENT + timedelta(seconds=61)).id}' ORDER BY ordinal"
    )
    assert ask(stores, statement).rows == (
        ("prompt-injection", "block", "matched", 1),
        ("pii-detector", "skipped", "skipped", 0),
        ("audit-logger", "pass", "clear", 0),
    )


def test_rows_beyond_the_limit_are_cut_off_and_said(stores: PostgresStores) -> None:
    assert ask(stores, "SELECT 1 FROM generate_series(1, 5)", row_limit=5).truncated is False
    cut = ask(stores, "SELECT generate_series(1, 1000000000000)", row_limit=5)
    assert cut.rows == ((1,), (2,), (3,), (4,), (5,))
    assert cut.truncated is True


def test_values_are_what_json_can_hold(stores: PostgresStores) -> None:
    row = ask(
        stores,
        "SELECT 1::int2, 2::int8, 1.5::numeric, 3::numeric, 0.25::float8, 'NaN'::float8, true,"
        " NULL, 'x', 'infinity'::timestamptz, '2026-04-23 14:00:00+02'::timestamptz,"
        " interval '1 day', ARRAY[1, 2], '{\"a\": 1}'::jsonb, '::1'::inet, '4000-01-01 BC'::date",
    ).rows[0]
    assert row == (
        *(1, 2, 1.5, 3, 0.25, "NaN", True, None, "x", "infinity"),
        datetime(2026, 4, 23, 12, 0, tzinfo=UTC),
        *("1 day", "{1,2}", '{"a": 1}', "::1", "4000-01-01 BC"),
    )


@pytest.mark.parametrize(
    "statement",
    [
        "select 1",
        "  -- why\n/* because */ WITH x AS (SELECT 1) SELECT * FROM x;",
        "VALUES (1)",
        "TABLE ai_decision_events",
        "(SELECT 1) UNION (SELECT 2)",
        "EXPLAIN SELECT * FROM ai_decision_events",
        "EXPLAIN (ANALYZE) SELECT * FROM ai_decision_events",
        "SHOW timezone",
        "SELECT 100 % 7, '%s', '%(x)s' WHERE 'a' LIKE '%a%'",
        "SELECT 1; -- and that is all",
    ],
)
def test_every_way_to_read_is_taken(stores: PostgresStores, statement: str) -> None:
    assert ask(stores, statement).rows


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("", "only reading"),
        ("   -- nothing", "only reading"),
        ("DELETE FROM ai_decision_events", "only reading"),
        ("INSERT INTO kintsugi.tokens VALUES (1)", "only reading"),
        ("COPY ai_decision_events TO PROGRAM 'id'", "only reading"),
        ("COPY (SELECT 1) TO '/tmp/x'", "only reading"),
        ("SET ROLE kintsugi", "only reading"),
        ("RESET SESSION AUTHORIZATION", "only reading"),
        ("DO $$ BEGIN END $$", "only reading"),
        ("BEGIN", "only reading"),
        ("LISTEN kt_events", "only reading"),
        ("select 1; select 2", "multiple commands"),
        ("select 1; COMMIT; DELETE FROM kintsugi.events", "multiple commands"),
        ("SELECT 1; SET ROLE kintsugi; SELECT * FROM kintsugi.tokens", "multiple commands"),
        ("explain select 1; drop view ai_decision_events", "multiple commands"),
        ("WITH x AS (DELETE FROM ai_decision_events RETURNING 1) SELECT * FROM x", "WITH"),
        ("EXPLAIN ANALYZE DELETE FROM ai_decision_events", "read-only|permission denied"),
        ("EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1", "read-only|permission denied"),
        ("SELECT 1 INTO x", "INTO|syntax"),
        ("SELECT * FROM kintsugi.events", "permission denied"),
        ("SELECT password FROM kintsugi.reader_login", "permission denied"),
        ("SELECT * FROM kintsugi.event_payloads", "permission denied"),
        ("SELECT kintsugi.create_month('2020-01-01')", "permission denied"),
        ("SELECT * FROM pg_authid", "permission denied"),
        ("SELECT rolpassword FROM pg_shadow", "permission denied|does not exist"),
        ("SELECT pg_read_file('/etc/passwd')", "permission denied"),
        ("SELECT pg_read_binary_file('/etc/passwd')", "permission denied"),
        ("SELECT pg_ls_dir('/')", "permission denied"),
        ("SELECT lo_import('/etc/passwd')", "permission denied"),
        ("SELECT lo_export(1, '/tmp/x')", "permission denied"),
        ("SELECT pg_reload_conf()", "permission denied"),
        ("SELECT pg_terminate_backend(1)", "permission denied"),
        ("SELECT set_config('role', 'kintsugi', false)", "permission denied"),
        ("SELECT set_config('session_authorization', 'kintsugi', false)", "permission denied"),
        ("SELECT set_config('temp_file_limit', '-1', false)", "permission denied"),
        ("SELECT set_config('log_statement', 'all', false)", "permission denied"),
        ("SELECT dblink('', 'select 1')", "does not exist"),
        (
            "SELECT query_to_xml('delete from ai_decision_events', true, true, '')",
            "read-only|denied",
        ),
        (
            """SELECT set_config('role', 'none', true),
            query_to_xml('select * from kintsugi.tokens', true, true, '')""",
            "permission denied",
        ),
        (
            "SELECT set_config('transaction_read_only', 'off', true), lo_from_bytea(0, 'x')",
            "read-write|read-only|permission denied",
        ),
        ("SELECT * FROM no_such_table", "does not exist"),
        ("SELECT FROM WHERE", "syntax error"),
        ("SELECT '\x00'", "NUL"),
        ("SELECT '\ud800'", "surrogate"),
        ("SELECT 1 / 0", "division by zero"),
    ],
)
def test_nothing_else_is_taken(stores: PostgresStores, statement: str, why: str) -> None:
    with pytest.raises(QueryRefused, match=why):
        ask(stores, statement)


def test_an_error_says_where_in_the_statement(stores: PostgresStores) -> None:
    with pytest.raises(QueryRefused, match=r"\(at character 8\)"):
        ask(stores, "SELECT nonsense FROM ai_decision_events")


def test_a_slow_statement_is_stopped(stores: PostgresStores) -> None:
    with pytest.raises(QueryRefused, match=r"stopped after 0\.2 seconds"):
        stores.query.run("SELECT pg_sleep(60)", row_limit=1, timeout_seconds=0.2)
    # Neither does it help to lift the limit on the way.
    with pytest.raises(QueryRefused, match="stopped after"):
        stores.query.run(
            "SELECT set_config('statement_timeout', '0', false), pg_sleep(60)",
            row_limit=1,
            timeout_seconds=0.2,
        )


def test_a_lock_taken_by_a_statement_ends_with_it(stores: PostgresStores) -> None:
    ask(stores, "SELECT pg_advisory_lock(1)")
    with psycopg.connect(stores.database.conninfo) as connection:
        # The server ends a session a moment after its client has left.
        connection.execute("SET lock_timeout = '30s'")
        connection.execute("SELECT pg_advisory_lock(1)")


def test_a_notification_from_a_statement_is_never_sent(stores: PostgresStores) -> None:
    while stores.changes.wait(timeout_seconds=0):
        pass
    ask(stores, "SELECT pg_notify('kt_events', '')")
    assert stores.changes.wait(timeout_seconds=0.1) == frozenset()


def test_the_reader_owns_nothing_and_belongs_to_nobody(stores: PostgresStores) -> None:
    with psycopg.connect(stores.database.conninfo) as connection:
        name = reader_name(connection.info.dbname)
        ensure_reader(stores.database.conninfo)
        row = connection.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,"
            " (SELECT count(*) FROM pg_auth_members WHERE member = pg_roles.oid),"
            " (SELECT count(*) FROM pg_class WHERE relowner = pg_roles.oid)"
            " FROM pg_roles WHERE rolname = %s",
            [name],
        ).fetchone()
        granted = connection.execute(
            "SELECT table_schema, table_name, privilege_type"
            " FROM information_schema.role_table_grants WHERE grantee = %s ORDER BY 2",
            [name],
        ).fetchall()
    assert row == (False, False, False, False, False, 0, 0)
    assert granted == [
        ("public", "ai_decision_events", "SELECT"),
        ("public", "policy_evaluations", "SELECT"),
    ]


def test_the_reader_is_made_once_and_mended_when_it_is_lost(server: Server) -> None:
    conninfo = server.create()
    first = ensure_reader(conninfo)
    assert ensure_reader(conninfo) == first
    with psycopg.connect(conninfo) as connection:
        # As after a restore: the password is not in the backup, the login may still be there.
        connection.execute("DELETE FROM kintsugi.reader_login")
    second = ensure_reader(conninfo)
    assert second != first
    for reader in (second,):
        psycopg.connect(reader).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(first)
    server.drop(conninfo)


def test_many_ask_at_once(stores: PostgresStores) -> None:
    answers: list[QueryResult] = []
    askers = [
        threading.Thread(target=lambda: answers.append(ask(stores, POLICIES))) for _ in range(6)
    ]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len({answer.rows for answer in answers}) == 1
    assert len(answers) == 6


def test_a_role_that_may_not_create_logins_is_told_what_to_ask_for(server: Server) -> None:
    with psycopg.connect(server.handle.conninfo, autocommit=True) as connection:
        connection.execute("CREATE ROLE kt_plain LOGIN PASSWORD 'plain'")
        connection.execute("CREATE DATABASE kt_plain OWNER kt_plain")
    conninfo = make_conninfo(server.conninfo("kt_plain"), user="kt_plain", password="plain")
    try:
        with open_stores(conninfo, now=lambda: NOON) as stores:
            assert stores.events.append([event(1)]).stored == 1
            with pytest.raises(QueryRefused, match="CREATEROLE"):
                ask(stores, "SELECT 1")
            with psycopg.connect(server.handle.conninfo, autocommit=True) as connection:
                connection.execute("ALTER ROLE kt_plain CREATEROLE")
            assert ask(stores, "SELECT count(*) FROM ai_decision_events").rows == ((1,),)
            with pytest.raises(QueryRefused, match="permission denied"):
                ask(stores, "SELECT * FROM kintsugi.events")
    finally:
        with psycopg.connect(server.handle.conninfo, autocommit=True) as connection:
            connection.execute("DROP DATABASE kt_plain WITH (FORCE)")
            connection.execute(f"DROP ROLE IF EXISTS {reader_name('kt_plain')}, kt_plain".encode())


def test_the_password_of_the_reader_is_not_told(stores: PostgresStores) -> None:
    with pytest.raises(QueryRefused) as refused:
        ask(stores, "SELECT * FROM kintsugi.reader_login")
    assert not re.search("password=", str(refused.value))
