"""Packages for tests: made from events in memory, as a folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from kintsugi.ledger.leaves import ConfigurationLeaf, content_digest, custody_leaf, leaf_data
from kintsugi.ledger.merkle import Edge
from kintsugi.ledger.note import SigningKey
from kintsugi.ledger.package.files import FolderFiles
from kintsugi.ledger.package.findings import PackageReport
from kintsugi.ledger.package.verify import verify_package
from kintsugi.ledger.package.writer import PackageWriter, Selection
from kintsugi.model.custody import custody_entry
from kintsugi.model.event_filter import EventFilter
from kintsugi.model.stores import Stores
from kintsugi.store.memory import memory_stores
from tests.control_plane import NOON, blocked_event, make_event

KEY = SigningKey.from_seed("test/log", bytes(range(32)))
OTHER = SigningKey.from_seed("other/log", bytes(32))


def filled(batches: Sequence[int] = (3, 1, 4)) -> Stores:
    """A store with a configuration, batches of so many events each, and custody of one."""
    stores = memory_stores(now=lambda: NOON + timedelta(hours=1))
    for version in ("a: 1", "a: 2", "a: 3"):
        stores.configurations.put(
            config_id="support-prod",
            content=version,
            revision="sha256:0",
            author="ana",
            note="",
            pack_version="1.0.0",
            now=NOON,
        )
    number = 0
    for size in batches:
        made = [
            blocked_event(number + n) if (number + n) % 3 == 0 else make_event(number + n)
            for n in range(size)
        ]
        number += size
        stores.events.append(made)
    stores.custody.add(
        custody_entry(
            "reveal", f"event:{make_event(1).id}", actor="ana/1", now=NOON, reason="asked"
        )
    )
    return stores


def made(stores: Stores, folder: Path, where: EventFilter | None = None) -> Path:
    """A package of what matches, in a new folder."""
    folder.mkdir()
    selection = Selection("0199-pkg", NOON, "ana/1", "an audit", {"since": "1h"}, "redacted")
    with PackageWriter(folder, selection) as writer:
        for batch in stores.packages.batches(where or EventFilter(), unredacted=False):
            writer.add_batch(batch)
        for name in sorted(writer.config_versions):
            config_id, _, number = name.rpartition("@")
            version = stores.configurations.get(config_id, int(number))
            leaf = ConfigurationLeaf(
                version.id,
                version.version,
                version.revision,
                content_digest(version.content),
                version.author,
                version.created_at,
            )
            text = leaf_data(leaf).decode()
            writer.add_configuration(
                name, version, leaf=stores.packages.leaves_of([text])[text], leaf_data=text
            )
        for entry in stores.custody.of([f"event:{one}" for one in writer.event_ids]):
            text = leaf_data(custody_leaf(entry)).decode()
            leaf_of = stores.packages.leaves_of([text])
            writer.add_custody(entry, leaf=leaf_of[text], leaf_data=text)
        writer.finish(Edge(*stores.log.edge()), stores.log.nodes, [KEY], tell=lambda: None)
    return folder


def verified(folder: Path, *, pinned: bool = True) -> PackageReport:
    """What checking a folder says."""
    return verify_package(FolderFiles(folder), trusted=[KEY.verifier] if pinned else [])


def copied(folder: Path, to: Path) -> Path:
    """A copy to be damaged."""
    shutil.copytree(folder, to)
    return to
