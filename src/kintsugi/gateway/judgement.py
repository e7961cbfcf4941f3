"""Where an exchange meets its policies: what is judged, and what becomes of a body that stays."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kintsugi.gateway.account import Account
from kintsugi.gateway.dialects.changes import CannotChange
from kintsugi.gateway.dialects.json_text import MalformedDocument
from kintsugi.gateway.dialects.splice import CannotSplice, apply_edits, splice
from kintsugi.gateway.facts import found_in
from kintsugi.gateway.repeated import Repeated, may_repeat
from kintsugi.gateway.streaming import StreamSession
from kintsugi.gateway.transforms import change_request, confirm_answer
from kintsugi.model.config import Streaming
from kintsugi.model.content import Edit, ExchangeView, Part
from kintsugi.model.decision import Decision, Evaluation, Mode, Phase
from kintsugi.model.event import Change
from kintsugi.model.verdict import Verdict
from kintsugi.policy.decide import decide, joined, settled
from kintsugi.policy.tool_failures import tool_failures

_OBSERVED = "the route observes streams and does not hold them"
_INCOMPLETE = "the answer did not come to its end"


# Requests


def judge_request(account: Account) -> Decision:
    """Judge a request that was read."""
    request = account.request
    if request is None:
        account.request_masks = ()
        return account.decision
    account.tool_failures = tool_failures(request.parts)
    if not account.in_force.has_input_rules:
        account.request_masks = ()
        return account.decision
    decision = decide(account.in_force.plan, Phase.INPUT, request_view(account), account.facts())
    account.decisions.append(decision)
    account.request_masks = decision.masks
    account.request_edits = decision.edits
    account.found = found_in(decision)
    return decision


def judge_route(account: Account, target_ids: tuple[str, ...]) -> Decision:
    """Judge which of these targets may answer."""
    view = msgspec.structs.replace(request_view(account), target_ids=target_ids)
    decision = decide(account.in_force.plan, Phase.ROUTE, view, account.facts())
    account.decisions.append(decision)
    return decision


def request_body(
    account: Account, decision: Decision, body: bytes, phase: Phase
) -> tuple[Decision, bytes]:
    """The body that upstream may get once a decision lets it go on: redacted and changed.

    Returns:
        A decision that blocks instead where that cannot be done.
    """
    if decision.edits:
        try:
            body = splice(body, decision.edits)
        except CannotSplice:
            return account.cannot_redact(decision), body
    if decision.transforms:
        try:
            changed = change_request(
                account.dialect.name,
                body,
                decision.transforms,
                phase=phase,
                policy_name=decision.policy_name,
            )
        except CannotChange:
            return account.cannot_change(decision), body
        account.changes += changed.made
        account.sent_model = changed.model or account.sent_model
        account.confirmation = changed.confirmation or account.confirmation
        body = changed.body
    return decision, body


# Answers


def read_answer(account: Account) -> None:
    """Read what a whole answer says. Errors, and what cannot be read but may pass, are read as
    plain text.

    Raises:
        MalformedDocument: it cannot be read, and the configuration fails closed.
    """
    if account.encoded:  # let in only where no rule would look at it
        return
    if 200 <= account.upstream_status < 300:
        try:
            answer = account.dialect.read_answer(account.answer_body)
        except MalformedDocument:
            if account.in_force.judges_answers:
                if account.in_force.gateway.fail_mode == "block":
                    raise
                account.failed_open = True
        else:
            account.response_model = answer.model
            account.input_tokens = answer.input_tokens
            account.output_tokens = answer.output_tokens
            account.answer_parts = answer.parts
            return
    account.answer_text = text = account.answer_body.decode(errors="replace")
    account.answer_parts = (Part("assistant", "text", text, ""),)


def judge_answer(account: Account) -> Decision:
    """Judge a whole answer that was read."""
    if account.encoded:
        return account.decision
    decision = _decide_answer(account, account.answer_parts)
    if account.in_force.judges_answers:
        account.decisions.append(decision)
    account.answer_masks = decision.masks + _masks_of_repeats(account, account.answer_parts)
    audit = judge_audit(account)
    if audit.verdict.stops and not decision.verdict.stops:
        return audit
    return decision


def answer_body(account: Account, decision: Decision) -> tuple[Decision, bytes]:
    """The body that the client may get once a decision lets an answer go on.

    Returns:
        A decision that blocks instead where it cannot be redacted or changed.
    """
    body = account.answer_body
    if account.encoded or not (decision.edits or decision.transforms or account.confirmation):
        return decision, body
    if decision.edits:
        if account.answer_text is not None:
            return decision, apply_edits(account.answer_text, decision.edits).encode()
        try:
            body = splice(body, decision.edits, clear=account.dialect.clears(decision.edits))
        except CannotSplice:
            return account.cannot_redact(decision), body
    confirmation = confirmation_of(account, decision)
    if confirmation and account.answer_text is None:
        try:
            body, count = confirm_answer(account.dialect.name, body, confirmation)
        except CannotChange:
            return account.cannot_change(decision), body
        if count:
            note_confirmation(account, decision, count)
    return decision, body


def confirmation_of(account: Account, decision: Decision) -> str:
    """What the user is asked in place of the answer's tool calls; empty where nothing."""
    asked = (wanted.confirmation for wanted in decision.transforms if wanted.confirmation)
    return next(asked, account.confirmation)


