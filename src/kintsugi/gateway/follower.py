"""Keeps a gateway on the newest version of its configuration, and reports what it really runs.

Two threads: one follows the control plane's stream of versions, one reports. When the control plane
is away the gateway runs on; when it starts without one it runs the last version that was in force.
"""

from __future__ import annotations

import http.client
import random
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO
from urllib.parse import quote

import msgspec
import structlog

from kintsugi.durable import write_whole
from kintsugi.errors import ApiRefused, ApiUnreachable, ConfigurationInvalid, KintsugiError
from kintsugi.gateway.control_plane import Answer, ControlPlane, backoff_seconds, problem_of
from kintsugi.model.gateways import GatewayReport
from kintsugi.model.journal import MissingLines
from kintsugi.model.oversight import OversightPush

log = structlog.get_logger(__name__)

REPORT_SECONDS = 2.0
# The control plane sends a heartbeat every 10 seconds; two missed ones mean a dead connection.
SILENCE_SECONDS_MAX = 25.0
BACKOFF_SECONDS_MAX = 5.0


class FollowedConfiguration(msgspec.Struct, frozen=True):
    """One version as the control plane gives it out."""

    id: str
    version: int
    revision: str
    content: str

    @property
    def config_version(self) -> str:
        """As events carry it: ``ID@V``."""
        return f"{self.id}@{self.version}"


class _LastGood(msgspec.Struct, frozen=True):
    """``last-good.json``. The content's digest ties it to ``last-good.yaml`` beside it."""

    id: str
    version: int
    revision: str
    content_sha256: str
    content: str


class _Found(msgspec.Struct, frozen=True):
    """The part of a configuration answer that is used."""

    version: int = 0


class _Data(msgspec.Struct, frozen=True):
    data: _Found = _Found()


class ServerSentEvent(msgspec.Struct, frozen=True):
    """One event of a stream; a comment, such as a heartbeat, has no name and no data."""

    name: str
    data: str


def load_last_good(gateway_dir: Path, config_id: str) -> FollowedConfiguration | None:
    """The version of this configuration that was in force last.

    None when there is none, when it is of another configuration, or when the file is not what was
    written; a gateway never starts on a guess.
    """
    path = gateway_dir / "last-good.json"
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=_LastGood)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        log.error("follower.last_good_unreadable", file=str(path), why=str(error))
        return None
    if sha256(kept.content.encode()).hexdigest() != kept.content_sha256:
        log.error("follower.last_good_altered", file=str(path))
        return None
    if kept.id != config_id:
        return None
    return FollowedConfiguration(kept.id, kept.version, kept.revision, kept.content)


def save_last_good(gateway_dir: Path, configuration: FollowedConfiguration) -> None:
    """Keep a version that is in force, durably and in one step.

    ``last-good.yaml`` is the same content for people to read; only the JSON file is loaded.
    """
    content = configuration.content.encode()
    kept = _LastGood(
        configuration.id,
        configuration.version,
        configuration.revision,
        sha256(content).hexdigest(),
        configuration.content,
    )
    write_whole(gateway_dir / "last-good.json", msgspec.json.encode(kept))
    write_whole(gateway_dir / "last-good.yaml", content)


def read_server_sent_events(stream: IO[bytes]) -> Iterator[ServerSentEvent]:
    """Parse ``text/event-stream`` (WHATWG HTML §9.2.6) until it ends; comments are yielded too."""
    name = ""
    data: list[str] = []
    while line := stream.readline():
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            if data:
                yield ServerSentEvent(name or "message", "\n".join(data))
            name, data = "", []
            continue
        key, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if not key:
            yield ServerSentEvent("", "")
        elif key == "event":
            name = value
        elif key == "data":
            data.append(value)


