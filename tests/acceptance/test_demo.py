"""The whole story of `kt demo`, on the installed program."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import KT, eventually, run

MANUAL = Path(__file__).parents[2] / "docs" / "demo.md"
HEADING = re.compile(r"── \d+/17 (.+?) ─+|What it came to")
VARIES = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"\bgw-[0-9a-f]{8}\b|sha256:[0-9a-f]{64}"), "ID"),
    (re.compile(r"\d+(\.\d+)?"), "0"),
    (re.compile(r" {2,}"), " "),
)

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


@pytest.fixture
def environ() -> Iterator[dict[str, str]]:
    # What belongs to another installation must not reach the demo's.
    elsewhere = {"KT_API_URL": "http://127.0.0.1:1", "KT_API_TOKEN": "kt_elsewhere"}
    with tempfile.TemporaryDirectory(prefix="kt-") as folder:
        Path(folder).chmod(0o755)
        yield {**os.environ, **elsewhere, "TMPDIR": folder}
        assert list(Path(folder).glob("kt-demo-*")) == [], "the demo cleans up"


def test_the_demo_tells_one_incident_from_the_first_bad_answer_to_closed(
    environ: dict[str, str],
) -> None:
    ran = run([str(KT), "demo", "--fast", "--json"], environ=environ, timeout_seconds=280)
    assert ran.code == 0, ran.err[-4000:]
    facts: dict[str, Any] = ran.json["facts"]
    # A typo refuses half of the good answers, and a planted remark gets a note out.
    share = facts["legitimate_refused"] / facts["legitimate_asked"]
    assert 0.4 < share < 0.6
    assert facts["notes_leaked"] == 2
    # Contained everywhere, frozen, understood. The time is told, not asserted.
    assert facts["contain_seconds"] > 0
    assert facts["frozen_events"] > facts["legitimate_asked"]
    assert facts["first_suspect"] == "parcel-help@2"
    # What went wrong is kept: two cases, what is near them, and what has to pass, all proven.
    assert facts["cases"]["case"] == 2
    assert facts["cases"]["variant"] >= 3
    assert facts["proved"] == {"proved": sum(facts["cases"].values())}
    # Closed, and the same again is caught.
    assert set(facts["gates"].values()) == {"passed"}
    assert facts["closed_seconds"] > facts["detected_seconds"]
    assert facts["recurrences_caught"] == 4
    # Everything in one file that checks out offline, in a log that is signed.
    assert facts["package_events"] >= facts["frozen_events"]
    assert facts["log_size"] > 0
    # Every command that was run is told, and can be typed by a person.
    lines = [one["command"] for act in ran.json["acts"] for one in act["commands"]]
    assert all(line.startswith("kt ") for line in lines)
    assert not any("kt_" in line for line in lines), "no token stands in a command"
    # The manual shows some of the acts as they are told today.
    told = acts_of(ran.err)
    for title, shown in acts_of(the_manual_shows()).items():
        rest = iter(told[title])
        assert [line for line in shown if line not in rest] == [], title


def the_manual_shows() -> str:
    """What docs/demo.md quotes of the story."""
    [block] = re.findall(r"```text\n(.*?)```", MANUAL.read_text("utf-8"), re.DOTALL)
    return str(block)


def acts_of(story: str) -> dict[str, list[str]]:
    """The lines of each act, without what is another in each run: ids, numbers and times."""
    acts: dict[str, list[str]] = {}
    title = ""
    for line in story.splitlines():
        if heading := HEADING.fullmatch(line):
            title = heading[1] or line
            acts[title] = []
        elif title and line:
            for pattern, instead in VARIES:
                line = pattern.sub(instead, line)
            acts[title].append(line)
    return acts


def test_an_interrupted_demo_leaves_nothing_behind(environ: dict[str, str]) -> None:
    process = subprocess.Popen(
        # Whoever started the tests may have them ignore that signal, and would for the demo too.
        ["env", "--default-signal=INT", str(KT), "demo", "--fast"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    folder = Path(environ["TMPDIR"])
    [run_file] = eventually(
        lambda: list(folder.glob("kt-demo-*/state/run/up.json")), within_seconds=60
    )
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=90)
    assert process.returncode == 130, out
    assert not run_file.exists()


def test_a_folder_that_holds_something_is_refused(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    ran = run([str(KT), "demo", "--state", str(tmp_path)], environ=environ)
    assert ran.code == 2
    assert "empty or not there" in ran.err
    assert (tmp_path / "notes").read_text() == "mine"
