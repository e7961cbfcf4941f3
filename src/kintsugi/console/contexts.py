"""What each template is given. A template uses every field of its class and nothing else;
``tests/console/test_contexts.py`` compares them."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec

from kintsugi.api.gateways import GatewayView
from kintsugi.api.relaxed import RelaxedView
from kintsugi.api.signals import SignalView
from kintsugi.model.decision import Evaluation
from kintsugi.model.event import DecisionEvent
from kintsugi.model.evidence import Evidence
from kintsugi.model.span import TraceSummary
from kintsugi.model.verdict import Verdict
from kintsugi.policy.reasons import Reason
from kintsugi.traces.tree import TraceNode


class Shell(msgspec.Struct, frozen=True, kw_only=True):
    """What the frame around every page shows.

    Attributes:
        title: of the page, without the product's name.
        signed_in_as: name of the token behind the session; empty when signed out.
        now: time of the answer, aware UTC.
        version: of the program.
    """

    template: ClassVar[str] = "base.html"
    section: ClassVar[str] = ""  # which entry of the navigation the page belongs to

    title: str
    signed_in_as: str
    now: datetime
    version: str


class VerdictShare(msgspec.Struct, frozen=True):
    """One verdict's count in the last hour."""

    verdict: Verdict
    count: int


class MinuteRow(msgspec.Struct, frozen=True):
    """One line of the chart's table: a stretch of five minutes.

    Attributes:
        counts: in the order of :attr:`Chart.verdicts`.
    """

    begins_at: datetime
    counts: tuple[int, ...]


class Chart(msgspec.Struct, frozen=True):
    """The last hour, minute by minute.

    Attributes:
        data: JSON for the script: ``{"minutes": [unix seconds], "counts": {verdict: [n]}}``.
        verdicts: those that occurred, from mildest to strictest.
        rows: the same as a table, oldest first; stretches without decisions are left out.
    """

    data: str
    verdicts: tuple[Verdict, ...]
    rows: tuple[MinuteRow, ...]


class FilterForm(msgspec.Struct, frozen=True):
    """The filter form as it was sent, to be shown again.

    Attributes:
        values: by field name, as typed.
        active: whether any filter is set.
        errors: what was wrong, by field name.
        query: the filters as a query string without cursor, for links and refreshes.
    """

    values: dict[str, str]
    active: bool
    errors: dict[str, str]
    query: str


class DashboardPage(Shell, frozen=True, kw_only=True):
    """The first page.

    Attributes:
        shares: the last hour by verdict, mildest first, all verdicts.
        decided: decisions in the last hour.
        stopped: of these, those whose normal delivery was stopped.
        chart: decisions per minute.
        signals: those that nobody has resolved, newest first, a few.
        signals_total: how many there are.
        relaxed: settings in force that are weaker than they could be; what needs somebody first.
        gateways: last seen first.
        filter: the form.
        events: one page of decisions, newest first.
        total: how many match, as words: ``1,204`` or ``more than 10,000``.
        cold: what is to be said of archived months; mostly nothing.
        next_page: address of the older page, empty on the last one.
        paged: whether this is not the newest page; it then stands still.
        any_events: whether there is any decision at all.
    """

    template: ClassVar[str] = "dashboard.html"
    section: ClassVar[str] = "Decisions"

    shares: tuple[VerdictShare, ...]
    decided: int
    stopped: int
    chart: Chart
    signals: tuple[SignalView, ...]
    signals_total: int
    relaxed: tuple[RelaxedView, ...]
    gateways: tuple[GatewayView, ...]
    filter: FilterForm
    events: tuple[DecisionEvent, ...]
    total: str
    cold: str
    next_page: str
    paged: bool
    any_events: bool


class PhaseEvaluations(msgspec.Struct, frozen=True):
    """What the chain did in one phase, in the chain's order."""

    name: str
    evaluations: tuple[Evaluation, ...]


class EventPage(Shell, frozen=True, kw_only=True):
    """One decision and why it was made.

    Attributes:
        event: with evaluations and payload.
        reason: what is known of its reason code; None where it is not registered here.
        phases: phases that ran, in order.
        request, response: recorded text, laid out when it is JSON; redacted, unless revealed.
        may_reveal: whether this caller may see it without redaction.
        revealed: id of the custody entry, where it is shown so now; empty otherwise.
        form_key: what a form must carry.
        leaf: position of its leaf in the log; None for who may not read the log.
        may_capture: whether this caller may make a regression case of it.
        problem: why none was made of it; empty otherwise.
        incident: the one that it is tied to; empty where there is none, or several.
    """

    template: ClassVar[str] = "event.html"
    section: ClassVar[str] = "Decisions"

    event: DecisionEvent
    reason: Reason | None
    phases: tuple[PhaseEvaluations, ...]
    request: str
    response: str
    may_reveal: bool
    revealed: str
    form_key: str
    leaf: int | None
    may_capture: bool
    problem: str
    incident: str


class TracePage(Shell, frozen=True, kw_only=True):
    """One trace.

    Attributes:
        trace: when, and how much of what.
        nodes: every step, parents before children.
        completeness: which evidence is held and which is missing.
        truncated: there are more steps than are shown.
    """

    template: ClassVar[str] = "trace.html"
    section: ClassVar[str] = "Decisions"

    trace: TraceSummary
    nodes: tuple[TraceNode, ...]
    completeness: tuple[Evidence, ...]
    truncated: bool


class SignalsPage(Shell, frozen=True, kw_only=True):
    """Observations that somebody should look at.

    Attributes:
        unresolved: newest first.
        resolved: the latest ones, newest first.
    """

    template: ClassVar[str] = "signals.html"
    section: ClassVar[str] = "Signals"

    unresolved: tuple[SignalView, ...]
    resolved: tuple[SignalView, ...]


class InvitationPage(Shell, frozen=True, kw_only=True):
    """Where an invitation is taken.

    Attributes:
        error: why the last attempt failed, else empty.
    """

    template: ClassVar[str] = "invitation.html"

    error: str


class ForwardPage(Shell, frozen=True, kw_only=True):
    """A page that leads on by itself. A redirect would not do: browsers let no form end elsewhere,
    and hold strict cookies back from what another site began.

    Attributes:
        address: where to; a path on this server, or the provider's address.
        whereto: the same in words.
    """

    template: ClassVar[str] = "forward.html"

    address: str
    whereto: str


class WelcomePage(Shell, frozen=True, kw_only=True):
    """What somebody who was just let in is told.

    Attributes:
        next_address: where to go on; a path on this server.
        token: an access token that was just made, shown this once; empty for none.
        token_expires_at: when it ends; the time of the answer where there is none.
    """

    template: ClassVar[str] = "welcome.html"

    next_address: str
    token: str
    token_expires_at: datetime


class SignInPage(Shell, frozen=True, kw_only=True):
    """The sign-in form.

    Attributes:
        provider: what the organisation's OpenID provider is called; empty where there is none.
        next_address: where to go afterwards; a path on this server.
        error: why the last attempt failed, else empty.
    """

    template: ClassVar[str] = "sign_in.html"

    provider: str
    next_address: str
    error: str


class ErrorPage(Shell, frozen=True, kw_only=True):
    """What went wrong, for people.

    Attributes:
        status: HTTP status.
        detail: one or two sentences.
        code: stable, for reports.
        reference: for unforeseen errors, to be found in the log.
    """

    template: ClassVar[str] = "error.html"

    status: int
    detail: str
    code: str
    reference: str
