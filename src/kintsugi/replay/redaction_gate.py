"""What stands between a recorded exchange and a regression case, which is kept for ever and shown
to many: personal data and secrets are found by the same detectors that judge traffic, and each is
replaced by a made-up value of its kind that the detector still finds. So a case about personal data
stays one, and holds nobody's. Pure.

The same value becomes the same replacement wherever it stands in a case, and what was made up here
is known again, so that a case that went through once comes out as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import msgspec

from kintsugi.model.config import Case, CaseExpected, CaseInput
from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts
from kintsugi.policy.decide import decide
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import Plan, compile_plan
from kintsugi.replay.encoded_stretches import recoded, stretches_around
from kintsugi.replay.made_up import candidates, is_made_up

#: What a header names somebody by; replaced whatever it looks like.
IDENTITY: Final[Mapping[str, str]] = {
    "x-user-id": "identity.user",
    "x-session-id": "identity.session",
}

_DETECTORS: Final = """\
pack: {name: redaction-gate, version: 1.0.0, enabled: true}
policies: {chain: [pii-detector, secrets-detector]}
policy:
  pii-detector: {action: flag, healthcare_mode: true, pci_mode: true}
  secrets-detector: {action: flag}
"""
_FAMILIES: Final = {"pii-detector": "pii", "secrets-detector": "secret"}
# Tells that a file holds a key and is none itself.
_HARMLESS: Final = frozenset({"secret.gcp_service_account"})
# Around a value so much is looked at again to see whether its replacement is found too: detectors
# read words before a value.
_BEFORE_CHARS: Final = 240
_AFTER_CHARS: Final = 80
# What is found only once something else was replaced; each round finds less.
_ROUNDS_MAX: Final = 4
# Encoded within encoded; deeper than that no detector looks.
_DEPTH_MAX: Final = 4
_PLAIN_LAYERS: Final = ("", "plain", "folded")


class FoundSensitive(msgspec.Struct, frozen=True):
    """Something that may not enter a case as it is; never the text.

    Attributes:
        kind: ``pii.email``, ``secret.github_token``, ``identity.user``.
        where: the place in the case: ``input.messages.0.content``.
        kept: a person wants it to stay.
    """

    kind: str
    where: str
    kept: bool = False


class Gated(msgspec.Struct, frozen=True):
    """A case behind the gate.

    Attributes:
        redacted: how many stretches of each kind were replaced; ``kept`` likewise.
    """

    case: Case
    found: tuple[FoundSensitive, ...] = ()

    @property
    def redacted(self) -> dict[str, int]:
        """How many stretches of each kind were replaced."""
        return _counted(one.kind for one in self.found if not one.kept)

    @property
    def kept(self) -> dict[str, int]:
        """How many stretches of each kind stay."""
        return _counted(one.kind for one in self.found if one.kept)


class _Finding(msgspec.Struct, frozen=True):
    kind: str
    start: int
    end: int
    layer: str


def gate(case: Case, *, keep: Collection[str] = ()) -> Gated:
    """The case without personal data and secrets.

    Args:
        keep: kinds that stay because somebody wants them to.
    """
    work = _Gate(frozenset(keep))
    document = msgspec.to_builtins(case)
    document["input"]["headers"], renamed = work.headers(case.input.headers)
    document["input"]["facts"] = _renamed(document["input"]["facts"], renamed)
    for part in ("input", "expected"):
        document[part] = {
            name: value
            if (part, name) in (("input", "endpoint"), ("input", "headers"))
            else work.clean(value, f"{part}.{name}")
            for name, value in document[part].items()
        }
    for name in ("name", "description", "skip"):
        document[name] = work.clean(document[name], name)
    return Gated(
        Case(
            document["name"],
            msgspec.convert(document["input"], CaseInput),
            msgspec.convert(document["expected"], CaseExpected),
            document["description"],
            document["skip"],
        ),
        tuple(work.found),
    )


def without_kept(case: Case, kinds: Iterable[str]) -> Case | None:
    """A case as it may be shown, without what a person let into it.

    Args:
        kinds: of what was let in.

    Returns:
        None where the gate does not find all of these kinds in it, disguised or cut as it is: then
        nobody can tell what else is theirs.
    """
    gated = gate(case)
    return gated.case if gated.redacted.keys() >= set(kinds) else None


class _Gate:
    """One pass over one case."""

    def __init__(self, keep: frozenset[str]) -> None:
        self._keep = keep
        self._replaced: dict[tuple[str, str], str] = {}
        self._kept: set[tuple[str, str, str]] = set()
        self.found: list[FoundSensitive] = []

    def headers(self, headers: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """Headers that name nobody, and what became of each name that stood there."""
        cleaned, renamed = {}, {}
        for name, value in headers.items():
            kind = IDENTITY.get(name.lower())
            where = f"input.headers.{name}"
            if kind is None:
                cleaned[name] = self.clean(value, where)
                continue
            word = kind.partition(".")[2]
            cleaned[name] = value
            if not value or value == f"{word}-1":
                continue
            self.found.append(FoundSensitive(kind, where, kind in self._keep))
            if kind not in self._keep:
                cleaned[name] = renamed[value] = f"{word}-1"
        return cleaned, renamed

    def clean(self, value: Any, where: str) -> Any:
        """The same with every text in it cleaned, names of members too."""
        match value:
            case str():
                return self._text(value, where)
            case dict():
                return {
                    self._text(name, f"{where}.{name}")
                    if isinstance(name, str)
                    else name: self.clean(item, f"{where}.{_shown(name)}")
                    for name, item in value.items()
                }
            case list() | tuple():
                return [self.clean(item, f"{where}.{at}") for at, item in enumerate(value)]
            case _:
                return value

    def _text(self, text: str, where: str, depth: int = 0) -> str:
        for _ in range(_ROUNDS_MAX):
            before = text
            clean_from = len(text)
            # The last one first, so that the places of the others stay true.
            for one in _outermost(_findings(text)):
                if one.end > clean_from:
                    continue
                encoded = self._encoded(text, one, where, depth)
                if encoded is not None:
                    text, clean_from = encoded
                else:
                    text = self._plain(text, one, where)
            if text == before:
                break
        return text

    def _encoded(self, text: str, one: _Finding, where: str, depth: int) -> tuple[str, int] | None:
        """The text with everything cleaned that the encoded stretch of a finding says, and where
        that begins; None where the finding stands in no such stretch.

        Of several findings in one stretch detectors name one.
        """
        if one.layer in _PLAIN_LAYERS or depth == _DEPTH_MAX:
            return None

        def cleaned(said: str) -> str | None:
            if all(found.kind != one.kind for found in _findings(said)):
                return None
            return self._text(said, where, depth + 1)

        for start, end in stretches_around(text, one.start, one.end):
            inner = recoded(text[start:end], cleaned)
            if inner is not None:
                return text[:start] + inner + text[end:], start
        return None

    def _plain(self, text: str, one: _Finding, where: str) -> str:
        """The text without one finding."""
        value = text[one.start : one.end]
        if one.kind in _HARMLESS or is_made_up(one.kind, value):
            return text
        if one.kind in self._keep:
            if (where, one.kind, value) not in self._kept:
                self._kept.add((where, one.kind, value))
                self.found.append(FoundSensitive(one.kind, where, kept=True))
            return text
        known = self._replaced.get((one.kind, value))
        if known is None:
            known = self._replaced[(one.kind, value)] = self._replacement(text, one)
        if known != value:
            self.found.append(FoundSensitive(one.kind, where))
        return text[: one.start] + known + text[one.end :]

    def _replacement(self, text: str, one: _Finding) -> str:
        """Something made up that the detector takes for the same kind in this place; a marker
        where there is none."""
        value = text[one.start : one.end]
        before = text[max(one.start - _BEFORE_CHARS, 0) : one.start]
        after = text[one.end : one.end + _AFTER_CHARS]
        taken = set(self._replaced.values())
        for candidate in candidates(one.kind, value):
            if candidate in taken or candidate == value:
                continue
            if any(
                found.kind == one.kind and found.start <= len(before) < found.end
                for found in _findings(before + candidate + after)
            ):
                return candidate
        return f"[{one.kind}]"


def _findings(text: str) -> list[_Finding]:
    if not text:
        return []
    exchange = ExchangeView(parts=(Part("user", "text", text, "/text"),))
    # The time is part of no detector's answer.
    decision = decide(_plan(), Phase.INPUT, exchange, Facts(now=datetime(2000, 1, 1, tzinfo=UTC)))
    return [
        _Finding(
            f"{_FAMILIES[evaluation.policy_name]}.{finding.rule}",
            finding.offset,
            finding.offset + finding.length,
            finding.layer,
        )
        for evaluation in decision.evaluations
        if evaluation.policy_name in _FAMILIES
        for finding in evaluation.findings
        if finding.length
    ]


def _outermost(findings: Sequence[_Finding]) -> Iterator[_Finding]:
    """Of findings that overlap the longest, the last in the text first."""
    chosen: list[_Finding] = []
    for one in sorted(findings, key=lambda found: (found.start - found.end, found.start)):
        if all(one.end <= other.start or other.end <= one.start for other in chosen):
            chosen.append(one)
    yield from sorted(chosen, key=lambda found: found.start, reverse=True)


def _renamed(facts: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """Facts whose keys name people or sessions (``rate-limit/user/ada/60``) under the new names."""

    def key(old: str) -> str:
        for name, new in renamed.items():
            old = f"/{old}/".replace(f"/{name}/", f"/{new}/")[1:-1]
        return old

    return {
        group: {key(old): value for old, value in entries.items()}
        for group, entries in facts.items()
    }


def _counted(kinds: Iterator[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for kind in kinds:
        counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items()))


def _shown(name: object) -> str:
    """A member's name as a place may show it: one that is long may itself be what is hidden."""
    text = str(name)
    return text if len(text) <= 40 and text.isidentifier() else "*"


@cache
def _plan() -> Plan:
    return compile_plan(parse_config(_DETECTORS, file="redaction-gate"))
