"""What a red/green proof costs: seconds for a thousand cases on two configurations.

    python -m benchmarks.prove [--cases N]

Both configurations have the default chain. The cases are of different lengths, a third of them
streamed; each runs on both sides. Printed are the compilation, the seconds of the whole proof, the
time of one case on one side, and the peak memory that the cases added.
"""

from __future__ import annotations

import argparse
import resource
import time
from datetime import UTC, datetime

from kintsugi.model.config import Case, CaseExpected, CaseInput
from kintsugi.model.proof import Proof
from kintsugi.model.regression import CaseSource, Regression
from kintsugi.policy.parse import parse_config
from kintsugi.replay.driver import put_in_force
from kintsugi.replay.prove import Charge, Judge, prove

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONFIG = """\
pack: {name: support, version: 1.0.0}
policies: {chain: [prompt-injection, pii-detector, secrets-detector, dlp-filter, audit-logger]}
policy:
  prompt-injection: {detection: {classifier: off}}
  pii-detector: {action: redact}
  secrets-detector: {action: redact}
  dlp-filter: {action: block, blocked_terms: [TERM]}
  audit-logger: {}
"""
PROSE = "The customer asks where the parcel is, when it comes, and whether it can be changed. "


def regressions(count: int) -> list[Regression]:
    """Cases that only the term of the newer configuration stops."""
    return [
        Regression(
            id=f"REG-{number:06d}",
            version=1,
            kind="case",
            state="approved",
            incident_id="incident",
            config_id="support",
            case=Case(
                f"case {number}",
                CaseInput(
                    messages=(
                        {"role": "user", "content": PROSE * (number % 20) + f"aurora {number}"},
                    ),
                    stream=number % 3 == 0,
                ),
                CaseExpected(verdict="block"),
            ),
            source=CaseSource("event", ""),
            created_at=NOW,
            created_by="benchmark",
            changed_at=NOW,
            changed_by="benchmark",
        )
        for number in range(1, count + 1)
    ]


def proof_of(cases: list[Regression]) -> Proof:
    """Every case on both configurations."""
    old, new = (CONFIG.replace("TERM", term) for term in ("zebra", "aurora"))
    red, green = Judge("support", "support@1", old), Judge("support", "support@2", new)
    charges = [Charge(one, red, green) for one in cases]
    return prove(charges, incident_id="incident", reference="INC-000001", at=NOW, by="benchmark")


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    wanted = parser.parse_args()
    began = time.perf_counter()
    put_in_force(parse_config(CONFIG.replace("TERM", "zebra")))
    compiling = time.perf_counter() - began
    cases = regressions(wanted.cases)
    proof_of(cases[:1])
    before = _peak_megabytes()
    began = time.perf_counter()
    proof = proof_of(cases)
    took = time.perf_counter() - began
    if not proof.passed:
        raise SystemExit("the cases are not proved: this measures something else")
    print(f"compiling one configuration: {compiling:.2f} s")
    print(f"{len(cases)} cases on two configurations: {took:.2f} s")
    print(f"one case on one side: {1000 * took / len(cases) / 2:.2f} ms, compilation included")
    print(f"peak memory of the cases: {_peak_megabytes() - before:.1f} MB more")


if __name__ == "__main__":
    main()
