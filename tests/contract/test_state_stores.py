"""What the stores of configurations, gateways, tokens, exports and answers promise."""

from __future__ import annotations

import threading
from datetime import timedelta

import msgspec
import pytest

from kintsugi.errors import InvalidInput, NotFound, VersionConflict
from kintsugi.model.configurations import ConfigurationVersion
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.exports import ExportJob
from kintsugi.model.gateways import GatewayReport, WorkerReport
from kintsugi.model.idempotency import SavedAnswer
from kintsugi.model.stores import Stores
from kintsugi.model.tokens import Token
from kintsugi.model.verdict import Verdict
from tests.databases import NOON

SECOND = timedelta(seconds=1)


def put(
    stores: Stores,
    content: str,
    *,
    config_id: str = "support",
    second: int = 0,
    expected: int | None = None,
) -> ConfigurationVersion:
    return stores.configurations.put(
        config_id=config_id,
        content=content,
        revision=f"sha256:{content}",
        author="ana",
        note="why",
        pack_version="1.4.0",
        now=NOON + second * SECOND,
        expected_version=expected,
    )


class TestConfigurations:
    def test_versions_count_up_and_stay(self, stores: Stores) -> None:
        first, second = put(stores, "a"), put(stores, "b", second=1)
        assert (first.version, second.version) == (1, 2)
        assert stores.configurations.get("support") == second
        assert stores.configurations.get("support", 1) == first
        assert stores.configurations.versions("support") == [second, first]
        assert first == ConfigurationVersion(
            "support", 1, "a", "sha256:a", "ana", "why", NOON, "1.4.0"
        )

    def test_the_same_content_again_makes_no_version(self, stores: Stores) -> None:
        first = put(stores, "a")
        assert put(stores, "a", second=1) == first
        put(stores, "b", second=2)
        assert put(stores, "a", second=3).version == 3

    def test_a_version_that_is_not_there_is_not_found(self, stores: Stores) -> None:
        put(stores, "a")
        for config_id, version in (("support", 2), ("support", 0), ("other", None), ("", None)):
            with pytest.raises(NotFound):
                stores.configurations.get(config_id, version)
        assert stores.configurations.versions("other") == []

    def test_an_edit_of_an_older_version_is_refused(self, stores: Stores) -> None:
        put(stores, "a", expected=0)
        put(stores, "b", expected=1)
        for expected in (0, 1, 3):
            with pytest.raises(VersionConflict, match="version 2"):
                put(stores, "c", expected=expected)
        with pytest.raises(VersionConflict):
            put(stores, "b", expected=1)
        assert stores.configurations.get("support").version == 2

    def test_the_list_holds_the_newest_of_each(self, stores: Stores) -> None:
        assert stores.configurations.list() == []
        put(stores, "a")
        other = put(stores, "x", config_id="other", second=1)
        newest = put(stores, "b", second=2)
        assert stores.configurations.list() == [newest, other]

    def test_two_writers_at_once_make_two_versions(self, stores: Stores) -> None:
        start = threading.Barrier(6)

        def write(number: int) -> None:
            start.wait()
            put(stores, f"content {number}")

        writers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        versions = stores.configurations.versions("support")
        assert [version.version for version in versions] == [6, 5, 4, 3, 2, 1]

    def test_a_new_version_is_announced(self, stores: Stores) -> None:
        put(stores, "a")
        assert stores.changes.wait(timeout_seconds=60) == frozenset({"configurations", "notices"})
        put(stores, "a")
        assert not stores.changes.wait(timeout_seconds=0.05)


def report(gateway_id: str = "gw-1", **changes: object) -> GatewayReport:
    worker = WorkerReport("w0", 42, "support@1", "sha256:a", NOON, admitted=9, decided=8)
    made = GatewayReport(gateway_id, "support", "127.0.0.1:41002", "0.1.0", (worker,))
    return msgspec.structs.replace(made, **changes)


class TestGateways:
    def test_a_gateway_keeps_the_time_it_registered(self, stores: Stores) -> None:
        first = stores.gateways.put(report(), now=NOON)
        again = stores.gateways.put(report(shipped=5, waiting=1), now=NOON + SECOND)
        assert (first.registered_at, first.last_seen_at) == (NOON, NOON)
        assert (again.registered_at, again.last_seen_at) == (NOON, NOON + SECOND)
        assert stores.gateways.get("gw-1") == again
        assert again.report.workers == report().workers

    def test_the_list_begins_with_the_last_seen(self, stores: Stores) -> None:
        stores.gateways.put(report("gw-1"), now=NOON)
        stores.gateways.put(report("gw-2"), now=NOON + SECOND)
        assert [record.report.id for record in stores.gateways.list()] == ["gw-2", "gw-1"]
        stores.gateways.put(report("gw-1"), now=NOON + 2 * SECOND)
        assert [record.report.id for record in stores.gateways.list()] == ["gw-1", "gw-2"]

    def test_one_that_never_registered_is_not_found(self, stores: Stores) -> None:
        with pytest.raises(NotFound):
            stores.gateways.get("gw-9")

    def test_a_report_is_announced(self, stores: Stores) -> None:
        stores.gateways.put(report(), now=NOON)
        assert "gateways" in stores.changes.wait(timeout_seconds=60)


