"""Regression cases as DeepEval tests. Part of an export; needs deepeval and kintsugi_gateway.py.

deepeval test run test_kintsugi.py
"""

import json
import sys
from pathlib import Path

import pytest
from deepeval import assert_test
from deepeval.dataset import EvaluationDataset
from deepeval.metrics import BaseMetric
from deepeval.test_case import LLMTestCase

_HERE = Path(__file__).parent
sys.path.insert(0, str(_HERE))
from kintsugi_gateway import ask, mismatches  # noqa: E402  # it stands beside this file


class GatewayDecision(BaseMetric):
    """Holds where the caller sees everything that the case expects; no model judges it."""

    threshold = 1.0
    async_mode = False

    def measure(self, test_case, *args, **kwargs):
        """1 or 0, with the reason."""
        expected = test_case.metadata["expected"]
        found = mismatches(expected, json.loads(test_case.actual_output))
        self.score = 0.0 if found else 1.0
        self.reason = "; ".join(found) or "as expected"
        self.success = not found
        return self.score

    async def a_measure(self, test_case, *args, **kwargs):
        """The same."""
        return self.measure(test_case)

    def is_successful(self):
        """Whether nothing came out otherwise."""
        return bool(self.success)

    @property
    def __name__(self):
        return "Gateway decision"


def goldens():
    """Single questions and conversations: a dataset holds one sort."""
    found = []
    for name in ("goldens.json", "conversational_goldens.json"):
        dataset = EvaluationDataset()
        dataset.add_goldens_from_json_file(str(_HERE / name))
        found += dataset.goldens
    return found


@pytest.mark.parametrize("golden", goldens(), ids=lambda golden: golden.name.split()[0])
def test_the_gateway_decides_as_expected(golden):
    told = golden.additional_metadata
    seen = json.dumps(ask(told["request"]), ensure_ascii=False)
    sent = json.dumps(told["request"], ensure_ascii=False)
    case = LLMTestCase(input=sent, actual_output=seen, metadata=told, name=golden.name)
    assert_test(case, [GatewayDecision()], run_async=False)
