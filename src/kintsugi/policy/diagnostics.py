"""Every diagnostic code, and the collector that gathers all problems of one file.

A code never changes its meaning and is never used again for another one. Each has a page,
``docs/lint/<code>.md``. E is an error: the configuration is not put in force. W is a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from kintsugi.model.config import Diagnostic, Position, Severity

CODES: dict[str, str] = {
    "E001": "unknown policy kind",
    "E002": "unknown key",
    "E003": "kind in the chain without a block",
    "E004": "not readable as YAML",
    "E005": "wrong type",
    "E006": "missing key",
    "E007": "key written twice",
    "E008": "value not allowed",
    "E009": "value out of range",
    "E010": "not a semantic version",
    "E011": "target id used twice",
    "E012": "unusable URL",
    "E013": "unknown reason code",
    "E014": "pattern not accepted by RE2",
    "E015": "name used twice",
    "E016": "suite without cases",
    "E017": "case that asserts nothing",
    "E018": "secret in plain text",
    "E019": "another product's document shape",
    "E020": "kind twice in the chain",
    "E021": "no policies",
    "E022": "document too large",
    "E023": "rule that the streaming mode cannot enforce",
    "E024": "tests without a configuration",
    "E025": "case about a policy outside the chain",
    "E026": "case without a request",
    "E027": "policy cannot be compiled",
    "E028": "private address without permission",
    "E029": "relaxation that has ended",
    "E030": "policy that runs nowhere",
    "W101": "policy block that never runs",
    "W102": "configuration switched off",
    "W103": "open on failure",
    "W104": "no provider target",
    "W105": "credentials over plain HTTP",
    "W106": "audit-logger not last",
    "W107": "option without effect",
    "W108": "policy without a test",
    "W109": "shadowed by another",
    "W110": "policy that looks for nothing",
    "W111": "relaxed without owner, reason and expiry",
    "W112": "deprecated key",
    "W113": "costly pattern",
    "W114": "nothing is relaxed",
}


class Problems:
    """Collects diagnostics of one file, so that all of them are reported at once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: list[Diagnostic] = []
        self._wrong_paths: set[str] = set()  # with every path above
        self._replaced_paths: set[str] = set()  # of values that have another type

    def add(
        self,
        code: str,
        message: str,
        at: Position,
        path: str = "",
        *,
        help: str = "",  # noqa: A002  # the field's own name
        suggestion: str = "",
    ) -> None:
        """Note one problem; the letter of the code says whether it is an error."""
        severity = Severity.ERROR if code.startswith("E") else Severity.WARNING
        if code == "E005":
            self._replaced_paths.add(path)
        above = path if severity is Severity.ERROR else ""
        while above and above not in self._wrong_paths:
            self._wrong_paths.add(above)
            above = above.rpartition(".")[0]
        if suggestion:
            help = f'did you mean "{suggestion}"? {help}'.rstrip()  # noqa: A001
        self._found.append(
            Diagnostic(code, severity, message, self.file, at, path, help, suggestion)
        )

    def reported(self, path: str) -> bool:
        """Whether an error was noted at a path, below it, or at a value that it would be in.

        What was reported need not be said twice, and what was not there cannot be checked.
        """
        if path in self._wrong_paths:
            return True
        while path and path not in self._replaced_paths:
            path = path.rpartition(".")[0]
        return path in self._replaced_paths

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Take over what another stage found."""
        self._found.extend(diagnostics)

    @property
    def found(self) -> tuple[Diagnostic, ...]:
        """Everything noted so far, each once, in order of place."""
        return in_order(self._found)

    @property
    def has_errors(self) -> bool:
        """Whether anything noted keeps the file from being used."""
        return any_error(self._found)


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Without repeats, by file and place, then by code."""
    return tuple(
        sorted(
            dict.fromkeys(diagnostics),
            key=lambda d: (d.file, d.position.line, d.position.column, d.code, d.path),
        )
    )


def any_error(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether one of them is an error."""
    return any(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant; empty when none is near."""
    options = {option.replace("_", "-").lower(): option for option in known}
    near = get_close_matches(word.replace("_", "-").lower()[:100], options, n=1, cutoff=0.6)
    return options[near[0]] if near else ""


def listed(words: Iterable[str]) -> str:
    """Words for a message, in a stable order: ``a, b, c``."""
    return ", ".join(words)


def format_diagnostic(diagnostic: Diagnostic) -> str:
    """As every message is shown: place, code, what is wrong, and on its own line what is right."""
    place = f"{diagnostic.file}:{diagnostic.position.line}:{diagnostic.position.column}"
    where = f" ({diagnostic.path})" if diagnostic.path else ""
    text = f"{place}: {diagnostic.severity.value} {diagnostic.code}: {diagnostic.message}{where}"
    return f"{text}\n    help: {diagnostic.help}" if diagnostic.help else text


def summary(diagnostics: Sequence[Diagnostic]) -> str:
    """``2 errors, 1 warning``."""
    errors = sum(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)
    counts = ((errors, "error"), (len(diagnostics) - errors, "warning"))
    return ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in counts if n) or "no errors"
