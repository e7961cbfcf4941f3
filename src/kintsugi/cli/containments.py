"""``kt contain``, ``kt release``, ``kt containments``: stop harm at once, and end that again."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.gateways import flat
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import Output, facts, table
from kintsugi.model.containment import LeverName

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(help="What people have contained.", no_args_is_help=True)

_COLUMNS = ("id", "lever", "scope", "owner", "expires_at", "reason")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_POLL_SECONDS = 0.05
LEVERS = get_args(LeverName)

Many = list[str]


@online
def contain(
    kt: Invocation,
    lever: Annotated[str, typer.Argument(help=f"One of: {', '.join(LEVERS)}.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with it.", show_default=False)],
    workflow: Annotated[str, typer.Option(help="Only this workflow; * in any name.")] = "",
    agent: Annotated[str, typer.Option(help="Only this agent.")] = "",
    session: Annotated[str, typer.Option(help="Only this session.")] = "",
    user: Annotated[str, typer.Option(help="Only this user.")] = "",
    team: Annotated[str, typer.Option(help="Only this team.")] = "",
    tenant: Annotated[str, typer.Option(help="Only this tenant.")] = "",
    key: Annotated[str, typer.Option(help="Only callers with this gateway key.")] = "",
    model: Annotated[str, typer.Option(help="Only requests for this model.")] = "",
    region: Annotated[str, typer.Option(help="Only where X-Region says so.")] = "",
    language: Annotated[str, typer.Option(help="Only users who write in it, such as de.")] = "",
    everybody: Annotated[
        bool, typer.Option("--everybody", help="Needed where nothing narrows it down.")
    ] = False,
    tool: Annotated[Many, typer.Option(help="For disable-tools and only-tools; repeat it.")] = [],  # noqa: B006
    source: Annotated[Many, typer.Option(help="For block-sources; repeat it.")] = [],  # noqa: B006
    term: Annotated[Many, typer.Option(help="For add-filter: words; repeat it.")] = [],  # noqa: B006
    pattern: Annotated[Many, typer.Option(help="For add-filter: RE2; repeat it.")] = [],  # noqa: B006
    requests: Annotated[int, typer.Option(min=0, help="For rate-limit.")] = 0,
    window: Annotated[str, typer.Option(help="For rate-limit: in how much time.")] = "1m",
    max_context_chars: Annotated[int, typer.Option(min=0, help="For cap-context.")] = 0,
    max_output_tokens: Annotated[int, typer.Option(min=0, help="For cap-context.")] = 0,
    to_model: Annotated[str, typer.Option(help="For swap-model: the model to ask.")] = "",
    to_prompt: Annotated[
        str, typer.Option(help="For pin-prompt: NAME==VERSION, as `kt workflows` names it.")
    ] = "",
    to_version: Annotated[
        str, typer.Option(help="For pin-policy: the version whose policies decide, ID@NUMBER.")
    ] = "",
    policy: Annotated[
        Many, typer.Option(help="For bypass: only these kinds of policy; repeat it.")
    ] = [],  # noqa: B006
    hold_seconds: Annotated[
        float, typer.Option(min=0, help="For review: how long an answer waits.")
    ] = 0.0,
    lasts: Annotated[str, typer.Option("--for", help="It ends by itself: 30m, 1h, 7d.")] = "1h",
    owner: Annotated[str, typer.Option(help="Who answers for it; the token's name if not.")] = "",
    incident: Annotated[str, typer.Option(help="The incident it belongs to.")] = "",
    declare: Annotated[
        str | None, typer.Option(help="Declare an incident of this title with it.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would hit.")] = False,
    wait_seconds: Annotated[
        float, typer.Option(min=0, help="How long to wait until every gateway has it.")
    ] = 5.0,
) -> None:
    """Contain harm on every connected gateway within a second; says what was in scope in the last
    hour, and where it is in force.

    What loosens control waits for `kt containments approve` by another person. Exit code 1 where a
    connected gateway does not have it in time.
    """
    scope = {
        "workflow": workflow,
        "agent": agent,
        "session": session,
        "user": user,
        "team": team,
        "tenant": tenant,
        "key": key,
        "model": model,
        "region": region,
        "language": language,
    }
    if not any(scope.values()) and not everybody:
        raise typer.BadParameter(
            "this would be about everybody: narrow it down with --workflow, --agent and the like, "
            "or say --everybody"
        )
    prompt, _, prompt_version = to_prompt.partition("==")
    body = {
        "lever": {
            "name": _lever(lever),
            "tools": tool,
            "sources": source,
            "terms": term,
            "patterns": pattern,
            "requests": requests,
            "window_seconds": _seconds(window, "--window"),
            "max_context_chars": max_context_chars,
            "max_output_tokens": max_output_tokens,
            "model": to_model,
            "hold_seconds": hold_seconds,
            "policies": policy,
            "config_version": to_version,
            "prompt": prompt,
            "prompt_version": prompt_version,
        },
        "scope": scope,
        "reason": reason,
        "owner": owner,
        "expires_in_seconds": _seconds(lasts, "--for"),
        "incident_id": incident,
        "declare": declare,
    }
    path = "/v1/containments"
    began = time.monotonic()
    with kt.client() as client:
        if dry_run:
            found = client.post(path, body, dry_run=True)
            kt.output.result(found, lambda: _told(found))
            return
        made = client.post(path, body)
        if (declared := made["declared"]) is not None:
            incident = declared["reference"]
            kt.output.say(f"declared {incident}" if incident else f"no incident: {declared['why']}")
        if incident and (snapshot := made.get("snapshot")):
            done = snapshot["status"] == "queued"
            kt.output.say(
                f"evidence of the last hour is being frozen for {incident}"
                if done
                else f"no evidence was frozen: {snapshot['why']}"
            )
        if made["status"] == "waiting":
            kt.output.result(made, lambda: _told(made))
            return
        _in_force(client, made, kt.output, began=began, wait_seconds=wait_seconds)


@online
def release(
    kt: Invocation,
    containment_id: Annotated[str, typer.Argument(help="As `kt containments list` shows it.")],
    reason: Annotated[
        str, typer.Option("--reason", help="Why; kept with the release.", show_default=False)
    ],
    wait_seconds: Annotated[
        float, typer.Option(min=0, help="How long to wait until no gateway has it any more.")
    ] = 5.0,
) -> None:
    """End a containment, on every connected gateway within a second; or withdraw one that waits.

    Exit code 1 where a connected gateway still has it when time is up.
    """
    began = time.monotonic()
    path = f"/v1/containments/{containment_id}"
    with kt.client() as client:
        found = dict(client.post(f"{path}/release", {"reason": reason}))
        while _still_held(found) and time.monotonic() - began < wait_seconds:
            time.sleep(_POLL_SECONDS)
            found = dict(client.get(path))
    found["seconds"] = round(time.monotonic() - began, 3)
    kt.output.result(found, lambda: _told(found))
    if _still_held(found):
        raise typer.Exit(1)


def _still_held(found: Mapping[str, Any]) -> bool:
    return any(one["connected"] and one["contained_workers"] for one in found["gateways"])


@app.command("list")
@online
def list_containments(
    kt: Invocation,
    status: Annotated[str, typer.Option(help="in_force, waiting, ended or all.")] = "in_force",
    limit: LimitOption = 50,
) -> None:
    """Show containments, newest first."""
    with kt.client() as client:
        found = list(client.all("/v1/containments", {"status": status}, limit=limit))
    rows = (
        [
            one["id"],
            one["lever"]["name"],
            _scope(one["scope"]),
            one["owner"],
            one["expires_at"],
            one["reason"],
        ]
        for one in found
    )
    kt.output.result(found, lambda: table(_COLUMNS, rows, empty="none"))


@app.command("approve")
@online
def approve(
    kt: Invocation,
    containment_id: Annotated[str, typer.Argument(help="As `kt containments list` shows it.")],
    wait_seconds: Annotated[
        float, typer.Option(min=0, help="How long to wait until every gateway has it.")
    ] = 5.0,
) -> None:
    """Put in force what another person asked for, where it loosens control.

    Exit code 1 where a connected gateway does not have it in time.
    """
    began = time.monotonic()
    with kt.client() as client:
        made = client.post(f"/v1/containments/{containment_id}/approve", {})
        _in_force(client, made, kt.output, began=began, wait_seconds=wait_seconds)


@app.command("show")
@online
def show(
    kt: Invocation,
    containment_id: Annotated[str, typer.Argument(help="As `kt containments list` shows it.")],
) -> None:
    """Show one, and where it is in force."""
    with kt.client() as client:
        found = client.get(f"/v1/containments/{containment_id}")
    kt.output.result(found, lambda: _told(found))


def _lever(name: str) -> str:
    if name not in LEVERS:
        raise typer.BadParameter(f'"{name}" is no lever; use one of: {", ".join(LEVERS)}')
    return name


def _seconds(text: str, option: str) -> int:
    found = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if found is None:
        raise typer.BadParameter(f'{option}: "{text}" is no length of time; use 30m, 1h or 7d')
    return int(found[1]) * _UNITS[found[2]]


def _in_force(
    client: Client, made: Mapping[str, Any], output: Output, *, began: float, wait_seconds: float
) -> None:
    """Tell of it once every connected gateway has it, or time is up; and how long that took since
    it was asked for."""
    found = dict(made)
    while (
        not found["everywhere"]
        and any(one["connected"] for one in found["gateways"])
        and time.monotonic() - began < wait_seconds
    ):
        time.sleep(_POLL_SECONDS)
        found = dict(client.get(f"/v1/containments/{made['containment']['id']}"))
    found["seconds"] = round(time.monotonic() - began, 3)
    found |= {name: made[name] for name in ("preview", "snapshot", "pinned", "declared")}
    output.result(found, lambda: _told(found))
    if not found["everywhere"] and any(one["connected"] for one in found["gateways"]):
        raise typer.Exit(1)


def _told(found: Mapping[str, Any]) -> RenderableType:
    shown = dict(found["containment"])
    shown["lever"] = " ".join(_words(shown["lever"]))
    shown["scope"] = _scope(shown["scope"])
    broken = shown.pop("breaks", None)
    lines = [("status", found["status"]), *flat(shown)]
    if broken is not None:
        lines.append(("breaks", _broken(broken)))
    preview = found.get("preview")
    if preview is not None:
        least = "at least " if preview["at_least"] else ""
        rest = ", ".join(preview["not_counted"])
        most = f"; at most: {rest} cannot be counted" if rest else ""
        lines.append(("in scope in the last hour", f"{least}{preview['exchanges']}{most}"))
    lines += _pinned(found.get("pinned"))
    traffic = found.get("traffic")
    if traffic is not None:
        least = "at least " if traffic["at_least"] else ""
        said = f"{least}{traffic['in_scope']} in scope, {traffic['decided']} decided by it"
        lines.append(("traffic since then", said))
    for one in found["gateways"]:
        where = f"in force on {one['contained_workers']} of {one['workers']} workers"
        lines.append((one["gateway_id"], where if one["connected"] else f"away; {where}"))
    if not found["gateways"] and found["status"] != "dry_run":
        lines.append(("gateways", "none is registered"))
    elif found["everywhere"] and "seconds" in found:
        lines.append(("in force everywhere", f"after {found['seconds']:.2f} s"))
    return facts(lines)


def _broken(broken: Mapping[str, Any]) -> str:
    """The regression cases of closed incidents that do not hold in its scope."""
    names = broken["regression_ids"]
    more = ", ..." if broken["count"] > len(names) else ""
    cases = "1 regression case" if broken["count"] == 1 else f"{broken['count']} regression cases"
    return f"{cases} of closed incidents: {', '.join(names)}{more}"


def _pinned(pinned: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """What it pins, and how that differs from what is in force without it."""
    if pinned is None:
        return []
    if pinned["kind"] == "prompt":
        where = pinned["compared_with"]
        text = f"its text is in {where}" if where else "only where a request names it"
        return [("pinned prompt", f"{pinned['name']} {pinned['version']}; {text}")]
    told = "not known to be as strict: a second person approves" if pinned["weaker"] else "stricter"
    if not pinned["changes"]:
        told = "decides alike"
    lines = [("pinned policies", f"{told}, against {pinned['compared_with']}")]
    return lines + [
        (one["path"], f"{one['what']}: {one['direction']}") for one in pinned["changes"]
    ]


def _scope(scope: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in scope.items()) or "everybody"


def _words(lever: Mapping[str, Any]) -> list[str]:
    return [
        value if name == "name" else f"{name}={value}"
        for name, value in lever.items()
        if value not in ([], "", 0) and not (name == "window_seconds" and "requests" not in lever)
    ]
