"""Regression cases for OpenAI evals. Part of an export; needs evals and kintsugi_gateway.py.

PYTHONPATH=. oaieval dummy kintsugi-regressions --registry_path .
"""

import evals
import evals.metrics
from evals.record import record_match
from kintsugi_gateway import ask, mismatches


class GatewayDecision(evals.Eval):
    """Asks the gateway itself; the completion function is not called."""

    def eval_sample(self, sample, rng):
        """A match where the caller sees everything that the case expects."""
        seen = ask(sample["request"])
        found = mismatches(sample["expected"], seen)
        record_match(
            not found,
            expected=sample["ideal"],
            picked=seen["verdict"],
            regression=sample["metadata"]["regression"],
            mismatches=found,
        )

    def run(self, recorder):
        """Share of cases that came out as expected."""
        self.eval_all_samples(recorder, self.get_samples())
        return {"accuracy": evals.metrics.get_accuracy(recorder.get_events("match"))}
