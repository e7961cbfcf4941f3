"""Workflows: what an organisation runs on models, who owns it, how much it risks, and what it is
made of; and what traffic was seen under which workflow's name.

Implemented by ``store/workflows.py`` on PostgreSQL and by ``store/memory_workflows.py``; both pass
the same contract tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal, Protocol, cast

import msgspec

from kintsugi.model.seen_parts import STATE_KINDS, PartKind, SeenKind, Sighting
from kintsugi.model.signal import Observation

RiskTier = Literal["low", "medium", "high", "critical"]
AreaAnswer = Literal["low", "higher"]
WorkflowStatus = Literal["active", "retired"]
Standing = Literal["registered", "unregistered", "retired"]

#: Of a workflow's name, in characters; what traffic says beyond it is cut.
NAME_CHARS_MAX: Final = 200
# Callers choose what they say in X-Workflow: names beyond so many are counted as one.
NAMES_SEEN_MAX: Final = 10_000
PARTS_SEEN_MAX: Final = 200
#: Of each kind that only traffic tells, so many states of a workflow are kept: the newest.
STATES_SEEN_MAX: Final = 200
#: Stands for all names, or parts of one workflow, beyond those.
FURTHER: Final = "…"


class Part(msgspec.Struct, frozen=True):
    """A model, prompt, tool or data source.

    Attributes:
        version: empty where any version is meant.
    """

    name: str
    version: str = ""


class Prompt(Part, frozen=True):
    """A prompt, with its text where the inventory keeps that: what ``pin-prompt`` goes back to."""

    text: str = ""


class TierOverride(msgspec.Struct, frozen=True):
    """A person's tier in place of the computed one."""

    tier: RiskTier
    reason: str
    by: str
    at: datetime


class Workflow(msgspec.Struct, frozen=True):
    """One version of a workflow's registration. Versions never change; an edit makes the next one.

    Attributes:
        name: as traffic says it in ``X-Workflow``.
        business_owner: who answers for what it does to people and money.
        technical_owner: who can change and stop it.
        areas: answers by decision area; an area that is left out is unknown.
        computed_tier, steps: what the areas come to, and how.
        escalation_path: whom to call, in this order.
        playbook: where its playbook stands; empty for none.
        by: ``NAME/ID`` of the token that made this version; ``note`` says why.
    """

    name: str
    business_owner: str
    technical_owner: str
    at: datetime
    by: str
    version: int = 0
    status: WorkflowStatus = "active"
    description: str = ""
    areas: dict[str, AreaAnswer] = {}
    computed_tier: RiskTier = "low"
    steps: tuple[str, ...] = ()
    override: TierOverride | None = None
    models: tuple[Part, ...] = ()
    prompts: tuple[Prompt, ...] = ()
    tools: tuple[Part, ...] = ()
    data_sources: tuple[Part, ...] = ()
    escalation_path: tuple[str, ...] = ()
    playbook: str = ""
    note: str = ""

    @property
    def tier(self) -> RiskTier:
        """The one that counts: an override before the computed one."""
        return self.override.tier if self.override is not None else self.computed_tier

    def parts(self, kind: PartKind) -> tuple[Part, ...]:
        """What it is made of, of one kind."""
        match kind:
            case "model":
                return self.models
            case "prompt":
                return self.prompts
            case "tool":
                return self.tools
            case "data_source":
                return self.data_sources

    def names(self, kind: SeenKind, name: str, version: str) -> bool:
        """Whether the registration names this part, in this version or in any. What only traffic
        tells differs from no registration.

        Where no version was told, none can differ. Requests may ask for a model by what is the
        version of a shorter name.
        """
        if kind in STATE_KINDS:
            return True
        return any(
            (part.name == name and ("" in (part.version, version) or part.version == version))
            or (kind == "model" and part.version == name)
            for part in self.parts(cast("PartKind", kind))
        )


class SeenPart(msgspec.Struct, frozen=True):
    """A model, prompt, tool or data source that traffic of a workflow used.

    Attributes:
        times: in how many events or spans.
        named: whether the registration names it; False where there is none.
    """

    kind: SeenKind
    name: str
    version: str
    first_seen_at: datetime
    last_seen_at: datetime
    times: int
    named: bool


