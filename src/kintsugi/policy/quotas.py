"""What is counted, for whom, and roughly how much: keys of counters and estimates of tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal
from urllib.parse import quote

from kintsugi.model.content import Identity, Part

Scope = Literal["session", "user", "team", "agent", "workflow", "key", "model", "global"]
Period = Literal["minute", "hour", "day", "week", "month", "session"]

SECONDS: dict[str, int] = {
    "minute": 60,
    "hour": 3_600,
    "day": 86_400,
    "week": 604_800,
    "month": 2_592_000,
    "session": 0,
}

# English prose has about four characters to a token, most other scripts fewer characters but more
# bytes; bytes come near both. An estimate only: what upstream tells replaces it.
_BYTES_PER_TOKEN = 4


def counter_key(kind: str, scope: Scope, identity: Identity, model: str, *rest: str) -> str:
    """The name of a counter: ``rate-limit/user/ada/requests/60``.

    Callers who do not say who they are share one counter, so that leaving a header out gains
    nothing over everybody else who does.
    """
    return "/".join(
        (
            kind,
            scope,
            quote(_who(scope, identity, model), safe=""),
            *(quote(w, safe="") for w in rest),
        )
    )


def estimated_tokens(texts: Iterable[str]) -> int:
    """About how many tokens some texts are."""
    size = sum(
        len(text) if text.isascii() else len(text.encode("utf-8", "replace")) for text in texts
    )
    return -(-size // _BYTES_PER_TOKEN)


def input_tokens(parts: Iterable[Part]) -> int:
    """About how many tokens a request is."""
    return estimated_tokens(part.text for part in parts)


def _who(scope: Scope, identity: Identity, model: str) -> str:
    return {
        "session": identity.session_id,
        "user": identity.user_id,
        "team": identity.team_id,
        "agent": identity.agent_id,
        "workflow": identity.workflow,
        "key": identity.key_name,
        "model": model,
        "global": "all",
    }[scope]
