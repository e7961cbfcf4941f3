"""``kt workflows``: the inventory, and what traffic says that is not in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from kintsugi.cli.client import Client
from kintsugi.cli.gateways import flat
from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.options import LimitOption
from kintsugi.cli.output import facts, listing, table

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(
    help="What runs on models: who owns it, what it risks, what it is made of.",
    no_args_is_help=True,
)

_COLUMNS = ("name", "tier", "business owner", "technical owner", "version", "gaps")
_KINDS = {
    "model": "models",
    "prompt": "prompts",
    "tool": "tools",
    "data_source": "data_sources",
}

NameArgument = Annotated[str, typer.Argument(help="As traffic says it in X-Workflow.")]
DescriptionOption = Annotated[str | None, typer.Option(help="What it does.")]
AreaOption = Annotated[
    list[str] | None,
    typer.Option(
        "--area",
        metavar="AREA=low|higher",
        help="An answer to a decision area; `kt workflows areas` shows them. Repeat it.",
    ),
]
TierOption = Annotated[
    str | None, typer.Option("--tier", help="In place of the computed tier; needs --reason.")
]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Why the tier is another one.")]
PartOption = Annotated[list[str] | None, typer.Option(metavar="NAME[==VERSION]", help="Repeat it.")]
PromptTextOption = Annotated[
    list[str] | None,
    typer.Option(
        "--prompt-text",
        metavar="NAME==VERSION=@FILE",
        help="The text of a prompt, so that `kt contain pin-prompt` can go back to it. Repeat it.",
    ),
]
PathOption = Annotated[
    list[str] | None,
    typer.Option("--escalate-to", help="Whom to call; repeat it in the order of calling."),
]
PlaybookOption = Annotated[str | None, typer.Option(help="Where its playbook stands.")]
NoteOption = Annotated[str, typer.Option(help="Why; kept with the version.")]
TrafficOption = Annotated[
    bool, typer.Option("--from-traffic", help="Name what traffic under this name was seen with.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what it would come to.")]


@app.command("list")
@online
def list_workflows(
    kt: Invocation,
    status: Annotated[str, typer.Option(help="active, retired or all.")] = "active",
    limit: LimitOption = 50,
) -> None:
    """Show the newest version of each, by name."""
    with kt.client() as client:
        found = list(client.all("/v1/workflows", {"status": status}, limit=limit))
    rows = (
        [
            one["workflow"]["name"],
            one["risk_tier"],
            one["workflow"]["business_owner"],
            one["workflow"]["technical_owner"],
            one["workflow"].get("version"),
            len(one["gaps"]) or "",
        ]
        for one in found
    )
    kt.output.result(found, lambda: table(_COLUMNS, rows, empty="none"))


@app.command("show")
@online
def show(
    kt: Invocation,
    name: NameArgument,
    version: Annotated[int | None, typer.Option(min=1, help="An earlier one.")] = None,
) -> None:
    """Show one, what it lacks, and what traffic says that it does not name."""
    path = _path(name) if version is None else f"{_path(name)}/versions/{version}"
    with kt.client() as client:
        found = client.get(path)
    kt.output.result(found, lambda: _told(found))


@app.command("versions")
@online
def versions(kt: Invocation, name: NameArgument) -> None:
    """Show who changed its registration, when and why."""
    with kt.client() as client:
        found = client.get(f"{_path(name)}/versions")
    columns = ("version", "at", "by", "status", "note")
    rows = (
        [one["workflow"].get(column, "active" if column == "status" else "") for column in columns]
        for one in found
    )
    kt.output.result(found, lambda: table(columns, rows, empty="none"))


@app.command("areas")
@online
def areas(kt: Invocation) -> None:
    """Show the questions that make a risk tier."""
    with kt.client() as client:
        found = client.get("/v1/workflows/areas")
    columns = ("id", "low", "higher", "required")
    kt.output.result(found, lambda: listing(columns, found["areas"]))


@app.command("unregistered")
@online
def unregistered(kt: Invocation, limit: LimitOption = 50) -> None:
    """Show names that traffic used and nobody registered, and what was seen under them."""
    with kt.client() as client:
        found = list(client.all("/v1/workflows/unregistered", limit=limit))
    columns = ("name", "standing", "events", "first seen", "last seen", "models", "tools")
    rows = (
        [
            one["name"],
            one["standing"],
            one["events"],
            one["first_seen_at"],
            one["last_seen_at"],
            _names(one, "model"),
            _names(one, "tool"),
        ]
        for one in found
    )
    kt.output.result(found, lambda: table(columns, rows, empty="none"))


@app.command("register")
@online
def register(
    kt: Invocation,
    name: NameArgument,
    business_owner: Annotated[
        str, typer.Option(help="Who answers for what it does.", show_default=False)
    ],
    technical_owner: Annotated[
        str, typer.Option(help="Who can change and stop it.", show_default=False)
    ],
    description: DescriptionOption = None,
    area: AreaOption = None,
    tier: TierOption = None,
    reason: ReasonOption = None,
    model: PartOption = None,
    prompt: PartOption = None,
    prompt_text: PromptTextOption = None,
    tool: PartOption = None,
    data_source: PartOption = None,
    escalate_to: PathOption = None,
    playbook: PlaybookOption = None,
    note: NoteOption = "",
    from_traffic: TrafficOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Register a workflow. Its risk tier follows from the areas; one without an answer counts as
    higher."""
    given = _given(
        business_owner=business_owner,
        technical_owner=technical_owner,
        description=description,
        areas=_areas(area),
        tier_override=_override(tier, reason),
        models=_parts(model),
        prompts=_prompts(prompt, prompt_text),
        tools=_parts(tool),
        data_sources=_parts(data_source),
        escalation_path=escalate_to,
        playbook=playbook,
    )
    with kt.client() as client:
        body = {"name": name, "note": note, **given}
        if from_traffic:
            seen = _seen_under(client, name)
            body |= {key: _merged(body.get(key, []), seen[key]) for key in _KINDS.values()}
        made = client.post("/v1/workflows", body, dry_run=dry_run)
    kt.output.result(made, lambda: _told(made))


