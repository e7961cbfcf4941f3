"""What the command line needs from the rest of the program, as one value of callables.

``app.py`` fills it in. So the command line starts servers and makes backups without importing a
store, and tests pass in parts of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import typer

from kintsugi.cli.settings import Settings, read_settings
from kintsugi.errors import InvalidInput


class Address(NamedTuple):
    """Where to listen; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Where this machine finds what listens here."""
        return f"http://{'127.0.0.1' if self.host in ('0.0.0.0', '') else self.host}:{self.port}"  # noqa: S104

    @classmethod
    def parse(cls, text: str) -> Address:
        """``HOST:PORT``, ``:PORT`` or ``[::1]:PORT``.

        Raises:
            InvalidInput: it is neither.
        """
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65_535:
            raise InvalidInput(f'"{text}" is no address; use HOST:PORT, such as 127.0.0.1:41002')
        return cls(host.strip("[]") or "127.0.0.1", int(port))


@dataclass(frozen=True, slots=True)
class ServerStart:
    """How to run the control plane. ``database_url`` empty: the embedded database;
    ``log_key_file`` None: ``log-key`` in the state folder; ``vault_key``: see ``key_sources``;
    ``archive_url`` empty: no archive; ``archive_after_months`` None: only when asked."""

    listen: Address
    state: Path
    database_url: str
    with_parent: bool
    log_key_file: Path | None = None
    vault_key: str = ""
    archive_url: str = ""
    archive_after_months: int | None = None


@dataclass(frozen=True, slots=True)
class GatewayStart:
    """How to run a gateway. ``api_url`` empty: alone, from the file.

    Attributes:
        journal_days_max, journal_bytes_max: how long and how much of its journals it keeps alone;
            0 for all.
    """

    policy_config: Path
    listen: Address
    workers: int
    api_url: str
    api_token: str
    state: Path
    simulator_url: str
    with_parent: bool
    journal_days_max: int = 0
    journal_bytes_max: int = 0


@dataclass(frozen=True, slots=True)
class SimulatorStart:
    """How to run the scripted provider."""

    listen: Address
    script: Path | None
    with_parent: bool


@dataclass(frozen=True, slots=True)
class Transfer:
    """A backup or a restore. ``database_url`` empty: the embedded database.

    Attributes:
        replace: a restore may give up what the database holds now.
        with_vault_key: a backup holds the file of key-encryption keys too.
        erasures: a list of erasures that a restore does again, besides the state folder's own.
        archive_url: where the archives are that a restored database depends on.
        tell: gets a sentence now and then.
    """

    state: Path
    database_url: str
    file: Path
    tell: Callable[[str], None]
    replace: bool = False
    with_vault_key: bool = False
    erasures: Path | None = None
    archive_url: str = ""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that can be started or done besides talking to the API."""

    serve: Callable[[ServerStart], int]
    run_gateway: Callable[[GatewayStart], int]
    run_simulator: Callable[[SimulatorStart], int]
    backup: Callable[[Transfer], dict[str, Any]]
    restore: Callable[[Transfer], dict[str, Any]]
    find_postgresql: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Program:
    """What hangs on every command's context: the parts and the environment, read once."""

    parts: Parts
    environ: Mapping[str, str] = field(default_factory=dict)

    def settings(self, *, state: Path | None = None, api_url: str | None = None) -> Settings:
        """Settle the settings with this command's flags."""
        return read_settings(self.environ, state=state, api_url=api_url)


def program(context: typer.Context) -> Program:
    """The running program, from any command."""
    found = context.find_object(Program)
    if found is None:
        raise InvalidInput("this command runs only inside kt")
    return found
