"""Checks a package without asking anybody: the container, the bag, who signed it, and whether what
is in it is what the log recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from kintsugi.errors import ProofInvalid
from kintsugi.ledger.checkpoint import Checkpoint, open_checkpoint
from kintsugi.ledger.note import VerifierKey
from kintsugi.ledger.package import bag, contents
from kintsugi.ledger.package.contents import PackageInfo
from kintsugi.ledger.package.dsse import (
    Envelope,
    Statement,
    envelope_text,
    key_id,
    open_envelope,
    read_statement,
    signed_by,
)
from kintsugi.ledger.package.files import BROKEN, PackageFiles, chunks
from kintsugi.ledger.package.findings import Findings, PackageReport
from kintsugi.ledger.package.lines import document, whole
from kintsugi.ledger.package.records import Counted, check_records

_PAYLOAD_MUST = (
    contents.PACKAGE,
    contents.EVENTS,
    contents.COMPLETENESS,
    contents.BATCHES,
    contents.LOG,
    contents.CHECKPOINT,
    contents.KEYS,
)


def verify_package(files: PackageFiles, *, trusted: Sequence[VerifierKey] = ()) -> PackageReport:
    """Check everything that can be checked with the package alone.

    Args:
        trusted: keys that are known from elsewhere. Without any, the keys in the package are taken
            at their word, and the report says so.
    """
    return _Verification(files, trusted).report()


class _Verification:
    def __init__(self, files: PackageFiles, trusted: Sequence[VerifierKey]) -> None:
        self._files = files
        self._trusted = tuple(trusted)
        self._findings = Findings()
        self._digests: dict[str, str] = {}
        self._checked: list[str] = []
        self._not_checked: list[str] = []

    def report(self) -> PackageReport:
        """Everything that was found."""
        self._check_container()
        self._digests = self._digest_all()
        keys = self._keys()
        statement, signers = self._check_statement(keys)
        self._check_bag(statement)
        info = self._info(statement)
        checkpoint = self._check_checkpoint(keys, info)
        counted = Counted(0, 0, 0)
        if info is not None:
            counted = check_records(self._files, info, checkpoint, self._findings)
            self._say_what_was_counted(counted, checkpoint)
        self._say_what_was_not_checked()
        manifest = self._digests.get(bag.MANIFEST, "")
        return PackageReport(
            holds=not self._findings.kept,
            package=info.id if info else "",
            made_at=info.made_at.isoformat() if info else "",
            origin=checkpoint.origin if checkpoint else "",
            checkpoint_size=checkpoint.size if checkpoint else 0,
            events=counted.events,
            files=len(self._files.sizes),
            bytes=sum(self._files.sizes.values()),
            manifest=f"sha256:{manifest}" if manifest else "",
            signed_by=tuple(map(key_id, signers)),
            findings=tuple(self._findings.kept),
            more=self._findings.more,
            checked=tuple(self._checked),
            not_checked=tuple(self._not_checked),
        )

    def _check_container(self) -> None:
        for trouble in self._files.trouble:
            self._findings.add("archive.malformed", trouble)
        match self._files.seal():
            case "broken":
                self._findings.add(
                    "archive.altered",
                    "the archive is not the file that was made: its own digest does not fit. Where "
                    "no file is named below, what changed lies between the files",
                )
            case "holds":
                self._checked.append("every byte of the archive, against the digest in its seal")
            case "none":
                self._not_checked.append(
                    "the archive's own bytes: it was packed again, and carries no seal; the files "
                    "in it are checked all the same"
                )
            case None:
                pass

    def _digest_all(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in self._files.sizes:
            digest, read = hashlib.sha256(), 0
            try:
                with self._files.open(name) as file:
                    for chunk in chunks(file):
                        digest.update(chunk)
                        read += len(chunk)
            except BROKEN as error:
                self._findings.add(
                    "file.unreadable",
                    f"cannot be read past {read:,} of {self._files.sizes[name]:,} bytes: {error}",
                    file=name,
                )
            else:
                found[name] = digest.hexdigest()
        return found

    def _keys(self) -> tuple[VerifierKey, ...]:
        """The keys to check signatures with: those given, else those that the package names."""
        if self._trusted:
            return self._trusted
        text = whole(self._files, contents.KEYS, self._findings)
        found: list[VerifierKey] = []
        for number, line in enumerate((text or b"").splitlines(), start=1):
            try:
                found.append(VerifierKey.parse(line.decode()))
            except (ProofInvalid, UnicodeDecodeError) as error:
                self._findings.add("key.malformed", str(error), file=contents.KEYS, line=number)
        return tuple(found)

    def _check_statement(
        self, keys: Sequence[VerifierKey]
    ) -> tuple[Statement | None, list[VerifierKey]]:
        name = bag.STATEMENT
        text = whole(self._files, name, self._findings)
        if text is None:
            self._findings.add("signature.absent", "the package is not signed", file=name)
            return None, []
        try:
            body, envelope = open_envelope(text)
            statement = read_statement(body)
        except ProofInvalid as error:
            self._findings.add("statement.malformed", str(error), file=name)
            return None, []
        signers = signed_by(envelope, body, keys)
        if not envelope.signatures:
            self._findings.add("signature.absent", "the statement is not signed", file=name)
        elif not signers:
            self._tell_unsigned(envelope, keys)
        else:
            self._checked.append(
                f"the signature of {', '.join(map(key_id, signers))} over the manifest"
            )
        if statement.predicateType != contents.PREDICATE_TYPE:
            self._findings.add(
                "statement.malformed",
                f'it says something of the kind "{statement.predicateType}"',
                file=name,
            )
        self._statement_is_canonical = text == envelope_text(envelope) and all(
            any(one.keyid == key_id(key) for key in signers) for one in envelope.signatures
        )
        return statement, signers

    _statement_is_canonical = False

    def _tell_unsigned(self, envelope: Envelope, keys: Sequence[VerifierKey]) -> None:
        known = {key_id(key) for key in keys}
        named = [one.keyid for one in envelope.signatures]
        if any(name in known for name in named):
            self._findings.add(
                "signature.wrong",
                f"the signature of {', '.join(named)} does not fit the statement",
                file=bag.STATEMENT,
            )
        else:
            whose = "given" if self._trusted else "in the package"
            self._findings.add(
                "signature.unknown_key",
                f"it is signed by {', '.join(named)}; the keys {whose} are "
                f"{', '.join(sorted(known)) or 'none'}",
                file=bag.STATEMENT,
            )

    def _check_bag(self, statement: Statement | None) -> None:
        declared = whole(self._files, bag.DECLARATION, self._findings)
        if declared is not None and declared != bag.DECLARATION_TEXT:
            self._findings.add(
                "bag.malformed", "does not declare a BagIt 1.0 bag in UTF-8", file=bag.DECLARATION
            )
        signed = self._check_subjects(statement)
        tags = self._manifest(bag.TAG_MANIFEST)
        if tags is not None:
            self._check_tags(tags, signed)
        manifest = self._manifest(bag.MANIFEST)
        if manifest is not None:
            self._check_payload(manifest, manifest_is_signed=signed.get(bag.MANIFEST, True))
        self._check_info()
        listed = {*(manifest or ()), *bag.TAG_FILES, bag.TAG_MANIFEST}
        for name in self._files.sizes:
            if name not in listed and (manifest is not None or not name.startswith(bag.PAYLOAD)):
                self._findings.add("file.extra", "no manifest names this file", file=name)

    def _check_subjects(self, statement: Statement | None) -> dict[str, bool]:
        """Whether each signed file is the one that was signed."""
        told = {} if statement is None else {one.name: one.digest for one in statement.subject}
        held: dict[str, bool] = {}
        for name in (bag.MANIFEST, bag.INFO, bag.DECLARATION):
            if statement is not None and name not in told:
                self._findings.add(
                    "statement.malformed", f"it says nothing of {name}", file=bag.STATEMENT
                )
            elif name in told and name in self._digests:
                held[name] = told[name].get("sha256") == self._digests[name]
                if not held[name]:
                    self._findings.add("file.changed", "is not the one that was signed", file=name)
        return held

    def _manifest(self, name: str) -> dict[str, str] | None:
        text = whole(self._files, name, self._findings)
        if text is None:
            if name not in self._files.sizes:
                self._findings.add("file.missing", "is not there", file=name)
            return None
        try:
            found = bag.read_manifest(text, name=name)
        except ProofInvalid as error:
            self._findings.add("manifest.malformed", str(error), file=name)
            return None
        if bag.manifest_text(found) != text:
            self._findings.add("manifest.malformed", "its lines are out of order", file=name)
        return found

    def _check_tags(self, tags: dict[str, str], signed: dict[str, bool]) -> None:
        for name in bag.TAG_FILES:
            if name not in tags:
                self._findings.add(
                    "manifest.malformed", f"does not name {name}", file=bag.TAG_MANIFEST
                )
        for number, (name, digest) in enumerate(sorted(tags.items()), start=1):
            if name not in self._files.sizes:
                if name != bag.STATEMENT:  # told as an absent signature
                    self._findings.add("file.missing", "is not there", file=name)
            elif name not in bag.TAG_FILES:
                self._findings.add(
                    "manifest.malformed", f"names {name}", file=bag.TAG_MANIFEST, line=number
                )
            elif name in self._digests and self._digests[name] != digest:
                # The signature knows better than a manifest that nobody signed.
                right = signed.get(name, name == bag.STATEMENT and self._statement_is_canonical)
                if right:
                    self._findings.add(
                        "manifest.wrong",
                        f"has another digest for {name} than that of the file that was signed",
                        file=bag.TAG_MANIFEST,
                        line=number,
                    )
                elif not self._findings.about(name):
                    self._findings.add("file.changed", "does not fit its digest", file=name)

    def _check_payload(self, manifest: dict[str, str], *, manifest_is_signed: bool) -> None:
        for number, (name, digest) in enumerate(sorted(manifest.items()), start=1):
            if not name.startswith(bag.PAYLOAD):
                self._findings.add(
                    "manifest.malformed",
                    f"names {name}, which is no part of the payload",
                    file=bag.MANIFEST,
                    line=number,
                )
            elif name not in self._files.sizes:
                self._findings.add("file.missing", "is not there", file=name)
            elif name in self._digests and self._digests[name] != digest:
                if manifest_is_signed:
                    self._findings.add("file.changed", "does not fit its digest", file=name)
                else:
                    self._findings.add(
                        "manifest.wrong",
                        f"has another digest for {name} than the file's",
                        file=bag.MANIFEST,
                        line=number,
                    )
        for name in _PAYLOAD_MUST:
            if name not in manifest:
                self._findings.add("file.missing", "belongs into every package", file=name)
        self._checked.append(f"the SHA-256 of each of {len(manifest):,} files in data/")

    def _check_info(self) -> None:
        text = whole(self._files, bag.INFO, self._findings)
        if text is None:
            return
        try:
            told = bag.read_info(text).get("Payload-Oxum", "")
        except ProofInvalid as error:
            self._findings.add("bag.malformed", str(error), file=bag.INFO)
            return
        payload = {n: size for n, size in self._files.sizes.items() if n.startswith(bag.PAYLOAD)}
        found = f"{sum(payload.values())}.{len(payload)}"
        if told != found:
            self._findings.add(
                "bag.malformed", f"Payload-Oxum is {told or 'missing'}, not {found}", file=bag.INFO
            )

    def _info(self, statement: Statement | None) -> PackageInfo | None:
        info = document(self._files, contents.PACKAGE, PackageInfo, self._findings)
        if info is None:
            return None
        if info.format != contents.FORMAT:
            self._findings.add(
                "package.format",
                f"is of format {info.format}; this program reads {contents.FORMAT}",
                file=contents.PACKAGE,
            )
        if statement is not None:
            told = statement.predicate.get("package")
            if told != msgspec.json.decode(msgspec.json.encode(info)):
                self._findings.add(
                    "statement.mismatch",
                    "is not what the signed statement says of the package",
                    file=contents.PACKAGE,
                )
        return info

    def _check_checkpoint(
        self, keys: Sequence[VerifierKey], info: PackageInfo | None
    ) -> Checkpoint | None:
        name = contents.CHECKPOINT
        text = whole(self._files, name, self._findings)
        if text is None:
            return None
        try:
            checkpoint, signatures = open_checkpoint(text.decode(), keys)
        except (ProofInvalid, UnicodeDecodeError) as error:
            self._findings.add("checkpoint.signature", str(error), file=name)
            return None
        if info is not None and (checkpoint.origin, checkpoint.size) != (
            info.origin,
            info.checkpoint_size,
        ):
            self._findings.add(
                "statement.mismatch",
                f"the package tells of {info.origin} with {info.checkpoint_size} leaves, the "
                f"checkpoint of {checkpoint.origin} with {checkpoint.size}",
                file=name,
            )
        names = ", ".join(key_id(signature.key) for signature in signatures)
        self._checked.append(
            f"the signature of {names} on the checkpoint of {checkpoint.origin}, "
            f"size {checkpoint.size:,}"
        )
        return checkpoint

    def _say_what_was_counted(self, counted: Counted, checkpoint: Checkpoint | None) -> None:
        if checkpoint is not None:
            self._checked.append(
                f"{counted.proven:,} of {counted.events:,} events, configurations and custody, "
                "against the log under that checkpoint"
            )
        self._checked.append("the completeness table, against the contents")
        if counted.unproven and not self._findings.kept:
            self._not_checked.append(
                f"{counted.unproven:,} events against the log: the store no longer held the whole "
                "of their batches when the package was made"
            )

    def _say_what_was_not_checked(self) -> None:
        if not self._trusted:
            self._not_checked.append(
                "who signed: no key was pinned with --key, so the keys in the package were taken "
                "at their word; anybody can make a package with keys of their own"
            )
        if contents.CONTENT in self._files.sizes:
            self._not_checked.append(
                "prompts and answers against the records: they are as the control plane opened "
                "them; their digests are salted, so that nobody can guess what was erased"
            )
        self._not_checked.append(
            "whether others see the same log: compare the checkpoint with one that you or a "
            "witness kept (kt log consistency)"
        )
