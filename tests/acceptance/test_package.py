"""What is built and installed is what stands in the tree: nothing is left behind."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from kintsugi import __version__

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, as an installer would lay it down."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_every_file_of_the_package_is_in_the_wheel(unpacked: Path) -> None:
    def files(root: Path) -> set[str]:
        return {
            path.relative_to(root).as_posix()
            for path in (root / "kintsugi").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    assert files(unpacked) == files(ROOT / "src")


def test_the_wheel_runs_without_the_source(unpacked: Path, tmp_path: Path) -> None:
    environ = {
        "PYTHONPATH": str(unpacked),
        "XDG_CONFIG_HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
    }

    def kt(*arguments: str) -> subprocess.CompletedProcess[str]:
        # -S would hide the dependencies; the editable install is out of the way because
        # PYTHONPATH comes first.
        return subprocess.run(
            [sys.executable, "-m", "kintsugi", *arguments],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    assert kt("--version").stdout == f"kt {__version__}\n"
    assert kt("init").returncode == 0
    linted = kt("policy", "lint", "--file", "policy-config.yaml")
    assert linted.returncode == 0, linted.stdout + linted.stderr
