"""Keys from a file, the environment and a plug-in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kintsugi.errors import KeyUnavailable
from kintsugi.vault.key_sources import EnvironmentKeys, FileKeys, KeySource, key_sources
from kintsugi.vault.sealing import key_id

ONE, TWO = "11" * 32, "22" * 32
NONE: frozenset[str] = frozenset()


def only(setting: str, state: Path, environ: dict[str, str] | None = None) -> KeySource:
    [source] = key_sources(setting, state_dir=state, environ=environ or {})
    return source


def test_the_first_key_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    source = only("", tmp_path)
    made = source.make(NONE)
    file = tmp_path / "vault-key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().split() == [made.key.hex()]
    assert made.reference == key_id(made.key)
    assert source.fetch(made.reference) == made.key


def test_rotation_puts_a_new_key_before_the_old_ones(tmp_path: Path) -> None:
    source = FileKeys(tmp_path / "keys")
    first = source.make(NONE)
    second = source.make(frozenset([first.reference]))
    assert (tmp_path / "keys").read_text().split() == [second.key.hex(), first.key.hex()]
    assert {source.fetch(one.reference) for one in (first, second)} == {first.key, second.key}


def test_a_key_that_was_put_there_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{TWO}\n{ONE}\n")
    file.chmod(0o600)
    known = frozenset([key_id(bytes.fromhex(ONE))])
    assert FileKeys(file).make(known).key.hex() == TWO


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (ONE, 0o644, "chmod 600"),
        ("not a key", 0o600, "64 hexadecimal digits"),
        (ONE[:-2], 0o600, "64 hexadecimal digits"),
        (TWO, 0o600, "bring back the file"),
        (None, 0o600, "no key can be read"),
    ],
)
def test_a_file_that_does_not_help_says_why(
    tmp_path: Path, content: str | None, mode: int, said: str
) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    with pytest.raises(KeyUnavailable, match=said) as error:
        FileKeys(file).fetch(key_id(bytes.fromhex(ONE)))
    assert ONE not in str(error.value)


def test_a_lost_file_is_not_quietly_begun_anew(tmp_path: Path) -> None:
    with pytest.raises(KeyUnavailable, match="bring the file back"):
        FileKeys(tmp_path / "keys").make(frozenset(["0123456789abcdef"]))
    assert not (tmp_path / "keys").exists()


def test_the_environment_gives_its_first_unused_key(tmp_path: Path) -> None:
    source = only("env:MY_KEYS", tmp_path, {"MY_KEYS": f"{TWO}, {ONE}"})
    first = source.make(NONE)
    assert first.key.hex() == TWO
    assert source.make(frozenset([first.reference])).key.hex() == ONE
    with pytest.raises(KeyUnavailable, match="put a new one before it"):
        EnvironmentKeys("MY_KEYS", {}).make(NONE)
    with pytest.raises(KeyUnavailable, match=r"not in \$MY_KEYS"):
        EnvironmentKeys("MY_KEYS", {}).fetch(first.reference)


def test_several_sources_stand_beside_each_other(tmp_path: Path) -> None:
    sources = key_sources(f"env:NEW file:{tmp_path}/old", state_dir=tmp_path, environ={})
    assert [source.name for source in sources] == ["env", "file"]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example plug-in, as if it had been installed with pip."""
    info = tmp_path / "site" / "example_kms-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: example-kms\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[kintsugi.key_sources]\nexample-kms = tests.vault.example_kms:ExampleKms\n"
        "broken = tests.vault.example_kms:NoSuchThing\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    master = tmp_path / "master"
    master.write_bytes(os.urandom(32))
    return master


def test_a_plug_in_gives_keys_and_keeps_them_wrapped(installed: Path, tmp_path: Path) -> None:
    source = only(f"example-kms:{installed}", tmp_path)
    made = source.make(NONE)
    assert made.key.hex() not in made.reference
    assert only(f"example-kms:{installed}", tmp_path).fetch(made.reference) == made.key
    installed.unlink()
    with pytest.raises(KeyUnavailable, match="away"):
        source.fetch(made.reference)


def test_a_plug_in_that_is_missing_or_broken_is_named(installed: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyUnavailable, match=r"no source of keys.*found: broken, example-kms"):
        only("other-kms:x", tmp_path)
    with pytest.raises(KeyUnavailable, match='the key plug-in "broken" cannot be used'):
        only("broken:x", tmp_path)
