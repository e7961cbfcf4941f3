"""A port that is taken: who has it, and what to do."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from kintsugi.cli import ports, up
from kintsugi.cli.main import run
from kintsugi.cli.parts import Address
from kintsugi.cli.ports import free_port, holder_of
from kintsugi.errors import InvalidInput
from tests.cli.conftest import Kt, no_parts

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has a port")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def outgoing(listener: socket.socket) -> Iterator[socket.socket]:
    with socket.create_connection(listener.getsockname()) as connection:
        yield connection


def port_of(held: socket.socket) -> int:
    port: int = held.getsockname()[1]
    return port


def test_port_0_takes_a_free_one() -> None:
    port = free_port(Address("127.0.0.1", 0))
    assert port
    assert free_port(Address("127.0.0.1", port)) == port


def test_what_cannot_be_had_for_another_reason_is_not_called_taken() -> None:
    with pytest.raises(InvalidInput, match="cannot be listened on"):
        free_port(Address("192.0.2.1", 0))


@LINUX
def test_a_program_that_listens_is_named(listener: socket.socket) -> None:
    port = port_of(listener)
    assert free_port(Address("127.0.0.1", port)) is None
    assert f"(process {os.getpid()}) listens on it" in holder_of(port)


@LINUX
def test_an_outgoing_connection_is_named_with_its_other_end(
    listener: socket.socket, outgoing: socket.socket
) -> None:
    port = port_of(outgoing)
    assert free_port(Address("127.0.0.1", port)) is None
    told = holder_of(port)
    assert f"(process {os.getpid()}) has a connection to 127.0.0.1:{port_of(listener)}" in told
    assert f"ip_local_reserved_ports={port}" in told


def test_where_the_system_does_not_tell_another_tool_is_named(
    listener: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "_PROC", tmp_path)
    assert f"lsof -i :{port_of(listener)}" in holder_of(port_of(listener))


def test_an_address_of_ipv6_is_read() -> None:
    words = "".join(f"{word:08X}" for word in (0, 0, 0, int.from_bytes(b"\0\0\0\1", sys.byteorder)))
    assert ports._address(f"{words}:A029") == Address("::1", 41001)


@LINUX
@pytest.mark.parametrize(
    ("option", "other"), [("--gateway-port", "--api-port"), ("--api-port", "--gateway-port")]
)
def test_kt_up_says_who_has_its_port_and_what_to_do(
    kt: Kt, tmp_path: Path, outgoing: socket.socket, option: str, other: str
) -> None:
    port = str(port_of(outgoing))
    ran = kt("up", "--state", str(tmp_path / "state"), option, port, other, "0")
    assert ran.code == 2
    assert f"port {port} is taken" in ran.err
    assert f"(process {os.getpid()})" in ran.err
    assert f"{option} 0 takes a free one" in ran.err


@pytest.mark.parametrize(
    ("option", "other", "what"),
    [
        ("--gateway-port", "--api-port", "gateway"),
        ("--api-port", "--gateway-port", "control plane"),
    ],
)
def test_a_port_that_is_taken_after_kt_up_has_looked_is_told_in_the_same_way(
    kt: Kt,
    tmp_path: Path,
    listener: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    other: str,
    what: str,
) -> None:
    port = port_of(listener)
    looks: Counter[int] = Counter()

    def free_at_first(address: Address) -> int | None:
        looks[address.port] += 1
        return port if address.port == port and looks[port] == 1 else free_port(address)

    monkeypatch.setattr(up, "free_port", free_at_first)
    ran = kt("up", "--state", str(tmp_path / "state"), option, str(port), other, "0")
    assert ran.code == 2
    assert f"port {port} is taken, so the {what} cannot start: " in ran.err
    assert "listens on it" in ran.err
    assert f"{option} 0 takes a free one" in ran.err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("server", "run"), "control plane"),
        (("gateway", "run", "--policy-config", "p.yaml"), "gateway"),
        (("simulate",), "simulator"),
    ],
)
def test_a_part_that_is_started_alone_names_its_port_and_what_to_do(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    listener: socket.socket,
    words: tuple[str, ...],
    what: str,
) -> None:
    def binds(_: object) -> NoReturn:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))

    parts = replace(no_parts(), serve=binds, run_gateway=binds, run_simulator=binds)
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "KT_STATE_DIR": str(tmp_path / "none")}
    port = port_of(listener)
    assert run(parts, environ, [*words, "--listen", f"127.0.0.1:{port}"]) == 2
    told = capsys.readouterr().err
    assert f"port {port} is taken, so the {what} cannot start: " in told
    assert "--listen 127.0.0.1:0 takes a free one" in told
