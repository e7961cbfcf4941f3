"""What a verification says."""

from __future__ import annotations

from typing import Final

import msgspec

# After so many findings of one kind the rest is only counted: a package that was replaced whole
# has one for every line.
_SHOWN_MAX: Final = 50


class PackageFinding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong, and where.

    Attributes:
        code: ``file.changed``, ``event.altered``, …; stable, see the manual.
        file: in the package; empty for the package as a whole.
        line: from 1; 0 where it is about the whole file.
        leaf: position in the log, where one is concerned.
    """

    code: str
    message: str
    file: str = ""
    line: int = 0
    leaf: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        leaf = "" if self.leaf is None else f" (leaf {self.leaf})"
        return f"{self.code}: {place}{': ' if place else ''}{self.message}{leaf}"


class PackageReport(msgspec.Struct, frozen=True):
    """What was found.

    Attributes:
        holds: nothing is wrong with what was checked.
        findings: everything that is wrong, up to fifty of a kind; ``more`` counts the rest by code.
        checked, not_checked: in sentences; what was not checked is not vouched for.
        signed_by: the keys, ``NAME+ID``, whose signature holds.
        manifest: ``sha256:...`` of the manifest: the package's own digest, whatever it is packed
            in.
    """

    holds: bool
    package: str
    made_at: str
    origin: str
    checkpoint_size: int
    events: int
    files: int
    bytes: int
    manifest: str
    signed_by: tuple[str, ...]
    findings: tuple[PackageFinding, ...]
    more: dict[str, int]
    checked: tuple[str, ...]
    not_checked: tuple[str, ...]


class Findings:
    """Collects findings, and keeps count of what it no longer keeps."""

    def __init__(self) -> None:
        self.kept: list[PackageFinding] = []
        self._counts: dict[str, int] = {}

    def add(
        self, code: str, message: str, *, file: str = "", line: int = 0, leaf: int | None = None
    ) -> None:
        """One more."""
        count = self._counts[code] = self._counts.get(code, 0) + 1
        if count <= _SHOWN_MAX:
            self.kept.append(PackageFinding(code, message, file, line, leaf))

    @property
    def more(self) -> dict[str, int]:
        """How many of each kind are not kept."""
        return {
            code: count - _SHOWN_MAX for code, count in self._counts.items() if count > _SHOWN_MAX
        }

    def about(self, file: str) -> bool:
        """Whether something is wrong with a file."""
        return any(finding.file == file for finding in self.kept)
