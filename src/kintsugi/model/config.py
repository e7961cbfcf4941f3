"""A configuration as typed values, and what can be wrong with one."""

from __future__ import annotations

from datetime import date
from enum import Enum
from typing import Any, Final, Literal

import msgspec

Streaming = Literal["buffer", "window", "observe"]
Durability = Literal["strict", "bounded"]
FailMode = Literal["block", "allow"]
PayloadCapture = Literal["redacted", "full", "none"]


class Severity(Enum):
    """How bad a diagnostic is; errors keep a configuration from being put in force."""

    ERROR = "error"
    WARNING = "warning"


class Position(msgspec.Struct, frozen=True):
    """A place in a file; line and column count from 1."""

    line: int = 1
    column: int = 1


class Diagnostic(msgspec.Struct, frozen=True):
    """One thing wrong with a configuration.

    Attributes:
        code: ``E001`` and so on; each has a page in the manual.
        path: where in the document, dotted: ``policy.prompt-injection.action``.
        message: what was wrong.
        help: what would be right, with a did-you-mean where one is near.
        suggestion: the one word that was probably meant; empty when none is near.
    """

    code: str
    severity: Severity
    message: str
    file: str
    position: Position
    path: str = ""
    help: str = ""
    suggestion: str = ""


class Relaxation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who answers for a setting that is weaker than it could be, why, and for how long.

    Attributes:
        expires: the last day on which it holds (UTC). After it the configuration has an error.
    """

    owner: str
    reason: str
    expires: date


class SecretRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a secret is found; never the secret."""

    env: str


class Pack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The name tag of a configuration. ``id`` defaults to a slug of the name."""

    name: str
    version: str
    enabled: bool = True
    id: str = ""
    author: str = ""
    description: str = ""


class GatewayKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key that callers may present; only its SHA-256 (hex) is kept.

    Attributes:
        role: what its holder may do, for policies that know roles; no header can change it.
    """

    name: str
    sha256: str
    role: str = ""


