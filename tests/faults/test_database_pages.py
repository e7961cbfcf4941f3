"""A page of the database's files rots: it is refused, and the audit says which events it held."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from starlette.testclient import TestClient

from kintsugi.errors import DatabaseUnusable
from kintsugi.model.event_filter import EventFilter
from kintsugi.store import open_stores
from kintsugi.store.embedded import Embedded
from tests.control_plane import Clock, bearer, control_plane, make_token
from tests.databases import NOON, reachable_folder
from tests.store.made import event

pytestmark = [pytest.mark.faults, pytest.mark.postgres]

RECORDS = "kintsugi.event_records_2026_04"


@pytest.fixture
def state() -> Iterator[Path]:
    with reachable_folder() as folder:
        yield folder / "state"


def test_a_flipped_bit_in_a_page_is_refused_and_located(state: Path, tmp_path: Path) -> None:
    with Embedded(state) as handle, open_stores(handle.conninfo, now=lambda: NOON) as stores:
        for start in range(0, 40, 10):
            stores.events.append([event(number) for number in range(start, start + 10)])
        with psycopg.connect(handle.conninfo, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            [name] = connection.execute(
                "SELECT pg_relation_filepath(%s::regclass)", [RECORDS]
            ).fetchone() or [""]
    file = state / "postgres" / "data" / name
    content = bytearray(file.read_bytes())
    content[random.Random(3).randrange(8192, len(content))] ^= 1 << 3
    file.write_bytes(content)
    with Embedded(state) as handle, open_stores(handle.conninfo, now=lambda: NOON) as stores:
        with pytest.raises(DatabaseUnusable, match="invalid page in block"):
            list(stores.events.scan(EventFilter(), payload=False))
        with TestClient(control_plane(stores, tmp_path, Clock())) as client:
            client.headers.update(bearer(make_token(stores)))
            audited = client.get("/v1/log/audit", params={"first": 0, "edge": "", "leaves": 9})
        found = audited.json()["data"]["findings"]
        assert 1 <= len(found) < 4, "the batches on other pages are read all the same"
        assert all("invalid page in block" in one["what"] for one in found)
        assert all(one["where"].startswith("events at positions") for one in found)
