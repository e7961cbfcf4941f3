"""What stands on a rule's page as an example works as printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import kintsugi.policy.rules
from kintsugi.model.config import Severity
from kintsugi.policy.lint import lint
from kintsugi.policy.rules import KINDS

FOLDER = Path(kintsugi.policy.rules.__file__).parent
GUIDE = Path(__file__).parents[3] / "docs/tools.md"
# What examples may name without saying what it is.
TARGETS = ("local", "small-model")
KEYS = ("ops", "support-bot")
_BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _examples() -> Iterator[Any]:
    for kind in KINDS:
        page = FOLDER / kind.replace("-", "_") / "page.md"
        for number, block in enumerate(_BLOCK.findall(page.read_text(encoding="utf-8"))):
            yield pytest.param(block, id=f"{kind} {number}")
    for block in _BLOCK.findall(GUIDE.read_text(encoding="utf-8")):
        yield pytest.param(block, id="guide")


def _whole(block: str) -> str:
    """The example with what it leaves out."""
    keys = YAML(typ="safe").load(block).keys()
    if not keys <= KINDS.keys():
        inner = block
        kinds = YAML(typ="safe").load(block).get("policy", {}).keys()
    else:
        kinds = keys
        inner = "policy:\n" + "".join(f"  {line}\n" for line in block.splitlines())
    text = "pack: {name: example, version: 1.0.0, enabled: true}\n" + inner
    if "policies" not in keys:
        text += f"\npolicies: {{chain: [{', '.join(kinds)}]}}\n"
    if "gateway" not in keys:
        held = ", ".join(f"{{name: {name}, sha256: '{'0' * 64}'}}" for name in KEYS)
        text += f"gateway: {{keys: [{held}]}}\n"
    if "providers" not in keys:
        targets = ", ".join(f"{{id: {name}, provider: simulator}}" for name in TARGETS)
        text += f"providers: {{targets: [{targets}]}}\n"
    return text


@pytest.mark.parametrize("block", list(_examples()))
def test_the_examples_of_a_page_are_accepted(block: str) -> None:
    found = lint(_whole(block)).diagnostics
    assert [one for one in found if one.severity is Severity.ERROR] == []
