"""``GET /v1/models`` and ``/v1/models/{id}``: what the configuration offers. Calls no upstream.

OpenAI and Anthropic ask at the same path and name different fields, so one answer has both.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

import msgspec

from kintsugi.gateway.commands import Reply
from kintsugi.model.config import Target

MODELS_PATH = b"/v1/models"
SIMULATOR_MODEL = "sim-echo"

_JSON = (b"content-type", b"application/json")
_encode = msgspec.json.Encoder().encode


def model_names(targets: Sequence[Target]) -> dict[str, str]:
    """The models by name, in the configuration's order, each with the target that serves it.

    A target that takes any model has no name to list, except the simulator's own.
    """
    found: dict[str, str] = {}
    for target in targets:
        name = target.model or (SIMULATOR_MODEL if target.provider == "simulator" else "")
        if name:
            found.setdefault(name, target.id)
    return found


def answer_models(targets: Sequence[Target], path: bytes) -> Reply | None:
    """The list, or one of them; None when there is none of that name."""
    names = model_names(targets)
    if path == MODELS_PATH:
        listed = {
            "object": "list",
            "data": [_model(name, owner) for name, owner in names.items()],
            "has_more": False,
            "first_id": next(iter(names), None),
            "last_id": next(reversed(names), None),
        }
        return 200, [_JSON], _encode(listed)
    name = unquote(path.removeprefix(MODELS_PATH + b"/").decode("latin-1"))
    owner = names.get(name)
    return None if owner is None else (200, [_JSON], _encode(_model(name, owner)))


def _model(name: str, owner: str) -> dict[str, str | int]:
    return {
        "id": name,
        "object": "model",
        "created": 0,  # when, nobody knows
        "owned_by": owner,
        "type": "model",
        "display_name": name,
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
    }
