"""Facts of one exchange: what its policies need counted or asked, and what became of it.

Pure. ``Gather`` is the exchange's wish; the shell carries it out, and everything that comes back
is recorded on the event, so that a replay needs neither counters nor network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from kintsugi.gateway.commands import Gather, RemoteCall, Settle
from kintsugi.gateway.events import Gathered, Headers
from kintsugi.model.content import ExchangeView
from kintsugi.model.decision import Decision, Phase
from kintsugi.model.event import GatheredFacts
from kintsugi.model.facts import CounterNeed, RemoteAnswer, RemoteNeed
from kintsugi.policy.decide import needs, settlements

if TYPE_CHECKING:
    from kintsugi.gateway.account import Account

_CLAIM_CHARS_MAX = 1024
_JSON: Headers = [
    (b"content-type", b"application/json"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"identity"),
]


def claims_in(headers: Headers, names: frozenset[bytes]) -> dict[str, str]:
    """The request headers that rules want to see, by lower-case name.

    One that was sent twice reads as HTTP joins it, so that neither of two values can hide.
    """
    found: dict[str, str] = {}
    for name, value in headers:
        if name in names:
            key = name.decode("latin-1")
            text = value.decode("utf-8", "replace").strip()[:_CLAIM_CHARS_MAX]
            found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def found_in(decision: Decision) -> tuple[str, ...]:
    """Reason codes and rules of everything that a decision found, each once."""
    found: dict[str, None] = {}
    for evaluation in decision.evaluations:
        for finding in evaluation.findings:
            found[finding.reason_code] = None
            found[finding.rule] = None
    return tuple(found)


def wish(account: Account, asked: Iterable[tuple[Phase, ExchangeView]]) -> Gather | None:
    """What has to be gathered before these phases; None when nothing has to be.

    A target that cannot be asked has its answer at once.
    """
    plan = account.in_force.plan
    facts = account.facts()
    counters: dict[str, CounterNeed] = {}
    remote: dict[str, RemoteCall] = {}
    for phase, view in asked:
        for need in needs(plan, phase, view, facts):
            if isinstance(need, CounterNeed):
                if need.key not in account.counters:
                    counters[need.key] = need
            elif need.key not in account.remote:
                call = _call(account, need)
                if isinstance(call, RemoteCall):
                    remote[need.key] = call
                else:
                    account.remote = {**account.remote, need.key: call}
    if not counters and not remote:
        return None
    return Gather(tuple(counters.values()), tuple(remote.values()))


def take(account: Account, gathered: Gathered, *, of_answer: bool) -> None:
    """Take in what was gathered.

    Args:
        of_answer: it was gathered to judge an answer, not a request.
    """
    account.counters = {**account.counters, **gathered.counters}
    account.remote = {**account.remote, **gathered.remote}
    if gathered.reservation:
        account.reservations = (*account.reservations, (gathered.reservation, of_answer))


def settle(
    account: Account, views: Mapping[Phase, ExchangeView], *, called: bool, delivered: bool
) -> list[Settle]:
    """End the exchange's reservations.

    Args:
        views: what the phases saw, with the tokens that upstream told.
        called: upstream may have worked for it, whatever became of its answer: what that cost is
            settled. Otherwise it is given back.
        delivered: the answer went out. Otherwise what it was to cause (its tool calls) did not
            happen, and is given back.
    """
    if not account.reservations:
        return []
    plan, facts = account.in_force.plan, account.facts()
    used: dict[str, float] = {}
    for phase, view in views.items():
        used.update(settlements(plan, phase, view, facts))
    commands = []
    for number, of_answer in account.reservations:
        counts = delivered if of_answer else called
        commands.append(Settle(number, dict(used) if counts else None))
    account.reservations = ()
    return commands


def recorded(account: Account) -> GatheredFacts | None:
    """As the event carries them; None when there are none."""
    if not (account.claims or account.counters or account.remote):
        return None
    return GatheredFacts(dict(account.claims), dict(account.counters), dict(account.remote))


def _call(account: Account, need: RemoteNeed) -> RemoteCall | RemoteAnswer:
    upstreams = account.in_force.upstreams
    upstream = next((one for one in upstreams if one.target.id == need.target_id), None)
    if upstream is None or not upstream.origin:
        return RemoteAnswer(error="not_configured")
    if upstream.lacks_secret:
        return RemoteAnswer(error="secret_missing")
    headers = list(_JSON)
    if upstream.credential is not None:
        headers.append((upstream.credential_header, upstream.credential.reveal().encode()))
    return RemoteCall(
        key=need.key,
        origin=upstream.origin,
        path=upstream.base_path + need.path.encode(),
        headers=headers,
        body=need.body,
        timeout_seconds=need.timeout_seconds,
        allow_private_network=upstream.reaches_private_network,
    )
