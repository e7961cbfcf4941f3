"""Settings: default < file < environment < flag."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.cli.parts import Address
from kintsugi.cli.runfile import Up, held, up_path, write_json
from kintsugi.cli.settings import API_URL_DEFAULT, Settings, read_settings
from kintsugi.errors import InvalidInput


def _up(**changes: object) -> Up:
    values = {
        "pid": 1,
        "gateway_url": "http://127.0.0.1:5002",
        "api_url": "http://127.0.0.1:5001",
        "config_file": "policy-config.yaml",
        "started_at": "2026-04-23T14:00:00+00:00",
    }
    return Up(**(values | changes))  # type: ignore[arg-type]


def test_without_any_setting_the_platforms_folder_and_the_default_port_are_used(
    tmp_path: Path,
) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert read_settings(environ, is_root=True).state == Path("/var/lib/kintsugi")
    assert read_settings(environ, is_root=False).state.name == "kintsugi"
    assert read_settings(environ, is_root=False, state=tmp_path).api_url == API_URL_DEFAULT


def test_each_source_wins_over_the_one_before(tmp_path: Path) -> None:
    folder = tmp_path / "kintsugi"
    folder.mkdir()
    (folder / "config.toml").write_text('state_dir = "/from/file"\napi_url = "http://file:1"\n')
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert read_settings(environ) == Settings(Path("/from/file"), "http://file:1", "")
    environ |= {"KT_STATE_DIR": "/from/env", "KEEPTRUSTS_API_URL": "http://env:1/"}
    assert read_settings(environ) == Settings(Path("/from/env"), "http://env:1", "")
    environ |= {"KT_API_URL": "http://env:2", "API_TOKEN": "t1"}
    assert read_settings(environ).api_url == "http://env:2"
    environ |= {"KT_API_TOKEN": "t2"}
    flags = read_settings(environ, state=tmp_path, api_url="http://flag:1")
    assert flags == Settings(tmp_path, "http://flag:1", "t2")


@pytest.mark.parametrize("content", ["port = 3", "state_dir = 3", "state_dir ="])
def test_a_settings_file_that_cannot_be_used_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "kintsugi").mkdir()
    (tmp_path / "kintsugi" / "config.toml").write_text(content)
    with pytest.raises(InvalidInput, match=r"config\.toml"):
        read_settings({"XDG_CONFIG_HOME": str(tmp_path)})


def test_the_running_instance_is_found_with_its_token(tmp_path: Path) -> None:
    (tmp_path / "admin-token").write_text("kt_a_b\n")
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "KT_STATE_DIR": str(tmp_path)}
    with held(tmp_path):
        write_json(up_path(tmp_path), _up())
        assert read_settings(environ) == Settings(tmp_path, "http://127.0.0.1:5001", "kt_a_b")
        elsewhere = read_settings(environ | {"KT_API_URL": "https://kintsugi.example"})
    assert elsewhere.api_token == "", "this machine's token is for this machine's server alone"


def test_a_token_never_shows_in_a_repr() -> None:
    assert "secret" not in repr(Settings(Path("/s"), "http://a", "secret"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:41002", Address("127.0.0.1", 41002)),
        (":0", Address("127.0.0.1", 0)),
        ("[::1]:80", Address("::1", 80)),
    ],
)
def test_addresses_are_read_as_people_write_them(text: str, expected: Address) -> None:
    assert Address.parse(text) == expected


@pytest.mark.parametrize("text", ["", "localhost", "host:", "host:x", "host:70000", "host:-1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="HOST:PORT"):
        Address.parse(text)


@given(st.integers(0, 65535))
def test_an_address_survives_its_own_text(port: int) -> None:
    for host in ("127.0.0.1", "::1", "gateway.internal"):
        assert Address.parse(str(Address(host, port))) == Address(host, port)
