"""``/v1/workflows``: the inventory, and what traffic says that is not in it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from kintsugi.api.answers import Meta, One, Page, one, reply, whole
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.edits import DryRun, IfMatch, etag, expected_version
from kintsugi.api.permissions import Scope
from kintsugi.api.pins import PIN_CHARS_MAX
from kintsugi.api.problems import FieldError, Invalid, did_you_mean
from kintsugi.api.routing import Routes
from kintsugi.errors import InvalidInput, StateConflict, VersionConflict
from kintsugi.incidents.risk import DecisionFramework, Gap, framework, gaps_of, tier_of
from kintsugi.model.tokens import Token
from kintsugi.model.workflow import (
    NAME_CHARS_MAX,
    AreaAnswer,
    Part,
    Prompt,
    RiskTier,
    SeenPart,
    SeenWorkflow,
    TierOverride,
    Workflow,
)

routes = Routes("workflows")

_PARTS_MAX = 500
_PLAIN = r"^[^\x00-\x1f\x7f]+$"

Name = Annotated[str, Field(min_length=1, max_length=NAME_CHARS_MAX, pattern=_PLAIN)]
Words = Annotated[str, Field(max_length=10_000)]
Word = Annotated[str, Field(max_length=NAME_CHARS_MAX, pattern=r"^[^\x00-\x1f\x7f]*$")]
WorkflowName = Annotated[
    str, Path(max_length=NAME_CHARS_MAX, description="As traffic says it in X-Workflow.")
]
VersionNumber = Annotated[int, Path(ge=1, lt=2**31)]


class PartBody(BaseModel):
    """A model, prompt, tool or data source; without a version, any version is meant."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    version: Word = ""


class PromptBody(PartBody):
    """A prompt, with its text where `pin-prompt` shall be able to go back to it."""

    text: Annotated[str, Field(max_length=PIN_CHARS_MAX)] = ""


Parts = Annotated[list[PartBody], Field(max_length=_PARTS_MAX, default_factory=list)]
Prompts = Annotated[list[PromptBody], Field(max_length=_PARTS_MAX, default_factory=list)]


class OverrideBody(BaseModel):
    """A tier in place of the computed one, and why."""

    model_config = ConfigDict(extra="forbid")

    tier: RiskTier
    reason: Annotated[str, Field(min_length=1, max_length=2000)]


class Registration(BaseModel):
    """All that is known of a workflow; what is left out is not known.

    Attributes:
        areas: ``low`` or ``higher`` by decision area; one that is left out counts as higher.
        escalation_path: whom to call, in this order.
        playbook: where its playbook stands.
        note: why it is registered or changed.
    """

    model_config = ConfigDict(extra="forbid")

    business_owner: Name
    technical_owner: Name
    description: Words = ""
    areas: dict[str, AreaAnswer] = Field(default_factory=dict)
    tier_override: OverrideBody | None = None
    models: Parts
    prompts: Prompts
    tools: Parts
    data_sources: Parts
    escalation_path: Annotated[list[Name], Field(max_length=50, default_factory=list)]
    playbook: Annotated[str, Field(max_length=2000)] = ""
    note: Annotated[str, Field(max_length=2000)] = ""


class NewRegistration(Registration):
    """A workflow that is not registered yet."""

    name: Name


class Retirement(BaseModel):
    """Why it is not run any more."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(min_length=1, max_length=2000)]


class WorkflowsQuery(BaseModel):
    """Which workflows; those that are not retired, unless asked otherwise."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["active", "retired", "all"] = "active"
    limit: Annotated[int, Field(ge=0, le=200)] = 50
    cursor: Annotated[str, Field(max_length=NAME_CHARS_MAX)] = ""


