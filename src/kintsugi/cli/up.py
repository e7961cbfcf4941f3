"""``kt up``: gateway, control plane, database and simulator on one machine, with one command."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Annotated

import typer

from kintsugi import __version__
from kintsugi.cli.gateway import core_count
from kintsugi.cli.init import DEFAULT_TEMPLATE, write_template
from kintsugi.cli.options import StateOption
from kintsugi.cli.output import Output
from kintsugi.cli.parts import Address, program
from kintsugi.cli.ports import free_port, taken
from kintsugi.cli.runfile import Up, held, read_up, server_path, up_path, write_json
from kintsugi.cli.supervise import Child, Part, Supervisor
from kintsugi.errors import ConfigurationInvalid, InvalidInput, KintsugiError

GATEWAY_STOP_SECONDS = 45.0  # its own drain time-out is 30 s, then it ships what it can
SERVER_STOP_SECONDS = 20.0
SIMULATOR_STOP_SECONDS = 3.0
READY_SECONDS_MAX = 120.0
FIRST_CRASHES_MAX = 3
_POLL_SECONDS = 0.03
_PROBE_SECONDS = 0.25
# Exit codes that say that the part was told something wrong; trying again changes nothing.
_HOPELESS: Mapping[int, type[KintsugiError]] = {2: InvalidInput, 3: ConfigurationInvalid}
_TITLES: Mapping[str, str] = {
    "gateway": "gateway",
    "server": "control plane",
    "simulator": "simulator",
}
_OTHER_PORT: Mapping[str, str] = {
    "gateway": "--gateway-port 0 takes a free one",
    "server": "--api-port 0 takes a free one",
    "simulator": "start again; it takes a free one each time",
}
_STOP_ORDER = ("gateway", "server", "simulator")  # the gateway ships to the server while it drains


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is settled before the first process starts.

    Attributes:
        look: the command line that shows what is decided, as it can be typed here.
    """

    state: Path
    gateway: Address
    api: Address
    simulator: Address | None
    workers: int
    config_file: Path
    simulator_script: Path | None
    look: str

    @property
    def logs(self) -> Path:
        """Where the parts write what they have to say."""
        return self.state / "logs"


def up(
    context: typer.Context,
    state: StateOption = None,
    gateway_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Where applications send requests; 0: any free.")
    ] = 41002,
    api_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Control plane and console; 0: any free.")
    ] = 41001,
    workers: Annotated[int, typer.Option(min=0, help="Gateway workers; 0: one for each core.")] = 0,
    policy_config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Configuration to start from; default STATE/policy-config.yaml, made if missing.",
            show_default=False,
        ),
    ] = None,
    simulate: Annotated[
        bool,
        typer.Option(help="Run the scripted provider, so that no key and no network is needed."),
    ] = True,
    simulator_script: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What the scripted provider answers to what; see `kt simulate`.",
            show_default=False,
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when everything is ready.")
    ] = False,
) -> None:
    """Start everything on this machine and keep it running until Ctrl-C or `kt down`."""
    folder = program(context).settings(state=state).state
    debug = program(context).environ.get("KT_DEBUG", "") not in ("", "0")
    output = Output()
    look = look_command(folder, by_default=folder == program(context).settings().state)
    if running := read_up(folder):
        output.say(f"Kintsugi runs on {folder} already (process {running.pid}).")
        _welcome(output, running, folder, look)
        return
    _make_private(folder)
    if detach:
        _detach(folder, output, look)
        return
    with held(folder):
        plan = Plan(
            state=folder,
            gateway=_free(Address("127.0.0.1", gateway_port), "gateway"),
            api=_free(Address("127.0.0.1", api_port), "server"),
            simulator=_free(Address("127.0.0.1", 0), "simulator") if simulate else None,
            workers=workers or core_count(),
            config_file=_config_file(policy_config, folder),
            simulator_script=_script(simulator_script, simulate=simulate),
            look=look,
        )
        _Instance(plan, output, debug=debug).run()