def note_confirmation(account: Account, decision: Decision, count: int) -> None:
    """Record that tool calls were taken out of the answer."""
    name = decision.policy_name or account.decision.policy_name
    account.changes += (Change(name, Phase.TOOL, "confirmation", f"in place of {count} calls"),)


def phase_of(decision: Decision) -> Phase:
    """The phase whose policy set the verdict of a decision on an answer."""
    for evaluation in decision.evaluations:
        if evaluation.policy_name == decision.policy_name and (
            evaluation.effective is decision.verdict
        ):
            return evaluation.phase
    return decision.evaluations[0].phase if decision.evaluations else Phase.OUTPUT


# Streams


def open_session(account: Account) -> StreamSession:
    """Start on a streamed answer, in the strictest mode that the configuration and plan ask for."""
    in_force = account.in_force
    mode: Streaming = in_force.gateway.streaming
    hold_chars = in_force.plan.hold_chars
    if not in_force.has_output_rules:
        hold_chars = 0  # nothing to hold its texts for
        if not in_force.has_tool_rules:
            mode = "window"
    elif mode == "window" and hold_chars is None:
        mode = "buffer"
    return StreamSession(
        account.dialect.open_stream(),
        mode=mode,
        hold_chars=hold_chars or 0,
        context_chars=in_force.plan.context_chars,
        judge=lambda parts, complete: _decide_answer(account, parts, complete=complete),
        settled=lambda part, decision: settled(in_force.plan, part, decision),
        judges_whole=in_force.judges_whole_answers,
        # A tool call that may be stopped or taken out: nothing of it may leave before.
        holds_calls=account.confirmation != "" or in_force.enforces_on_calls,
        notes_chunks=in_force.gateway.payload != "none",
        fails_open=in_force.gateway.fail_mode == "allow" or not in_force.judges_answers,
    )


def judge_stream(account: Account, session: StreamSession) -> Decision:
    """Take in the decision on a streamed answer, complete or not."""
    if session.decision is None:
        session.conclude()
    decision = session.decision or account.decision
    if session.mode == "observe":
        decision = observed(decision)
    account.answer_masks = decision.masks + _masks_of_repeats(account, session.parts())
    if account.in_force.judges_answers:
        account.decisions.append(decision)
    elif session.failed_open:
        session.failed_open = False  # nothing would have looked at it anyway
    audit = judge_audit(account)
    return audit if audit.verdict.stops and not decision.verdict.stops else decision


def observed(decision: Decision) -> Decision:
    """A decision of which nothing was carried out: its policies monitored, and flag at most."""
    evaluations = tuple(_monitored(evaluation) for evaluation in decision.evaluations)
    verdict = decision.verdict if decision.verdict is Verdict.ALLOW else Verdict.FLAG
    return msgspec.structs.replace(
        decision, verdict=verdict, evaluations=evaluations, edits=(), transforms=()
    )


def judge_audit(account: Account) -> Decision:
    """Run the audit phase, once, when everything else is decided."""
    if not account.audited:
        account.audited = True
        in_force = account.in_force
        account.audit = in_force.foregone_audit or decide(
            in_force.plan, Phase.AUDIT, _view(account, ()), account.facts()
        )
    return account.audit


