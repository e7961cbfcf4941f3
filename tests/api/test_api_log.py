"""``/v1/log``: what it says can be checked without it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from starlette.testclient import TestClient

from kintsugi.ledger.checkpoint import open_checkpoint
from kintsugi.ledger.log_keys import load_keys
from kintsugi.ledger.merkle import verify_consistency
from kintsugi.ledger.note import VerifierKey
from kintsugi.ledger.proof import EventProof, LeafProof, verify_event, verify_leaf
from kintsugi.model.stores import Stores
from tests.control_plane import Clock, control_plane, make_event


def head(client: TestClient) -> dict[str, object]:
    found: dict[str, object] = client.get("/v1/log/checkpoint").json()["data"]
    return found


def keys(client: TestClient) -> list[VerifierKey]:
    return [
        VerifierKey.parse(text) for text in client.get("/v1/log/checkpoint").json()["data"]["keys"]
    ]


def test_the_checkpoint_is_signed_and_grows(client: TestClient, stores: Stores) -> None:
    assert head(client)["size"] == 0
    stores.events.append([make_event(1), make_event(2)])
    now = head(client)
    checkpoint, _ = open_checkpoint(str(now["note"]), keys(client), origin=str(now["origin"]))
    assert (checkpoint.size, checkpoint.root.hex()) == (1, now["root"])


def test_an_event_and_its_leaf_are_proven(client: TestClient, stores: Stores) -> None:
    stores.events.append([make_event(1), make_event(2)])
    event = make_event(2)
    answer = client.get(f"/v1/log/events/{event.id}/proof")
    proof = msgspec.convert(answer.json()["data"], EventProof)
    verify_event(proof, keys(client))
    leaf = client.get("/v1/log/leaves/0/proof").json()["data"]
    verify_leaf(msgspec.convert(leaf, LeafProof), keys(client))


def test_two_sizes_are_consistent(client: TestClient, stores: Stores) -> None:
    for number in range(5):
        stores.events.append([make_event(number)])
    found = client.get("/v1/log/consistency?first=2").json()["data"]
    hashes = [bytes.fromhex(text) for text in found["hashes"]]
    first, second = (bytes.fromhex(found[name]) for name in ("first_root", "second_root"))
    verify_consistency(2, 5, hashes, first, second)


@pytest.mark.parametrize(
    "query", ["first=0", "first=4", "first=1&second=4", "first=3&second=2", ""]
)
def test_sizes_that_the_log_does_not_have_are_explained(
    client: TestClient, stores: Stores, query: str
) -> None:
    for number in range(3):
        stores.events.append([make_event(number)])
    answer = client.get(f"/v1/log/consistency?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_leaves_come_in_pages_newest_first(client: TestClient, stores: Stores) -> None:
    for number in range(5):
        stores.events.append([make_event(number)])
    page = client.get("/v1/log/leaves?limit=2").json()
    assert [leaf["position"] for leaf in page["data"]] == [4, 3]
    assert page["meta"]["total"] == 5
    rest = client.get(f"/v1/log/leaves?limit=9&before={page['meta']['next_cursor']}").json()
    assert [leaf["position"] for leaf in rest["data"]] == [2, 1, 0]
    assert rest["meta"]["next_cursor"] is None


def test_what_is_not_in_the_log_is_404(client: TestClient) -> None:
    assert client.get("/v1/log/leaves/0/proof").status_code == 404
    assert client.get(f"/v1/log/events/{make_event(1).id}/proof").status_code == 404


def test_a_rotated_key_signs_beside_the_one_before(client: TestClient) -> None:
    (before,) = keys(client)
    found = client.post("/v1/log/rotate-key").json()["data"]
    new, old = (VerifierKey.parse(text) for text in found["keys"])
    assert old == before
    for key in (new, old):
        open_checkpoint(found["note"], [key])


def test_a_key_that_others_can_read_stops_nothing_but_the_log(
    client: TestClient, tmp_path: Path
) -> None:
    load_keys(tmp_path / "log-key")
    (tmp_path / "log-key").chmod(0o644)
    answer = client.get("/v1/log/checkpoint")
    assert answer.status_code == 503
    assert "chmod 600" in answer.json()["detail"]
    assert client.get("/v1/events").status_code == 200


# A witness: another control plane


def show(
    client: TestClient, witness: TestClient, proof: list[str] | None = None
) -> dict[str, object]:
    now = head(client)
    body = {"note": now["note"], "keys": now["keys"], "proof": proof or []}
    answer = witness.post("/v1/log/witness", json=body)
    found: dict[str, object] = answer.json()
    return found | {"status": answer.status_code}


@pytest.fixture
def other(stores: Stores, tmp_path: Path, clock: Clock, client: TestClient) -> TestClient:
    """A second control plane on the same stores' tokens, with a key of its own."""
    folder = tmp_path / "other"
    folder.mkdir()
    witness = TestClient(control_plane(stores, folder, clock))
    witness.headers.update(client.headers)
    return witness


def test_a_witness_signs_what_grew_and_refuses_what_was_rewritten(
    client: TestClient, other: TestClient, stores: Stores
) -> None:
    stores.events.append([make_event(1)])
    first = show(client, other)
    assert first["status"] == 200
    data = first["data"]
    assert isinstance(data, dict)
    key = VerifierKey.parse(data["key"])
    _, (signature,) = open_checkpoint(data["note"], [key])
    assert signature.time_seconds > 0
    origin = head(client)["origin"]
    assert other.get("/v1/log/witness", params={"origin": str(origin)}).json()["data"]["size"] == 1
    stores.events.append([make_event(2)])
    proof = client.get("/v1/log/consistency?first=1").json()["data"]["hashes"]
    refused = show(client, other, ["00" * 32])
    assert (refused["status"], refused["code"]) == (422, "proof.invalid")
    assert "another history" in str(refused["detail"])
    assert show(client, other, proof)["status"] == 200


def test_nothing_was_seen_of_a_log_that_was_never_shown(other: TestClient) -> None:
    assert other.get("/v1/log/witness?origin=nobody").status_code == 404


# Who has cosigned this log


def cosign(client: TestClient, witness: TestClient) -> dict[str, str]:
    data = show(client, witness)["data"]
    assert isinstance(data, dict)
    return {"note": data["note"], "key": data["key"]}


def test_the_log_knows_who_cosigned_it_and_when(
    client: TestClient, other: TestClient, stores: Stores, clock: Clock
) -> None:
    stores.events.append([make_event(1)])
    body = cosign(client, other)
    assert client.post("/v1/log/cosigned", json=body).status_code == 201
    (kept,) = client.get("/v1/log/cosigned").json()["data"]
    assert kept["key"] == body["key"]
    assert kept["witness"] in body["key"]
    assert kept["size"] == 1
    assert kept["root"] == head(client)["root"]
    assert kept["cosigned_at"] == clock.now.isoformat().replace("+00:00", "Z")


def test_what_no_witness_signed_or_is_of_another_log_is_not_noted(
    client: TestClient, other: TestClient, stores: Stores
) -> None:
    stores.events.append([make_event(1)])
    body = cosign(client, other)
    own = str(keys(client)[0])
    altered = body["note"].replace("\n1\n", "\n2\n", 1)
    for wrong in (
        {**body, "note": altered},
        {**body, "key": own},
        {**body, "note": str(head(client)["note"])},
        cosign(other, client),
    ):
        answer = client.post("/v1/log/cosigned", json=wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "proof.invalid"), wrong
    assert client.get("/v1/log/cosigned").json()["data"] == []
