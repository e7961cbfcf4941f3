"""What a model reads and writes, in one view for every dialect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

PartKind = Literal["text", "reasoning", "tool_call", "tool_result", "tool_definition"]


class Part(msgspec.Struct, frozen=True):
    """One piece of text in an exchange, pointing back into the wire document.

    Attributes:
        role: the speaker in the wire's own word: ``system developer user assistant tool``.
        kind: what the text is; rules choose by it.
        text: the decoded text. For ``tool_call`` the arguments as sent (JSON text).
        path: JSON pointer (RFC 6901) of the string in the wire document. In a stream, of the
            string in the whole answer that the frames add up to:
            ``/choices/0/message/content``.
        start: findings count only from this character on; what stands before it is context that
            was judged already. 0 except in windows over a stream.
        name: the tool's name for tool parts, else empty.
    """

    role: str
    kind: PartKind
    text: str
    path: str
    start: int = 0
    name: str = ""


class ExchangeView(msgspec.Struct, frozen=True):
    """What the rules of one phase may see of an exchange.

    Attributes:
        parts: what this phase judges. In the tool phase, the calls.
        request: what was asked; the same parts in the input phase.
        complete: whether the parts are all there will be. In a window over a stream they are
            not, and only patterns are looked for.
        model: as asked for.
        target_ids: in the route phase, the targets that could answer.
        input_tokens, output_tokens, output_tokens_max: as told by upstream, and the bound that
            the request sets; 0 while not known.
    """

    parts: Sequence[Part]
    request: Sequence[Part] = ()
    dialect: str = ""
    model: str = ""
    complete: bool = True
    target_ids: tuple[str, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    output_tokens_max: int = 0


class Edit(msgspec.Struct, frozen=True):
    """Replace characters ``start`` to ``end`` (exclusive) of the text at ``path``."""

    path: str
    start: int
    end: int
    replacement: str


class Identity(msgspec.Struct, frozen=True):
    """Who sent the request, as told by its headers; an empty string where it did not say.

    Attributes:
        key_name: name of the gateway key that was presented, where the configuration lists keys.
        tenant_id: for whom the application works; it stands last because it is the youngest.
        trace_id: trace id of the W3C ``traceparent`` header, 32 hex digits.
    """

    user_id: str = ""
    team_id: str = ""
    session_id: str = ""
    agent_id: str = ""
    workflow: str = ""
    request_id: str = ""
    trace_id: str = ""
    parent_span_id: str = ""
    key_name: str = ""
    tenant_id: str = ""
