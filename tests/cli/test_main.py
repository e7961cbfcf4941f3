"""``kt`` itself: exit codes, errors in words, and the commands that start things."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from kintsugi import __version__
from kintsugi.cli.main import COMMANDS, exit_code, run
from kintsugi.cli.parts import Address, GatewayStart, Parts, ServerStart, SimulatorStart, Transfer
from kintsugi.cli.up import look_command
from kintsugi.errors import (
    ApiRefused,
    ApiUnreachable,
    ConfigurationInvalid,
    InvalidInput,
    KintsugiError,
    StoreUnavailable,
)
from tests.cli.conftest import Kt, no_parts


class Recorder:
    """Parts that note how they were started."""

    def __init__(self) -> None:
        self.started: list[Any] = []

    def start(self, start: Any) -> int:
        self.started.append(start)
        return 0

    def transfer(self, transfer: Transfer) -> dict[str, Any]:
        self.started.append(transfer)
        transfer.tell("working on it")
        return {"file": str(transfer.file), "events": 3}

    @property
    def parts(self) -> Parts:
        return replace(
            no_parts(),
            serve=self.start,
            run_gateway=self.start,
            run_simulator=self.start,
            backup=self.transfer,
            restore=self.transfer,
        )


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path), "KT_STATE_DIR": str(tmp_path / "state")}


def test_the_version_is_printed(kt: Kt) -> None:
    assert kt("--version").out == f"kt {__version__}\n"


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(kt: Kt, command: str) -> None:
    ran = kt(command, "--help")
    assert ran.code == 0
    assert "Usage: kt" in ran.out


def test_the_help_lists_every_command(kt: Kt) -> None:
    text = kt("--help").out
    assert all(command in text for command in COMMANDS)


@pytest.mark.parametrize("arguments", [("nope",), ("events", "tail", "--nope"), ("config", "diff")])
def test_wrong_usage_exits_2(kt: Kt, arguments: tuple[str, ...]) -> None:
    ran = kt(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert "Usage:" in ran.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ApiUnreachable(), 1),
        (StoreUnavailable(), 1),
        (ApiRefused("no", status=404), 1),
        (ApiRefused("no", status=422), 2),
        (InvalidInput("no"), 2),
        (ConfigurationInvalid("no"), 3),
    ],
)
def test_exit_codes_tell_what_kind_of_failure_it_was(error: KintsugiError, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize("debug", [False, True])
def test_an_unforeseen_error_is_words_and_a_trace_only_when_asked_for(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str], debug: bool
) -> None:
    def broken(_: Any) -> NoReturn:
        raise RuntimeError("boom")

    environ |= {"KT_DEBUG": "1"} if debug else {}
    assert run(replace(no_parts(), serve=broken), environ, ["server", "run"]) == 1
    err = capsys.readouterr().err
    assert "error: unforeseen: RuntimeError: boom\n  next: " in err
    assert ("Traceback" in err) is debug


def test_an_error_of_the_system_is_told_in_its_own_words(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: Any) -> NoReturn:
        raise OSError(28, "No space left on device")

    assert run(replace(no_parts(), serve=full), environ, ["server", "run"]) == 1
    assert "error: [Errno 28] No space left on device" in capsys.readouterr().err


def test_a_gateway_starts_with_what_it_was_told(environ: dict[str, str], tmp_path: Path) -> None:
    recorder = Recorder()
    arguments = ["gateway", "run", "--policy-config", "p.yaml", "--listen", ":0", "--workers", "3"]
    assert run(recorder.parts, environ, arguments) == 0
    [start] = recorder.started
    assert start == GatewayStart(
        policy_config=Path("p.yaml"),
        listen=Address("127.0.0.1", 0),
        workers=3,
        api_url="",
        api_token="",
        state=tmp_path / "state",
        simulator_url="",
        with_parent=False,
    )


def test_a_gateway_follows_the_control_plane_that_is_named(environ: dict[str, str]) -> None:
    recorder = Recorder()
    environ |= {"KT_API_URL": "http://control:1", "KT_API_TOKEN": "t"}
    run(recorder.parts, environ, ["gateway", "run", "--policy-config", "p.yaml"])
    [start] = recorder.started
    assert (start.api_url, start.api_token) == ("http://control:1", "t")
    assert start.workers >= 1


def test_the_control_plane_takes_its_database_from_flag_or_environment(
    environ: dict[str, str], tmp_path: Path
) -> None:
    recorder = Recorder()
    environ |= {"KT_DATABASE_URL": "postgresql://env/db"}
    run(recorder.parts, environ, ["server", "run", "--listen", "0.0.0.0:80"])
    run(recorder.parts, environ, ["server", "run", "--database-url", "postgresql://flag/db"])
    first, second = recorder.started
    assert first == ServerStart(
        Address("0.0.0.0", 80), tmp_path / "state", "postgresql://env/db", with_parent=False
    )
    assert second.database_url == "postgresql://flag/db"


def test_the_simulator_takes_a_script(environ: dict[str, str]) -> None:
    recorder = Recorder()
    run(recorder.parts, environ, ["simulate", "--listen", ":0", "--script", "s.yaml"])
    assert recorder.started == [
        SimulatorStart(Address("127.0.0.1", 0), Path("s.yaml"), with_parent=False)
    ]


def test_a_backup_is_told_where_and_says_what_it_holds(
    environ: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = Recorder()
    file = tmp_path / "kintsugi.backup"
    assert run(recorder.parts, environ, ["backup", str(file)]) == 0
    file.touch()
    assert run(recorder.parts, environ, ["restore", str(file), "--replace"]) == 0
    first, second = recorder.started
    assert (first.state, first.database_url) == (tmp_path / "state", "")
    assert (first.replace, second.replace) == (False, True)
    captured = capsys.readouterr()
    assert '"events": 3' in captured.out
    assert "working on it" in captured.err


def test_status_and_down_of_nothing_say_so(kt: Kt) -> None:
    status, down = kt("status"), kt("down")
    assert status.code == 1
    assert "nothing runs on" in status.err
    assert down.code == 0
    assert "Nothing runs on" in down.err


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    """``kt … | head -1`` must not print a trace, nor fail because the pipe is closed."""
    program = f"{sys.executable} -m kintsugi --help"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {program} | head -1"],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "XDG_CONFIG_HOME": str(tmp_path), "COLUMNS": "80"},
    )
    assert "Traceback" not in done.stderr


def test_lint_loads_neither_the_http_client_nor_a_database(tmp_path: Path) -> None:
    """Commit hooks and editors run it; it must stay quick."""
    program = (
        "import sys\n"
        "from kintsugi.app import main\n"
        "sys.argv = ['kt', 'policy', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'httpx2', 'psycopg', 'sqlalchemy', 'fastapi', 'uvicorn', 'duckdb', 'alembic'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("by_default", [True, False])
def test_what_up_says_to_try_can_be_typed_in_the_same_shell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by_default: bool
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [".venv/bin/kt", "up"])
    words = shlex.split(look_command(tmp_path / "a state", by_default=by_default))
    assert words[:3] == [".venv/bin/kt", "events", "tail"]
    assert (words[-2:] == ["--state", str(tmp_path / "a state")]) is not by_default
