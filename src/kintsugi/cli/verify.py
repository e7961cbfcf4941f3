"""``kt verify``: check an evidence package without asking anybody."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import harmless
from kintsugi.errors import InvalidInput
from kintsugi.ledger.note import VerifierKey
from kintsugi.ledger.package.check import check_package
from kintsugi.ledger.package.encryption import read_identities
from kintsugi.ledger.package.findings import PackageReport

if TYPE_CHECKING:
    from rich.console import RenderableType

_EXIT_WRONG = 3


@online
def verify(
    kt: Invocation,
    package: Annotated[
        Path, typer.Argument(metavar="PACKAGE", help="A folder, a zip or tar file, or one of age.")
    ],
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            metavar="NAME+ID+KEY",
            help="The log's verifier key, known from elsewhere (kt log keys). Repeat for several.",
        ),
    ] = None,
    identity: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Age or SSH identity that opens an encrypted package."),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Note the outcome in the control plane's custody.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why, for custody.")] = "",
) -> None:
    """Check an evidence package: every byte, who signed it, and each record against the log.

    Asks nobody and needs no control plane. Exit code 3 when anything is wrong; each finding names
    the file and, where there is one, the line and the leaf of the log.
    """
    trusted = [VerifierKey.parse(text) for text in key or ()]
    identities = [one for file in identity or () for one in read_identities(file)]
    report = check_package(package, trusted=trusted, identities=identities)
    recorded = "not recorded: it was checked offline; --record notes it in custody"
    if record:
        if not report.package:
            raise InvalidInput("what it is cannot be read, so there is nothing to record it under")
        outcome = "holds" if report.holds else f"{len(report.findings)} findings"
        act = {
            "action": "verify",
            "object": f"package:{report.package}",
            "reason": f"{reason}: {outcome}" if reason else outcome,
            "digest_before": report.manifest,
            "digest_after": report.manifest,
        }
        with kt.client() as client:
            entry = client.post("/v1/custody", act)
        recorded = f"recorded in custody as {entry['id']}"
    shown: dict[str, Any] = {**msgspec.to_builtins(report), "recorded": recorded}
    kt.output.result(shown, lambda: _text(report, recorded))
    if not report.holds:
        raise typer.Exit(_EXIT_WRONG)


def _text(report: PackageReport, recorded: str) -> RenderableType:
    from rich.text import Text  # here: only text output pays for it

    lines = ["The package holds." if report.holds else "The package does NOT hold."]
    lines += [f"  wrong        {finding}" for finding in report.findings]
    lines += [f"  wrong        {code}: {count:,} more" for code, count in report.more.items()]
    lines += [f"  checked      {sentence}" for sentence in report.checked]
    lines += [f"  not checked  {sentence}" for sentence in report.not_checked]
    lines.append(f"  {recorded}")
    return Text(harmless("\n".join(lines)))
