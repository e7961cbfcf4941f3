"""Whether one version of a case asks for at least what another asks for. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from kintsugi.model.blocker import Blocker
from kintsugi.model.config import Case

_REPLACE = "to ask for something else, add another case and kt regressions replace OLD NEW"


def weaker(before: Case, after: Case) -> Iterator[Blocker]:
    """Where ``after`` asks for less than ``before``; nothing where it is at least as strong: the
    same input, and every expectation kept, or kept and joined by others."""
    if after.skip and not before.skip:
        yield Blocker("skip", "skipped", "a case that is skipped holds nothing", _REPLACE)
    if before.input != after.input:
        yield Blocker("input", "changed", "it would send something else", _REPLACE)
    for name in before.expected.__struct_fields__:
        wanted, now = getattr(before.expected, name), getattr(after.expected, name)
        if wanted is not None and wanted != now and not _covers(name, wanted, now):
            said = f'"{now}"' if now is not None else "nothing"
            yield Blocker(
                f"expected.{name}", "weaker", f'it asked for "{wanted}", now for {said}', _REPLACE
            )


def _covers(name: str, wanted: str, now: str | None) -> bool:
    """Whether what is asked for now includes what was: a longer text that must be there holds the
    shorter one, and a shorter one that must not be there forbids more."""
    if not now:
        return False
    if name == "response_contains":
        return wanted in now
    if name in ("response_excludes", "request_excludes"):
        return now in wanted
    return False


def at_least_as_strong(before: Case, after: Case) -> bool:
    """Whether nothing is asked for less."""
    return next(weaker(before, after), None) is None
