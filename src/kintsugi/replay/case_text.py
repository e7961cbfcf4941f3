"""A case as people write it: YAML in the form of ``testing.suites``, to be edited and read again.
Pure."""

from __future__ import annotations

import io
from typing import Any, Final

import msgspec
from ruamel.yaml import YAML

from kintsugi.errors import ConfigurationInvalid, InvalidInput
from kintsugi.model.config import Case
from kintsugi.policy.suites import read_fragment

_SUITE: Final = "regressions"
_DEFAULTS: Final = ("headers", "facts", "stream", "request", "upstream_response", "messages")


def case_yaml(case: Case, *, suite: str = _SUITE) -> str:
    """The text of a fragment that holds this case alone; what says nothing is left out."""
    document = msgspec.to_builtins(case)
    wanted: dict[str, Any] = document["input"]
    wanted["facts"] = {name: value for name, value in wanted["facts"].items() if value}
    for name in _DEFAULTS:
        if not wanted[name] and name != "upstream_response":
            del wanted[name]
    if wanted["upstream_response"] is None:
        del wanted["upstream_response"]
    document["expected"] = {
        name: value for name, value in document["expected"].items() if value is not None
    }
    told: dict[str, Any] = {"name": case.name}
    told |= {name: document[name] for name in ("description", "skip") if document[name]}
    told |= {"input": wanted, "expected": document["expected"]}
    out = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.allow_unicode = True
    writer.width = 100
    writer.dump({"testing": {"suites": [{"name": suite, "cases": [told]}]}}, out)
    return out.getvalue()


def read_case(text: str, *, file: str) -> Case:
    """The one case of such a text.

    Raises:
        ConfigurationInvalid: with line and column of everything that is wrong.
        InvalidInput: it holds none, or several.
    """
    found, diagnostics = read_fragment(text, file=file, chain=None)
    if found is None:
        raise ConfigurationInvalid("This is no test case; nothing was changed.", diagnostics)
    cases = [case for suite in found.suites for case in suite.cases]
    if len(cases) != 1:
        raise InvalidInput(f"{file}: write one case; there are {len(cases)}")
    return cases[0]
