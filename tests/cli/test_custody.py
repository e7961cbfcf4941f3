"""``kt custody``."""

from __future__ import annotations

from kintsugi.model.custody import custody_entry
from tests.cli.conftest import ControlPlane, Kt
from tests.control_plane import NOON


def test_what_was_done_with_evidence_is_listed(control_plane: ControlPlane, kt_online: Kt) -> None:
    for about in ("event:1", "event:2"):
        control_plane.stores.custody.add(
            custody_entry("reveal", about, actor="ana/1", now=NOON, reason="asked")
        )
    assert len(kt_online("custody", "list", "--json").json) == 2
    (entry,) = kt_online("custody", "list", "--object", "event:2", "--json").json
    assert (entry["actor"], entry["action"], entry["reason"]) == ("ana/1", "reveal", "asked")
    assert kt_online("custody", "list", "--actor", "bo/2", "--json").json == []
    assert kt_online("custody", "list", "--action", "eat").code == 2
