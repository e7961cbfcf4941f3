"""What is wrong with a package is found, and said where."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kintsugi.ledger.checkpoint import Checkpoint
from kintsugi.ledger.package import bag, contents
from kintsugi.ledger.package.check import check_package
from kintsugi.ledger.package.dsse import envelope_text, open_envelope, read_statement, seal
from kintsugi.ledger.package.files import FolderFiles, pack
from kintsugi.ledger.package.findings import PackageReport
from kintsugi.ledger.package.verify import verify_package
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.stores import Stores
from kintsugi.model.verdict import Verdict
from tests.control_plane import make_event
from tests.ledger.packages import KEY, OTHER, copied, filled, made, verified


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(filled(), tmp_path_factory.mktemp("packages") / "whole")


@pytest.fixture
def damaged(package: Path, tmp_path: Path) -> Path:
    """A copy to do something to."""
    return copied(package, tmp_path / "damaged")


def codes(report: PackageReport) -> set[tuple[str, str]]:
    return {(finding.code, finding.file) for finding in report.findings}


def edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def seal_again(folder: Path) -> None:
    """What somebody does who has the signing key: manifests and statement that fit again."""
    files = FolderFiles(folder)
    digests = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files.sizes
    }
    payload = {name: one for name, one in digests.items() if name.startswith(bag.PAYLOAD)}
    total = sum(files.sizes[name] for name in payload)
    edit(
        folder / bag.INFO,
        lambda text: re.sub(rb"Oxum: .*", b"Oxum: %d.%d" % (total, len(payload)), text),
    )
    (folder / bag.MANIFEST).write_bytes(bag.manifest_text(payload))
    body, _ = open_envelope((folder / bag.STATEMENT).read_bytes())
    statement = read_statement(body)
    info = json.loads((folder / contents.PACKAGE).read_bytes())
    subjects = tuple(
        msgspec.structs.replace(
            one,
            digest={"sha256": hashlib.sha256((folder / one.name).read_bytes()).hexdigest()},
        )
        for one in statement.subject
    )
    statement = msgspec.structs.replace(
        statement, subject=subjects, predicate={**statement.predicate, "package": info}
    )
    (folder / bag.STATEMENT).write_bytes(seal(statement, [KEY]))
    tags = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in bag.TAG_FILES
    }
    (folder / bag.TAG_MANIFEST).write_bytes(bag.manifest_text(tags))


def test_a_whole_package_holds_and_says_what_was_not_checked(package: Path) -> None:
    report = verified(package)
    assert report.findings == ()
    assert report.holds
    assert (report.events, report.checkpoint_size) == (8, 7)
    assert not any("no key was pinned" in sentence for sentence in report.not_checked)
    unpinned = verified(package, pinned=False)
    assert unpinned.holds
    assert any("no key was pinned" in sentence for sentence in unpinned.not_checked)


@pytest.mark.parametrize("number", range(8))
def test_one_event_alone_is_proven_among_the_hashes_of_all_others(
    tmp_path: Path, number: int
) -> None:
    where = EventFilter(event=make_event(number).id)
    report = verified(made(filled(), tmp_path / "one", where))
    assert (report.holds, report.events) == (True, 1), report.findings


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.sampled_from(["", "block"]))
def test_any_selection_from_any_log_holds(
    tmp_path_factory: pytest.TempPathFactory, batches: list[int], verdict: str
) -> None:
    where = EventFilter(verdict=Verdict.parse(verdict) if verdict else None)
    folder = tmp_path_factory.mktemp("any") / "package"
    report = verified(made(filled(batches), folder, where))
    assert report.findings == ()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_in_any_file_is_found_and_located(
    package: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    names = sorted(FolderFiles(package).sizes)
    name = data.draw(st.sampled_from(names))
    text = bytearray((package / name).read_bytes())
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] ^= 1 << data.draw(st.integers(0, 7))
    folder = copied(package, tmp_path_factory.mktemp("flipped") / "package")
    (folder / name).write_bytes(bytes(text))
    for pinned in (True, False):
        report = verified(folder, pinned=pinned)
        assert not report.holds
        assert name in {finding.file for finding in report.findings}, report.findings
        if name == contents.EVENTS:
            line = bytes((package / name).read_bytes())[:at].count(b"\n") + 1
            told = [one for one in report.findings if one.code.startswith("event.")]
            assert line in {one.line for one in told}, told
            assert all(one.leaf is not None for one in told if one.code == "event.altered")


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["zip", "tar"]))
def test_any_flipped_bit_of_an_archive_is_found(
    package: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: Any
) -> None:
    archive = tmp_path_factory.mktemp("flipped") / f"package.{kind}"
    pack(package, archive, kind, top="package", tell=lambda: None)
    text = bytearray(archive.read_bytes())
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] ^= 1 << data.draw(st.integers(0, 7))
    archive.write_bytes(bytes(text))
    assert not checked(archive).holds


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_that_is_cut_anywhere_is_found(package: Path, tmp_path: Path, kind: Any) -> None:
    archive = tmp_path / f"package.{kind}"
    pack(package, archive, kind, top="package", tell=lambda: None)
    whole = archive.read_bytes()
    assert checked(archive).holds
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 600, len(whole) - 1):
        archive.write_bytes(whole[:size])
        report = checked(archive)
        assert not report.holds, size


def checked(archive: Path) -> PackageReport:
    return check_package(archive, trusted=[KEY.verifier])


@pytest.mark.parametrize("name", [contents.EVENTS, contents.LOG, bag.MANIFEST, bag.STATEMENT])
def test_a_file_that_is_missing_is_named(damaged: Path, name: str) -> None:
    (damaged / name).unlink()
    expected = "signature.absent" if name == bag.STATEMENT else "file.missing"
    assert (expected, name) in codes(verified(damaged))


@pytest.mark.parametrize("name", ["data/notes.txt", "notes.txt", "data/proofs/log.jsonl~"])
def test_a_file_that_was_added_is_named(damaged: Path, name: str) -> None:
    (damaged / name).write_text("more")
    assert ("file.extra", name) in codes(verified(damaged))


def test_what_is_no_file_is_named(damaged: Path) -> None:
    (damaged / "data/link").symlink_to("/etc/hostname")
    (finding,) = verified(damaged).findings
    assert finding.code == "archive.malformed"
    assert "data/link" in finding.message


def test_an_event_that_was_changed_with_everything_signed_anew_is_still_found(
    damaged: Path,
) -> None:
    edit(damaged / contents.EVENTS, lambda text: text.replace(b'"block"', b'"allow"', 1))
    edit(damaged / contents.COMPLETENESS, lambda text: text)
    seal_again(damaged)
    findings = verified(damaged).findings
    assert ("event.altered", contents.EVENTS) in {(one.code, one.file) for one in findings}
    (altered,) = (one for one in findings if one.code == "event.altered")
    assert (altered.line, altered.leaf) == (1, 3)


def test_an_event_that_was_left_out_with_everything_signed_anew_is_still_found(
    damaged: Path,
) -> None:
    edit(damaged / contents.EVENTS, lambda text: b"".join(text.splitlines(keepends=True)[1:]))
    seal_again(damaged)
    found = verified(damaged)
    assert ("event.missing", contents.EVENTS) in codes(found)
    assert not any(one.code == "event.altered" for one in found.findings)
    assert ("count.wrong", contents.PACKAGE) in codes(found)


def test_an_event_that_was_put_in_is_found(damaged: Path) -> None:
    more = msgspec.json.encode(make_event(99)) + b"\n"
    edit(damaged / contents.EVENTS, lambda text: more + text)
    seal_again(damaged)
    extra = [one for one in verified(damaged).findings if one.code == "event.extra"]
    assert [one.line for one in extra] == [1]


def test_a_batch_whose_proof_was_changed_does_not_lead_to_its_leaf(damaged: Path) -> None:
    path = damaged / contents.BATCHES
    lines = path.read_bytes().splitlines(keepends=True)
    batch = json.loads(lines[0])
    batch["records"][0][1] = "0" * 64
    path.write_bytes(json.dumps(batch).encode() + b"\n" + b"".join(lines[1:]))
    seal_again(damaged)
    broken = [one for one in verified(damaged).findings if one.code == "proof.broken"]
    assert [(one.file, one.line, one.leaf) for one in broken] == [(contents.BATCHES, 1, 3)]


def test_a_log_that_does_not_lead_to_the_checkpoint_is_found(damaged: Path) -> None:
    path = damaged / contents.LOG
    first, rest = path.read_bytes().split(b"\n", 1)
    node = {**json.loads(first), "hash": "0" * 64}
    path.write_bytes(json.dumps(node).encode() + b"\n" + rest)
    seal_again(damaged)
    (finding,) = verified(damaged).findings
    assert (finding.code, finding.file) == ("proof.broken", contents.LOG)
    assert "root of the checkpoint" in finding.message


def test_a_checkpoint_that_somebody_else_signed_is_found(damaged: Path) -> None:
    note = (damaged / contents.CHECKPOINT).read_text()
    size, root = note.split("\n")[1:3]
    forged = Checkpoint("test/log", int(size), base64.b64decode(root)).sign(OTHER)
    (damaged / contents.CHECKPOINT).write_text(forged)
    seal_again(damaged)
    assert ("checkpoint.signature", contents.CHECKPOINT) in codes(verified(damaged))


def test_signatures_that_are_wrong_absent_or_of_others_are_told_apart(
    damaged: Path, package: Path
) -> None:
    path = damaged / bag.STATEMENT
    body, envelope = open_envelope(path.read_bytes())
    statement = read_statement(body)
    path.write_bytes(seal(statement, [OTHER]))
    assert ("signature.unknown_key", bag.STATEMENT) in codes(verified(damaged))
    none = msgspec.structs.replace(envelope, signatures=())
    path.write_bytes(envelope_text(none))
    assert ("signature.absent", bag.STATEMENT) in codes(verified(damaged))
    changed = body.replace(b"an audit", b"a prank.")
    told = msgspec.structs.replace(envelope, payload=base64.b64encode(changed).decode())
    path.write_bytes(envelope_text(told))
    assert ("signature.wrong", bag.STATEMENT) in codes(verified(damaged))
    report = verify_package(FolderFiles(package), trusted=[OTHER.verifier])
    assert {one.code for one in report.findings} == {
        "signature.unknown_key",
        "checkpoint.signature",
    }


def test_a_table_that_claims_more_than_is_there_is_found(damaged: Path) -> None:
    edit(
        damaged / contents.COMPLETENESS,
        lambda text: text.replace(b'"none seen"', b'"held"', 1),
    )
    seal_again(damaged)
    (finding,) = verified(damaged).findings
    assert (finding.code, finding.file) == ("completeness.false", contents.COMPLETENESS)
    assert "Retrieved documents" in finding.message


def test_a_configuration_and_a_custody_entry_that_were_changed_are_found(damaged: Path) -> None:
    edit(damaged / "data/configurations/support-prod@3.yaml", lambda _: b"a: 4")
    edit(damaged / contents.CUSTODY, lambda text: text.replace(b"asked", b"bored"))
    seal_again(damaged)
    assert codes(verified(damaged)) == {
        ("configuration.altered", "data/configurations/support-prod@3.yaml"),
        ("custody.altered", contents.CUSTODY),
    }


def test_content_that_belongs_to_other_events_is_found(damaged: Path) -> None:
    edit(
        damaged / contents.CONTENT,
        lambda text: b"".join(text.splitlines(keepends=True)[::-1]),
    )
    seal_again(damaged)
    assert ("content.misplaced", contents.CONTENT) in codes(verified(damaged))


def test_a_package_of_another_makes_counts_stop_somewhere(damaged: Path) -> None:
    edit(damaged / contents.EVENTS, lambda text: text.replace(b"gw", b"ww"))
    edit(damaged / contents.EVENTS, lambda text: text + text * 40)
    report = verified(damaged)
    assert len(report.findings) < 250
    assert sum(report.more.values()) > 100


def test_a_store_that_was_changed_before_makes_a_package_that_says_so(tmp_path: Path) -> None:
    stores = filled()
    changed = _Changed(stores)
    report = verified(made(changed, tmp_path / "package"))  # type: ignore[arg-type]
    assert {(one.code, one.leaf) for one in report.findings} == {("proof.broken", 3)}


class _Changed:
    """Stores in which one record is not what it was when the log told of it."""

    def __init__(self, stores: Stores) -> None:
        self.configurations, self.custody, self.log = (
            stores.configurations,
            stores.custody,
            stores.log,
        )
        self._packages = stores.packages

    @property
    def packages(self) -> _Changed:
        return self

    def leaves_of(self, data: list[str]) -> dict[str, int]:
        return self._packages.leaves_of(data)

    def batches(self, where: EventFilter, *, unredacted: bool) -> Any:
        for batch in self._packages.batches(where, unredacted=unredacted):
            if batch.leaf != 3:
                yield batch
                continue
            record = str(batch.records[0]).replace('"block"', '"allow"')
            first = msgspec.structs.replace(batch.chosen[0], record=record)
            yield msgspec.structs.replace(
                batch,
                records=(record, *batch.records[1:]),
                chosen=(first, *batch.chosen[1:]),
            )
