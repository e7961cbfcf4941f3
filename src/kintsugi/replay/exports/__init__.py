"""Regression cases in the forms of other tools. Pure: cases in; files out, and what they lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from kintsugi.replay.exports import deepeval, inspect_ai, openai_evals, promptfoo, suites
from kintsugi.replay.exports.entry import Entry, RegressionExport

#: Formats of the cases themselves; how they ended on a configuration is in ``run_results``.
CASE_FORMATS: Mapping[str, Callable[[Sequence[Entry]], RegressionExport]] = MappingProxyType(
    {
        "suites": suites.export,
        "promptfoo": promptfoo.export,
        "inspect": inspect_ai.export,
        "openai-evals": openai_evals.export,
        "deepeval": deepeval.export,
    }
)