class Gateway(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the gateway carries requests; every limit has a unit in its name."""

    port: int = 41002
    streaming: Streaming = "buffer"
    durability: Durability = "strict"
    fail_mode: FailMode = "block"
    payload: PayloadCapture = "redacted"
    payload_bytes_max: int = 262_144
    request_body_bytes_max: int = 10_485_760
    response_body_bytes_max: int = 33_554_432
    concurrency_max: int = 1024
    client_header_timeout_seconds: float = 10.0
    client_body_timeout_seconds: float = 30.0
    client_idle_timeout_seconds: float = 75.0
    upstream_connect_timeout_seconds: float = 5.0
    upstream_first_byte_timeout_seconds: float = 120.0
    upstream_idle_timeout_seconds: float = 60.0
    upstream_total_timeout_seconds: float = 600.0
    drain_timeout_seconds: float = 30.0
    keys: tuple[GatewayKey, ...] = ()
    relaxed: Relaxation | None = None


class DataPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a provider has promised to do with what it is sent, as its contract says.

    Attributes:
        zero_data_retention: nothing is kept once the answer is given.
        training_opt_out: nothing is learned from.
        retention_days: how long it is kept; None where that is not promised.
    """

    zero_data_retention: bool = False
    training_opt_out: bool = False
    retention_days: int | None = None


class Retry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a failed attempt is followed by another one. Nothing is repeated once any part of an
    answer that is not a failure has come.

    Attributes:
        attempts_max: for one exchange; 0 tries each target once. More than there are targets
            begins again with the first one, after a pause.
        statuses: answers that count as a failed attempt.
        budget_percent: how many retries this worker may add to its exchanges, so that an outage
            is not multiplied.
        backoff_seconds: the pause before a target is asked again; doubles each time. A
            ``retry-after`` of the provider is kept to if it is at most ``backoff_seconds_max``;
            otherwise its answer is passed on.
    """

    attempts_max: int = 0
    statuses: tuple[int, ...] = (429, 500, 502, 503, 504, 529)
    budget_percent: float = 20.0
    backoff_seconds: float = 0.2
    backoff_seconds_max: float = 5.0


class Breaker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a target is left alone.

    Attributes:
        failures: in a row, after which its circuit opens.
        open_seconds: how long it is left alone before one exchange tries it again.
    """

    failures: int = 5
    open_seconds: float = 10.0


class Routing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one of several targets is chosen, and what happens when it fails.

    Attributes:
        strategy: ``ordered`` takes the first one whose circuit is closed; ``weighted`` draws one
            by ``Target.weight``; ``least-latency`` takes the one that answered fastest of late.
    """

    strategy: Literal["ordered", "weighted", "least-latency"] = "ordered"
    retry: Retry = Retry()
    breaker: Breaker = Breaker()


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model provider that requests may be sent to. Upstreams exist only here.

    Attributes:
        provider: ``openai`` and ``anthropic`` speak their dialect at ``base_url``; ``simulator``
            speaks both and is the local ``kt simulate``, whose address the gateway learns when it
            starts.
        model: requests for this model go here; empty takes any model.
        upstream_model: what the provider calls the model, where that differs from the name that
            was asked for.
        weight: share of the exchanges under ``strategy: weighted``; 0 only takes over.
        fallback: ids of targets that are tried, in this order, when this one fails, whatever
            model they are for.
        first_byte_timeout_seconds, total_timeout_seconds: for this target instead of the
            gateway's; 0 keeps the gateway's.
        region: where it computes, in the operator's own words: ``eu-west-1``.
        tags: words that ``data-routing-policy`` can ask for.
    """

    id: str
    provider: str
    model: str = ""
    base_url: str = ""
    secret_key_ref: SecretRef | None = None
    allow_private_network: bool = False
    upstream_model: str = ""
    weight: float = 1.0
    fallback: tuple[str, ...] = ()
    first_byte_timeout_seconds: float = 0.0
    total_timeout_seconds: float = 0.0
    region: str = ""
    tags: tuple[str, ...] = ()
    data_policy: DataPolicy = DataPolicy()


class McpTools(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tools of a server that anybody may see and call; ``*`` and ``?`` are understood.

    Attributes:
        allow: nothing else; empty for every tool.
        deny: goes before ``allow``, and takes look-alike spellings too.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class McpServer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An MCP server that is reached at ``/mcp/{id}``. Servers exist only here.

    Attributes:
        provider: ``http`` speaks streamable HTTP at ``url``; ``simulator`` is ``kt simulate``.
        url: the endpoint itself, with its path: ``https://tools.example.com/mcp``.
        secret_key_ref: sent as a Bearer token, to this server's host only. What the client sends
            as its own never goes on.
        first_byte_timeout_seconds, idle_timeout_seconds, total_timeout_seconds: of one request. A
            tool may work for long before it says anything.
    """

    id: str
    provider: Literal["http", "simulator"] = "http"
    url: str = ""
    secret_key_ref: SecretRef | None = None
    allow_private_network: bool = False
    tools: McpTools = McpTools()
    first_byte_timeout_seconds: float = 300.0
    idle_timeout_seconds: float = 300.0
    total_timeout_seconds: float = 3600.0


class Mcp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """MCP servers behind the gateway.

    Attributes:
        allowed_origins: web pages that may speak to them (``https://app.example.com``), besides
            those of this machine. Programs send no ``Origin`` and are not asked for one.
        streams_max: how many streams for server-sent notifications one worker keeps open.
        stream_seconds_max: after which one ends; clients resume it where they were.
    """

    servers: tuple[McpServer, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    streams_max: int = 256
    stream_seconds_max: float = 3600.0


class CaseCounter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a counter says in a test case.

    Attributes:
        used: before this exchange.
        granted: whether its amount still fits; null works that out from the limit.
    """

    used: float = 0.0
    granted: bool | None = None
    retry_after_seconds: float = 0.0


class CaseAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What another machine answers in a test case.

    Attributes:
        body: text, or a document that is sent as JSON.
        error: ``timeout``, ``connect_failed`` and so on, where it does not answer.
    """

    status: int = 200
    body: dict[str, Any] | str = ""
    error: str = ""


class CaseFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is counted and asked in a test case, by key; ``*`` stands for any characters. A
    counter that is not named has been used by nobody; a machine that is not named does not answer.
    """

    counters: dict[str, CaseCounter] = {}
    remote: dict[str, CaseAnswer] = {}


CASE_ENDPOINT: Final = "/v1/chat/completions"
MCP_ENDPOINT: Final = "/mcp/"
CASE_ENDPOINTS: Final = (
    CASE_ENDPOINT,
    "/v1/responses",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/messages/count_tokens",
)


class CaseInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a test case sends; ``upstream_response`` lets output rules run without a model.

    Attributes:
        endpoint: one of ``CASE_ENDPOINTS``, or ``/mcp/`` with the id of an MCP server.
    """

    messages: tuple[dict[str, Any], ...] = ()
    headers: dict[str, str] = {}
    request: dict[str, Any] | None = None
    upstream_response: dict[str, Any] | str | None = None
    stream: bool = False
    facts: CaseFacts = CaseFacts()
    endpoint: str = CASE_ENDPOINT


class CaseExpected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must come out; a field that is left out is not compared."""

    verdict: str | None = None
    reason_code: str | None = None
    policy: str | None = None
    response_contains: str | None = None
    response_excludes: str | None = None
    request_excludes: str | None = None


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One test case; ``skip`` holds the reason why it is not run."""

    name: str
    input: CaseInput
    expected: CaseExpected
    description: str = ""
    skip: str = ""


class Suite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Cases under one name."""

    name: str
    cases: tuple[Case, ...]
    description: str = ""


class PolicyBlock(msgspec.Struct, frozen=True):
    """One kind in the chain with its options as parsed, checked against the kind's own type.

    Attributes:
        options: an instance of the kind's ``Options`` struct.
        relaxed: who answers for it where it is weaker than it could be. No part of the revision:
            it changes nothing that is decided.
    """

    kind: str
    options: Any
    relaxed: Relaxation | None = None


class Config(msgspec.Struct, frozen=True):
    """A whole configuration, canonical whatever shape it was written in.

    Attributes:
        chain: in the order of evaluation; every kind in it, and nothing else, runs.
        source: the text that it was parsed from.
        file: the name to show in messages.
        positions: dotted path to place in the text, for messages about a value.
    """

    pack: Pack
    gateway: Gateway
    targets: tuple[Target, ...]
    chain: tuple[PolicyBlock, ...]
    suites: tuple[Suite, ...]
    source: str
    file: str
    positions: dict[str, Position]
    routing: Routing = Routing()
    mcp: Mcp = Mcp()

    @property
    def id(self) -> str:
        """The configuration's identity in the control plane."""
        return self.pack.id
