"""The whole control plane: the API and the pages over it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from fastapi import FastAPI

from kintsugi.api.app import build_api, utc_now
from kintsugi.api.credentials import session_secret
from kintsugi.console import (
    configurations,
    containments,
    log,
    oversight,
    pages,
    regressions,
    reports,
    signing_in,
)
from kintsugi.console.assets import Assets
from kintsugi.console.attempts import Attempts
from kintsugi.console.frame import Console
from kintsugi.console.oidc import Provider
from kintsugi.console.pages import show_problem
from kintsugi.console.rendering import environment
from kintsugi.console.sessions import Sessions
from kintsugi.model.stores import Stores


def build_control_plane(
    stores: Stores,
    *,
    state_dir: Path,
    log_key_file: Path | None = None,
    clock: Callable[[], datetime] = utc_now,
    archive_after_months: int | None = None,
    provider: Provider | None = None,
) -> FastAPI:
    """The API with the console at its root; see :func:`kintsugi.api.app.build_api`.

    Args:
        provider: vouches for people; None where they come in by invitations and tokens alone.
    """
    app = build_api(
        stores,
        state_dir=state_dir,
        log_key_file=log_key_file,
        clock=clock,
        more_routes=[
            pages.routes,
            signing_in.routes,
            oversight.routes,
            containments.routes,
            regressions.routes,
            reports.routes,
            log.routes,
            configurations.routes,
        ],
        render_problem=show_problem,
        archive_after_months=archive_after_months,
    )
    assets = Assets()
    app.state.console = Console(
        sessions=Sessions(
            session_secret(state_dir),
            secure=provider is not None and provider.settings.public_url.startswith("https:"),
        ),
        attempts=Attempts(),
        provider=provider,
        assets=assets,
        templates=environment(assets),
    )
    return app
