"""``GET /v1/reasons``: every reason code that a decision may carry."""

from __future__ import annotations

from starlette.responses import Response

from kintsugi.api.answers import Page, whole
from kintsugi.api.permissions import Access
from kintsugi.api.routing import Routes
from kintsugi.policy.reasons import REASONS, Reason

routes = Routes("reasons")


@routes.add("GET", "/v1/reasons", Access.SIGNED_IN, answer=Page[Reason])
def list_reasons() -> Response:
    """Code, meaning, and what to do about it."""
    return whole(list(REASONS.values()))
