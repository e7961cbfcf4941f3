"""Where an exchange meets its policies: what is judged, and what becomes of a body that stays."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kintsugi.gateway.account import Account
from kintsugi.gateway.dialects.json_text import MalformedDocument
from kintsugi.gateway.dialects.splice import CannotSplice, apply_edits, splice
from kintsugi.gateway.streaming import StreamSession
from kintsugi.model.config import Streaming
from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Decision, Evaluation, Mode, Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.decide import decide, settled

_OBSERVED = "the route observes streams and does not hold them"


def judge_request(account: Account) -> tuple[Decision, bytes]:
    """Judge a request that was read; return the body that upstream may get."""
    request = account.request
    if request is None or not account.in_force.has_input_rules:
        account.request_masks = ()
        return account.decision, account.body
    view = _view(account, request.parts)
    decision = decide(account.in_force.plan, Phase.INPUT, view, account.facts())
    account.decisions.append(decision)
    account.request_masks = decision.masks
    if not decision.edits or decision.verdict.stops:
        return decision, account.body
    try:
        return decision, splice(account.body, decision.edits)
    except CannotSplice:
        return account.cannot_redact(decision), account.body


def judge_answer(account: Account) -> tuple[Decision, bytes]:
    """Judge a whole answer; return the body that the client may get.

    Raises:
        MalformedDocument: it cannot be read, and the configuration fails closed.
    """
    body = account.answer_body
    if account.encoded:  # let in only where no rule would look at it
        return account.decision, body
    parts = _parts_of_answer(account)
    decision = _judge_output(account, parts)
    account.answer_masks = decision.masks
    audit = judge_audit(account)
    if audit.verdict.stops and not decision.verdict.stops:
        return audit, body
    if not decision.edits or decision.verdict.stops:
        return decision, body
    if account.answer_text is not None:
        return decision, apply_edits(account.answer_text, decision.edits).encode()
    try:
        clear = account.dialect.clears(decision.edits)
        return decision, splice(body, decision.edits, clear=clear)
    except CannotSplice:
        return account.cannot_redact(decision), body


def _parts_of_answer(account: Account) -> Sequence[Part]:
    """What an answer says. Errors, and what cannot be read but may pass, are read as plain text."""
    if 200 <= account.upstream_status < 300:
        try:
            answer = account.dialect.read_answer(account.answer_body)
        except MalformedDocument:
            if account.in_force.has_output_rules:
                if account.in_force.gateway.fail_mode == "block":
                    raise
                account.failed_open = True
        else:
            account.response_model = answer.model
            account.input_tokens = answer.input_tokens
            account.output_tokens = answer.output_tokens
            return answer.parts
    account.answer_text = text = account.answer_body.decode(errors="replace")
    return (Part("assistant", "text", text, ""),)


def open_session(account: Account) -> StreamSession:
    """Start on a streamed answer, in the strictest mode that the configuration and plan ask for."""
    in_force = account.in_force
    mode: Streaming = in_force.gateway.streaming
    hold_chars = in_force.plan.hold_chars
    if not in_force.has_output_rules:
        mode, hold_chars = "window", 0  # nothing to hold it for
    elif mode == "window" and hold_chars is None:
        mode = "buffer"
    return StreamSession(
        account.dialect.open_stream(),
        mode=mode,
        hold_chars=hold_chars or 0,
        context_chars=in_force.plan.context_chars,
        judge=lambda parts, complete: _decide_output(account, parts, complete=complete),
        settled=lambda part, decision: settled(in_force.plan, part, decision),
        judges_whole=in_force.plan.judges(Phase.OUTPUT),
        fails_open=in_force.gateway.fail_mode == "allow" or not in_force.has_output_rules,
    )


def judge_stream(account: Account, session: StreamSession) -> Decision:
    """Take in the decision on a streamed answer, complete or not."""
    if session.decision is None:
        session.conclude()
    decision = session.decision or account.decision
    if session.mode == "observe":
        decision = observed(decision)
    account.answer_masks = decision.masks
    if account.in_force.has_output_rules:
        account.decisions.append(decision)
    if session.failed_open and not account.in_force.has_output_rules:
        session.failed_open = False  # nothing would have looked at it anyway
    audit = judge_audit(account)
    return audit if audit.verdict.stops and not decision.verdict.stops else decision


def observed(decision: Decision) -> Decision:
    """A decision of which nothing was carried out: its policies monitored, and flag at most."""
    evaluations = tuple(_monitored(evaluation) for evaluation in decision.evaluations)
    verdict = decision.verdict if decision.verdict is Verdict.ALLOW else Verdict.FLAG
    return msgspec.structs.replace(decision, verdict=verdict, evaluations=evaluations, edits=())


def judge_audit(account: Account) -> Decision:
    """Run the audit phase, once, when everything else is decided."""
    if account.audited or not account.in_force.has_audit_rules:
        return account.audit
    account.audited = True
    account.audit = decide(account.in_force.plan, Phase.AUDIT, _view(account, ()), account.facts())
    return account.audit


def _monitored(evaluation: Evaluation) -> Evaluation:
    if evaluation.verdict is Verdict.ALLOW:
        return msgspec.structs.replace(evaluation, mode=Mode.MONITOR)
    return msgspec.structs.replace(evaluation, mode=Mode.MONITOR, why=evaluation.why or _OBSERVED)


def _judge_output(account: Account, parts: Sequence[Part]) -> Decision:
    decision = _decide_output(account, parts)
    if account.in_force.has_output_rules:
        account.decisions.append(decision)
    return decision


def _decide_output(account: Account, parts: Sequence[Part], *, complete: bool = True) -> Decision:
    view = _view(account, parts, complete=complete)
    return decide(account.in_force.plan, Phase.OUTPUT, view, account.facts())


def _view(account: Account, parts: Sequence[Part], *, complete: bool = True) -> ExchangeView:
    request = account.request
    return ExchangeView(
        parts,
        request.parts if request is not None else (),
        account.dialect.name,
        request.model if request is not None else "",
        complete,
    )
