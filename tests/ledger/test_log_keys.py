"""The keys of the log: made once, private, rotated without a gap."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from kintsugi.errors import EvidenceUnavailable
from kintsugi.ledger.checkpoint import Checkpoint, open_checkpoint
from kintsugi.ledger.log_keys import load_keys, rotate_keys


def test_the_first_use_makes_a_key_that_only_its_owner_can_read(tmp_path: Path) -> None:
    path = tmp_path / "state" / "log-key"
    (key,) = load_keys(path)
    assert load_keys(path)[0].verifier == key.verifier
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_logs_have_two_names(tmp_path: Path) -> None:
    one, other = (load_keys(tmp_path / name)[0].verifier for name in ("a", "b"))
    assert one.name != other.name


def test_after_a_rotation_both_keys_sign_and_older_ones_are_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "log-key"
    (first,) = load_keys(path)
    second, before = rotate_keys(path)
    assert before.verifier == first.verifier
    checkpoint = Checkpoint(first.verifier.name, 3, bytes(32))
    note = checkpoint.sign(second, before)
    for key in (first, second):
        assert open_checkpoint(note, [key.verifier])[0] == checkpoint
    third, kept = rotate_keys(path)
    assert kept.verifier == second.verifier
    assert third.verifier.name == first.verifier.name


@pytest.mark.parametrize(
    "text", ["", "name\n", "name nothex\n", "a " + "0" * 64 + "\nb " + "1" * 64]
)
def test_a_file_without_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log-key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(EvidenceUnavailable, match="log-key"):
        load_keys(path)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log-key"
    load_keys(path)
    path.chmod(0o644)
    with pytest.raises(EvidenceUnavailable, match="chmod 600"):
        load_keys(path)
