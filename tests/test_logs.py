"""Logs: JSON lines on stderr, with nothing secret in them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from kintsugi import logs


@pytest.fixture
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


TOKEN = "kt_0123456789ab_" + "f" * 64


@pytest.mark.parametrize(
    "secret",
    [
        TOKEN,
        "Bearer abcdefgh.ijkl",
        "bearer " + TOKEN,
        "sk-proj-abcdefghijklmnopqrstuv",
        "postgresql://ada:hunter2@db/kintsugi",
    ],
)
def test_secrets_are_replaced_wherever_they_stand(secret: str) -> None:
    event = {
        "event": f"said {secret} once",
        "deep": {"list": [f"x {secret}"], "tuple": (secret,)},
        "error": f"Traceback: {secret}",
    }
    text = json.dumps(logs.redact(None, "info", event))
    assert secret not in text
    assert "hunter2" not in text
    assert logs.REDACTED in text


@given(st.sampled_from(["Authorization", "password", "api_token", "token"]), st.text(min_size=1))
def test_values_under_a_secret_name_are_replaced_whatever_they_look_like(
    name: str, value: str
) -> None:
    assert logs.redact(None, "info", {name: value}) == {name: logs.REDACTED}


def test_what_is_no_secret_stays() -> None:
    event = {"event": "token.created", "token_id": "0123456789ab", "count": 3, "ok": None}
    assert logs.redact(None, "info", dict(event)) == event


@pytest.mark.usefixtures("_restored")
def test_our_own_and_other_peoples_lines_have_one_form(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure(service="server")
    structlog.get_logger("kintsugi.x").info("server.started", authorization="Bearer x" * 4)
    logging.getLogger("uvicorn.error").warning("a %s from a library", "word")
    try:
        raise ValueError(f"with {TOKEN}")
    except ValueError:
        structlog.get_logger("kintsugi.x").exception("it.failed")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == [
        "server.started",
        "a word from a library",
        "it.failed",
    ]
    assert {line["service"] for line in lines} == {"server"}
    assert lines[0]["authorization"] == logs.REDACTED
    assert "ValueError" in lines[2]["exception"]
    assert TOKEN not in lines[2]["exception"]
