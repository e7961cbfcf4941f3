"""``kt reasons``: every reason code, what it means, what to do, and its name in public lists."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from kintsugi.cli.options import JsonOption
from kintsugi.cli.output import Output, facts, table
from kintsugi.errors import InvalidInput
from kintsugi.policy.reasons import REASONS, parse_reason_code
from kintsugi.policy.standards import NAMES


def reasons(
    code: Annotated[
        str | None, typer.Argument(metavar="[CODE]", help="One code, in any accepted spelling.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show every reason code, or explain one."""
    output = Output(json=as_json)
    if code is None:
        every = [msgspec.to_builtins(reason) for reason in REASONS.values()]
        rows = [(reason.code, reason.policy, reason.title) for reason in REASONS.values()]
        output.result(every, lambda: table(("code", "policy", "title"), rows, empty="none"))
        return
    try:
        reason = REASONS[parse_reason_code(code)]
    except ValueError as error:
        raise InvalidInput(f"{error}; kt reasons lists them all") from error
    one = msgspec.to_builtins(reason)
    shown = {**one, **{name: _named(one[name]) for name in ("owasp_llm", "owasp_agentic", "atlas")}}
    output.result(one, lambda: facts(shown.items()))


def _named(places: list[str]) -> str:
    return ", ".join(f"{place} {NAMES[place]}" for place in places)