class Follower:
    """Follows one configuration for one gateway.

    Args:
        connect: makes a connection to the control plane; called once per thread.
        gateway_dir: keeps last-good.
        put_in_force: called in the follower's thread with each new version; returns when every
            worker runs it. Raises a ``KintsugiError`` when it cannot be put in force; the one in
            force stays, the reason is in ``load_error``, and it is tried again at heartbeats.
        report: what to tell the control plane now; called in the reporter's thread.
        answered: called there with the journal lines that the control plane says it misses.
        oversee: called in the follower's thread with what people have decided, at every change.
        first_version: content and note to publish when the control plane knows no configuration of
            this id; None publishes nothing.
        in_force: the version that runs already, so that it is not loaded twice.
    """

    def __init__(
        self,
        connect: Callable[[], ControlPlane],
        *,
        gateway_id: str,
        config_id: str,
        gateway_dir: Path,
        put_in_force: Callable[[FollowedConfiguration], None],
        report: Callable[[], GatewayReport],
        first_version: Callable[[], tuple[str, str] | None],
        answered: Callable[[tuple[MissingLines, ...]], None] = lambda _missing: None,
        oversee: Callable[[OversightPush], None] | None = None,
        in_force: FollowedConfiguration | None = None,
        report_seconds: float = REPORT_SECONDS,
        backoff_seconds_max: float = BACKOFF_SECONDS_MAX,
    ) -> None:
        self._connect = connect
        self._gateway_id = gateway_id
        self._config_id = config_id
        self._gateway_dir = gateway_dir
        self._put_in_force = put_in_force
        self._report = report
        self._answered = answered
        self._first_version = first_version
        self._oversee = oversee
        self._in_force = in_force
        self._report_seconds = report_seconds
        self._backoff_seconds_max = backoff_seconds_max
        self._refused: FollowedConfiguration | None = None
        self._load_error = ""
        self._connected = False
        self._stopping = threading.Event()
        self._changed = threading.Event()
        self._streams = connect()
        self._reports = connect()
        self._threads = (
            threading.Thread(target=self._follow, name="follower", daemon=True),
            threading.Thread(target=self._keep_reporting, name="reporter", daemon=True),
        )

    @property
    def connected(self) -> bool:
        """Whether the last report arrived."""
        return self._connected

    @property
    def load_error(self) -> str:
        """Why the newest version is not in force; empty when it is."""
        return self._load_error

    @property
    def in_force(self) -> FollowedConfiguration | None:
        """The newest version that was put in force."""
        return self._in_force

    def start(self) -> None:
        """Begin to follow and to report."""
        for thread in self._threads:
            thread.start()

    def changed(self) -> None:
        """Report now rather than at the next tick; from any thread."""
        self._changed.set()

    def publish(self, content: str, *, note: str) -> int:
        """Make ``content`` the newest version; it comes back through the stream like any other.

        Returns:
            The version number; that of the newest when nothing changed.

        Raises:
            ConfigurationInvalid: the control plane found errors in it, or regression cases that
                bind do not hold on it.
            ApiUnreachable: the control plane is away.
            ApiRefused: it refused for another reason, such as a token without the scope.
        """
        connection = self._connect()
        try:
            return self._publish(connection, content, note)
        finally:
            connection.close()

    def stop(self, *, timeout_seconds: float = 5.0) -> None:
        """End both threads."""
        self._stopping.set()
        self._changed.set()
        self._streams.abort()
        self._reports.abort()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_seconds)

    # Follow

    def _follow(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            began = self._in_force
            try:
                self._publish_first()
                self._read_stream()
                why = "the stream ended"
            except Exception as error:  # noqa: BLE001 the thread's edge: following must not end
                why = str(error) or type(error).__name__
            finally:
                self._streams.close()
            if self._stopping.is_set():
                return
            attempt = 1 if self._in_force is not began else attempt + 1
            log.info("follower.reconnects", why=why, attempt=attempt)
            self._stopping.wait(
                backoff_seconds(
                    attempt,
                    noise=random.random(),  # noqa: S311 spreads load, guards nothing
                    ceiling_seconds=self._backoff_seconds_max,
                )
            )

    def _publish_first(self) -> None:
        answer = self._streams.request("GET", self._configuration_path)
        if answer.status != http.client.NOT_FOUND:
            if answer.status >= 300:  # such as 401 before the token file is there: ask again
                raise ApiRefused(f"the control plane answered {answer.status}: {_explain(answer)}")
            return
        first = self._first_version()
        if first is None:
            return
        content, note = first
        try:
            version = self._publish(self._streams, content, note)
        except ConfigurationInvalid as error:
            # It runs here, so another version of the program judges there: say it and go on.
            log.error("follower.file_not_published", why=str(error))
        else:
            log.info("follower.file_published", config_id=self._config_id, version=version)

    def _publish(self, connection: ControlPlane, content: str, note: str) -> int:
        answer = connection.request(
            "PUT", self._configuration_path, msgspec.json.encode({"content": content, "note": note})
        )
        # 409: it breaks regression cases that bind.
        if answer.status in (http.client.UNPROCESSABLE_ENTITY, http.client.CONFLICT):
            raise ConfigurationInvalid(_explain(answer))
        if answer.status >= 300:
            raise ApiRefused(f"the control plane answered {answer.status}: {_explain(answer)}")
        return msgspec.json.decode(answer.body, type=_Data).data.version

    def _read_stream(self) -> None:
        gateway, config = quote(self._gateway_id, safe=""), quote(self._config_id, safe="")
        response = self._streams.open_stream(
            f"/v1/gateways/{gateway}/follow?config_id={config}",
            silence_seconds_max=SILENCE_SECONDS_MAX,
        )
        if isinstance(response, Answer):
            raise ApiRefused(f"the control plane answered {response.status}: {_explain(response)}")
        with response:
            for event in read_server_sent_events(response):
                if self._stopping.is_set():
                    return
                if event.name == "configuration":
                    self._load(msgspec.json.decode(event.data, type=FollowedConfiguration))
                elif event.name == "oversight" and self._oversee is not None:
                    self._oversee(msgspec.json.decode(event.data, type=OversightPush))
                elif not event.name and self._refused is not None:
                    # A heartbeat: what stood in the way may be gone.
                    self._load(self._refused)

    def _load(self, configuration: FollowedConfiguration) -> None:
        if configuration.id != self._config_id or configuration == self._in_force:
            return
        try:
            self._put_in_force(configuration)
        except KintsugiError as error:
            self._refused = configuration
            self._load_error = f"{configuration.config_version}: {error}"
            log.error("follower.not_in_force", version=configuration.version, why=str(error))
        else:
            self._in_force = configuration
            self._refused = None
            self._load_error = ""
            log.info(
                "follower.in_force", version=configuration.version, revision=configuration.revision
            )
            self._keep(configuration)
        self.changed()

    def _keep(self, configuration: FollowedConfiguration) -> None:
        try:
            save_last_good(self._gateway_dir, configuration)
        except OSError as error:
            # It is in force all the same; only a restart without a control plane would miss it.
            log.error("follower.last_good_not_saved", why=str(error))

    @property
    def _configuration_path(self) -> str:
        return f"/v1/configurations/{quote(self._config_id, safe='')}"

    # Report

    def _keep_reporting(self) -> None:
        path = f"/v1/gateways/{quote(self._gateway_id, safe='')}"
        while not self._stopping.is_set():
            self._changed.clear()
            try:
                answer = self._reports.request("PUT", path, msgspec.json.encode(self._report()))
                why = "" if answer.status < 300 else f"{answer.status}: {_explain(answer)}"
                if not why:
                    self._answered(_missing_in(answer))
            except ApiUnreachable as error:
                why = str(error)
            except Exception as error:
                log.exception("follower.report_failed")  # the thread's edge, as above
                why = repr(error)
            if self._stopping.is_set():
                break
            self._note_connection(why)
            self._changed.wait(self._report_seconds)
        self._reports.close()

    def _note_connection(self, why: str) -> None:
        if why and self._connected:
            log.warning("follower.control_plane_lost", why=why)
        elif not why and not self._connected:
            log.info("follower.control_plane_connected")
        self._connected = not why


class _Gateway(msgspec.Struct, frozen=True):
    missing: tuple[MissingLines, ...] = ()


class _Reported(msgspec.Struct, frozen=True):
    """What the control plane answers to a report."""

    data: _Gateway = _Gateway()


def _missing_in(answer: Answer) -> tuple[MissingLines, ...]:
    try:
        return msgspec.json.decode(answer.body, type=_Reported).data.missing
    except msgspec.DecodeError:
        return ()  # another version


def _explain(answer: Answer) -> str:
    problem = problem_of(answer)
    return problem.detail or problem.code or "no reason given"
