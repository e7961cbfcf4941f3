"""An exchange that asks before it decides: counters and other machines for facts, a person where a
policy escalates; and that freezes whoever a policy puts in quarantine."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from datetime import timedelta

import msgspec

from kintsugi.gateway.account import Account
from kintsugi.gateway.commands import Command, Freeze, Hold, Redeem
from kintsugi.gateway.events import Gathered, Headers, HoldOver, Redeemed
from kintsugi.gateway.facts import take, wish
from kintsugi.gateway.judgement import answer_views, request_view
from kintsugi.gateway.oversight import quarantine_for
from kintsugi.gateway.recorded_exchange import (
    RECORDED_STEPS,
    RecordedExchange,
    State,
    Steps,
)
from kintsugi.model.decision import Decision, Phase
from kintsugi.model.event import Quarantine, RaisedEscalation
from kintsugi.model.oversight import HeldEscalation
from kintsugi.model.transform import Escalation
from kintsugi.model.verdict import Verdict

# What follows a decision that lets an exchange go on.
Resume = Callable[[Decision, int], list[Command]]


class _Asked(msgspec.Struct, frozen=True):
    """A decision that a person may lift.

    Attributes:
        resume: what follows where they do.
    """

    decision: Decision
    phase: Phase
    raised: RaisedEscalation
    resume: Resume


class OverseenExchange(RecordedExchange):
    """Facts and people, between a request and its decisions."""

    _since_ns = 0  # when the present wait for facts or a reviewer began
    _gathered: Callable[[int], list[Command]] | None = None  # what follows once facts are there
    _asked: _Asked | None = None  # a person was

    @abstractmethod
    def _stop(
        self, decision: Decision, phase: Phase, at_ns: int, *, rejected: bool = False
    ) -> list[Command]:
        """End the exchange as a policy, or the reviewer it asked, wants it."""

    @abstractmethod
    def _digest_of_action(self, phase: Phase) -> str:
        """What exactly a person would approve of."""

    # Facts

    def _gather(
        self, phases: tuple[Phase, ...], then: Callable[[int], list[Command]], at_ns: int
    ) -> list[Command]:
        """Count and ask what these phases need, then go on; at once where they need nothing."""
        account = self._account
        of_answer = Phase.OUTPUT in phases
        views = answer_views(account) if of_answer else dict.fromkeys(phases, request_view(account))
        gather = wish(account, views.items())
        if gather is None:
            return then(at_ns)
        self._gathered = then
        self._waits += 1
        self._since_ns = at_ns
        self.state = State.GATHERING
        return [*self._admit(), gather]

    def _on_gathered(self, event: Gathered) -> list[Command]:
        then = self._gathered
        if self.state is not State.GATHERING or then is None:
            return []
        account = self._account
        self._gathered = None
        take(account, event, of_answer=self._head is not None)
        if event.remote:  # others were waited for; counting is our own time
            account.waited_ns += max(event.at_ns - self._since_ns, 0)
        return then(event.at_ns)

    # People

    def _halt(self, decision: Decision, phase: Phase, at_ns: int, resume: Resume) -> list[Command]:
        """Stop, freeze, or ask a person, as the verdict says."""
        if decision.verdict is Verdict.ESCALATE:
            return self._ask(decision, phase, at_ns, resume)
        return self._stop(decision, phase, at_ns)

    def _ask(self, decision: Decision, phase: Phase, at_ns: int, resume: Resume) -> list[Command]:
        """Use an approval of exactly this up, or ask for one."""
        terms = decision.escalation or Escalation()
        now = self._now(at_ns)
        raised = RaisedEscalation(
            self._account.event_id,
            phase,
            self._digest_of_action(phase),
            now + timedelta(seconds=terms.expires_seconds),
        )
        self._asked = _Asked(decision, phase, raised, resume)
        self._waits += 1
        self._since_ns = at_ns
        approval = self._in_force.oversight.approval_for(
            raised.action_digest, self._in_force.plan.revision, now
        )
        if approval is None:
            return self._hold(at_ns)
        self.state = State.HOLDING
        return [*self._admit(), self._redeem(approval.escalation_id, raised)]

    def _redeem(self, escalation_id: str, raised: RaisedEscalation) -> Redeem:
        return Redeem(escalation_id, raised.action_digest, self._in_force.plan.revision, raised.id)

    def _hold(self, at_ns: int) -> list[Command]:
        """Hold the answer for a reviewer, or say at once that one is needed."""
        asked = self._known_asked()
        terms = asked.decision.escalation or Escalation()
        if not terms.hold_seconds or not self._in_force.oversight.may_hold:
            return self._give_up(at_ns)
        account = self._account
        in_force = self._in_force
        self.state = State.HOLDING
        now = self._now(at_ns)
        report = HeldEscalation(
            id=account.event_id,
            created_at=now,
            expires_at=asked.raised.expires_at,
            action_digest=asked.raised.action_digest,
            revision=in_force.plan.revision,
            phase=asked.phase,
            policy_name=asked.decision.policy_name,
            reason_code=asked.decision.reason_code,
            gateway_id=in_force.gateway_id,
            config_version=in_force.config_version,
            model=account.request.model if account.request is not None else "",
            identity=account.identity,
            held_until=now + timedelta(seconds=terms.hold_seconds),
            payload=account.payload(),
        )
        self._asked = msgspec.structs.replace(
            asked, raised=msgspec.structs.replace(asked.raised, held=True)
        )
        return [*self._admit(), Hold(report, terms.hold_seconds)]

    def _give_up(self, at_ns: int, *, rejected: bool = False) -> list[Command]:
        asked = self._known_asked()
        self._account.escalation = asked.raised
        return self._stop(asked.decision, asked.phase, at_ns, rejected=rejected)

    def _on_hold_over(self, event: HoldOver) -> list[Command]:
        if self.state is not State.HOLDING:
            return []
        raised = self._known_asked().raised
        if event.approved:
            return [self._redeem(raised.id, raised)]
        self._waited(event.at_ns)
        return self._give_up(event.at_ns, rejected=event.approved is False)

    def _on_redeemed(self, event: Redeemed) -> list[Command]:
        if self.state is not State.HOLDING:
            return []
        self._waited(event.at_ns)
        asked = self._known_asked()
        if event.approval is None:  # used, expired or withdrawn meanwhile
            return self._give_up(event.at_ns) if asked.raised.held else self._hold(event.at_ns)
        decision = self._account.approve(asked.decision, event.approval)
        return asked.resume(decision, event.at_ns)

    def _waited(self, at_ns: int) -> None:
        """A person's time is none of ours."""
        self._account.waited_ns += max(at_ns - self._since_ns, 0)
        self._since_ns = at_ns

    def _note_escalation(self, decision: Decision, phase: Phase, at_ns: int) -> None:
        """Record an escalation that nobody was asked for because what it is about is not whole: it
        can be looked at, and not let through."""
        account = self._account
        if decision.verdict is Verdict.ESCALATE and account.escalation is None:
            expires_at = self._now(at_ns) + timedelta(seconds=Escalation().expires_seconds)
            account.escalation = RaisedEscalation(account.event_id, phase, "", expires_at)

    def _known_asked(self) -> _Asked:
        if self._asked is None:
            raise RuntimeError(f"the exchange is {self.state.value} and has asked nobody")
        return self._asked

    # Containments and quarantine

    def _contain(self, account: Account, headers: Headers) -> None:
        """Put the exchange under the containments that are about it."""
        request = account.request
        found = self._in_force.oversight.containing(
            account.identity,
            model=request.model if request is not None else "",
            region=next((v.decode("latin-1") for n, v in headers if n == b"x-region"), ""),
            said=request.parts if request is not None else (),
            now=account.now,
        )
        if found:
            self._in_force = account.in_force = self._in_force.under(found)
            account.containments = tuple(one.containment.id for one in found)

    def _stay_frozen(self, frozen: Quarantine, at_ns: int) -> list[Command]:
        """Refuse what is in quarantine, before anybody looks at it."""
        account = self._account
        account.quarantine = frozen
        decision = Decision(
            Verdict.QUARANTINE,
            "quarantine.in_force",
            message=f"This {frozen.scope} is in quarantine until a person releases it.",
        )
        account.decisions.append(decision)
        return self._stop(decision, Phase.INPUT, at_ns)

    def _freeze(self, decision: Decision) -> list[Command]:
        """Freeze whoever the decision is about, if it says so and they are not frozen yet."""
        account = self._account
        if decision.quarantine is None or account.quarantine is not None:
            return []
        found = quarantine_for(
            account.event_id, decision.quarantine, account.identity, account.source
        )
        if found is None:
            return []
        account.quarantine = found
        version = self._in_force.config_version
        return [Freeze(found, decision.policy_name, decision.reason_code, version)]


OVERSEEN_STEPS: Steps = {
    **RECORDED_STEPS,
    Gathered: OverseenExchange._on_gathered,
    HoldOver: OverseenExchange._on_hold_over,
    Redeemed: OverseenExchange._on_redeemed,
}
