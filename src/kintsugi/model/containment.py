"""What people put in force to stop harm at once: time-boxed, scoped, owned, and over by itself."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec

from kintsugi.model.incident import Change, Incident

LeverName = Literal[
    "stop",
    "review",
    "disable-tools",
    "only-tools",
    "block-sources",
    "add-filter",
    "rate-limit",
    "cap-context",
    "swap-model",
    "pin-prompt",
    "pin-policy",
    "bypass",
]
# What a containment is: asked for and not yet approved, acting, or over.
ContainmentState = Literal["waiting", "in_force", "ended"]
# What was done to one; it expires by itself.
ContainmentAct = Literal["requested", "applied", "released", "judged"]

#: Policies of a containment are named so in evaluations and events, followed by its id.
CONTAINMENT: Final = "containment/"


class ContainmentScope(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Whose exchanges; an empty field does not restrict, and with none set it is everybody's.

    Attributes:
        workflow, agent, session, user, team, tenant, key, model: as the exchange says; ``*`` stands
            for any characters.
        region: the request header ``X-Region``.
        language: ISO 639-1 code of what the user said last, as far as that can be told.
    """

    workflow: str = ""
    agent: str = ""
    session: str = ""
    user: str = ""
    team: str = ""
    key: str = ""
    model: str = ""
    region: str = ""
    language: str = ""
    tenant: str = ""