class _Instance:
    """One run of ``kt up``."""

    def __init__(self, plan: Plan, output: Output, *, debug: bool) -> None:
        self._plan = plan
        self._output = output
        self._debug = debug
        self._began = time.monotonic()
        self._ready: dict[str, float] = {}
        self._failed: Child | None = None
        self._supervisor = Supervisor(_parts(plan), self._changed)
        self._started_at = datetime.now(UTC).isoformat()

    def run(self) -> None:
        """Start, watch, stop.

        Raises:
            KintsugiError: a part does not come up; everything is stopped again.
        """
        self._output.say(f"Kintsugi {__version__} on {self._plan.state}")
        # From here on nobody may believe what the last control plane wrote about itself.
        server_path(self._plan.state).unlink(missing_ok=True)
        try:
            with self._supervisor.signals():
                self._supervisor.start()
                try:
                    self._until_ready()
                    if not self._supervisor.stopping:
                        _welcome(self._output, self._up(), self._plan.state, self._plan.look)
                    while not self._supervisor.stopping:
                        self._supervisor.watch(60.0)
                finally:
                    self._stop()
        finally:
            up_path(self._plan.state).unlink(missing_ok=True)
        if self._failed:
            raise self._why(self._failed)

    def _until_ready(self) -> None:
        waiting = {"gateway": self._plan.gateway, "server": self._plan.api}
        deadline = self._began + READY_SECONDS_MAX
        while waiting and not self._supervisor.stopping:
            self._supervisor.watch(_POLL_SECONDS)
            for name, address in list(waiting.items()):
                if _answers(address):
                    del waiting[name]
                    self._note_ready(name, address)
            if time.monotonic() > deadline:
                raise KintsugiError(
                    f"not ready after {READY_SECONDS_MAX:g} s: {', '.join(waiting)}"
                )
        self._save()

    def _note_ready(self, name: str, address: Address) -> None:
        self._ready[name] = time.monotonic() - self._began
        self._output.say(
            f"  {_TITLES[name]:<14} ready after {self._ready[name]:.1f} s  {address.url}"
        )

    def _changed(self, child: Child, what: str) -> None:
        self._save()
        if child.exit_code is not None:
            stamp = datetime.now(UTC).strftime("%H:%M:%SZ")
            self._output.say(f"  {stamp} {child.part.name} {what}")
        elif self._debug:
            elapsed = time.monotonic() - self._began
            self._output.say(f"  {child.part.name} started after {elapsed:.2f} s, pid {child.pid}")
        hopeless = child.exit_code in _HOPELESS or child.crashes >= FIRST_CRASHES_MAX
        if hopeless and child.pid is None and child.part.name not in self._ready:
            self._failed = child
            self._supervisor.stopping = True

    def _why(self, child: Child) -> KintsugiError:
        """Why a part does not start: its port, or its own words."""
        name, plan = child.part.name, self._plan
        listens = {"gateway": plan.gateway, "server": plan.api, "simulator": plan.simulator}
        if (address := listens[name]) and free_port(address) is None:
            # Somebody took it after `_free` had looked.
            return taken(address, _TITLES[name], _OTHER_PORT[name])
        words = _last_words(child.part.log)
        message = f"{child.part.name} does not start; from {child.part.log}:\n{words}"
        return _HOPELESS.get(child.exit_code or 0, KintsugiError)(message)

    def _up(self) -> Up:
        children = self._supervisor.children
        plan = self._plan
        return Up(
            pid=os.getpid(),
            gateway_url=plan.gateway.url,
            api_url=plan.api.url,
            config_file=str(plan.config_file),
            started_at=self._started_at,
            ready={"gateway", "server"} <= self._ready.keys(),
            simulator_url=plan.simulator.url if plan.simulator else "",
            pids={child.part.name: child.pid for child in children if child.pid},
            restarts={child.part.name: child.restarts for child in children if child.restarts},
        )

    def _save(self) -> None:
        write_json(up_path(self._plan.state), self._up())

    def _stop(self) -> None:
        self._output.say("Stopping: the gateway finishes what is in flight and ships its records.")
        began = time.monotonic()
        killed = self._supervisor.stop(_STOP_ORDER)
        for name in killed:
            self._output.say(f"  {name} did not stop in time and was killed")
        self._output.say(f"Stopped after {time.monotonic() - began:.1f} s.")