class StrangersQuery(BaseModel):
    """A page of names."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=0, le=200)] = 50
    cursor: Annotated[str, Field(max_length=NAME_CHARS_MAX)] = ""


class WorkflowView(msgspec.Struct, frozen=True):
    """One version of a registration.

    Attributes:
        risk_tier: the one that counts.
        gaps: what the registration lacks for its tier.
    """

    workflow: Workflow
    risk_tier: RiskTier
    gaps: tuple[Gap, ...]


class WorkflowInTraffic(msgspec.Struct, frozen=True):
    """The newest version of a registration, held against what was seen.

    Attributes:
        seen: what traffic used this name; null where there was none.
        drift: what was seen of it and is not named.
        required: the capabilities that its decision areas ask for, by area.
    """

    workflow: Workflow
    risk_tier: RiskTier
    gaps: tuple[Gap, ...]
    required: dict[str, str]
    seen: SeenWorkflow | None
    drift: tuple[SeenPart, ...]


@routes.add(
    "POST",
    "/v1/workflows",
    Scope.WORKFLOWS_WRITE,
    answer=One[WorkflowView],
    dry_run=One[WorkflowView],
    status=201,
    parameters=True,
)
def register_workflow(
    control: Ctl, caller: Caller, wanted: NewRegistration, query: DryRun
) -> Response:
    """Register a workflow; its risk tier is computed from the answers."""
    if wanted.name == "unregistered":
        raise InvalidInput('body.name: "unregistered" is an address of this API; choose another')
    if control.stores.workflows.versions(wanted.name):
        raise StateConflict(
            f'"{wanted.name}" is registered; change it with PUT /v1/workflows/{wanted.name}'
        )
    made = _made(control, caller, wanted.name, wanted, None)
    if query.dry_run:
        return one(view_of(made))
    kept = control.stores.workflows.put(made, expected_version=0)
    return one(view_of(kept), status=201, headers={"etag": etag(kept.version)})


@routes.add(
    "GET", "/v1/workflows", Scope.WORKFLOWS_READ, answer=Page[WorkflowView], parameters=True
)
def list_workflows(control: Ctl, query: Annotated[WorkflowsQuery, Query()]) -> Response:
    """The newest version of each, by name."""
    store = control.stores.workflows
    status = None if query.status == "all" else query.status
    total = store.count(status)
    found = store.page(status, limit=query.limit + 1, after=query.cursor) if query.limit else []
    shown = found[: query.limit]
    cursor = shown[-1].name if len(found) > len(shown) else None
    return reply(Page([view_of(each) for each in shown], Meta(total, next_cursor=cursor)))


@routes.add("GET", "/v1/workflows/areas", Scope.WORKFLOWS_READ, answer=One[DecisionFramework])
def workflow_areas() -> Response:
    """The questions that make a risk tier, with their source."""
    return one(framework())


@routes.add(
    "GET",
    "/v1/workflows/unregistered",
    Scope.WORKFLOWS_READ,
    answer=Page[SeenWorkflow],
    parameters=True,
)
def list_unregistered_workflows(
    control: Ctl, query: Annotated[StrangersQuery, Query()]
) -> Response:
    """Names that traffic used and that nobody registered, or that are retired, by name."""
    store = control.stores.workflows
    total = store.count_strangers()
    found = store.strangers(limit=query.limit + 1, after=query.cursor) if query.limit else []
    shown = found[: query.limit]
    cursor = shown[-1].name if len(found) > len(shown) else None
    return reply(Page(shown, Meta(total, next_cursor=cursor)))


@routes.add(
    "GET",
    "/v1/workflows/{name:path}/versions",
    Scope.WORKFLOWS_READ,
    answer=Page[WorkflowView],
)
def list_workflow_versions(control: Ctl, name: WorkflowName) -> Response:
    """Every version, newest first."""
    store = control.stores.workflows
    return whole([view_of(each) for each in store.versions(name) or [store.get(name)]])


@routes.add(
    "GET",
    "/v1/workflows/{name:path}/versions/{version}",
    Scope.WORKFLOWS_READ,
    answer=One[WorkflowView],
)
def show_workflow_version(control: Ctl, name: WorkflowName, version: VersionNumber) -> Response:
    """One version, as it was."""
    return one(view_of(control.stores.workflows.get(name, version)))


@routes.add(
    "POST",
    "/v1/workflows/{name:path}/retire",
    Scope.WORKFLOWS_WRITE,
    answer=One[WorkflowView],
    parameters=True,
)
def retire_workflow(
    control: Ctl,
    caller: Caller,
    name: WorkflowName,
    retirement: Retirement,
    query: DryRun,
    if_match: IfMatch = None,
) -> Response:
    """It is not run any more; traffic under its name is a signal from now on."""
    before = control.stores.workflows.get(name)
    if before.status == "retired":
        raise StateConflict(f'"{name}" is retired already; PUT registers it again')
    ended = msgspec.structs.replace(
        before,
        status="retired",
        at=control.clock(),
        by=actor_of(caller),
        note=retirement.reason.strip(),
    )
    return _keep(control, ended, before.version, if_match, dry_run=query.dry_run)


@routes.add(
    "PUT",
    "/v1/workflows/{name:path}",
    Scope.WORKFLOWS_WRITE,
    answer=One[WorkflowView],
    parameters=True,
)
def edit_workflow(
    control: Ctl,
    caller: Caller,
    name: WorkflowName,
    wanted: Registration,
    query: DryRun,
    if_match: IfMatch = None,
) -> Response:
    """Make this the newest version of a registration; one that was retired runs again."""
    before = control.stores.workflows.get(name)
    made = _made(control, caller, name, wanted, before.override)
    return _keep(control, made, before.version, if_match, dry_run=query.dry_run)


@routes.add(
    "GET",
    "/v1/workflows/{name:path}",
    Scope.WORKFLOWS_READ,
    answer=One[WorkflowInTraffic],
)
def show_workflow(control: Ctl, name: WorkflowName) -> Response:
    """One workflow, held against what traffic says. Send its ETag as If-Match with a change."""
    found = control.stores.workflows.get(name)
    seen = control.stores.workflows.seen(name)
    shown = WorkflowInTraffic(
        workflow=found,
        risk_tier=found.tier,
        gaps=gaps_of(found),
        required={
            area.id: area.required
            for area in framework().areas
            if found.areas.get(area.id) != "low"
        },
        seen=seen,
        drift=tuple(part for part in seen.parts if not part.named) if seen else (),
    )
    return one(shown, headers={"etag": etag(found.version)})


def view_of(workflow: Workflow) -> WorkflowView:
    """As lists and changes show it."""
    return WorkflowView(workflow, workflow.tier, gaps_of(workflow))


def _made(
    control: Control,
    caller: Token,
    name: str,
    wanted: Registration,
    before: TierOverride | None,
) -> Workflow:
    known = [area.id for area in framework().areas]
    unknown = [area for area in wanted.areas if area not in known]
    if unknown:
        raise Invalid(
            [
                FieldError(
                    f"body.areas.{area}",
                    "is no decision area",
                    code="input.unknown",
                    help=did_you_mean(area, known),
                )
                for area in unknown
            ]
        )
    computed = tier_of(wanted.areas)
    now, actor = control.clock(), actor_of(caller)
    override = None
    if (given := wanted.tier_override) is not None:
        override = TierOverride(given.tier, given.reason, actor, now)
        if before is not None and (before.tier, before.reason) == (given.tier, given.reason):
            override = before  # an edit of something else; whose it is stays
    return Workflow(
        name=name,
        business_owner=wanted.business_owner,
        technical_owner=wanted.technical_owner,
        at=now,
        by=actor,
        description=wanted.description,
        areas=wanted.areas,
        computed_tier=computed.tier,
        steps=computed.steps,
        override=override,
        models=_parts(wanted.models),
        prompts=_prompts(wanted.prompts),
        tools=_parts(wanted.tools),
        data_sources=_parts(wanted.data_sources),
        escalation_path=tuple(wanted.escalation_path),
        playbook=wanted.playbook,
        note=wanted.note,
    )


def _parts(bodies: list[PartBody]) -> tuple[Part, ...]:
    return tuple(dict.fromkeys(Part(each.name, each.version) for each in bodies))


def _prompts(bodies: list[PromptBody]) -> tuple[Prompt, ...]:
    texts: dict[tuple[str, str], str] = {}
    for each in bodies:
        key = each.name, each.version
        if each.text and texts.get(key):
            raise InvalidInput(f'body.prompts: "{each.name}" {each.version} has two texts')
        texts[key] = each.text or texts.get(key, "")
    if sum(map(len, texts.values())) > PIN_CHARS_MAX:
        raise InvalidInput(
            f"body.prompts: their texts have more than {PIN_CHARS_MAX:,} characters in all"
        )
    return tuple(Prompt(name, version, text) for (name, version), text in texts.items())


def _keep(
    control: Control, made: Workflow, before: int, if_match: str | None, *, dry_run: bool
) -> Response:
    expected = expected_version(if_match)
    if dry_run:
        if expected not in (None, before):
            raise VersionConflict
        return one(view_of(msgspec.structs.replace(made, version=before + 1)))
    kept = control.stores.workflows.put(made, expected_version=expected)
    return one(view_of(kept), headers={"etag": etag(kept.version)})