class Lever(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is done to exchanges in scope. Each name uses the fields that it is named with.

    Attributes:
        name: ``stop`` refuses them; ``review`` asks a person about every answer
            (``hold_seconds``); ``disable-tools`` and ``only-tools`` (``tools``); ``block-sources``
            (``sources``: names of tools, labels or addresses of retrieved passages);
            ``add-filter`` (``terms``, ``patterns``); ``rate-limit`` (``requests`` in
            ``window_seconds``); ``cap-context`` (``max_context_chars``, ``max_output_tokens``);
            ``swap-model`` (``model``); ``pin-prompt`` (``prompt``, ``prompt_version``: as the
            workflow inventory names them); ``pin-policy`` has the policies of a kept version
            decide (``config_version``: ``ID@V``); ``bypass`` has policies of the configuration
            only watch (``policies``: kinds; empty for all of them).
        workflow_version: of the registration that the text of the prompt stands in; 0 where the
            inventory has no text of it.
        weaker: the version that is pinned is not known to be at least as strict as the newest
            was when it was asked for.
        content: what is pinned: a configuration, or the text of a prompt. Only on its way to
            gateways and in their hands; what is kept is where it stands, which never changes.
    """

    name: LeverName
    tools: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    requests: int = 0
    window_seconds: int = 60
    max_context_chars: int = 0
    max_output_tokens: int = 0
    model: str = ""
    hold_seconds: float = 0.0
    policies: tuple[str, ...] = ()
    config_version: str = ""
    prompt: str = ""
    prompt_version: str = ""
    workflow_version: int = 0
    weaker: bool = False
    content: str = ""

    @property
    def loosens(self) -> bool:
        """Whether it may let more through instead of less, so that a second person has to agree."""
        return self.name == "bypass" or self.weaker


class Bypassed(msgspec.Struct, frozen=True):
    """What policies would have done to the exchanges that a bypass let through.

    Attributes:
        would_have: exchanges by the strictest verdict that was held back.
        by_policy: exchanges that each policy would have acted on.
    """

    exchanges: int
    would_have: dict[str, int]
    by_policy: dict[str, int]

    @property
    def acted_on(self) -> int:
        """Exchanges that would not have gone through as they did."""
        untouched = sum(self.would_have.get(verdict, 0) for verdict in ("allow", "flag"))
        return self.exchanges - untouched


class BrokenCases(msgspec.Struct, frozen=True):
    """Regression cases of closed incidents that hold in force, and not under a containment.

    Attributes:
        regression_ids: the first hundred of them.
    """

    count: int
    regression_ids: tuple[str, ...]


class Containment(msgspec.Struct, frozen=True, omit_defaults=True):
    """One containment.

    Attributes:
        id: UUIDv7; its time is ``created_at``.
        owner: who answers for it; ``created_by`` is the token that made it.
        expires_at: it ends then, also at a gateway that hears nothing from the control plane. A
            request that nobody approves lapses then.
        incident_id: which it belongs to; empty for none.
        approved_by: the second person, where the lever loosens. Its time runs from then on.
        breaks: where the lever loosens: what bound then and would not hold in its scope.
        bypassed: of a bypass that is over: what it let through.
    """

    id: str
    lever: Lever
    scope: ContainmentScope
    reason: str
    owner: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    incident_id: str = ""
    released_at: datetime | None = None
    released_by: str = ""
    release_reason: str = ""
    approved_at: datetime | None = None
    approved_by: str = ""
    breaks: BrokenCases | None = None
    bypassed: Bypassed | None = None
    bypassed_at: datetime | None = None

    @property
    def waits(self) -> bool:
        """Whether it does nothing before somebody approves it."""
        return self.lever.loosens and self.approved_at is None

    @property
    def last_act(self) -> ContainmentAct:
        """What made it what it is."""
        if self.bypassed is not None:
            return "judged"
        if self.released_at is not None:
            return "released"
        return "requested" if self.waits else "applied"

    @property
    def owes_judgement(self) -> bool:
        """Whether what it let through is still to be judged, once it is over."""
        return (
            self.lever.name == "bypass" and self.approved_at is not None and self.bypassed is None
        )

    @property
    def over_at(self) -> datetime:
        """When it ended, or will."""
        return self.released_at or self.expires_at

    def state(self, now: datetime) -> ContainmentState:
        """What it is at this time."""
        if self.released_at is not None or now >= self.expires_at:
            return "ended"
        return "waiting" if self.waits else "in_force"

    def in_force(self, now: datetime) -> bool:
        """Whether it acts at this time."""
        return self.state(now) == "in_force"


class ContainmentStore(Protocol):
    """What was contained, by whom, and how it ended. Both its beginning and its end are leaves of
    the Merkle log."""

    def put(self, containment: Containment, *, declaring: Change | None = None) -> Incident | None:
        """Keep a new one; gateways hear of it.

        Args:
            declaring: the incident that begins with it, in the same transaction; the containment
                names it.

        Returns:
            That incident.

        Raises:
            InvalidInput: its id is taken, or is no UUID; or the incident has what cannot be kept.
        """

    def get(self, containment_id: str) -> Containment:
        """Raises:
        NotFound: there is none with this id.
        """

    def page(
        self,
        *,
        state: ContainmentState | None,
        now: datetime,
        limit: int,
        cursor: str | None = None,
    ) -> tuple[list[Containment], str | None]:
        """Newest first, and the cursor of the next page.

        Args:
            state: only those; None for all.

        Raises:
            InvalidInput: the cursor is not one that this store gave out.
        """

    def count(self, *, state: ContainmentState | None, now: datetime) -> int:
        """How many, as for ``page``."""

    def in_force(self, *, now: datetime, limit: int) -> list[Containment]:
        """Those that act now, oldest first."""

    def expired(self, *, since: datetime, until: datetime, limit: int) -> list[Containment]:
        """Those that ended because their time was over, after ``since`` and up to ``until``."""

    def approve(self, containment_id: str, *, by: str, now: datetime) -> Containment:
        """Put one in force that waited for a second person; gateways hear of it.

        Raises:
            NotFound: there is none with this id.
            StateConflict: it does not wait, or not any more.
            Forbidden: ``by`` asked for it.
        """

    def unjudged(self, *, over_before: datetime, limit: int) -> list[Containment]:
        """Those that were over by then and still owe a judgement, the longest over first."""

    def judge(self, containment_id: str, bypassed: Bypassed, *, now: datetime) -> Containment:
        """Keep what one let through, in place of what was known of that.

        Raises:
            NotFound: there is none with this id.
        """

    def release(self, containment_id: str, *, by: str, reason: str, now: datetime) -> Containment:
        """End one, or withdraw one that waits; one that has ended stays as it was.

        Raises:
            NotFound: there is none with this id.
        """
