"""What every module of pages starts from: routes under a session, and the console's parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from jinja2 import Environment

from kintsugi.api.control import Control
from kintsugi.api.routing import Routes
from kintsugi.console.assets import Assets
from kintsugi.console.attempts import Attempts
from kintsugi.console.oidc import Provider
from kintsugi.console.sessions import Sessions
from kintsugi.model.tokens import Token


@dataclass(frozen=True, slots=True)
class Console:
    """The console's parts."""

    sessions: Sessions
    attempts: Attempts
    provider: Provider | None
    assets: Assets
    templates: Environment


def console_of(request: Request) -> Console:
    """The console that a request came to."""
    console: Console = request.app.state.console
    return console


async def _console(request: Request) -> Console:
    return console_of(request)


async def _by_session(request: Request, control: Control) -> Token:
    return await console_of(request).sessions.identify(request, control)


Con = Annotated[Console, Depends(_console)]


def page_routes() -> Routes:
    """An empty set of pages, for people with a session."""
    return Routes("console", identify=_by_session, documented=False)
