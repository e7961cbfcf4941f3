"""A real control plane on stores in memory, and ``kt`` run inside this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest
import structlog
import uvicorn

from kintsugi.api.app import build_api, end_streams
from kintsugi.api.credentials import ensure_first_tokens
from kintsugi.cli.main import run
from kintsugi.cli.parts import Parts
from kintsugi.model.decision import Evaluation, Mode, Phase
from kintsugi.model.event import DecisionEvent, ExchangeStatus
from kintsugi.model.ids import uuid7
from kintsugi.model.query import QueryResult
from kintsugi.model.stores import Stores
from kintsugi.model.verdict import Verdict
from kintsugi.store.memory import memory_stores

STATEMENT = "SELECT decision, user_id FROM ai_decision_events"


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as one JSON document."""
        return msgspec.json.decode(self.out)

    @property
    def lines(self) -> list[Any]:
        """stdout as JSON lines."""
        return [msgspec.json.decode(line) for line in self.out.splitlines()]


Kt = Callable[..., Ran]


@dataclass(frozen=True)
class ControlPlane:
    """A running control plane."""

    url: str
    state: Path
    stores: Stores


class _Server(uvicorn.Server):
    """Says when it is ready, so that nobody has to poll."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@pytest.fixture
def control_plane(tmp_path: Path) -> Iterator[ControlPlane]:
    state = tmp_path / "state"
    # It runs in the process of the commands, whose stdout holds their results and nothing else.
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    answers = {STATEMENT: QueryResult(("decision", "user_id"), (("blocked", "=1+1"),) * 3, False)}
    stores = memory_stores(answers=answers)
    ensure_first_tokens(stores, state, now=datetime.now(UTC))
    app = build_api(stores, state_dir=state)
    listener = socket.create_server(("127.0.0.1", 0))
    server = _Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    assert server.ready.wait(20)
    port = listener.getsockname()[1]
    yield ControlPlane(f"http://127.0.0.1:{port}", state, stores)
    end_streams(app)
    server.should_exit = True
    thread.join(10)
    listener.close()
    structlog.reset_defaults()


@pytest.fixture
def kt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Kt:
    """``kt`` with no control plane running anywhere near."""
    return _kt({"XDG_CONFIG_HOME": str(tmp_path), "KT_STATE_DIR": str(tmp_path / "none")}, capsys)


@pytest.fixture
def kt_online(
    control_plane: ControlPlane, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Kt:
    """``kt`` as an operator beside the control plane."""
    token = (control_plane.state / "admin-token").read_text().strip()
    environ = {
        "XDG_CONFIG_HOME": str(tmp_path),
        "KT_STATE_DIR": str(control_plane.state),
        "KT_API_URL": control_plane.url,
        "KT_API_TOKEN": token,
    }
    return _kt(environ, capsys)


def no_parts() -> Parts:
    """Parts for commands that must not need any."""

    def unexpected(*_: Any) -> NoReturn:
        raise AssertionError("this command must not start anything")

    return Parts(
        serve=unexpected,
        run_gateway=unexpected,
        run_simulator=unexpected,
        backup=unexpected,
        restore=unexpected,
        find_postgresql=lambda: "PostgreSQL 15.18 at /somewhere",
    )


def event(
    number: int = 0,
    *,
    verdict: Verdict = Verdict.BLOCK,
    user: str = "ada",
    at: datetime | None = None,
    model: str = "sim-echo",
) -> DecisionEvent:
    """A decision as a gateway ships it."""
    moment = at or datetime.now(UTC)
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    return DecisionEvent(
        id=uuid7(int(moment.timestamp() * 1000), number.to_bytes(10, "big")),
        timestamp=moment,
        gateway_id="gw-test",
        worker_id="w0",
        dialect="openai.chat",
        config_version="support@1",
        revision="sha256:00",
        engine_version="0.1.0",
        verdict=verdict,
        reason_code="prompt_injection.detected",
        status=ExchangeStatus.BLOCKED,
        policy_name="prompt-injection",
        user_id=user,
        model=model,
        evaluations=(
            Evaluation(
                policy_name="prompt-injection",
                phase=Phase.INPUT,
                mode=Mode.ENFORCE,
                outcome="matched",
                verdict=verdict,
                reason_code="prompt_injection.detected",
            ),
        ),
    )


def _kt(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Kt:
    def call(*arguments: str, **more: str) -> Ran:
        code = run(no_parts(), environ | more, arguments)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call
