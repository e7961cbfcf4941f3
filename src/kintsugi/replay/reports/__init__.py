"""One report, many renderers. Each module has ``lint(report)`` or ``run(report)`` or both.

All of them are pure: a report in, text out, the same text for the same report.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from kintsugi.policy.lint import LintReport
from kintsugi.replay.reports import github, json, junit, sarif, tap, text
from kintsugi.replay.results import RunReport

LINT_FORMATS: Mapping[str, Callable[[LintReport], str]] = MappingProxyType(
    {
        "text": text.lint,
        "json": json.lint,
        "sarif": sarif.lint,
        "junit": junit.lint,
        "github": github.lint,
    }
)
RUN_FORMATS: Mapping[str, Callable[[RunReport], str]] = MappingProxyType(
    {
        "text": text.run,
        "json": json.run,
        "junit": junit.run,
        "tap": tap.run,
        "sarif": sarif.run,
        "github": github.run,
    }
)
