"""Regression cases as an Inspect task. Part of an export; needs inspect-ai and kintsugi_gateway.py.

inspect eval kintsugi_task.py --model none
"""

import asyncio
import json
import sys
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import json_dataset
from inspect_ai.scorer import CORRECT, INCORRECT, Score, accuracy, scorer
from inspect_ai.solver import solver

_HERE = Path(__file__).parent
sys.path.insert(0, str(_HERE))
from kintsugi_gateway import ask, mismatches  # noqa: E402  # it stands beside this file


@task
def kintsugi_regressions():
    """Every case is asked through the gateway; no model is called by Inspect itself."""
    dataset = json_dataset(str(_HERE / "regressions.jsonl"))
    return Task(dataset=dataset, solver=through_gateway(), scorer=decision())


@solver
def through_gateway():
    """Asks the gateway; what its caller sees is the completion, as JSON."""

    async def solve(state, generate):
        seen = await asyncio.to_thread(ask, state.metadata["request"])
        state.output.completion = json.dumps(seen, ensure_ascii=False)
        return state

    return solve


@scorer(metrics=[accuracy()])
def decision():
    """Correct where the caller sees everything that the case expects."""

    async def score(state, target):
        seen = json.loads(state.output.completion)
        found = mismatches(state.metadata["expected"], seen)
        return Score(
            value=INCORRECT if found else CORRECT,
            answer=seen["verdict"],
            explanation="; ".join(found),
        )

    return score
