"""Everything that is in force while one exchange runs: replaced whole, never edited in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Final
from urllib.parse import urlsplit

import msgspec

from kintsugi.gateway.oversight import Oversight
from kintsugi.gateway.routing import Board
from kintsugi.model.config import McpServer, Target
from kintsugi.model.decision import Phase
from kintsugi.policy.containment import Contained, pin_of, under
from kintsugi.policy.plan import Plan

# Sets of containments that one configuration keeps ready; more are made again when asked for.
_UNDER_MAX: Final = 256


class Secret:
    """A value that shows itself only when asked by name; printing or pickling it does not."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself; call this only where it is sent."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is not pickled")


class Upstream(msgspec.Struct, frozen=True):
    """A target with its address worked out.

    Attributes:
        origin: scheme, host and port; empty when the target has no address (a ``simulator``
            target while no simulator runs).
        base_path: what stands before ``/chat/completions``: ``/v1`` unless ``base_url`` has a path.
        credential: value of the header ``credential_header``; None when the target needs none.
        lacks_secret: the configuration names a secret that the environment does not hold.
    """

    target: Target
    origin: str
    base_path: bytes
    credential: Secret | None
    lacks_secret: bool
    credential_header: bytes = b"authorization"

    @property
    def reaches_private_network(self) -> bool:
        """Whether loopback and private addresses are allowed; the simulator lives on loopback."""
        return self.target.allow_private_network or self.target.provider == "simulator"


class McpUpstream(msgspec.Struct, frozen=True):
    """An MCP server with its address worked out; ``base_path`` is its endpoint's whole path."""

    server: McpServer
    upstream: Upstream


class InForce:
    """One compiled plan with the surroundings it acts in.

    Args:
        config_version: ``ID@V``, as events carry it.
        simulator_url: where ``kt simulate`` listens, such as ``http://127.0.0.1:41003``; empty
            when none runs.
        fingerprint_key: see ``Facts.fingerprint_key``.
        board: how the targets are doing, where that is known already.
        oversight: what people have decided, where that is known already.
        secrets: by target id, and by ``mcp/`` with the id of an MCP server; what names a secret
            and is not in here answers 502.
    """

    __slots__ = (
        "_candidates",
        "_under",
        "asks_before",
        "asks_of_answers",
        "board",
        "config",
        "config_version",
        "enforces_on_calls",
        "engine_version",
        "fingerprint_key",
        "foregone_audit",
        "gateway",
        "gateway_id",
        "has_input_rules",
        "has_output_rules",
        "has_route_rules",
        "has_tool_rules",
        "judges_answers",
        "judges_whole_answers",
        "key_names",
        "mcp_servers",
        "oversight",
        "pinned_from",
        "plan",
        "upstreams",
        "worker_id",
    )

    def __init__(
        self,
        *,
        plan: Plan,
        config_version: str,
        gateway_id: str,
        worker_id: str,
        engine_version: str,
        fingerprint_key: bytes,
        simulator_url: str = "",
        secrets: Mapping[str, Secret] | None = None,
        board: Board | None = None,
        oversight: Oversight | None = None,
    ) -> None:
        self.config_version = config_version
        self.pinned_from = ""  # the version in force, where the policies of another one decide
        self.gateway_id = gateway_id
        self.worker_id = worker_id
        self.engine_version = engine_version
        self.fingerprint_key = fingerprint_key
        self._under: dict[tuple[Contained, ...], InForce] = {}
        self._judge_by(plan)
        self.key_names = {key.sha256.lower(): key.name for key in self.gateway.keys}
        self.upstreams = tuple(
            resolve(target, simulator_url=simulator_url, secret=(secrets or {}).get(target.id))
            for target in self.config.targets
        )
        self.mcp_servers = {
            server.id.encode(): _resolve_mcp(
                server, simulator_url=simulator_url, secret=(secrets or {}).get(f"mcp/{server.id}")
            )
            for server in self.config.mcp.servers
        }
        self.board = board or Board()
        self.oversight = oversight or Oversight()
        self._candidates = {
            "": _by_model(self.upstreams),
            **{family: _by_model(_speaking(self.upstreams, family)) for family in _FAMILIES},
        }

    def among(self, *, board: Board, oversight: Oversight) -> InForce:
        """The same in other surroundings: other targets' health, other people's decisions."""
        found = copy(self)
        found._under = {}
        found.board = board
        found.oversight = oversight
        return found

    def under(self, contained: tuple[Contained, ...]) -> InForce:
        """The same with containments, which judge before the configuration's own policies, or
        have those of another version decide."""
        found = self._under.get(contained)
        if found is None:
            found = copy(self)
            if (pin := pin_of(contained)) is not None:
                found.config_version = pin.containment.lever.config_version
                found.pinned_from = self.config_version
            found._judge_by(under(self.plan, contained))
            if len(self._under) >= _UNDER_MAX:
                self._under.clear()
            self._under[contained] = found
        return found

    def _judge_by(self, plan: Plan) -> None:
        self.plan = plan
        self.config = plan.config
        self.gateway = plan.config.gateway
        self.has_input_rules = plan.has(Phase.INPUT)
        self.has_route_rules = plan.has(Phase.ROUTE)
        self.has_tool_rules = plan.has(Phase.TOOL)
        self.has_output_rules = plan.has(Phase.OUTPUT)
        self.asks_before = plan.asks(Phase.INPUT)
        self.asks_of_answers = plan.asks(Phase.TOOL) or plan.asks(Phase.OUTPUT)
        self.judges_answers = self.has_output_rules or self.has_tool_rules
        self.judges_whole_answers = self.has_tool_rules or plan.judges(Phase.OUTPUT)
        self.enforces_on_calls = plan.enforces(Phase.TOOL)
        self.foregone_audit = plan.foregone(Phase.AUDIT)

    def candidates(self, model: str, dialect: str = "") -> Sequence[Upstream]:
        """The targets for exactly this model, else those that take any, in the order of the
        configuration, and then those that take over from them. Empty for none.

        Targets that cannot be called are among them only where there is no other.

        Args:
            dialect: as events carry it: only targets that speak it; empty for all of them.
        """
        by_model = self._candidates[dialect.partition(".")[0]]
        found = by_model.get(model)
        if found is None:
            found = by_model.get("", ())
        return found


