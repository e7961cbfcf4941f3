"""Files that a crash leaves whole."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from kintsugi.durable import add_lines, read_lines, write_whole
from kintsugi.errors import EvidenceUnavailable


class Note(msgspec.Struct, frozen=True):
    text: str


def add(file: Path, *texts: str) -> None:
    add_lines(file, [msgspec.json.encode(Note(text)) for text in texts], what="the notes")


def read(file: Path) -> list[str]:
    return [note.text for note in read_lines(file, Note, what="the notes")]


def test_lines_are_added_behind_those_that_are_there(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "notes.jsonl"
    assert read(file) == []
    add(file, "one", "two")
    add(file, "three")
    assert read(file) == ["one", "two", "three"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_torn_last_line_counts_as_not_written_and_is_written_over(tmp_path: Path) -> None:
    file = tmp_path / "notes.jsonl"
    add(file, "one", "two")
    whole = file.read_bytes()
    for cut in range(len(whole)):
        file.write_bytes(whole[:cut])
        kept = read(file)
        assert kept == ["one", "two"][: whole[:cut].count(b"\n")]
        add(file, "again")
        assert read(file) == [*kept, "again"]


def test_a_damaged_line_is_named_and_nothing_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "notes.jsonl"
    add(file, "one", "two")
    file.write_bytes(file.read_bytes().replace(b'"one"', b'"one', 1))
    with pytest.raises(EvidenceUnavailable, match=r"notes\.jsonl:1 is no line of the notes"):
        read(file)


def test_a_list_that_is_no_file_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(EvidenceUnavailable, match="the notes cannot be read"):
        read(tmp_path)
    with pytest.raises(EvidenceUnavailable, match="the notes cannot be written"):
        add(tmp_path, "one")


def test_a_replaced_file_is_whole_and_its_owners_only(tmp_path: Path) -> None:
    file = tmp_path / "key"
    draft = tmp_path / ".key.new"
    draft.write_text("half")
    draft.chmod(0o644)
    write_whole(file, b"whole")
    assert file.read_bytes() == b"whole"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_for_everybody_is_as_open_as_the_umask_lets_it(tmp_path: Path) -> None:
    file, plain = tmp_path / "note", tmp_path / "plain"
    plain.touch()
    write_whole(file, b"whole", mode=0o666)
    assert file.stat().st_mode == plain.stat().st_mode
