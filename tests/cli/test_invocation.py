"""What commands that ask the control plane have in common."""

from __future__ import annotations

import inspect
from pathlib import Path

import typer

from kintsugi.cli.invocation import Invocation, online
from tests.cli.conftest import Kt


@online
def look(kt: Invocation, name: str, often: int = 1) -> None:
    """Look."""


def test_the_shared_options_stand_behind_a_commands_own() -> None:
    parameters = inspect.signature(look).parameters
    assert list(parameters) == ["context", "name", "often", "as_json", "state", "api_url"]
    assert parameters["context"].annotation is typer.Context
    assert look.__doc__ == "Look."


def test_what_is_wrong_with_the_words_is_said_before_the_settings_are_read(
    kt: Kt, tmp_path: Path
) -> None:
    broken = tmp_path / "kintsugi" / "config.toml"
    broken.parent.mkdir()
    broken.write_text("no = 'setting'")
    assert "WHAT, or --file" in kt("regressions", "add").err
    assert "config.toml" in kt("regressions", "list").err