# What the phases see


def request_view(account: Account) -> ExchangeView:
    """A request as the phases before upstream see it."""
    return _view(account, account.request.parts if account.request is not None else ())


def answer_views(account: Account) -> dict[Phase, ExchangeView]:
    """An answer as each of the phases after upstream sees it, as far as they run."""
    in_force = account.in_force
    session = account.session
    parts = account.answer_parts if session is None else session.parts()
    views: dict[Phase, ExchangeView] = {}
    if in_force.has_tool_rules and (calls := calls_of(parts)):
        views[Phase.TOOL] = _view(account, calls)
    if in_force.has_output_rules:
        views[Phase.OUTPUT] = _view(account, _said(account, parts))
    return views


def calls_of(parts: Sequence[Part]) -> tuple[Part, ...]:
    """What the tool phase judges of an answer."""
    return tuple(part for part in parts if part.kind == "tool_call")


def _said(account: Account, parts: Sequence[Part]) -> Sequence[Part]:
    """What an answer says, without what it repeats of its request."""
    if not may_repeat(parts):
        return parts
    repeated = _repeated(account)
    return [part for part in parts if not repeated.holds(part)]


def _masks_of_repeats(account: Account, parts: Sequence[Part]) -> tuple[Edit, ...]:
    return _repeated(account).masks(parts) if may_repeat(parts) else ()


def _repeated(account: Account) -> Repeated:
    if account.repeated is None:
        parts = account.request.parts if account.request is not None else ()
        masks = account.request_masks or ()
        account.repeated = Repeated(parts, account.request_edits, masks)
    return account.repeated


def _monitored(evaluation: Evaluation) -> Evaluation:
    if evaluation.verdict is Verdict.ALLOW:
        return msgspec.structs.replace(evaluation, mode=Mode.MONITOR)
    return msgspec.structs.replace(evaluation, mode=Mode.MONITOR, why=evaluation.why or _OBSERVED)


def _decide_answer(account: Account, parts: Sequence[Part], *, complete: bool = True) -> Decision:
    """Decide on an answer, or on a window over it.

    Tool calls are judged once they are all there. Of an answer that did not come to its end, only
    what needs no gathered facts and no whole answer is judged.
    """
    in_force = account.in_force
    plan, facts = in_force.plan, account.facts()
    asks = in_force.asks_of_answers and not account.answer_whole
    view = _view(account, _said(account, parts), complete=complete and not asks)
    output = decide(plan, Phase.OUTPUT, view, facts)
    if asks and complete:
        output = _unasked(account, output)
    if not complete or not in_force.has_tool_rules:
        return output
    calls = calls_of(parts) if account.answer_whole else ()
    if calls:
        return joined(decide(plan, Phase.TOOL, _view(account, calls), facts), output)
    evaluations = plan.evaluations(Phase.TOOL)
    if not account.answer_whole:
        evaluations = tuple(_skipped(evaluation) for evaluation in evaluations)
    return msgspec.structs.replace(output, evaluations=evaluations + output.evaluations)


def _unasked(account: Account, decision: Decision) -> Decision:
    """The same, without saying of policies that could not be asked that they found nothing."""
    asks = account.in_force.plan.asking(Phase.OUTPUT)
    evaluations = tuple(
        _skipped(evaluation)
        if evaluation.policy_name in asks and evaluation.outcome == "clear"
        else evaluation
        for evaluation in decision.evaluations
    )
    return msgspec.structs.replace(decision, evaluations=evaluations)


def _skipped(evaluation: Evaluation) -> Evaluation:
    return msgspec.structs.replace(evaluation, outcome="skipped", why=_INCOMPLETE)


def _view(account: Account, parts: Sequence[Part], *, complete: bool = True) -> ExchangeView:
    request = account.request
    session = account.session
    tokens = account if session is None else session.reader
    if request is None:
        return ExchangeView(parts, (), account.dialect.name, "", complete)
    return ExchangeView(
        parts,
        request.parts,
        account.dialect.name,
        request.model,
        complete,
        (),
        tokens.input_tokens,
        tokens.output_tokens,
        request.output_tokens_max,
    )
