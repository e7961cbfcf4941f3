"""A fresh database per module, on both kinds of server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kintsugi.store import PostgresStores, open_stores
from tests.databases import KINDS, NOON, Server, Servers


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    """A running server."""
    return servers.get(request.param)


@pytest.fixture(scope="module")
def conninfo(server: Server) -> Iterator[str]:
    """A migrated, empty database."""
    created = server.create()
    yield created
    server.drop(created)


@pytest.fixture(scope="module")
def stores(conninfo: str) -> Iterator[PostgresStores]:
    """The stores on it; tests of one module share what they put in."""
    with open_stores(conninfo, now=lambda: NOON) as opened:
        yield opened
