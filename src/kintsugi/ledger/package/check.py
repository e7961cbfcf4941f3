"""Checks a package where it lies, whatever it is packed in."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from kintsugi.errors import InvalidInput, ProofInvalid
from kintsugi.ledger.note import VerifierKey
from kintsugi.ledger.package.encryption import Identity, decrypt
from kintsugi.ledger.package.files import BROKEN, is_encrypted, open_package
from kintsugi.ledger.package.findings import PackageFinding, PackageReport
from kintsugi.ledger.package.verify import verify_package


def check_package(
    path: Path, *, trusted: Sequence[VerifierKey] = (), identities: Sequence[Identity] = ()
) -> PackageReport:
    """Check a folder, a zip or tar archive, or an age file with one of the two in it.

    Args:
        identities: to open an age file with; its content lies in a private folder meanwhile.

    Raises:
        InvalidInput: there is nothing, or it is encrypted and no identity is given.
    """
    if not is_encrypted(path) or not identities:
        return _check(path, trusted)
    with tempfile.TemporaryDirectory(prefix="kt-package-") as folder:
        plain = Path(folder) / "package"
        try:
            decrypt(path, plain, identities)
        except ProofInvalid as error:
            return _unreadable("encryption.broken", str(error))
        return _check(plain, trusted)


def _check(path: Path, trusted: Sequence[VerifierKey]) -> PackageReport:
    try:
        files = open_package(path)
    except InvalidInput:
        raise
    except BROKEN as error:
        return _unreadable(
            "archive.unreadable",
            f"it is no whole package: neither a folder nor a complete zip or tar archive ({error})",
        )
    try:
        return verify_package(files, trusted=trusted)
    finally:
        files.close()


def _unreadable(code: str, message: str) -> PackageReport:
    return PackageReport(
        holds=False,
        package="",
        made_at="",
        origin="",
        checkpoint_size=0,
        events=0,
        files=0,
        bytes=0,
        manifest="",
        signed_by=(),
        findings=(PackageFinding(code, message),),
        more={},
        checked=(),
        not_checked=("anything in it",),
    )