@app.command("edit")
@online
def edit(
    kt: Invocation,
    name: NameArgument,
    business_owner: Annotated[str | None, typer.Option(help="Who answers for it.")] = None,
    technical_owner: Annotated[str | None, typer.Option(help="Who can stop it.")] = None,
    description: DescriptionOption = None,
    area: AreaOption = None,
    tier: TierOption = None,
    reason: ReasonOption = None,
    computed_tier: Annotated[
        bool, typer.Option("--computed-tier", help="Take an override of the tier back.")
    ] = False,
    model: PartOption = None,
    prompt: PartOption = None,
    prompt_text: PromptTextOption = None,
    tool: PartOption = None,
    data_source: PartOption = None,
    escalate_to: PathOption = None,
    playbook: PlaybookOption = None,
    note: NoteOption = "",
    from_traffic: TrafficOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Change a registration; what is not given stays. Lists are given whole, areas one by one."""
    if computed_tier and tier:
        raise typer.BadParameter("--tier and --computed-tier contradict each other")
    given = _given(
        business_owner=business_owner,
        technical_owner=technical_owner,
        description=description,
        tier_override=_override(tier, reason),
        models=_parts(model),
        tools=_parts(tool),
        data_sources=_parts(data_source),
        escalation_path=escalate_to,
        playbook=playbook,
    )
    with kt.client() as client:
        shown = client.get(_path(name))
        before = shown["workflow"]
        body = {**_body(before), **given, "note": note}
        prompts = _prompts(prompt, prompt_text, before.get("prompts", ()))
        body |= _given(prompts=prompts)
        body["areas"] = {**before.get("areas", {}), **(_areas(area) or {})}
        if computed_tier:
            body["tier_override"] = None
        if from_traffic:
            seen = _parts_seen(shown["seen"] or {})
            body |= {key: _merged(body.get(key, []), seen[key]) for key in _KINDS.values()}
        made = client.put(_path(name), body, dry_run=dry_run, version=before["version"])
    kt.output.result(made, lambda: _told(made))


@app.command("retire")
@online
def retire(
    kt: Invocation,
    name: NameArgument,
    reason: Annotated[
        str, typer.Option("--reason", help="Why; kept with the version.", show_default=False)
    ],
) -> None:
    """Say that it is not run any more; traffic under its name is a signal from now on."""
    with kt.client() as client:
        ended = client.post(f"{_path(name)}/retire", {"reason": reason})
    kt.output.result(ended, lambda: _told(ended))


def _path(name: str) -> str:
    return f"/v1/workflows/{quote(name, safe='')}"


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _areas(answers: list[str] | None) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for answer in answers or ():
        name, sign, value = answer.partition("=")
        if not sign or value not in ("low", "higher"):
            raise typer.BadParameter(f'--area: "{answer}"; write AREA=low or AREA=higher')
        found[name] = value
    return found or None


def _override(tier: str | None, reason: str | None) -> dict[str, str] | None:
    if (tier is None) is not (reason is None):
        raise typer.BadParameter("--tier and --reason go together")
    return {"tier": tier, "reason": reason} if tier is not None and reason is not None else None


def _parts(texts: list[str] | None) -> list[dict[str, str]] | None:
    if texts is None:
        return None
    split = (text.partition("==") for text in texts)
    return [{"name": name, "version": version} for name, _, version in split]


def _prompts(
    prompts: list[str] | None, texts: list[str] | None, before: Sequence[dict[str, str]] = ()
) -> list[dict[str, str]] | None:
    """Prompts as they are named, with the texts that stand in files or were there before."""
    if prompts is None and texts is None:
        return None
    known = {(one["name"], one["version"]): one for one in before}
    found = known
    if prompts is not None:
        named = {(one["name"], one["version"]): one for one in _parts(prompts) or ()}
        found = {key: known.get(key, one) for key, one in named.items()}
    for given in texts or ():
        prompt, sign, file = given.partition("=@")
        if not sign:
            raise typer.BadParameter(f'--prompt-text: "{given}"; write NAME==VERSION=@FILE')
        for part in _parts([prompt]) or ():
            text = _read(Path(file))
            found[part["name"], part["version"]] = {**part, "text": text}
    return list(found.values())


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"--prompt-text: {file}: {error}") from None


def _body(workflow: Mapping[str, Any]) -> dict[str, Any]:
    """What a registration is made of, as an edit takes it."""
    kept = ("business_owner", "technical_owner", "description", "escalation_path", "playbook")
    body = {name: workflow[name] for name in (*kept, *_KINDS.values()) if name in workflow}
    override = workflow.get("override")
    if override:
        body["tier_override"] = {"tier": override["tier"], "reason": override["reason"]}
    return body


def _seen_under(client: Client, name: str) -> dict[str, list[dict[str, str]]]:
    for one in client.all("/v1/workflows/unregistered", limit=None):
        if one["name"] == name:
            return _parts_seen(one)
    raise typer.BadParameter(f'--from-traffic: no traffic was seen under "{name}"')


def _parts_seen(seen: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    return {
        key: [
            {"name": part["name"], "version": part["version"]}
            for part in seen.get("parts", ())
            if part["kind"] == kind and part["name"] != "…"
        ]
        for kind, key in _KINDS.items()
    }


def _merged(given: list[dict[str, str]], seen: list[dict[str, str]]) -> list[dict[str, str]]:
    named: dict[tuple[str, str], dict[str, str]] = {}
    for one in (*given, *seen):
        named.setdefault((one["name"], one.get("version", "")), one)
    return list(named.values())


def _names(seen: Mapping[str, Any], kind: str) -> list[str]:
    return list(dict.fromkeys(one["name"] for one in seen["parts"] if one["kind"] == kind))


def _told(found: Mapping[str, Any]) -> RenderableType:
    workflow = dict(found["workflow"])
    for name in _KINDS.values():
        workflow[name] = [_shown(part) for part in workflow.get(name, ())]
    workflow["steps"] = "\n".join(workflow.pop("steps", ()))
    lines = [("risk tier", found["risk_tier"]), *flat(workflow)]
    lines += [(f"lacks {gap['where']}", gap["message"]) for gap in found["gaps"]]
    lines += list(found.get("required", {}).items())
    seen = found.get("seen")
    if seen:
        lines += [("events", seen["events"]), ("last seen", seen["last_seen_at"])]
    lines += [
        (
            f"not named: {part['kind']}",
            f"{_shown(part)}, {part['times']} times, last seen {part['last_seen_at']}",
        )
        for part in found.get("drift", ())
    ]
    return facts(lines)


def _shown(part: Mapping[str, Any]) -> str:
    return f"{part['name']}=={part['version']}" if part.get("version") else str(part["name"])
