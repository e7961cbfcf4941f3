"""Where MCP messages meet their policies.

What the client sends is a request: it passes the input phase, and a tool's call the tool phase as
well, before the server sees anything of it. What the server sends goes to a model: its texts pass
the input phase as results of tools, where planted instructions are found, and the output phase,
where data is found that must not leave. In both, rules look at each text; rules that judge an
exchange as a whole (limits, roles, forms) have judged the request. Only lists of tools are shown
to them too, so that they can take out what the caller may not call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import msgspec

from kintsugi.gateway.dialects.json_text import MalformedDocument, json_text, read_json
from kintsugi.gateway.dialects.splice import CannotSplice, splice
from kintsugi.gateway.facts import found_in
from kintsugi.gateway.judgement import calls_of
from kintsugi.gateway.mcp_account import McpAccount
from kintsugi.gateway.mcp_messages import Body, Message, read_body
from kintsugi.model.config import McpServer, McpTools
from kintsugi.model.content import Edit, ExchangeView, Part
from kintsugi.model.decision import Decision, Evaluation, Finding, Mode, Phase
from kintsugi.model.event import Change
from kintsugi.model.facts import Counter, Facts
from kintsugi.model.transform import Transform
from kintsugi.model.verdict import Verdict
from kintsugi.policy.decide import decide, joined
from kintsugi.policy.names import Names

TOOL_DENIED = "mcp_server.tool_denied"
#: Names the configuration's own list of tools among the policies of a record.
TOOLS_OF_SERVER = "mcp-server"

_PASSED = Decision(Verdict.ALLOW, "policy.passed")
_STRIPPED = "Tools were taken out of the list."


class ToolGate:
    """The tools of one server, as the operator lists them."""

    def __init__(self, tools: McpTools) -> None:
        self._allow = Names(tools.allow)
        self._deny = Names(tools.deny, loose=True)

    def permits(self, name: str) -> bool:
        """Whether a tool may be seen and called."""
        return name not in self._deny and (not self._allow or name in self._allow)


@lru_cache(maxsize=1024)
def gate_of(server: McpServer) -> ToolGate | None:
    """The gate of a server; None where every tool may pass."""
    return ToolGate(server.tools) if server.tools.allow or server.tools.deny else None


def looks(account: McpAccount, gate: ToolGate | None) -> bool:
    """Whether anything of what the server says is looked at."""
    in_force = account.in_force
    return gate is not None or in_force.has_input_rules or in_force.has_output_rules


class Judged(msgspec.Struct, frozen=True):
    """What became of some data.

    Attributes:
        stopped_in: the phase that stopped it; None where nothing did.
        data: as it may go on.
        body: the messages in ``data``.
    """

    decision: Decision
    data: bytes
    body: Body
    stopped_in: Phase | None = None


# Asking


def judge_asked(
    account: McpAccount, phase: Phase, gate: ToolGate | None, *, complete: bool = True
) -> Decision:
    """Judge what the client sent in one of the phases before the server: input or tool.

    Args:
        complete: False shows it only to rules that look at texts.
    """
    if account.request_masks is None:
        account.request_masks = ()
    parts = account.request.parts if account.request is not None else ()
    calls = calls_of(parts)
    if phase is Phase.TOOL:
        parts = calls
        decision = _ask_gate(calls, gate)
        if decision is not None:
            account.note(decision, Phase.TOOL)
            return decision
    if not account.in_force.plan.has(phase):
        return _PASSED
    if not parts:
        return judge_wordless(account, complete=complete) if phase is Phase.INPUT else _PASSED
    view = ExchangeView(parts, _offers(calls), account.dialect.name, complete=complete)
    decision = decide(account.in_force.plan, phase, view, account.facts())
    account.note(decision, phase)
    account.request_masks = merged(account.request_masks, decision.masks)
    if phase is Phase.INPUT:
        account.found = found_in(decision)
    return decision


def judge_wordless(account: McpAccount, *, complete: bool = True) -> Decision:
    """Judge what says nothing that a policy could look at: a list, a stream to listen on. What
    people have contained is stopped all the same."""
    view = ExchangeView((), dialect=account.dialect.name, complete=complete)
    decision = _PASSED
    for overlay in account.in_force.plan.overlays:
        if not overlay.asks(Phase.INPUT) or account.counters:
            decision = joined(decision, decide(overlay, Phase.INPUT, view, account.facts()))
    if decision is not _PASSED:
        account.note(decision, Phase.INPUT)
    return decision


def redact_asked(account: McpAccount, decision: Decision) -> tuple[Decision, bytes]:
    """What the client sent with its edits made, or a decision that stops it where they cannot be.

    Args:
        decision: the last one; its edits are all there are.
    """
    try:
        return decision, splice(account.body, decision.edits)
    except CannotSplice:
        if not account.decisions or account.decisions[-1] is not decision:
            account.decisions.append(decision)
        return account.cannot_redact(decision), account.body


def _ask_gate(calls: Sequence[Part], gate: ToolGate | None) -> Decision | None:
    denied = [part for part in calls if gate is not None and not gate.permits(part.name)]
    if not denied:
        return None
    findings = tuple(
        Finding("tools", TOOL_DENIED, Verdict.BLOCK, path=part.path) for part in denied
    )
    evaluation = Evaluation(
        TOOLS_OF_SERVER,
        Phase.TOOL,
        Mode.ENFORCE,
        "matched",
        Verdict.BLOCK,
        TOOL_DENIED,
        findings,
    )
    return Decision(
        Verdict.BLOCK,
        TOOL_DENIED,
        TOOLS_OF_SERVER,
        "This tool may not be called here.",
        (evaluation,),
    )


def _offers(calls: Sequence[Part]) -> list[Part]:
    """Whoever calls a tool of a server names one that the server may have: whether it has is for
    the server to say, so the tool counts as offered, without a schema."""
    return [Part("tool", "tool_definition", "{}", "", 0, part.name) for part in calls]


def confirmation_of(decision: Decision) -> str:
    """What the user is asked in place of the call; empty where the call may go on."""
    return next((one.confirmation for one in decision.transforms if one.confirmation), "")


# Hearing


def judge_heard(account: McpAccount, data: bytes, gate: ToolGate | None) -> Judged:
    """Judge what the server sent: a body, or the data of one event.

    Raises:
        MalformedDocument: it cannot be read, or not in one way only.
    """
    body = read_body(data, "server")
    for message in body.messages:
        account.note_failure(message)
    heard = data
    tools = list(_lists_of_tools(body))
    if tools:
        judged = _without_denied(account, data, body, gate)
        if judged.stopped_in is not None:
            account.keep(data, ())
            return judged
        data, body = judged.data, judged.body
    judged = _judge_texts(account, data, body, heard)
    if judged.stopped_in is None or not tools:
        return judged
    poisoned = _named_by(judged.decision, judged.body)
    if not poisoned:
        return judged
    data = _strip(judged.data, judged.body, poisoned)
    account.note(_as_transform(judged.decision), judged.stopped_in)
    account.decisions = [one for one in account.decisions if one is not judged.decision]
    account.take_back()
    return _judge_texts(account, data, read_body(data, "server"), heard)


def judge_opaque(account: McpAccount, data: bytes, *, named: bool = True) -> Decision:
    """Judge what is no message: as the text that its JSON stands for, else as it is.

    Args:
        named: False for an event of a stream that clients of MCP pass over.
    """
    try:
        text = json_text(read_json(data))
    except MalformedDocument:
        text = data.decode(errors="replace")
    part = Part("tool", "tool_result", text, "")
    decision, _, masks, _ = _decide_texts(account, [part])
    account.keep(data, masks, text=text, named=named)
    return decision


def _judge_texts(account: McpAccount, data: bytes, body: Body, heard: bytes) -> Judged:
    parts = [part for message in body.messages for part in message.parts]
    decision, edits, masks, phase = _decide_texts(account, parts)
    account.keep(data, masks, heard=heard)
    if decision.verdict.stops:
        return Judged(decision, data, body, phase)
    return _edited(account, decision, data, body, edits, phase)


def _decide_texts(
    account: McpAccount, parts: Sequence[Part]
) -> tuple[Decision, list[Edit], list[Edit], Phase]:
    """The strictest decision of both phases, its edits and masks, and its phase."""
    edits: list[Edit] = []
    masks: list[Edit] = []
    strictest, strictest_phase = _PASSED, Phase.OUTPUT
    for phase in (Phase.INPUT, Phase.OUTPUT):
        if not account.in_force.plan.has(phase):
            continue
        view = ExchangeView(parts, (), account.dialect.name, complete=False)
        decision = decide(account.in_force.plan, phase, view, account.facts())
        account.note(decision, phase)
        masks = merged(masks, decision.masks)
        edits = merged(edits, decision.edits)
        if decision.verdict.strictness > strictest.verdict.strictness:
            strictest, strictest_phase = decision, phase
        if decision.verdict.stops:
            break
    return strictest, edits, masks, strictest_phase


def _edited(
    account: McpAccount,
    decision: Decision,
    data: bytes,
    body: Body,
    edits: Sequence[Edit],
    phase: Phase,
) -> Judged:
    """The data with its edits made; stopped where they cannot be."""
    if not edits:
        return Judged(decision, data, body)
    try:
        edited = splice(data, edits)
    except CannotSplice:
        if not account.decisions or account.decisions[-1] is not decision:
            account.decisions.append(decision)
        return Judged(account.cannot_redact(decision), data, body, phase)
    return Judged(decision, edited, read_body(edited, "server"))


# Lists of tools


def _lists_of_tools(body: Body) -> Iterator[tuple[Message, list[dict[str, Any]]]]:
    for message in body.messages:
        result = message.document.get("result")
        if type(result) is dict and type(tools := result.get("tools")) is list and tools:
            yield message, tools


def _without_denied(account: McpAccount, data: bytes, body: Body, gate: ToolGate | None) -> Judged:
    """Take out the tools that the operator or a policy denies this caller."""
    definitions = [
        part
        for message in body.messages
        for part in message.parts
        if part.kind == "tool_definition"
    ]
    denied = {part.name for part in definitions if gate is not None and not gate.permits(part.name)}
    decision = _PASSED
    if account.in_force.plan.judges(Phase.INPUT):
        view = ExchangeView(definitions, definitions, account.dialect.name)
        decision = decide(account.in_force.plan, Phase.INPUT, view, _already_counted(account))
        named = _named_by(decision, body)
        denied |= {name for one in decision.transforms for name in one.strip_tools} | named
        if decision.verdict.stops and named:
            decision = _as_transform(decision)
        account.note(decision, Phase.INPUT)
        if decision.verdict.stops:
            return Judged(decision, data, body, Phase.INPUT)
    denied &= {part.name for part in definitions}
    if not denied:
        return Judged(decision, data, body)
    stripped = f"stripped: {', '.join(sorted(denied))}"
    name = decision.policy_name or TOOLS_OF_SERVER
    account.changes = (*account.changes, Change(name, Phase.INPUT, "strip_tools", stripped))
    data = _strip(data, body, denied)
    return Judged(decision, data, read_body(data, "server"))


def _strip(data: bytes, body: Body, names: set[str]) -> bytes:
    edits = []
    for message, tools in _lists_of_tools(body):
        kept = [tool for tool in tools if tool.get("name") not in names]
        whole = len(json_text(tools))
        edits.append(Edit(f"{message.at}/result/tools", 0, whole, json_text(kept)))
    return splice(data, edits)


def _named_by(decision: Decision, body: Body) -> set[str]:
    """The tools that a stopping decision is about; empty where it is about anything else too."""
    places = {
        f"{message.at}/result/tools/{index}": str(tool.get("name"))
        for message, tools in _lists_of_tools(body)
        for index, tool in enumerate(tools)
    }
    named: set[str] = set()
    for evaluation in decision.evaluations:
        if not evaluation.effective.stops:
            continue
        if not evaluation.findings:
            return set()
        for finding in evaluation.findings:
            place = "/".join(finding.path.split("/")[: 4 + body.is_batch])
            if place not in places:
                return set()
            named.add(places[place])
    return named


def _as_transform(decision: Decision) -> Decision:
    """A stopping decision, carried out by taking tools out of a list."""
    return msgspec.structs.replace(
        decision,
        verdict=Verdict.TRANSFORM,
        message=_STRIPPED,
        edits=(),
        transforms=(Transform(),),
        quarantine=None,
        escalation=None,
    )


class _Granted(dict[str, Counter]):
    """The request was counted; its answer is not counted again."""

    def __missing__(self, key: str) -> Counter:
        return Counter(used=0.0)


_COUNTED: Mapping[str, Counter] = MappingProxyType(_Granted())


def _already_counted(account: McpAccount) -> Facts:
    return msgspec.structs.replace(account.facts(), counters=_COUNTED)


def merged(some: Sequence[Edit], others: Sequence[Edit]) -> list[Edit]:
    """Edits of two phases as one list: by path, left to right; those that overlap become one."""
    if not some or not others:
        return [*some, *others]
    result: list[Edit] = []
    for edit in sorted((*some, *others), key=lambda one: (one.path, one.start, -one.end)):
        last = result[-1] if result else None
        if last is not None and last.path == edit.path and edit.start < last.end:
            result[-1] = msgspec.structs.replace(last, end=max(last.end, edit.end))
        else:
            result.append(edit)
    return result
