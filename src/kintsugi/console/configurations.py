"""Pages on configurations: what gateways should run, who made it, and what it relaxes."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec
from starlette.responses import Response

from kintsugi import __version__
from kintsugi.api.configurations import ConfigId, VersionNumber
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.permissions import Scope
from kintsugi.api.relaxed import RelaxedView, relaxed_now, relaxed_of, running_gateways
from kintsugi.console.contexts import Shell
from kintsugi.console.frame import Con, Console, page_routes
from kintsugi.console.rendering import render
from kintsugi.model.configurations import ConfigurationVersion
from kintsugi.model.tokens import Token

routes = page_routes()

_VERSIONS_SHOWN = 50


class ConfigurationRow(msgspec.Struct, frozen=True):
    """The newest version of one configuration.

    Attributes:
        gateways: those that run it.
        relaxed: how many settings it relaxes; ``overdue``: how many of these are past their day
            or have nobody who answers for them.
    """

    newest: ConfigurationVersion
    gateways: tuple[str, ...]
    relaxed: int
    overdue: int


class ConfigurationsPage(Shell, frozen=True, kw_only=True):
    """Every configuration.

    Attributes:
        configurations: by id.
        relaxed: everything relaxed in them and in what gateways run; what needs somebody first.
    """

    template: ClassVar[str] = "configurations.html"
    section: ClassVar[str] = "Configurations"

    configurations: tuple[ConfigurationRow, ...]
    relaxed: tuple[RelaxedView, ...]


class ConfigurationPage(Shell, frozen=True, kw_only=True):
    """One version of a configuration.

    Attributes:
        shown: the version.
        newest: number of the newest one.
        gateways: those that run this version.
        relaxed: what it relaxes, in its own order.
        versions: the newest ones, newest first.
        versions_total: how many there are.
    """

    template: ClassVar[str] = "configuration.html"
    section: ClassVar[str] = "Configurations"

    shown: ConfigurationVersion
    newest: int
    gateways: tuple[str, ...]
    relaxed: tuple[RelaxedView, ...]
    versions: tuple[ConfigurationVersion, ...]
    versions_total: int


@routes.add("GET", "/configurations", Scope.CONFIGURATIONS_READ)
def configurations_page(control: Ctl, console: Con, caller: Caller) -> Response:
    """Every configuration, and everything that is relaxed."""
    now = control.clock()
    page = ConfigurationsPage(
        title="Configurations",
        signed_in_as=caller.name,
        now=now,
        version=__version__,
        configurations=tuple(
            _row(control, newest, now=now) for newest in control.stores.configurations.list()
        ),
        relaxed=relaxed_now(control.stores, now=now),
    )
    return render(console.templates, page)


def _row(control: Control, newest: ConfigurationVersion, *, now: datetime) -> ConfigurationRow:
    weak = list(relaxed_of(newest, now=now))
    return ConfigurationRow(
        newest,
        tuple(running_gateways(control.stores, newest.id, newest.version, now=now)),
        relaxed=len(weak),
        overdue=sum(one.state != "in_time" for one in weak),
    )


@routes.add("GET", "/configurations/{config_id}", Scope.CONFIGURATIONS_READ)
def newest_page(control: Ctl, console: Con, caller: Caller, config_id: ConfigId) -> Response:
    """The newest version."""
    return _version(control, console, caller, control.stores.configurations.get(config_id))


@routes.add("GET", "/configurations/{config_id}/versions/{version}", Scope.CONFIGURATIONS_READ)
def version_page(
    control: Ctl, console: Con, caller: Caller, config_id: ConfigId, version: VersionNumber
) -> Response:
    """One version."""
    found = control.stores.configurations.get(config_id, version)
    return _version(control, console, caller, found)


def _version(
    control: Control, console: Console, caller: Token, shown: ConfigurationVersion
) -> Response:
    now = control.clock()
    versions = control.stores.configurations.versions(shown.id)
    gateways = tuple(running_gateways(control.stores, shown.id, shown.version, now=now))
    page = ConfigurationPage(
        title=f"{shown.id} version {shown.version}",
        signed_in_as=caller.name,
        now=now,
        version=__version__,
        shown=shown,
        newest=versions[0].version,
        gateways=gateways,
        relaxed=tuple(relaxed_of(shown, now=now, gateways=gateways)),
        versions=tuple(versions[:_VERSIONS_SHOWN]),
        versions_total=len(versions),
    )
    return render(console.templates, page)
