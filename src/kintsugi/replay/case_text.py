"""A case as people write it: YAML in the form of ``testing.suites``, to be edited and read again.
Pure."""

from __future__ import annotations

from kintsugi.errors import ConfigurationInvalid, InvalidInput
from kintsugi.model.config import Case
from kintsugi.policy.suites import read_fragment
from kintsugi.replay.yaml_text import stated, yaml_text


def case_yaml(case: Case, *, suite: str = "regressions") -> str:
    """The text of a fragment that holds this case alone; what says nothing is left out."""
    return yaml_text({"testing": {"suites": [{"name": suite, "cases": [stated(case)]}]}})


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
