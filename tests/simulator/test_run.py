"""``run``: the process as ``kt simulate`` starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from kintsugi.simulator.server import run

PROGRAM = (
    "import sys; from pathlib import Path; from kintsugi.simulator.server import run; "
    "sys.exit(run(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None))"
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_where_it_listens_and_ends_when_told(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    ) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found is not None
        with urllib.request.urlopen(f"{found[0]}/health", timeout=5) as answer:
            assert answer.status == 200
        process.send_signal(number)
        assert process.wait(5) == 0


@pytest.mark.parametrize("listen", ["", "41003", "localhost:", "localhost:x", "localhost:70000"])
def test_an_address_that_is_none_is_refused(
    listen: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(listen) == 1
    assert "is no address; use HOST:PORT" in capsys.readouterr().err


def test_a_wrong_script_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "script.yaml"
    path.write_text("rules: 7")
    assert run("127.0.0.1:0", path) == 1
    assert str(path) in capsys.readouterr().err
