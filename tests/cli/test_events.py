"""``kt events``, ``kt exports`` and ``kt sql`` against a real control plane."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from kintsugi.cli.client import Client
from kintsugi.cli.settings import Settings
from kintsugi.model.event import DecisionEvent
from kintsugi.model.verdict import Verdict
from tests.cli.conftest import STATEMENT, ControlPlane, Kt, event


@pytest.mark.parametrize("word", ["blocked", "block", "deny"])
def test_tail_prints_matching_events_as_one_json_array_oldest_first(
    kt_online: Kt, control_plane: ControlPlane, word: str
) -> None:
    now = datetime.now(UTC)
    old, recent, allowed, newest = (
        event(0, at=now - timedelta(hours=2)),
        event(1, at=now - timedelta(minutes=2)),
        event(2, verdict=Verdict.ALLOW),
        event(3),
    )
    control_plane.stores.events.append([old, recent, allowed, newest])
    ran = kt_online("events", "tail", "--since", "1h", "--verdict", word, "--json")
    assert ran.code == 0, ran.err
    assert [found["id"] for found in ran.json] == [recent.id, newest.id]


def test_a_tail_of_nothing_is_an_empty_array_in_a_pipe_and_words_on_a_terminal(
    kt_online: Kt, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kt_online("events", "tail", "--json").json == []
    assert kt_online("events", "tail").json == []
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert kt_online("events", "tail").out.strip() == "no decision matches"


def test_tail_takes_the_newest_when_the_limit_cuts(
    kt_online: Kt, control_plane: ControlPlane
) -> None:
    now = datetime.now(UTC)
    events = [event(n, at=now - timedelta(seconds=500 - n)) for n in range(450)]
    control_plane.stores.events.append(events)
    ran = kt_online("events", "tail", "--limit", "430")
    assert [found["id"] for found in ran.json] == [event.id for event in events[20:]]


def test_tail_passes_every_filter_on(kt_online: Kt, control_plane: ControlPlane) -> None:
    control_plane.stores.events.append([event(0, user="ada"), event(1, user="bob")])
    ran = kt_online("events", "tail", "--user", "bob", "--reason-code", "prompt_injection.detected")
    assert [found["user_id"] for found in ran.json] == ["bob"]


def test_a_filter_that_makes_no_sense_is_a_usage_error(kt_online: Kt) -> None:
    ran = kt_online("events", "tail", "--verdict", "maybe")
    assert ran.code == 2
    assert "maybe" in ran.err
    assert ran.out == ""


def test_show_has_every_policys_own_result(kt_online: Kt, control_plane: ControlPlane) -> None:
    stored = event()
    control_plane.stores.events.append([stored])
    ran = kt_online("events", "show", stored.id, "--json")
    assert ran.json["evaluations"][0]["policy_name"] == "prompt-injection"


def test_export_writes_the_file_whole_and_says_its_digest(
    kt_online: Kt, control_plane: ControlPlane, tmp_path: Path
) -> None:
    control_plane.stores.events.append([event(n) for n in range(25)])
    target = tmp_path / "incident-window.json"
    ran = kt_online(
        "events", "export", "--since", "24h", "--format", "json", "--output", str(target)
    )
    assert ran.code == 0, ran.err
    assert len(msgspec.json.decode(target.read_bytes(), type=list[DecisionEvent])) == 25
    assert ran.json["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert [path.name for path in tmp_path.glob(".incident*")] == []


def test_an_export_to_nowhere_leaves_nothing(kt_online: Kt, tmp_path: Path) -> None:
    ran = kt_online("events", "export", "--output", str(tmp_path / "no" / "such.json"))
    assert ran.code == 2
    assert "cannot be written" in ran.err


def test_exports_can_be_made_and_fetched_in_two_steps(
    kt_online: Kt, control_plane: ControlPlane, tmp_path: Path
) -> None:
    control_plane.stores.events.append([event(n) for n in range(3)])
    made = kt_online("exports", "create", "--format", "jsonl", "--verdict", "block").json
    assert made["state"] == "done"
    assert [job["id"] for job in kt_online("exports", "list").json] == [made["id"]]
    target = tmp_path / "events.jsonl"
    assert kt_online("exports", "download", made["id"], "-o", str(target)).code == 0
    assert len(target.read_text().splitlines()) == 3


def test_following_shows_what_was_there_and_what_comes(control_plane: ControlPlane) -> None:
    """The stream stands before the list is asked for, so that nothing falls between."""
    token = (control_plane.state / "admin-token").read_text().strip()
    with (
        Client(Settings(control_plane.state, control_plane.url, token)) as client,
        client.events("/v1/events/tail", {"verdict": "block"}) as messages,
    ):
        later = event(9)
        threading.Thread(target=control_plane.stores.events.append, args=([later],)).start()
        message = next(messages)
    assert message.name == "decision"
    assert msgspec.json.decode(message.data)["id"] == later.id
    assert message.id == "1"


def test_following_prints_one_event_a_line(control_plane: ControlPlane, tmp_path: Path) -> None:
    there, later = event(1), event(2)
    control_plane.stores.events.append([there])
    environ = {
        "XDG_CONFIG_HOME": str(tmp_path),
        "KT_STATE_DIR": str(control_plane.state),
        "KT_API_URL": control_plane.url,
        "KT_API_TOKEN": (control_plane.state / "admin-token").read_text().strip(),
    }
    command = [sys.executable, "-m", "kintsugi", "events", "tail", "--follow", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ) as process:
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            control_plane.stores.events.append([later])
            second = process.stdout.readline()
        finally:
            process.terminate()
    assert [msgspec.json.decode(line)["id"] for line in (first, second)] == [there.id, later.id]


def test_sql_prints_rows_as_objects(kt_online: Kt) -> None:
    ran = kt_online("sql", STATEMENT)
    assert ran.json == [{"decision": "blocked", "user_id": "=1+1"}] * 3


def test_sql_reads_a_file_and_standard_input(
    kt_online: Kt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "query.sql"
    file.write_text(STATEMENT)
    assert kt_online("sql", "--file", str(file)).code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(STATEMENT))
    assert kt_online("sql", "--csv").out.splitlines() == ["decision,user_id", *["blocked,=1+1"] * 3]


def test_sql_says_when_the_row_limit_cut(kt_online: Kt) -> None:
    ran = kt_online("sql", STATEMENT, "--row-limit", "2")
    assert len(ran.json) == 2
    assert "stopped after 2 rows" in ran.err


def test_a_refused_statement_is_a_usage_error_in_the_servers_words(kt_online: Kt) -> None:
    ran = kt_online("sql", "DROP TABLE events")
    assert ran.code == 2
    assert "was not taught this statement" in ran.err


def test_sql_may_begin_with_a_comment_but_a_mistyped_option_is_no_sql(kt_online: Kt) -> None:
    commented = kt_online("sql", f"-- who was it\n{STATEMENT}")
    assert "was not taught this statement" in commented.err, "it reached the server"
    mistyped = kt_online("sql", "--jsn")
    assert mistyped.code == 2
    assert "no such option: --jsn" in mistyped.err