def token(number: int = 1, **changes: object) -> Token:
    made = Token(f"tok-{number}", "ci", ("events:write", "gateways:write"), NOON + number * SECOND)
    return msgspec.structs.replace(made, **changes)


class TestTokens:
    def test_a_token_is_found_by_its_secret(self, stores: Stores) -> None:
        stores.tokens.add(token(expires_at=NOON + SECOND), secret_sha256="aa")
        assert stores.tokens.find("aa") == token(expires_at=NOON + SECOND)
        assert stores.tokens.find("bb") is None

    def test_the_list_begins_with_the_newest(self, stores: Stores) -> None:
        stores.tokens.add(token(1), secret_sha256="aa")
        stores.tokens.add(token(2), secret_sha256="bb")
        assert stores.tokens.list() == [token(2), token(1)]

    def test_no_id_and_no_secret_is_taken_twice(self, stores: Stores) -> None:
        stores.tokens.add(token(1), secret_sha256="aa")
        for again, secret in ((token(1), "bb"), (token(2), "aa")):
            with pytest.raises(InvalidInput):
                stores.tokens.add(again, secret_sha256=secret)
        assert stores.tokens.list() == [token(1)]

    def test_a_revoked_token_is_still_found_and_stays_revoked(self, stores: Stores) -> None:
        stores.tokens.add(token(), secret_sha256="aa")
        assert stores.tokens.revoke("tok-1", now=NOON).revoked_at == NOON
        assert stores.tokens.revoke("tok-1", now=NOON + SECOND).revoked_at == NOON
        assert stores.tokens.find("aa") == token(revoked_at=NOON)
        with pytest.raises(NotFound):
            stores.tokens.revoke("tok-9", now=NOON)

    def test_use_is_noted(self, stores: Stores) -> None:
        stores.tokens.add(token(), secret_sha256="aa")
        stores.tokens.touch("tok-1", now=NOON)
        stores.tokens.touch("tok-9", now=NOON)
        assert stores.tokens.find("aa") == token(last_used_at=NOON)


def job(number: int = 1, **changes: object) -> ExportJob:
    made = ExportJob(
        id=f"exp-{number}",
        type="events",
        format="jsonl",
        where=EventFilter(verdict=Verdict.BLOCK, since=NOON),
        state="queued",
        created_at=NOON + number * SECOND,
        created_by="tok-1",
    )
    return msgspec.structs.replace(made, **changes)


def claim(stores: Stores, second: int) -> ExportJob | None:
    return stores.exports.claim(now=NOON + second * SECOND, stale_after_seconds=30)


