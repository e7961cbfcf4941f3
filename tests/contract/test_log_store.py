"""What is stored is in the log: batches of events, versions of configurations, and their proofs."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import psycopg
import pytest

from kintsugi.errors import InvalidInput, NotFound, ProofInvalid, VersionConflict
from kintsugi.ledger.checkpoint import Checkpoint
from kintsugi.ledger.leaves import ConfigurationLeaf, EventsLeaf, content_digest
from kintsugi.ledger.merkle import (
    EMPTY_ROOT,
    Edge,
    consistency_proof,
    edge_of,
    verify_consistency,
)
from kintsugi.ledger.note import SigningKey
from kintsugi.ledger.proof import prove_event, prove_leaf, verify_event, verify_leaf
from kintsugi.model.log import WITNESSES_MAX, Cosigned, Witnessed
from kintsugi.model.stores import Stores
from tests.contract.conftest import Maker
from tests.databases import NOON
from tests.store.made import event

KEY = SigningKey.from_seed("test/log", bytes(32))


def head(stores: Stores) -> tuple[Checkpoint, str]:
    size, hashes = stores.log.edge()
    checkpoint = Checkpoint("test/log", size, Edge(size, hashes).root())
    return checkpoint, checkpoint.sign(KEY)


def put(stores: Stores, content: str) -> None:
    stores.configurations.put(
        config_id="support",
        content=content,
        revision="sha256:r",
        author="ana",
        note="",
        pack_version="1.0.0",
        now=NOON,
    )


def check_event(stores: Stores, event_id: str) -> None:
    checkpoint, note = head(stores)
    found = stores.log.event(event_id)
    leaf = prove_leaf(
        found.leaf, stores.log.leaf(found.leaf).data, checkpoint, note, stores.log.nodes
    )
    proof = prove_event(found.records, found.index, leaf)
    assert msgspec.json.decode(proof.record)["id"] == event_id
    verify_event(proof, [KEY.verifier], origin="test/log")


def test_an_empty_log_has_the_root_of_nothing(stores: Stores) -> None:
    assert stores.log.edge() == (0, ())
    assert head(stores)[0].root == EMPTY_ROOT
    assert stores.log.leaves(before=None, limit=10) == []


def test_a_batch_of_events_is_one_leaf_and_each_is_proven(stores: Stores) -> None:
    batches = [[event(number) for number in range(start, start + 3)] for start in (0, 3, 6)]
    for batch in batches:
        stores.events.append(batch)
    leaves = stores.log.leaves(before=None, limit=10)
    assert [leaf.position for leaf in leaves] == [2, 1, 0]
    told = msgspec.json.decode(leaves[0].data, type=EventsLeaf)
    assert (told.first_position, told.last_position) == (7, 9)
    for batch in batches:
        for one in batch:
            check_event(stores, one.id)


def test_an_event_that_comes_twice_is_in_the_log_once(stores: Stores) -> None:
    stores.events.append([event(1), event(2)])
    stores.events.append([event(2), event(3), event(1)])
    stores.events.append([event(1)])
    assert stores.log.edge()[0] == 2
    assert len(stores.log.event(event(3).id).records) == 1
    for number in (1, 2, 3):
        check_event(stores, event(number).id)


def test_a_version_of_a_configuration_is_a_leaf(stores: Stores) -> None:
    put(stores, "a: 1")
    put(stores, "a: 1")
    put(stores, "a: 2")
    second, first = stores.log.leaves(before=None, limit=10)
    told = msgspec.json.decode(second.data, type=ConfigurationLeaf)
    assert (told.id, told.version, told.author) == ("support", 2, "ana")
    assert told.content_digest == content_digest("a: 2")
    checkpoint, note = head(stores)
    proof = prove_leaf(first.position, first.data, checkpoint, note, stores.log.nodes)
    verify_leaf(proof, [KEY.verifier])


def test_every_earlier_size_is_a_beginning(stores: Stores) -> None:
    for number in range(9):
        stores.events.append([event(number)])
    size, hashes = stores.log.edge()
    for first in range(1, size + 1):
        proof = consistency_proof(first, size, stores.log.nodes)
        old = edge_of(first, stores.log.nodes).root()
        verify_consistency(first, size, proof, old, Edge(size, hashes).root())


def test_pages_of_leaves_go_backwards(stores: Stores) -> None:
    for number in range(5):
        stores.events.append([event(number)])
    newest = stores.log.leaves(before=None, limit=2)
    assert [leaf.position for leaf in newest] == [4, 3]
    assert [leaf.position for leaf in stores.log.leaves(before=3, limit=9)] == [2, 1, 0]


def test_what_was_seen_of_another_log_is_kept_and_never_skipped(stores: Stores) -> None:
    first = Witnessed("other/log", 3, bytes(32), ("key",), NOON)
    second = Witnessed("other/log", 5, bytes([1]) * 32, ("key", "new"), NOON)
    assert stores.log.witnessed("other/log") is None
    stores.log.witness(first, after=None)
    assert stores.log.witnessed("other/log") == first
    with pytest.raises(VersionConflict):
        stores.log.witness(second, after=None)
    stores.log.witness(second, after=first)
    with pytest.raises(VersionConflict):
        stores.log.witness(first, after=first)
    assert stores.log.witnessed("other/log") == second


def test_the_newest_checkpoint_of_each_witness_is_kept(stores: Stores) -> None:
    early = Cosigned("one", "one+1+k", 3, bytes(32), NOON)
    later = Cosigned("one", "one+1+k", 5, bytes(32), NOON + timedelta(hours=1))
    other = Cosigned("two", "two+2+k", 4, bytes(32), NOON + timedelta(minutes=1))
    assert stores.log.cosigned() == []
    for one in (early, other, later, early):
        stores.log.keep_cosigned(one)
    assert stores.log.cosigned() == [later, other]


def test_witnesses_cannot_be_made_up_without_end(stores: Stores) -> None:
    for number in range(WITNESSES_MAX):
        stores.log.keep_cosigned(Cosigned("w", f"w+{number}+k", 3, bytes(32), NOON))
    with pytest.raises(InvalidInput):
        stores.log.keep_cosigned(Cosigned("w", "w+more+k", 3, bytes(32), NOON))
    again = Cosigned("w", "w+7+k", 9, bytes(32), NOON + timedelta(hours=1))
    stores.log.keep_cosigned(again)
    assert stores.log.cosigned()[0] == again


def test_other_logs_are_listed_with_the_latest_first(stores: Stores) -> None:
    first = Witnessed("a/log", 3, bytes(32), ("key",), NOON)
    second = Witnessed("b/log", 5, bytes(32), ("key",), NOON + timedelta(hours=1))
    stores.log.witness(first, after=None)
    stores.log.witness(second, after=None)
    assert stores.log.all_witnessed() == [second, first]


def test_what_is_not_there_is_not_found(stores: Stores) -> None:
    for look in (
        lambda: stores.log.leaf(0),
        lambda: stores.log.nodes([(0, 0)]),
        lambda: stores.log.event("nope"),
        lambda: stores.log.event(event(1).id),
    ):
        with pytest.raises(NotFound):
            look()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "UPDATE kintsugi.event_records SET record = replace(record, 'allow', 'block')",
            "at least one of them was changed",
        ),
        ("DELETE FROM kintsugi.events WHERE position = 2", "3 events when it was recorded; 2"),
    ],
)
def test_a_record_that_was_changed_in_the_database_is_found_out(
    maker: Maker, statement: str, words: str
) -> None:
    stores = maker.empty()
    stores.events.append([event(number) for number in (1, 2, 3)])
    if not maker.conninfo:
        return  # in memory there is no other way in
    with psycopg.connect(maker.conninfo) as connection:
        connection.execute(statement.encode())
    with pytest.raises(ProofInvalid, match=words):
        check_event(stores, event(1).id)
