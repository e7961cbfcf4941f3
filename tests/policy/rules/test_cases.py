"""The cases that stand beside each rule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ruamel.yaml import YAML

import kintsugi.policy.rules
from kintsugi.model.config import Config, Target
from kintsugi.model.content import ExchangeView, Identity, Part, PartKind
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Counter, RemoteAnswer
from kintsugi.policy.decide import decide
from kintsugi.policy.plan import compile_plan
from kintsugi.policy.rules import KINDS
from tests.policy.configs import FACTS, config_of, findings

FOLDER = Path(kintsugi.policy.rules.__file__).parent


class Piece(msgspec.Struct, forbid_unknown_fields=True):
    """One part of an exchange; where no path is given, its place among the others."""

    text: str
    role: str = "user"
    kind: PartKind = "text"
    name: str = ""
    path: str = ""


class Case(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One text, or a whole exchange, and what must come of it.

    Attributes:
        text: what is judged, where it is one text; ``parts`` where it is more.
        request: what was asked, for rules about answers and tool calls.
        verdict: what comes of the whole; not compared when empty.
        claims, identity, counters, remote, found: the facts.
    """

    name: str
    finds: tuple[str, ...]
    text: str = ""
    lacks: tuple[str, ...] = ()
    span: str = ""
    layer: str = ""
    verdict: str = ""
    role: str = "user"
    phase: str = "input"
    options: dict[str, Any] | None = None
    parts: list[Piece] = []
    request: list[Piece] = []
    model: str = ""
    target_ids: tuple[str, ...] = ()
    claims: dict[str, str] = {}
    identity: Identity = Identity()
    counters: dict[str, Counter] = {}
    remote: dict[str, RemoteAnswer] = {}
    found: tuple[str, ...] = ()


class CaseFile(msgspec.Struct, forbid_unknown_fields=True):
    """The cases of one kind; ``options`` are those of every case without its own."""

    cases: list[Case]
    options: dict[str, Any] = {}
    targets: list[Target] = []


def _read(kind: str) -> CaseFile:
    path = FOLDER / kind.replace("-", "_") / "cases.yaml"
    return msgspec.convert(YAML(typ="safe").load(path), CaseFile)


def _parts(pieces: list[Piece], below: str) -> list[Part]:
    return [
        Part(piece.role, piece.kind, piece.text, piece.path or f"{below}/{at}", 0, piece.name)
        for at, piece in enumerate(pieces)
    ]


def _cases() -> Iterator[Any]:
    for kind in KINDS:
        file = _read(kind)
        for case in file.cases:
            options = file.options if case.options is None else case.options
            config = config_of({kind: options}, targets=file.targets)
            yield pytest.param(config, case, id=f"{kind}: {case.name}")


@pytest.mark.parametrize(("config", "case"), list(_cases()))
def test_case_holds(config: Config, case: Case) -> None:
    plan = compile_plan(config)
    judged = case.parts or [Piece(case.text, case.role, path="/text")]
    view = ExchangeView(
        _parts(judged, "/parts"),
        _parts(case.request, "/messages"),
        model=case.model,
        target_ids=case.target_ids,
    )
    facts = msgspec.structs.replace(
        FACTS,
        identity=case.identity,
        claims=case.claims,
        counters=case.counters,
        remote=case.remote,
        found=case.found,
    )
    decision = decide(plan, Phase(case.phase), view, facts)
    found = findings(decision)
    names = {finding.rule for finding in found}
    if not case.finds:
        assert found == []
    assert names >= set(case.finds)
    assert names.isdisjoint(case.lacks)
    if case.verdict:
        assert decision.verdict.value == case.verdict
    if case.span:
        covered = [case.text[one.offset : one.offset + one.length] for one in found]
        assert case.span in covered
    if case.layer:
        assert case.layer in {finding.layer for finding in found}


@pytest.mark.parametrize("kind", KINDS)
def test_every_rule_has_its_cases_and_its_page(kind: str) -> None:
    folder = FOLDER / kind.replace("-", "_")
    assert _read(kind).cases
    assert (folder / "page.md").read_text().startswith(f"# {kind}\n")


# Told once, on the page about configurations.
SHARED = ("transform", "quarantine", "escalation")


def _option_names(options: type[msgspec.Struct], prefix: str = "") -> Iterator[str]:
    for field in msgspec.structs.fields(options):
        if field.name in SHARED and not prefix:
            continue
        default = None if field.default is msgspec.NODEFAULT else field.default
        if isinstance(default, msgspec.Struct):
            yield from _option_names(type(default), f"{prefix}{field.encode_name}.")
        else:
            yield f"{prefix}{field.encode_name}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_stands_on_the_rule_s_page(kind: str) -> None:
    page = (FOLDER / kind.replace("-", "_") / "page.md").read_text()
    for name in _option_names(KINDS[kind].options):
        assert f"| `{name}` |" in page