class TestExports:
    def test_jobs_are_claimed_oldest_first_by_one_worker_each(self, stores: Stores) -> None:
        stores.exports.add(job(2))
        stores.exports.add(job(1))
        first, second = claim(stores, 5), claim(stores, 6)
        assert first == job(1, state="running", attempt=1, started_at=NOON + 5 * SECOND)
        assert second is not None
        assert second.id == "exp-2"
        assert claim(stores, 7) is None
        assert stores.exports.get("exp-1") == first

    def test_progress_and_the_end_are_kept(self, stores: Stores) -> None:
        stores.exports.add(job())
        claimed = claim(stores, 5)
        assert claimed is not None
        half = msgspec.structs.replace(claimed, total=10, written=5)
        stores.exports.update(half, now=NOON + 6 * SECOND)
        assert stores.exports.get("exp-1") == half
        done = msgspec.structs.replace(
            half, state="done", written=10, path="exports/exp-1.jsonl", bytes=99, sha256="aa"
        )
        stores.exports.update(done, now=NOON + 7 * SECOND)
        assert stores.exports.get("exp-1") == done
        assert claim(stores, 500) is None

    def test_a_job_without_progress_is_claimed_again(self, stores: Stores) -> None:
        stores.exports.add(job())
        lost = claim(stores, 5)
        assert lost is not None
        stores.exports.update(lost, now=NOON + 20 * SECOND)
        assert claim(stores, 45) is None
        again = claim(stores, 55)
        assert again is not None
        assert again.attempt == 2
        # The first worker was only slow; it learns that the job is somebody else's now.
        with pytest.raises(VersionConflict):
            stores.exports.update(lost, now=NOON + 56 * SECOND)
        stores.exports.update(again, now=NOON + 57 * SECOND)

    def test_a_cancelled_job_is_left_by_its_worker(self, stores: Stores) -> None:
        stores.exports.add(job())
        claimed = claim(stores, 5)
        assert claimed is not None
        cancelled = msgspec.structs.replace(claimed, state="cancelled")
        stores.exports.update(cancelled, now=NOON + 6 * SECOND)
        with pytest.raises(VersionConflict, match="cancelled"):
            stores.exports.update(claimed, now=NOON + 7 * SECOND)
        assert stores.exports.get("exp-1") == cancelled

    def test_many_workers_never_share_a_job(self, stores: Stores) -> None:
        for number in range(20):
            stores.exports.add(job(number))
        claimed: list[str] = []

        def work() -> None:
            while (mine := claim(stores, 30)) is not None:
                claimed.append(mine.id)

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert sorted(claimed) == sorted(f"exp-{number}" for number in range(20))

    def test_pages_show_the_newest_first(self, stores: Stores) -> None:
        for number in (1, 3, 2):
            stores.exports.add(job(number))
        first, cursor = stores.exports.page(limit=2)
        assert [one.id for one in first] == ["exp-3", "exp-2"]
        assert cursor is not None
        assert stores.exports.page(limit=2, cursor=cursor) == ([job(1)], None)
        with pytest.raises(InvalidInput, match="cursor"):
            stores.exports.page(limit=2, cursor="x")

    def test_unknown_and_taken_ids_are_errors(self, stores: Stores) -> None:
        stores.exports.add(job())
        with pytest.raises(InvalidInput):
            stores.exports.add(job())
        with pytest.raises(NotFound):
            stores.exports.get("exp-9")
        with pytest.raises(NotFound):
            stores.exports.update(job(9), now=NOON)

    def test_jobs_are_announced(self, stores: Stores) -> None:
        stores.exports.add(job())
        assert stores.changes.wait(timeout_seconds=60) == frozenset({"exports"})
        claim(stores, 5)
        assert stores.changes.wait(timeout_seconds=60) == frozenset({"exports"})


class TestIdempotency:
    FIRST = SavedAnswer("aa", 201, b'{"data": 1}\x00\xff')
    SECOND = SavedAnswer("bb", 200, b"")

    def test_the_first_answer_stays(self, stores: Stores) -> None:
        assert stores.idempotency.find("tok-1", "key", now=NOON) is None
        stores.idempotency.save("tok-1", "key", self.FIRST, now=NOON)
        stores.idempotency.save("tok-1", "key", self.SECOND, now=NOON + SECOND)
        assert stores.idempotency.find("tok-1", "key", now=NOON + SECOND) == self.FIRST

    def test_a_key_belongs_to_its_token(self, stores: Stores) -> None:
        stores.idempotency.save("tok-1", "key", self.FIRST, now=NOON)
        assert stores.idempotency.find("tok-2", "key", now=NOON) is None
        stores.idempotency.save("tok-2", "key", self.SECOND, now=NOON)
        assert stores.idempotency.find("tok-1", "key", now=NOON) == self.FIRST

    def test_an_answer_is_forgotten_after_a_day(self, stores: Stores) -> None:
        stores.idempotency.save("tok-1", "key", self.FIRST, now=NOON)
        day = timedelta(days=1)
        assert stores.idempotency.find("tok-1", "key", now=NOON + day - SECOND) == self.FIRST
        assert stores.idempotency.find("tok-1", "key", now=NOON + day) is None
        stores.idempotency.save("tok-1", "key", self.SECOND, now=NOON + day)
        assert stores.idempotency.find("tok-1", "key", now=NOON + day) == self.SECOND


class TestChanges:
    def test_nothing_new_ends_with_the_time(self, stores: Stores) -> None:
        assert stores.changes.wait(timeout_seconds=0.01) == frozenset()

    def test_whoever_waits_is_woken(self, stores: Stores) -> None:
        heard: list[frozenset[str]] = []
        waiter = threading.Thread(
            target=lambda: heard.append(stores.changes.wait(timeout_seconds=20))
        )
        waiter.start()
        stores.gateways.put(report(), now=NOON)
        waiter.join(timeout=10)
        [channels] = heard
        assert "gateways" in channels