class SeenWorkflow(msgspec.Struct, frozen=True):
    """Traffic under one name.

    Attributes:
        events: how many decisions said it.
        parts: by kind and name; empty where only the list of names was asked for.
    """

    name: str
    standing: Standing
    first_seen_at: datetime
    last_seen_at: datetime
    events: int
    parts: tuple[SeenPart, ...] = ()


class NewSighting(msgspec.Struct, frozen=True):
    """What was not held against the registration yet.

    Attributes:
        name_is_new: the name itself was not, besides its parts.
    """

    name: str
    since: datetime
    name_is_new: bool
    parts: Sequence[tuple[SeenKind, str, str]]


class WorkflowStore(Protocol):
    """Registrations by name and version, and what traffic said."""

    def put(self, workflow: Workflow, *, expected_version: int | None) -> Workflow:
        """Make this the newest version and add its leaf to the log; signals about what it settles
        end.

        Args:
            workflow: its ``version`` does not count.
            expected_version: of the newest version before it; 0 where there must be none.

        Raises:
            VersionConflict: the newest version is another one.
        """

    def get(self, name: str, version: int | None = None) -> Workflow:
        """One version, the newest where none is named.

        Raises:
            NotFound: there is no such workflow, or no such version.
        """

    def versions(self, name: str) -> list[Workflow]:
        """Newest first; empty where nothing is registered under this name."""

    def page(self, status: WorkflowStatus | None, *, limit: int, after: str = "") -> list[Workflow]:
        """The newest version of each, by name, behind the name ``after``."""

    def count(self, status: WorkflowStatus | None) -> int:
        """How many there are."""

    def seen(self, name: str) -> SeenWorkflow | None:
        """What traffic used this name, with its parts; None where there was none."""

    def strangers(self, *, limit: int, after: str = "") -> list[SeenWorkflow]:
        """Names that traffic used and that are not registered, or not any more; with their parts,
        by name, behind the name ``after``."""

    def count_strangers(self) -> int:
        """How many such names there are."""

    def note(self, sightings: Iterable[Sighting], *, now: datetime) -> None:
        """Count what traffic said. What is new and not as registered raises one signal."""


def stranger_key(name: str) -> str:
    """The key of the signal about traffic under a name."""
    return f"workflow_unregistered:{name}"


def drift_key(name: str, kind: SeenKind, part: str, version: str) -> str:
    """The key of the signal about a part that the registration does not name."""
    return f"workflow_drift:{name}:{kind}:{part}@{version}"


def about_stranger(name: str, standing: Standing, *, since: datetime) -> Observation:
    """What to say of traffic under a name that is not registered, or not any more."""
    why = "which is retired" if standing == "retired" else "which nobody registered"
    return Observation(
        "workflow_unregistered",
        stranger_key(name),
        "medium",
        f"workflow:{name}",
        f'Traffic says it belongs to workflow "{name}", {why}; first seen {since.isoformat()}. '
        "Register it, or stop it.",
        {"workflow": name, "standing": standing},
    )


def about_drift(workflow: Workflow, kind: SeenKind, part: str, version: str) -> Observation:
    """What to say of a part that a registration does not name."""
    shown = f"{part} {version}".strip()
    return Observation(
        "workflow_drift",
        drift_key(workflow.name, kind, part, version),
        "high" if workflow.tier in ("high", "critical") else "medium",
        f"workflow:{workflow.name}",
        f'Workflow "{workflow.name}" was seen with {kind.replace("_", " ")} "{shown}", which '
        f"version {workflow.version} of its registration does not name.",
        {"workflow": workflow.name, "kind": kind, "name": part, "version": version},
    )


def observations(new: NewSighting, registered: Workflow | None) -> list[Observation]:
    """What is to be said of traffic, held against the newest version of its registration."""
    if registered is None or registered.status == "retired":
        standing: Standing = "unregistered" if registered is None else "retired"
        return [about_stranger(new.name, standing, since=new.since)] if new.name_is_new else []
    return [
        about_drift(registered, kind, part, version)
        for kind, part, version in new.parts
        if not registered.names(kind, part, version)
    ]


def settled(workflow: Workflow, seen: Iterable[SeenPart]) -> list[str]:
    """The keys of the signals that are over with this version."""
    over = [
        drift_key(workflow.name, part.kind, part.name, part.version)
        for part in seen
        if workflow.status == "retired" or workflow.names(part.kind, part.name, part.version)
    ]
    return over if workflow.status == "retired" else [stranger_key(workflow.name), *over]
