"""The cases that stand beside each rule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ruamel.yaml import YAML

import kintsugi.policy.rules
from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Phase
from kintsugi.policy.decide import decide
from kintsugi.policy.plan import compile_plan
from kintsugi.policy.rules import KINDS
from tests.policy.configs import FACTS, config_of, findings

FOLDER = Path(kintsugi.policy.rules.__file__).parent


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """One text and what must come of it."""

    name: str
    text: str
    finds: tuple[str, ...]
    lacks: tuple[str, ...] = ()
    span: str = ""
    layer: str = ""
    role: str = "user"
    phase: str = "input"
    options: dict[str, Any] | None = None


class CaseFile(msgspec.Struct, forbid_unknown_fields=True):
    """The cases of one kind; ``options`` are those of every case without its own."""

    cases: list[Case]
    options: dict[str, Any] = {}


def _read(kind: str) -> CaseFile:
    path = FOLDER / kind.replace("-", "_") / "cases.yaml"
    return msgspec.convert(YAML(typ="safe").load(path), CaseFile)


def _cases() -> Iterator[Any]:
    for kind in KINDS:
        file = _read(kind)
        for case in file.cases:
            options = file.options if case.options is None else case.options
            yield pytest.param(kind, options, case, id=f"{kind}: {case.name}")


@pytest.mark.parametrize(("kind", "options", "case"), list(_cases()))
def test_case_holds(kind: str, options: dict[str, Any], case: Case) -> None:
    plan = compile_plan(config_of({kind: options}))
    decision = decide(
        plan, Phase(case.phase), ExchangeView([Part(case.role, "text", case.text, "/text")]), FACTS
    )
    found = findings(decision)
    names = {finding.rule for finding in found}
    if not case.finds:
        assert found == []
    assert names >= set(case.finds)
    assert names.isdisjoint(case.lacks)
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
            yield from _option_names(type(default), f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_stands_on_the_rule_s_page(kind: str) -> None:
    page = (FOLDER / kind.replace("-", "_") / "page.md").read_text()
    for name in _option_names(KINDS[kind].options):
        assert f"| `{name}` |" in page
