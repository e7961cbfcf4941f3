"""The control plane on memory stores, driven in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from kintsugi.model.stores import Stores
from kintsugi.store.memory import memory_stores
from tests.control_plane import Clock, bearer, control_plane, make_token


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stores(clock: Clock) -> Stores:
    return memory_stores(now=clock)


@pytest.fixture
def app(stores: Stores, clock: Clock, tmp_path: Path) -> FastAPI:
    return control_plane(stores, tmp_path, clock)


@pytest.fixture
def anonymous(app: FastAPI) -> Iterator[TestClient]:
    """A client without a token."""
    with TestClient(app, follow_redirects=False) as client:
        yield client


@pytest.fixture
def client(anonymous: TestClient, stores: Stores) -> TestClient:
    """A client with an admin token."""
    anonymous.headers.update(bearer(make_token(stores)))
    return anonymous
