"""Gateway throughput per core and latency added, beside nginx's reverse proxy in the same run.

Everything is on: the whole chain with 200 patterns of the operator's own, PII with checksums, and
the journal in the durability mode named. The gateway (or nginx) is pinned to one core; load and
upstream share another. Rounds alternate, so that a noisy machine hurts all alike: read ratios.

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

from benchmarks.load import chat_request

GATEWAY_CORE = "0"
LOAD_CORE = "1"
SHAPES = {
    "1 KB": (1024, False),
    "8 KB": (8192, False),
    "1 KB streamed, 20 chunks": (1024, True),
}


def configuration(upstream_port: int, durability: str, streaming: str) -> str:
    """The benchmark's configuration as JSON, which is YAML."""
    patterns = [
        rf"\bproject[ -]codename[ -]{word}{number}\b"
        for number in range(100)
        for word in ("alpha", "omega")
    ]
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
            "policies": {
                "chain": [
                    "prompt-injection",
                    "pii-detector",
                    "secrets-detector",
                    "dlp-filter",
                    "safety-filter",
                    "audit-logger",
                ]
            },
            "policy": {
                "prompt-injection": {},
                "pii-detector": {"action": "redact"},
                "secrets-detector": {},
                "dlp-filter": {"detect_patterns": patterns, "action": "block"},
                "safety-filter": {"block_if": ["how to build a bomb"]},
                "audit-logger": {},
            },
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
def upstream() -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks.upstream"]
    with process(command, core=LOAD_CORE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        yield int(child.stdout.readline())


@contextmanager
def nginx(upstream_port: int, folder: Path) -> Iterator[int]:
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
    with process(["nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)], core=GATEWAY_CORE):
        wait_open(port)
        yield port


@contextmanager
def gateway(
    upstream_port: int, folder: Path, durability: str, streaming: str
) -> Iterator[tuple[int, int]]:
    """The gateway as installed, one worker, no control plane: its journal grows meanwhile.

    Yields its port and the process id of its supervisor.
    """
    folder.mkdir()
    port = free_port()
    file = folder / "policy-config.yaml"
    file.write_text(configuration(upstream_port, durability, streaming))
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
        yield port, child.pid


def throughput(port: int, folder: Path, body_bytes: int, stream: bool, seconds: float) -> float:
    """Requests answered per second at saturation with 64 connections, by wrk."""
    script = folder / f"wrk-{body_bytes}-{stream}.lua"
    body = json.dumps(chat_request(body_bytes, stream=stream).decode())
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = {body}\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
        'wrk.headers["Authorization"] = "Bearer sk-bench"\n'
        'wrk.headers["X-User-ID"] = "u-1042"\n'
    )
    done = subprocess.run(
        [
            "taskset",
            "-c",
            LOAD_CORE,
            "wrk",
            "-t1",
            "-c64",
            f"-d{seconds}s",
            "-s",
            str(script),
            f"http://127.0.0.1:{port}/v1/chat/completions",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        print(done.stdout, file=sys.stderr)
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    assert found is not None, done.stdout
    return float(found.group(1))


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


def worker_mib(supervisor_pid: int) -> float:
    """Resident memory of the gateway's largest worker, from /proc (Linux)."""
    children = Path(f"/proc/{supervisor_pid}/task/{supervisor_pid}/children").read_text().split()
    statuses = [Path(f"/proc/{child}/status").read_text() for child in children]
    found = [re.search(r"VmRSS:\s+(\d+)", status) for status in statuses]
    return max((int(match.group(1)) / 1024 for match in found if match), default=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--skip-latency", action="store_true")
    parser.add_argument("--streaming", default="buffer", choices=["buffer", "window"])
    arguments = parser.parse_args()
    for program in ("nginx", "wrk", "taskset"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not installed (Debian: nginx-light, wrk, util-linux)")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kt-bench-")))
        upstream_port = stack.enter_context(upstream())
        ports = {"nginx": stack.enter_context(nginx(upstream_port, folder))}
        for durability in ("bounded", "strict"):
            ports[durability], supervisor_pid = stack.enter_context(
                gateway(upstream_port, folder / durability, durability, arguments.streaming)
            )
        print(f"idle worker: {worker_mib(supervisor_pid):.0f} MiB resident\n")
        print("requests per second on one core (share of nginx's in the same round, median)")
        for shape, (body_bytes, stream) in SHAPES.items():
            rounds = [
                {
                    name: throughput(port, folder, body_bytes, stream, arguments.seconds)
                    for name, port in ports.items()
                }
                for _ in range(arguments.rounds)
            ]
            direct = throughput(upstream_port, folder, body_bytes, stream, 2)
            row = "  ".join(
                f"{name} {statistics.median(r[name] for r in rounds):7.0f} "
                f"({statistics.median(r[name] / r['nginx'] for r in rounds):.2f})"
                for name in ports
            )
            print(f"  {shape:26s} {row}   upstream alone {direct:.0f}")
        print(f"worker after load: {worker_mib(supervisor_pid):.0f} MiB resident")
        if arguments.skip_latency:
            return
        print("\nlatency in ms at a fixed rate, 1 KB, open loop (median of rounds)")
        for rate in (200, 1000):
            results: dict[str, list[dict[str, float]]] = {}
            for _ in range(arguments.rounds):
                for name, port in {"direct": upstream_port, **ports}.items():
                    results.setdefault(name, []).append(latency(port, rate, arguments.seconds))
            for name, measured in results.items():
                p50, p99 = (
                    statistics.median(m[key] for m in measured) for key in ("p50_ms", "p99_ms")
                )
                errors = sum(m["errors"] for m in measured)
                print(
                    f"  {rate:5d}/s  {name:8s} p50 {p50:6.3f}  p99 {p99:7.3f}  errors {errors:.0f}"
                )


if __name__ == "__main__":
    main()
