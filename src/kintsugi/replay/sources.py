"""Finds test cases: in the configuration, in ``tests/*.json`` beside it, in further files.

The one file of this package that reads the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from kintsugi.errors import InvalidInput
from kintsugi.model.config import Case, Config, Diagnostic, Position
from kintsugi.policy.diagnostics import Problems, in_order
from kintsugi.policy.document import BYTES_MAX
from kintsugi.policy.suites import CaseFile, read_fragment, read_golden


class Located(msgspec.Struct, frozen=True):
    """A case with its suite and its place."""

    suite: str
    case: Case
    file: str
    position: Position

    @property
    def id(self) -> str:
        """``suite/case``."""
        return f"{self.suite}/{self.case.name}"


def read_source(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        InvalidInput: it cannot be read; the message says why.
    """
    try:
        with path.open("rb") as file:
            return file.read(BYTES_MAX + 1)  # one more, so that the parser can say "too large"
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror or error}") from error


def golden_files(folder: Path) -> list[Path]:
    """``tests/*.json`` in a folder, by name; empty when there are none."""
    return sorted((folder / "tests").glob("*.json"))


def collect(
    config: Config, *, folder: Path, fragments: Iterable[Path] = ()
) -> tuple[tuple[Located, ...], tuple[Diagnostic, ...]]:
    """Every case of a configuration, in the order of files, and what is wrong with the files.

    Args:
        folder: where ``tests/*.json`` is looked for.
        fragments: further files: golden JSON, or YAML that holds only ``testing:``.
    """
    chain = tuple(block.kind for block in config.chain)
    found = list(_located(CaseFile(config.file, config.suites, config.positions), "testing."))
    diagnostics: list[Diagnostic] = []
    for path in (*golden_files(folder), *fragments):
        is_golden = path.suffix == ".json"
        read = read_golden if is_golden else read_fragment
        case_file, problems = read(read_source(path), file=str(path), chain=chain)
        diagnostics.extend(problems)
        if case_file is not None:
            found.extend(_located(case_file, "" if is_golden else "testing."))
    diagnostics.extend(_repeated(found))
    return tuple(found), in_order(diagnostics)


def cases_beside(file: Path | None, fragments: Iterable[Path] = ()) -> tuple[Case, ...]:
    """The cases of ``tests/*.json`` beside a configuration and of further files, unjudged.

    Whatever cannot be read holds none: who runs or checks those files says what is wrong there.
    """
    cases: list[Case] = []
    for path in (*(golden_files(file.parent) if file else ()), *fragments):
        read = read_golden if path.suffix == ".json" else read_fragment
        try:
            found, _ = read(read_source(path), file=str(path), chain=None)
        except InvalidInput:
            continue
        cases += [case for suite in (found.suites if found else ()) for case in suite.cases]
    return tuple(cases)


def _located(cases: CaseFile, prefix: str) -> Iterable[Located]:
    for suite_index, suite in enumerate(cases.suites):
        for index, case in enumerate(suite.cases):
            path = f"{prefix}suites.{suite_index}.cases.{index}" if prefix else ""
            position = _nearest(path, cases.positions)
            yield Located(suite.name, case, cases.file, position)


def _nearest(path: str, positions: Mapping[str, Position]) -> Position:
    return positions.get(path, Position())


def _repeated(cases: list[Located]) -> tuple[Diagnostic, ...]:
    """Two files with the same suite and case: a report could not tell them apart."""
    first: dict[str, Located] = {}
    diagnostics: list[Diagnostic] = []
    for located in cases:
        known = first.setdefault(located.id, located)
        if known is not located and known.file != located.file:
            problems = Problems(located.file)
            problems.add(
                "E015",
                f'case "{located.id}" is used twice',
                located.position,
                "name",
                help=f"it stands in {known.file}:{known.position.line} already",
            )
            diagnostics.extend(problems.found)
    return tuple(diagnostics)
