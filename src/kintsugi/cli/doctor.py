"""``kt doctor``: what is wrong here, and what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated, Any

import httpx2
import msgspec
import typer

from kintsugi import __version__
from kintsugi.cli import doctor_evidence
from kintsugi.cli.client import Client
from kintsugi.cli.finding import Finding, Outcome
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import table
from kintsugi.cli.parts import Address, Parts
from kintsugi.cli.ports import free_port, holder_of
from kintsugi.cli.runfile import Up, read_up
from kintsugi.cli.settings import Settings
from kintsugi.cli.status import differences
from kintsugi.errors import ApiRefused, ApiUnreachable, DatabaseUnusable

DISK_BYTES_WARNING = 5_000_000_000
DISK_BYTES_FAILED = 500_000_000
CLOCK_SECONDS_WARNING = 2.0
WAITING_RECORDS_WARNING = 10_000


class Patient(msgspec.Struct, frozen=True):
    """What is examined.

    Attributes:
        running: None when no ``kt up`` holds the state folder.
        full: look at everything, however long it takes.
        witnesses: of the log, as ``kt log witness --to`` takes them.
        say: progress.
    """

    settings: Settings
    parts: Parts
    running: Up | None
    full: bool
    witnesses: tuple[str, ...]
    witness_token: str
    say: Callable[[str], None]


@online
def doctor(
    kt: Invocation,
    full: Annotated[
        bool, typer.Option("--full", help="Compute the whole log again; shows progress.")
    ] = False,
    witness: Annotated[
        list[str] | None,
        typer.Option("--witness", metavar="FILE|URL", help="Ask this witness of the log too."),
    ] = None,
) -> None:
    """Examine this installation. Exit code 3 when a check failed."""
    patient = Patient(
        kt.settings,
        kt.program.parts,
        read_up(kt.settings.state),
        full,
        tuple(witness or ()),
        kt.program.environ.get("KT_WITNESS_TOKEN", ""),
        kt.output.say,
    )
    findings = [finding for check in CHECKS for finding in check(patient)]
    kt.output.result(
        findings,
        lambda: table(
            ("check", "outcome", "detail", "next"),
            ((found.check, found.outcome, found.detail, found.next) for found in findings),
            empty="",
        ),
    )
    if any(found.outcome == "failed" for found in findings):
        raise typer.Exit(3)


_FOUND_SHOWN = 5
_VERIFY = "kt archive verify reads every file and compares it with the log"


def _python(_: Patient) -> Iterator[Finding]:
    detail = f"kt {__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield Finding("python", "ok", detail)


def _postgresql(patient: Patient) -> Iterator[Finding]:
    try:
        yield Finding("postgresql", "ok", patient.parts.find_postgresql())
    except DatabaseUnusable as error:
        yield Finding("postgresql", "failed", str(error), "set KT_DATABASE_URL to one that runs")


def _state_folder(patient: Patient) -> Iterator[Finding]:
    state = patient.settings.state
    place = _nearest_existing(state)
    if not os.access(place, os.W_OK | os.X_OK):
        yield Finding("state folder", "failed", f"{place} cannot be written", "use --state DIR")
        return
    detail = str(state) if place == state else f"{state} (made on first use)"
    yield Finding("state folder", "ok", detail)
    token = state / "admin-token"
    if token.exists() and token.stat().st_mode & 0o077:
        yield Finding(
            "admin token", "warning", f"{token} can be read by others", f"chmod 600 {token}"
        )
    free = shutil.disk_usage(place).free
    detail = f"{free / 1e9:.1f} GB free on {place}"
    if free < DISK_BYTES_FAILED:
        yield Finding("disk space", "failed", detail, "free some: a full disk stops the gateway")
    elif free < DISK_BYTES_WARNING:
        yield Finding("disk space", "warning", detail, "free some, or move the state folder")
    else:
        yield Finding("disk space", "ok", detail)


def _ports(patient: Patient) -> Iterator[Finding]:
    if patient.running:
        yield Finding("ports", "ok", f"{patient.running.gateway_url} {patient.running.api_url}")
        return
    taken = [port for port in (41002, 41001) if free_port(Address("127.0.0.1", port)) is None]
    if taken:
        yield Finding(
            "ports",
            "warning",
            "; ".join(f"{port} is taken: {holder_of(port)}" for port in taken),
            "kt up --gateway-port 0 --api-port 0 takes free ones",
        )
    else:
        yield Finding("ports", "ok", "41002 and 41001 are free")


def _control_plane(patient: Patient) -> Iterator[Finding]:
    url = patient.settings.api_url
    began = time.time()
    try:
        answer = httpx2.get(f"{url}/readyz", timeout=3.0, trust_env=False)
    except httpx2.TransportError as error:
        outcome: Outcome = "failed" if patient.running else "not attempted"
        yield Finding("control plane", outcome, f"{url}: {error}", "kt up")
        return
    if not answer.is_success:
        yield Finding(
            "control plane",
            "failed",
            f"{url} answers {answer.status_code}: {answer.text[:200]}",
            f"see {patient.settings.state}/logs/server.log",
        )
        return
    yield Finding("control plane", "ok", url)
    if date := answer.headers.get("date"):
        # The header counts whole seconds, so half a second either way is no difference at all.
        apart = abs(parsedate_to_datetime(date).timestamp() + 0.5 - (began + time.time()) / 2)
        good = apart < CLOCK_SECONDS_WARNING
        yield Finding(
            "clock",
            "ok" if good else "warning",
            f"{apart:.1f} s between this machine and the control plane",
            "" if good else "synchronise the clocks (NTP): evidence is ordered by time",
        )


def _gateways(patient: Patient) -> Iterator[Finding]:
    if patient.running:
        yield _gateway_health(patient.running.gateway_url)
    try:
        with Client(patient.settings) as client:
            gateways, status = client.get("/v1/gateways"), client.get("/v1/status")
    except (ApiUnreachable, ApiRefused) as error:
        yield Finding("reconciliation", "not attempted", str(error).splitlines()[0])
        return
    if not gateways:
        yield Finding("reconciliation", "not attempted", "no gateway has registered")
    for gateway in gateways:
        if gateway["load_error"]:
            name = f"configuration on {gateway['id']}"
            yield Finding(name, "failed", gateway["load_error"], "kt config rollback, or fix it")
    yield from map(_reconciliation, status["gateways"])


def _archives(patient: Patient) -> Iterator[Finding]:
    try:
        with Client(patient.settings) as client:
            archives = [one for one in client.all("/v1/archives", limit=None) if one["in_force"]]
            found = client.get("/v1/archives/check") if archives else []
    except (ApiUnreachable, ApiRefused) as error:
        yield Finding("archive", "not attempted", str(error).splitlines()[0])
        return
    if not archives:
        return
    if found:
        wrong = "; ".join(f"{one['where']}: {one['what']}" for one in found[:_FOUND_SHOWN])
        more = f" and {len(found) - _FOUND_SHOWN} more" if len(found) > _FOUND_SHOWN else ""
        yield Finding(
            "archive",
            "failed",
            wrong + more,
            "bring the files back from a copy; reads of those months are refused until then",
        )
        return
    months = sorted({one["month"] for one in archives})
    told = f"{', '.join(months)}: manifests as the log tells, every file there with its size"
    if damaged := [one["month"] for one in archives if one["findings"]]:
        yield Finding("archive", "failed", f"{told}; but {damaged[0]} had findings", _VERIFY)
    elif unverified := [one["month"] for one in archives if one["verified_at"] is None]:
        told += f"; never read again: {', '.join(unverified)}"
        yield Finding("archive", "ok", told, _VERIFY)
    else:
        oldest = min(one["verified_at"] for one in archives)
        yield Finding("archive", "ok", f"{told}; every file was read at {oldest} or later")


def _gateway_health(url: str) -> Finding:
    try:
        answer = httpx2.get(f"{url}/readyz", timeout=3.0, trust_env=False)
    except httpx2.TransportError as error:
        return Finding("gateway", "failed", f"{url}: {error}", "see STATE/logs/gateway.log")
    if answer.is_success:
        return Finding("gateway", "ok", url)
    return Finding(
        "gateway", "failed", f"{url} answers {answer.status_code}: {answer.text[:200]}",
        "see STATE/logs/gateway.log",
    )  # fmt: skip


def _reconciliation(counted: dict[str, Any]) -> Finding:
    name = f"reconciliation of {counted['gateway_id']}"
    detail = ", ".join(f"{counted[key]} {key}" for key in ("shipped", "waiting", "stored"))
    if wrong := differences(counted):
        told = "; ".join([*wrong, detail])
        return Finding(name, "failed", told, "kt signals list; keep the gateway's journal")
    if counted["waiting"] > WAITING_RECORDS_WARNING:
        return Finding(name, "warning", detail, "see why the control plane takes so few")
    if not counted["connected"]:
        last_seen = f"away since {counted['last_seen_at']}; {detail}"
        return Finding(name, "warning", last_seen, "is that gateway still wanted?")
    return Finding(name, "ok", detail)


def _regressions(patient: Patient) -> Iterator[Finding]:
    """Whether the regression ledger is as the log tells, and what decides meets what binds it."""
    try:
        with Client(patient.settings) as client:
            checked = client.get("/v1/regressions/ledger/check")
            unproven = client.get("/v1/status").get("unproven", [])
    except (ApiUnreachable, ApiRefused) as error:
        yield Finding("regression ledger", "not attempted", str(error).splitlines()[0])
        return
    if checked["findings"]:
        told = "; ".join(checked["findings"][:_FOUND_SHOWN])
        next_step = "bring it back: kt restore, with the newest STATE/regression-ledger.jsonl"
        yield Finding("regression ledger", "failed", told, next_step)
    else:
        told = f"{checked['entries']} entries, each as the log tells"
        yield Finding("regression ledger", "ok", told)
    for one in unproven:
        yield Finding("regression cases", "failed", one, "kt regressions coverage")


def _vault(patient: Patient) -> Iterator[Finding]:
    """Whether content can be sealed and opened."""
    try:
        with Client(patient.settings) as client:
            vault = client.get("/v1/keys")
    except (ApiUnreachable, ApiRefused) as error:
        yield Finding("vault", "not attempted", str(error).splitlines()[0])
        return
    if not vault["available"]:
        yield Finding(
            "vault",
            "failed",
            f"nothing can be recorded: {vault['problem']}",
            "bring the key back; lost for good: kt keys rotate",
        )
        return
    left = [
        (vault["unsealed"], "contents lie open still"),
        (vault["to_rewrap"], "data keys hang on an older key"),
    ]
    told = [f"{count:,} {what}" for count, what in left if count]
    yield Finding("vault", "ok", ", ".join(told) or f"{len(vault['keys'])} keys")


def _configuration(patient: Patient) -> Iterator[Finding]:
    from kintsugi.policy.lint import lint  # here: so that a broken one cannot stop the doctor

    running = patient.running
    file = Path(running.config_file) if running else patient.settings.state / "policy-config.yaml"
    try:
        source = file.read_text(encoding="utf-8")
    except OSError as error:
        yield Finding(
            "configuration", "not attempted", f"{file}: {error.strerror}", "kt up makes one"
        )
        return
    report = lint(source, file=str(file))
    if report.valid:
        yield Finding("configuration", "ok", str(file))
    else:
        first = report.diagnostics[0]
        yield Finding(
            "configuration",
            "failed",
            f"{first.file}:{first.position.line} {first.code} {first.message}",
            f"kt policy lint --file {file}",
        )


def _journals(patient: Patient) -> Iterator[Finding]:
    yield from doctor_evidence.journals(patient.settings.state, full=patient.full)


def _log(patient: Patient) -> Iterator[Finding]:
    with Client(patient.settings) as client:
        yield from doctor_evidence.log_findings(
            client,
            patient.settings,
            full=patient.full,
            witnesses=patient.witnesses,
            token=patient.witness_token,
            say=patient.say,
        )


def _nearest_existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


CHECKS: tuple[Callable[[Patient], Iterator[Finding]], ...] = (
    _python,
    _postgresql,
    _state_folder,
    _ports,
    _control_plane,
    _gateways,
    _journals,
    _log,
    _archives,
    _regressions,
    _vault,
    _configuration,
)
"""In the order in which they are shown: each makes sense only when those above are well."""
