"""What a gateway is told when it starts; read once, passed down, never changed."""

from __future__ import annotations

from pathlib import Path

import msgspec

from kintsugi.gateway.journal_retention import JournalLimits


class GatewaySettings(msgspec.Struct, frozen=True):
    """One gateway: a supervisor and its workers.

    Attributes:
        state_dir: the state folder; the gateway's own part of it is ``folder``.
        gateway_id: persistent name such as ``gw-1f2e3d4c``.
        port: 0 takes a free one; all workers share it.
        policy_config: the file to run from until the control plane has a newer version.
        api_url: the control plane; empty to run from the file alone.
        api_token: token of this gateway at the control plane; empty to read
            ``STATE/gateway-token``, which a control plane on this machine writes.
        simulator_url: where targets with provider ``simulator`` are; empty when there is none.
        journal_limits: without a control plane; with one, what has arrived there is trimmed.
    """

    state_dir: Path
    gateway_id: str
    policy_config: Path
    host: str = "127.0.0.1"
    port: int = 41002
    workers: int = 1
    api_url: str = ""
    api_token: str = ""
    simulator_url: str = ""
    journal_limits: JournalLimits = JournalLimits()

    @property
    def folder(self) -> GatewayFolder:
        """Everything that this gateway keeps on disk."""
        return GatewayFolder(self.state_dir / "gateway" / self.gateway_id)


class GatewayFolder:
    """Where the things of one gateway lie; the supervisor makes what is not there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = path / "journal"
        self.metrics = path / "metrics"
        self.configurations = path / "configurations"
        self.fingerprint_key = path / "fingerprint.key"
        self.counters = path / "counters.jsonl"
        self.quarantines = path / "quarantines.json"


class WorkerSettings(msgspec.Struct, frozen=True):
    """What the supervisor passes to one worker, as one JSON argument. Holds no secret.

    Attributes:
        worker_id: the worker's place among its siblings, ``w0``; kept over restarts.
        worker_count: how many share the gateway's limits.
        gateway_dir: see ``GatewayFolder``.
        listen_fd: a listening socket that the supervisor owns, so that connections which arrive
            while a worker is replaced wait instead of being refused.
        control_fd: this end of the control channel.
    """

    gateway_id: str
    worker_id: str
    worker_count: int
    gateway_dir: str
    listen_fd: int
    control_fd: int
    simulator_url: str = ""

    @property
    def folder(self) -> GatewayFolder:
        """Where this worker's journal and cells go."""
        return GatewayFolder(Path(self.gateway_dir))
