"""Gateway throughput per core and latency added, beside nginx's reverse proxy in the same run.

Policy is on (200 patterns of the operator's own and PII with checksums, on request and answer; or
every policy there is) and so is the journal, in the durability mode named. The gateway (or nginx)
is pinned to one core; load and upstream share another. Rounds alternate, so that a noisy machine
hurts all alike: read ratios.

    python -m benchmarks.gateway                  # all of it, about five minutes
    python -m benchmarks.gateway --rounds 1 --seconds 3 --skip-latency
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.load import chat_request

GATEWAY_CORE = "0"
LOAD_CORE = "1"
SHAPES = {
    "1 KB": (1024, False),
    "8 KB": (8192, False),
    "1 KB streamed, 20 chunks": (1024, True),
}


class Subject(NamedTuple):
    """What is measured: the port it listens on and its process."""

    port: int
    pid: int


class Load(NamedTuple):
    """What one run showed."""

    requests_per_second: float
    cpu_us_per_request: float


CHAINS: dict[str, dict[str, object]] = {
    "patterns and PII": {
        "pii-detector": {"action": "redact"},
        "dlp-filter": {
            "action": "block",
            "detect_patterns": [
                rf"\bproject[ -]codename[ -]{word}{number}\b"
                for number in range(100)
                for word in ("alpha", "omega")
            ],
        },
        "audit-logger": {},
    }
}
CHAINS["every policy"] = {
    "prompt-injection": {},
    "secrets-detector": {},
    "safety-filter": {},
    **CHAINS["patterns and PII"],
}


def configuration(upstream_port: int, durability: str, streaming: str, chain: str) -> str:
    """The benchmark's configuration as JSON, which is YAML."""
    return json.dumps(
        {
            "pack": {"name": "bench", "version": "1.0.0", "enabled": True},
            "gateway": {"durability": durability, "streaming": streaming},
            "providers": {
                "targets": [
                    {
                        "id": "bench",
                        "provider": "openai",
                        "base_url": f"http://127.0.0.1:{upstream_port}/v1",
                        "allow_private_network": True,
                    }
                ]
            },
            "policies": {"chain": list(CHAINS[chain])},
            "policy": CHAINS[chain],
        }
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_open(port: int, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port} after {seconds} seconds")


@contextmanager
def process(command: list[str], *, core: str, **options: object) -> Iterator[subprocess.Popen[str]]:
    """A child pinned to one core, ended with SIGTERM."""
    child = subprocess.Popen(  # type: ignore[call-overload]
        ["taskset", "-c", core, *command], text=True, start_new_session=True, **options
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


@contextmanager
def upstream() -> Iterator[Subject]:
    command = [sys.executable, "-m", "benchmarks.upstream"]
    with process(command, core=LOAD_CORE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        yield Subject(int(child.stdout.readline()), child.pid)


@contextmanager
def nginx(upstream_port: int, folder: Path) -> Iterator[Subject]:
    """nginx as a reverse proxy: one worker, keep-alive on both sides, no buffering of streams."""
    port = free_port()
    (folder / "nginx.conf").write_text(
        f"""
        daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid;
        error_log {folder}/error.log crit;
        events {{ worker_connections 1024; }}
        http {{
          access_log off; client_body_buffer_size 64k; keepalive_requests 100000000;
          client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
          fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
          upstream model {{ server 127.0.0.1:{upstream_port}; keepalive 256;
                           keepalive_requests 100000000; }}
          server {{
            listen 127.0.0.1:{port};
            location / {{ proxy_pass http://model; proxy_http_version 1.1;
                          proxy_set_header Connection ""; }}
          }}
        }}
        """
    )
    command = ["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)]
    with process(command, core=GATEWAY_CORE) as child:
        wait_open(port)
        yield Subject(port, child.pid)


@contextmanager
def gateway(
    upstream_port: int, folder: Path, durability: str, streaming: str, chain: str
) -> Iterator[Subject]:
    """The gateway as installed, one worker, no control plane: its journal grows meanwhile."""
    folder.mkdir()
    port = free_port()
    file = folder / "policy-config.yaml"
    file.write_text(configuration(upstream_port, durability, streaming, chain))
    command = [
        str(Path(sys.executable).with_name("kt")),
        "gateway",
        "run",
        "--policy-config",
        str(file),
        "--listen",
        f"127.0.0.1:{port}",
        "--workers",
        "1",
        "--state",
        str(folder / "state"),
    ]
    log = (folder / "log").open("w")
    with log, process(command, core=GATEWAY_CORE, stdout=log, stderr=log) as child:
        wait_open(port)
        ready = f"http://127.0.0.1:{port}/readyz"
        for _ in range(100):
            try:
                urllib.request.urlopen(ready, timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield Subject(port, child.pid)


def throughput(
    subject: Subject, folder: Path, body_bytes: int, stream: bool, seconds: float
) -> Load:
    """Requests answered per second at saturation with 64 connections, by wrk."""
    script = folder / f"wrk-{body_bytes}-{stream}.lua"
    body = json.dumps(chat_request(body_bytes, stream=stream).decode())
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = {body}\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
        'wrk.headers["Authorization"] = "Bearer sk-bench"\n'
        'wrk.headers["X-User-ID"] = "u-1042"\n'
    )
    before = cpu_seconds(subject.pid)
    done = subprocess.run(
        [
            "taskset",
            "-c",
            LOAD_CORE,
            "wrk",
            "-t1",
            "-c64",
            f"-d{seconds:.0f}s",
            "-s",
            str(script),
            f"http://127.0.0.1:{subject.port}/v1/chat/completions",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        print(done.stdout, file=sys.stderr)
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    count = re.search(r"(\d+) requests in", done.stdout)
    assert found is not None, done.stdout
    assert count is not None, done.stdout
    cpu = (cpu_seconds(subject.pid) - before) / int(count.group(1))
    return Load(float(found.group(1)), cpu * 1e6)


def latency(port: int, rate: int, seconds: float) -> dict[str, float]:
    done = subprocess.run(
        [
            "taskset",
            "-c",
            LOAD_CORE,
            sys.executable,
            "-m",
            "benchmarks.load",
            f"127.0.0.1:{port}",
            "--rate",
            str(rate),
            "--seconds",
            str(seconds),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children, from /proc (Linux)."""
    total = 0.0
    for member in (pid, *children_of(pid)):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def worker_mib(supervisor_pid: int) -> float:
    """Resident memory of the gateway's largest worker, from /proc (Linux)."""
    children = children_of(supervisor_pid)
    statuses = [Path(f"/proc/{child}/status").read_text() for child in children]
    found = [re.search(r"VmRSS:\s+(\d+)", status) for status in statuses]
    return max((int(match.group(1)) / 1024 for match in found if match), default=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--skip-latency", action="store_true")
    parser.add_argument("--chain", default="patterns and PII", choices=list(CHAINS))
    parser.add_argument("--streaming", default="buffer", choices=["buffer", "window"])
    arguments = parser.parse_args()
    for program in ("nginx", "wrk", "taskset"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not installed (Debian: nginx-light, wrk, util-linux)")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kt-bench-")))
        model = stack.enter_context(upstream())
        subjects = {"nginx": stack.enter_context(nginx(model.port, folder))}
        for durability in ("bounded", "strict"):
            subjects[durability] = stack.enter_context(
                gateway(
                    model.port,
                    folder / durability,
                    durability,
                    arguments.streaming,
                    arguments.chain,
                )
            )
        print(f"idle worker: {worker_mib(subjects['strict'].pid):.0f} MiB resident\n")
        print(
            "on one core at saturation: requests per second (share of nginx's in the same round),"
        )
        print("CPU microseconds per request (supervisor included); medians")
        for shape, (body_bytes, stream) in SHAPES.items():
            rounds = [
                {
                    name: throughput(subject, folder, body_bytes, stream, arguments.seconds)
                    for name, subject in subjects.items()
                }
                for _ in range(arguments.rounds)
            ]
            direct = throughput(model, folder, body_bytes, stream, 2).requests_per_second
            print(f"  {shape} (upstream alone {direct:.0f})")
            for name in subjects:
                loads = [measured[name] for measured in rounds]
                rate = statistics.median(load.requests_per_second for load in loads)
                cpu = statistics.median(load.cpu_us_per_request for load in loads)
                share = statistics.median(
                    measured[name].requests_per_second / measured["nginx"].requests_per_second
                    for measured in rounds
                )
                print(f"    {name:8s} {rate:7.0f}/s ({share:.2f})  {cpu:6.1f} us")
        print(f"worker after load: {worker_mib(subjects['strict'].pid):.0f} MiB resident")
        if arguments.skip_latency:
            return
        print("\nlatency in ms at a fixed rate, 1 KB, open loop; medians of rounds")
        for rate in (200, 1000):
            results: dict[str, list[dict[str, float]]] = {}
            for _ in range(arguments.rounds):
                for name, subject in {"direct": model, **subjects}.items():
                    measured = latency(subject.port, rate, arguments.seconds)
                    results.setdefault(name, []).append(measured)
            for name, runs in results.items():
                p50, p99 = (
                    statistics.median(run[key] for run in runs) for key in ("p50_ms", "p99_ms")
                )
                errors = sum(run["errors"] for run in runs)
                print(
                    f"  {rate:5d}/s  {name:8s} p50 {p50:6.3f}  p99 {p99:7.3f}  errors {errors:.0f}"
                )


if __name__ == "__main__":
    main()
