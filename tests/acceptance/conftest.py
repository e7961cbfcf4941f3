"""The installed program as processes: one shared instance, and a way to start others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from tests.ports import free_port

SEEDS = Path(__file__).with_name("seeds")
KT = Path(sys.executable).with_name("kt")


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


def run(
    command: list[str] | str,
    *,
    environ: dict[str, str],
    cwd: Path | None = None,
    stdin: str = "",
    timeout_seconds: float = 90,
) -> Ran:
    """Run a program, or a line of shell, to its end."""
    done = subprocess.run(
        command if isinstance(command, list) else ["bash", "-c", command],
        env=environ,
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@dataclass
class Instance:
    """One ``kt up`` on a state folder of its own, on free ports."""

    state: Path
    environ: dict[str, str]
    options: tuple[str, ...] = ()
    started_after_seconds: float = 0.0
    _status: dict[str, Any] = field(default_factory=dict)

    def start(self) -> None:
        """Start it and return when it is ready."""
        began = time.monotonic()
        # Not 0: a part that is killed comes back on the port that it had.
        ports = ("--gateway-port", str(free_port()), "--api-port", str(free_port()))
        options = ("--state", str(self.state), *ports)
        ran = self.kt("up", *options, *self.options, "--detach")
        self.started_after_seconds = time.monotonic() - began
        assert ran.code == 0, ran.err + self.logs()
        self._status = self.status()

    def start_and_publish(self) -> None:
        """Start it and return when the gateway runs the version that it made of its file."""
        self.start()

        def published() -> bool:
            [gateway] = self.api("/v1/gateways") or [{"state": "not there", "newest_version": None}]
            return gateway["state"] == "in force" and gateway["newest_version"] is not None

        eventually(published)

    def stop(self) -> Ran:
        """Stop it as a person would."""
        return self.kt("down")

    def kt(self, *arguments: str, stdin: str = "", cwd: Path | None = None) -> Ran:
        """``kt`` as a person on this machine runs it; it finds everything by itself."""
        return run([str(KT), *arguments], environ=self.environ, stdin=stdin, cwd=cwd)

    def shell(self, line: str, *, cwd: Path | None = None, **more: str) -> Ran:
        """A line of shell, with what the runbooks expect in the environment."""
        token = (self.state / "admin-token").read_text().strip()
        environ = self.environ | {"KEEPTRUSTS_API_URL": self.api_url, "API_TOKEN": token} | more
        return run(line, environ=environ, cwd=cwd)

    def status(self) -> dict[str, Any]:
        """``kt status --json``."""
        found: dict[str, Any] = self.kt("status", "--json").json
        return found

    @property
    def gateway_url(self) -> str:
        """Where applications send requests."""
        return str(self._status["gateway_url"])

    @property
    def api_url(self) -> str:
        """The control plane."""
        return str(self._status["api_url"])

    @property
    def config_id(self) -> str:
        """The configuration that the gateway follows."""
        return str(self.api("/v1/configurations")[0]["id"])

    def api(self, path: str) -> Any:
        """``data`` of an answer of the control plane; None when there is none.

        Where a test only waits for something; what it is about, it asks ``kt``.
        """
        token = (self.state / "admin-token").read_text().strip()
        try:
            answer = httpx2.get(
                f"{self.api_url}{path}",
                headers={"Authorization": f"Bearer {token}"},
                trust_env=False,
            )
        except httpx2.TransportError:
            return None
        return answer.json()["data"] if answer.is_success else None

    def ask(
        self, text: str, *, model: str = "sim-echo", headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        """One chat request through the gateway."""
        return httpx2.post(
            f"{self.gateway_url}/v1/chat/completions",
            json={"model": model, "messages": [{"role": "user", "content": text}]},
            headers=headers,
            timeout=30,
            trust_env=False,
        )

    def stored(self, event_id: str, *, within_seconds: float = 60) -> dict[str, Any]:
        """An event, once it has arrived at the control plane."""
        found: dict[str, Any] = eventually(
            lambda: self.api(f"/v1/events/{event_id}"), within_seconds=within_seconds
        )
        return found

    def logs(self) -> str:
        """Everything that the parts said."""
        return "\n".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-4000:]}"
            for log in sorted(self.state.glob("logs/*.log"))
        )


def eventually(look: Callable[[], Any], *, within_seconds: float = 60) -> Any:
    """The first true thing that ``look`` returns, asked for again and again."""
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {within_seconds} s")


@contextmanager
def new_instance(*options: str) -> Iterator[Instance]:
    """An instance that is not started yet; whatever runs of it at the end is stopped.

    Not below pytest's own folder: that one is closed to the user who runs the database.
    """
    folder = Path(tempfile.mkdtemp(prefix="kt-"))
    folder.chmod(0o755)
    # No provider's key either: the only models that a test may reach are on this machine.
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("KT_") and name != "OPENAI_API_KEY"
    }
    environ |= {
        "KT_STATE_DIR": str(folder / "state"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "PATH": f"{KT.parent}:{os.environ['PATH']}",
    }
    instance = Instance(folder / "state", environ, options)
    try:
        yield instance
    finally:
        stopped = instance.stop()
        shutil.rmtree(folder, ignore_errors=True)
        assert stopped.code == 0, stopped.err


@pytest.fixture(scope="session")
def instance() -> Iterator[Instance]:
    """One instance for every test that changes nothing that others look at."""
    with new_instance("--workers", "2") as made:
        made.start_and_publish()
        yield made
