"""What every test shares: Hypothesis profiles, turns between processes, the promise that CI skips
nothing."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import warnings
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests.databases import servers
from tests.turns import (
    pytest_configure_node,
    pytest_runtest_protocol,
    pytest_sessionstart,
    pytest_unconfigure,
    pytest_xdist_auto_num_workers,
)

__all__ = [
    "pytest_configure_node",
    "pytest_runtest_protocol",
    "pytest_sessionstart",
    "pytest_unconfigure",
    "pytest_xdist_auto_num_workers",
    "servers",
]

settings.register_profile("default", deadline=None, max_examples=50)
settings.register_profile(
    "ci", deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("deep", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked as needing a program that this machine has not."""
    for marker in item.iter_markers("needs"):
        for program in marker.args:
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed here")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_logfinish(nodeid: str) -> Generator[None, None, None]:
    """What a failed test left open is no fault of the test in which it would be noticed."""
    yield
    if getattr(sys, "last_value", None) is not None:
        for name in ("last_exc", "last_value", "last_traceback"):  # pytest keeps its frames there
            setattr(sys, name, None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With KT_TESTS_COMPLETE a skipped test is a failed one: CI has every program it needs."""
    report = yield
    if report.skipped and os.environ.get("KT_TESTS_COMPLETE") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but KT_TESTS_COMPLETE is set: {report.longrepr}"
    return report
