"""Which configuration the workers of a gateway are told to load: the file's, until a control plane
sends a version.

What came from the control plane is in force when every worker runs it, and only then reported so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime

import structlog

from kintsugi.errors import ApiRefused, ApiUnreachable, ConfigurationInvalid
from kintsugi.gateway.follower import FollowedConfiguration, Follower, load_last_good
from kintsugi.gateway.settings import GatewaySettings
from kintsugi.gateway.worker_messages import Load, LoadFailed, ToWorker
from kintsugi.model.config import Config
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import compile_plan

log = structlog.get_logger(__name__)

_IN_FORCE_SECONDS = 10.0
_CONFIGURATIONS_KEPT = 8


class Loading:
    """One gateway's. Everything but ``put_in_force`` and ``first_version`` is the loop's.

    Args:
        tell: sends an order to every worker that runs.
        taken: is given each configuration that the workers are told to load.
        said: is called when ``error`` is another one, for whoever reports it.

    Attributes:
        config_id: of the file; a version of another configuration is never loaded.
        error: why the newest is not in force; empty when it is.
        drain_seconds: how long the configuration gives what is in flight at the end.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        loop: asyncio.AbstractEventLoop,
        *,
        tell: Callable[[ToWorker], None],
        taken: Callable[[Config], None],
        said: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._tell = tell
        self._taken = taken
        self._said = said
        self._order: Load | None = None
        self._waiting: list[tuple[str, Future[None]]] = []
        self.config_id = ""
        self.error = ""
        self.drain_seconds = 0.0

    def first(self) -> FollowedConfiguration | None:
        """Run what the control plane had put in force before, or else the file.

        Returns:
            The control plane's version, when that is what runs.

        Raises:
            ConfigurationInvalid: there is nothing to run.
        """
        config = self._read_file()
        self.config_id = config.id
        if self._settings.api_url:
            last = load_last_good(self._settings.folder.path, config.id)
            if last is not None:
                try:
                    kept = parse_config(last.content, file=last.config_version)
                except ConfigurationInvalid as error:  # another release of the program wrote it
                    log.error("gateway.last_good_refused", error=str(error))
                else:
                    self._order = self._write(kept, last.config_version)
                    return last
        self._order = self._write(config, _version_in(config))
        return None

    def greet(self) -> Iterator[ToWorker]:
        """What a worker is told that starts now."""
        if self._order is not None:
            yield ToWorker(load=self._order)
        if self.error:
            yield ToWorker(load_error=self.error)

    def put_in_force(self, configuration: FollowedConfiguration) -> None:
        """Load on every worker and wait for them; called in the follower's thread.

        Raises:
            ConfigurationInvalid: it does not compile here, or a worker refused it.
        """
        try:
            config = parse_config(configuration.content, file=configuration.config_version)
            compile_plan(config)
        except ConfigurationInvalid as error:
            text = f"{configuration.config_version}: {error}"
            self._loop.call_soon_threadsafe(self._note_error, text)
            raise
        done: Future[None] = Future()
        self._loop.call_soon_threadsafe(
            self._send_followed, config, configuration.config_version, done
        )
        try:
            done.result(_IN_FORCE_SECONDS)
        except TimeoutError:
            raise ConfigurationInvalid("not every worker has it in force yet") from None

    def runs(self, versions: set[str]) -> None:
        """Answer those who wait for a version that now runs everywhere.

        Args:
            versions: what the workers run.
        """
        if len(versions) == 1:
            for done in self._take_waiting(*versions):
                done.set_result(None)

    def failed(self, failed: LoadFailed) -> None:
        """Answer those who wait for a version that a worker refused."""
        for done in self._take_waiting(failed.config_version):
            done.set_exception(ConfigurationInvalid(failed.error))

    def first_version(self) -> tuple[str, str]:
        """The file's content, to become the first version, and a note for it."""
        return self._read_file().source, f"imported from {self._settings.policy_config}"

    async def reload(self, follower: Follower | None) -> None:
        """SIGHUP: read the file again; a control plane makes a version of it and sends it back."""
        path = self._settings.policy_config
        try:
            config = await self._loop.run_in_executor(None, self._read_file)
            if config.id != self.config_id:
                raise ConfigurationInvalid(
                    f'{path} is now "{config.id}", this gateway runs "{self.config_id}"; '
                    "restart it to run another configuration"
                )
            if follower is None:
                self._send(self._write(config, _version_in(config)))
            else:
                await self._publish(follower, config)
        except (ConfigurationInvalid, ApiRefused, OSError) as error:
            log.error("gateway.reload_failed", error=str(error))
            self._note_error(f"{path}: {error}")
        else:
            log.info("gateway.reloaded", file=str(path))
            self._note_error("")

    async def _publish(self, follower: Follower, config: Config) -> None:
        note = f"reloaded from {self._settings.policy_config}"
        try:
            await self._loop.run_in_executor(
                None, lambda: follower.publish(config.source, note=note)
            )
        except ApiUnreachable as error:
            # Whoever changes the file while the control plane is away means it: run it from here.
            log.warning("gateway.reloaded_unpublished", error=str(error))
            self._send(self._write(config, _version_in(config)))

    def _read_file(self) -> Config:
        path = self._settings.policy_config
        try:
            source = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationInvalid(f"{path} cannot be read: {error}") from error
        config = parse_config(source, file=str(path))
        compile_plan(config)
        return config

    def _write(self, config: Config, config_version: str) -> Load:
        """Give a configuration a file of its own that nobody changes: workers read it later."""
        self.drain_seconds = config.gateway.drain_timeout_seconds
        folder = self._settings.folder.configurations
        path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}.yaml"
        path.write_text(config.source, encoding="utf-8")
        for old in sorted(folder.glob("*.yaml"))[:-_CONFIGURATIONS_KEPT]:
            old.unlink(missing_ok=True)
        self._taken(config)
        return Load(path=str(path), config_version=config_version, config_id=config.id)

    def _send(self, order: Load) -> None:
        self._order = order
        self.error = ""  # each worker forgets it when it has loaded this
        self._tell(ToWorker(load=order))

    def _send_followed(self, config: Config, config_version: str, done: Future[None]) -> None:
        try:
            order = self._write(config, config_version)
        except OSError as error:
            done.set_exception(ConfigurationInvalid(f"it cannot be written down: {error}"))
            return
        self._waiting.append((config_version, done))
        self._send(order)

    def _take_waiting(self, config_version: str) -> list[Future[None]]:
        found = [done for version, done in self._waiting if version == config_version]
        self._waiting = [each for each in self._waiting if each[0] != config_version]
        return found

    def _note_error(self, error: str) -> None:
        """Let /health, the metrics and the control plane say why the newest is not in force."""
        if error != self.error:
            self.error = error
            self._tell(ToWorker(load_error=error))
        self._said()


def _version_in(config: Config) -> str:
    """As the file says it."""
    return f"{config.id}@{config.pack.version}"
