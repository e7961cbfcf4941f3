"""What it costs to write and to check an evidence package, in CPU seconds of one core and memory.

The log is in memory, with batches of fifty events, or of one, which is the most that proofs can
cost; every other batch of the log is not in the package. Checking runs in a process of its own, as
``kt verify`` does, on the archive.

    python -m benchmarks.package_cost            # 100,000 events
    python -m benchmarks.package_cost --quick    # 10,000
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from kintsugi.ledger.leaves import EventsLeaf, batch_root, leaf_data
from kintsugi.ledger.merkle import Edge, Node, append, leaf_hash
from kintsugi.ledger.note import SigningKey
from kintsugi.ledger.package.check import check_package
from kintsugi.ledger.package.files import pack
from kintsugi.ledger.package.writer import PackageWriter, Selection
from kintsugi.model.decision import Evaluation, Mode, Phase
from kintsugi.model.event import DecisionEvent, ExchangeStatus, Payload
from kintsugi.model.ids import uuid7
from kintsugi.model.packages import PackedBatch, PackedEvent
from kintsugi.model.verdict import Verdict

START = datetime(2026, 4, 23, 12, tzinfo=UTC)
KEY = SigningKey.from_seed("bench/log", bytes(32))
POLICIES = ("prompt-injection", "pii-detector", "secrets-detector", "agent-firewall", "rbac")
# A kilobyte each way, as the gateway's own benchmark sends it.
REQUEST = msgspec.json.encode(
    {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "lorem ipsum " * 80}]}
).decode()
RESPONSE = msgspec.json.encode(
    {"choices": [{"message": {"role": "assistant", "content": "dolor sit amet " * 60}}]}
).decode()


def event(number: int) -> DecisionEvent:
    """A decision of five policies, with its prompt and answer."""
    at = START + timedelta(milliseconds=number)
    return DecisionEvent(
        id=uuid7(int(at.timestamp() * 1000), number.to_bytes(10, "big")),
        timestamp=at,
        gateway_id="gw-1",
        worker_id="w0",
        dialect="openai.chat",
        config_version="support-prod@3",
        revision="sha256:" + "a" * 64,
        engine_version="0.1.0",
        verdict=Verdict.ALLOW,
        reason_code="policy.passed",
        status=ExchangeStatus.ANSWERED,
        http_status=200,
        upstream_status=200,
        model="gpt-4o-mini",
        provider="openai",
        user_id=f"user-{number % 1000}",
        trace_id=f"{number:032x}",
        evaluations=tuple(
            Evaluation(policy, phase, Mode.ENFORCE, "clear", Verdict.ALLOW)
            for policy in POLICIES
            for phase in (Phase.INPUT, Phase.OUTPUT)
        ),
        payload=Payload(request=REQUEST, response=RESPONSE),
    )


class Log:
    """A log in memory, of which every other leaf belongs into the package."""

    def __init__(self) -> None:
        self.edge = Edge()
        self._nodes: dict[Node, bytes] = {}

    def add(self, data: bytes) -> None:
        """Add a leaf."""
        self.edge, complete = append(self.edge, [leaf_hash(data)])
        self._nodes.update(complete)

    def read(self, nodes: Sequence[Node]) -> list[bytes]:
        """The hashes of nodes."""
        return [self._nodes[node] for node in nodes]

    def batches(self, events: int, size: int) -> Iterator[PackedBatch]:
        """Batches of the package, as they are recorded."""
        for first in range(0, events, size):
            made = [event(number) for number in range(first, min(first + size, events))]
            records = [
                msgspec.json.encode(msgspec.structs.replace(one, payload=Payload())).decode()
                for one in made
            ]
            root = batch_root([record.encode() for record in records])
            data = leaf_data(EventsLeaf(first + 1, first + len(made), root, START))
            leaf = self.edge.size
            self.add(data)
            self.add(b"another")
            chosen = tuple(
                PackedEvent(index, record, one)
                for index, (record, one) in enumerate(zip(records, made, strict=True))
            )
            yield PackedBatch(leaf, data.decode(), tuple(records), chosen)


def write(folder: Path, archive: Path, events: int, size: int) -> tuple[float, float]:
    """CPU seconds of writing the bag, and of packing it."""
    folder.mkdir()
    log = Log()
    selection = Selection("bench", START, "bench/1", "", {}, "redacted")
    batches = list(log.batches(events, size))
    started = time.process_time()
    with PackageWriter(folder, selection) as writer:
        for batch in batches:
            writer.add_batch(batch)
        writer.add_configuration("support-prod@3", None)
        writer.finish(log.edge, log.read, [KEY], tell=lambda: None)
    written = time.process_time()
    pack(folder, archive, "zip", top="bench", tell=lambda: None)
    return written - started, time.process_time() - written


def check(archive: Path) -> None:
    """Check it, and print CPU seconds and the peak of memory in MiB."""
    started = time.process_time()
    report = check_package(archive, trusted=[KEY.verifier])
    spent = time.process_time() - started
    if not report.holds:
        raise SystemExit(f"the package does not hold: {report.findings[:3]}")
    # Not getrusage: its peak is that of the parent where that was larger, over exec.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    print(f"{spent:.2f} {int(peak) / 1024:.0f}")


def main() -> None:
    """Print a line for each kind of log."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="10,000 events")
    parser.add_argument("--check", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.check:
        check(given.check)
        return
    events = 10_000 if given.quick else 100_000
    print(
        f"{'events':>8} {'batch':>6} {'bag MB':>7} {'zip MB':>7} {'proofs MB':>10} "
        f"{'write s':>8} {'pack s':>7} {'check s':>8} {'check MiB':>10}"
    )
    for size in (50, 1):
        with tempfile.TemporaryDirectory() as place:
            folder, archive = Path(place) / "bag", Path(place) / "bench.zip"
            wrote, packed = write(folder, archive, events, size)
            command = [sys.executable, "-m", "benchmarks.package_cost", "--check", str(archive)]
            ran = subprocess.run(command, capture_output=True, text=True, check=True)
            checked, peak = ran.stdout.split()
            print(
                f"{events:>8,} {size:>6} {_megabytes(folder):>7.0f} "
                f"{archive.stat().st_size / 1e6:>7.1f} {_megabytes(folder / 'data/proofs'):>10.1f} "
                f"{wrote:>8.1f} {packed:>7.1f} {checked:>8} {peak:>10}",
                flush=True,
            )


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    main()