def _parts(plan: Plan) -> list[Part]:
    state = ("--state", str(plan.state), "--with-parent")
    simulator = ("--simulator-url", plan.simulator.url) if plan.simulator else ()
    gateway = Part(
        "gateway",
        (
            *_kt("gateway", "run", "--policy-config", str(plan.config_file)),
            *("--listen", str(plan.gateway), "--workers", str(plan.workers)),
            *("--api-url", plan.api.url, *simulator, *state),
        ),
        plan.logs / "gateway.log",
        GATEWAY_STOP_SECONDS,
    )
    server = Part(
        "server",
        (*_kt("server", "run"), "--listen", str(plan.api), *state),
        plan.logs / "server.log",
        SERVER_STOP_SECONDS,
    )
    if plan.simulator is None:
        return [server, gateway]
    listen = ("--listen", str(plan.simulator), "--with-parent")
    script = ("--script", str(plan.simulator_script)) if plan.simulator_script else ()
    simulated = Part(
        "simulator",
        (*_kt("simulate"), *listen, *script),
        plan.logs / "simulator.log",
        SIMULATOR_STOP_SECONDS,
    )
    return [server, gateway, simulated]


def _kt(*words: str) -> tuple[str, ...]:
    """This very program, whatever is first on PATH."""
    return (sys.executable, "-m", "kintsugi", *words)


def _free(address: Address, name: str) -> Address:
    """The address with a port that can be listened on."""
    port = free_port(address)
    if port is None:
        raise taken(address, _TITLES[name], _OTHER_PORT[name])
    return Address(address.host, port)


def _config_file(given: Path | None, state: Path) -> Path:
    """The configuration to start from, made from the starter template on first use."""
    if given is not None:
        if not given.is_file():
            raise InvalidInput(f"{given} is no file; `kt init` makes one")
        return given.absolute()
    own = state / "policy-config.yaml"
    if not own.exists():
        write_template(DEFAULT_TEMPLATE, state, force=False, today=datetime.now(UTC).date())
    return own


def _script(given: Path | None, *, simulate: bool) -> Path | None:
    """The simulator's script, where one is given."""
    if given is None:
        return None
    if not simulate:
        raise InvalidInput("--simulator-script is for the simulator; leave out --no-simulate")
    if not given.is_file():
        raise InvalidInput(f"--simulator-script: {given} is no file")
    return given.absolute()


def _make_private(state: Path) -> None:
    """The state folder, readable by its owner alone where we are the ones who make it."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        (state / "logs").mkdir(exist_ok=True)
        (state / "run").mkdir(exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"{state} cannot be written ({error.strerror}); use --state DIR") from (
            error
        )


def _answers(address: Address) -> bool:
    # The plainest client there is: this is asked many times while the parts want the processor.
    connection = HTTPConnection(address.host, address.port, timeout=_PROBE_SECONDS)
    with closing(connection):
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False


def _detach(state: Path, output: Output, look: str) -> None:
    """Start the same command once more in the background and wait until it is ready."""
    arguments = [word for word in sys.argv[1:] if word != "--detach"]
    log = state / "logs" / "up.log"
    log_size_before = log.stat().st_size if log.exists() else 0
    with log.open("ab") as file:
        process = subprocess.Popen(  # noqa: S603 - our own program, no shell
            [*_kt(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        if (running := read_up(state)) and running.ready:
            _welcome(output, running, state, look)
            return
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        output.say(log.read_bytes()[log_size_before:].decode(errors="replace").rstrip())
        raise typer.Exit(process.returncode or 1)
    raise KintsugiError(f"not ready after {READY_SECONDS_MAX:g} s; see {log}")


def look_command(state: Path, *, by_default: bool) -> str:
    """How to see decisions from this shell, whether or not ``kt`` is on its PATH."""
    called = sys.argv[0] if Path(sys.argv[0]).name == "kt" else "kt"
    words = ["kt" if shutil.which("kt") else called, "events", "tail", "--since", "1h"]
    return shlex.join(words if by_default else [*words, "--state", str(state)])


def _welcome(output: Output, running: Up, state: Path, look: str) -> None:
    """Where everything is, and a request to try."""
    model = "sim-echo" if running.simulator_url else "gpt-4o-mini"
    output.say(
        f"""
  gateway   {running.gateway_url}/v1   give this to your application as base_url
  console   {running.api_url}/   sign in with the token in {state}/admin-token
  settings  {running.config_file}

Try it:
  curl {running.gateway_url}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
  {look}
"""
    )


def _last_words(log: Path, *, lines: int = 12) -> str:
    words = log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in words)