# What the names of dialects begin with. A provider of that name speaks them; the simulator all.
_FAMILIES = ("openai", "anthropic")


def _speaking(upstreams: Sequence[Upstream], family: str) -> list[Upstream]:
    return [one for one in upstreams if one.target.provider in (family, "simulator")]


def _by_model(upstreams: Sequence[Upstream]) -> dict[str, tuple[Upstream, ...]]:
    """The targets by the model that they are for."""
    return {
        model: _with_fallbacks([one for one in upstreams if one.target.model == model], upstreams)
        for model in {one.target.model for one in upstreams}
    }


def _with_fallbacks(
    chosen: Sequence[Upstream], upstreams: Sequence[Upstream]
) -> tuple[Upstream, ...]:
    """The targets, and then those that take over from them."""
    by_id = {one.target.id: one for one in upstreams}
    found = {one.target.id: one for one in chosen}
    for one in chosen:
        names = (name for name in one.target.fallback if name in by_id)
        found.update((name, by_id[name]) for name in names if name not in found)
    usable = tuple(one for one in found.values() if one.origin and not one.lacks_secret)
    return usable or tuple(found.values())


def resolve(target: Target, *, simulator_url: str, secret: Secret | None) -> Upstream:
    """Work out address and credential of a target once, at load."""
    address = urlsplit(simulator_url if target.provider == "simulator" else target.base_url)
    bare = target.provider == "anthropic"
    if secret is not None and not bare:
        secret = Secret(f"Bearer {secret.reveal()}")
    return Upstream(
        target=target,
        origin=f"{address.scheme}://{address.netloc}" if address.netloc else "",
        base_path=(address.path.rstrip("/") or "/v1").encode(),
        credential=secret,
        lacks_secret=target.secret_key_ref is not None and secret is None,
        credential_header=b"x-api-key" if bare else b"authorization",
    )


def _resolve_mcp(server: McpServer, *, simulator_url: str, secret: Secret | None) -> McpUpstream:
    """Work out address and credential of an MCP server once, at load."""
    simulated = server.provider == "simulator"
    address = urlsplit(f"{simulator_url}/mcp" if simulated and simulator_url else server.url)
    target = Target(
        id=server.id,
        provider="mcp",
        base_url=server.url,
        secret_key_ref=server.secret_key_ref,
        allow_private_network=server.allow_private_network or simulated,
    )
    return McpUpstream(
        server,
        Upstream(
            target=target,
            origin=f"{address.scheme}://{address.netloc}" if address.netloc else "",
            base_path=(address.path or "/").encode(),
            credential=None if secret is None else Secret(f"Bearer {secret.reveal()}"),
            lacks_secret=server.secret_key_ref is not None and secret is None,
        ),
    )
