"""The filters over events as options, declared once for every command that takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any

import typer

Where = Mapping[str, str]
"""Filters that were given, under the API's names (CONTRACT §5)."""

_HELP: Mapping[str, str] = {
    "since": "From when: 1h, 30m, 7d, or a time such as 2026-04-23T14:00:00Z.",
    "until": "Up to when, in the same forms.",
    "verdict": "allow, flag, transform, redact, escalate, quarantine or block; blocked works too.",
    "decision": "The same as --verdict.",
    "outcome": "The same as --verdict.",
    "gateway": "Gateway id.",
    "user": "User id, as X-User-ID said.",
    "team": "Team id.",
    "tenant": "Tenant id, as X-Tenant-ID said.",
    "workflow": "Workflow.",
    "agent": "Agent id.",
    "session": "Session or conversation id.",
    "model": "Model, as requested.",
    "policy": "Policy that set the verdict, such as prompt-injection.",
    "reason_code": "Reason code, such as prompt_injection.detected.",
    "config_version": "Configuration version, such as support-prod@3.",
    "trace": "W3C trace id.",
    "incident": "Incident id.",
    "q": "Full text over the recorded, masked payload.",
}


def event_filters(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option per filter; it gets those that were given as ``where``."""

    @wraps(command)
    def filtered(**values: Any) -> None:
        where = {name: text for name in _HELP if (text := values.pop(name))}
        command(**values, where=where)

    own = inspect.signature(command, eval_str=True).parameters
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default="",
            annotation=Annotated[str, typer.Option(help=help_text, show_default=False)],
        )
        for name, help_text in _HELP.items()
    ]
    kept = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in own.items()
        if name != "where"
    ]
    parameters = [*kept[:1], *options, *kept[1:]]
    # Typer reads both; wraps() copied the ones that still say `where`.
    filtered.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    filtered.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return filtered
