"""A package is checked with other people's tools alone, as the manual prints it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kintsugi.ledger.package.files import pack
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.verdict import Verdict
from tests.ledger.packages import KEY, OTHER, filled, made

PAGE = Path(__file__).parents[2] / "docs" / "evidence-packages.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("## With other tools only")[2]
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.needs("unzip", "sha256sum", "jq", "openssl", "base64")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where ``evidence.zip`` lies: some events of each batch."""
    bag = made(filled((5, 3, 9, 1)), tmp_path / "bag", EventFilter(verdict=Verdict.ALLOW))
    (tmp_path / "run").mkdir()
    pack(bag, tmp_path / "run/evidence.zip", "zip", top="kintsugi-package-1", tell=lambda: None)
    return tmp_path / "run"


def run(folder: Path, key: str = str(KEY.verifier)) -> subprocess.CompletedProcess[str]:
    """Every block of the page, one after the other."""
    script = "set -eu\n" + "\n".join(
        text if language == "bash" else f"python3 - <<'PYTHON'\n{text}PYTHON"
        for language, text in BLOCKS
    )
    # The interpreter of this environment has bagit; nothing in it is asked for Kintsugi.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={"PATH": path, "KEY": key, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_step_of_the_manual_holds(folder: Path) -> None:
    assert len(BLOCKS) == 5
    assert "kintsugi" not in "".join(text for _, text in BLOCKS).replace("kintsugi-package-*", "")
    ran = run(folder)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Signature Verified Successfully" in ran.stdout
    assert "every event is in the log as it was recorded" in ran.stdout


def test_the_key_of_somebody_else_does_not_fit(folder: Path) -> None:
    ran = run(folder, str(OTHER.verifier))
    assert ran.returncode != 0
    assert "Signature Verification Failure" in ran.stdout + ran.stderr


@pytest.mark.parametrize("name", ["data/events.jsonl", "bag-info.txt"])
def test_a_changed_file_is_found(folder: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "bag" / name
    path.write_bytes(path.read_bytes() + b"\n")
    archive = folder / "evidence.zip"
    archive.unlink()
    pack(tmp_path / "bag", archive, "zip", top="kintsugi-package-1", tell=lambda: None)
    ran = run(folder)
    assert ran.returncode != 0
    assert f"{name}: FAILED" in ran.stdout + ran.stderr
