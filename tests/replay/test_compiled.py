"""Configurations that are compiled for cases and replays are kept ready, and belong to nobody."""

from __future__ import annotations

from typing import Any

import pytest

from kintsugi.errors import ConfigurationInvalid
from kintsugi.policy.plan import revision
from kintsugi.replay import compiled as module
from kintsugi.replay.compiled import compiled
from kintsugi.replay.driver import put_in_force


def config(term: str) -> str:
    return (
        "pack: {name: support, version: 1.0.0}\n"
        "policies: {chain: [dlp-filter]}\n"
        f"policy: {{dlp-filter: {{blocked_terms: [{term}], action: block}}}}\n"
    )


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was compiled."""
    found = []

    def counted(one: Any) -> Any:
        found.append(one)
        return put_in_force(one)

    monkeypatch.setattr(module, "put_in_force", counted)
    module._ready.cache_clear()
    return found


def test_the_same_text_is_compiled_once(made: list[Any]) -> None:
    first, second = compiled(config("aurora")), compiled(config("aurora"))
    assert len(made) == 1
    assert first.config is second.config
    assert first.revision == second.revision == revision(first.config)


def test_what_one_caller_names_it_the_next_does_not_see(made: list[Any]) -> None:
    mine = compiled(config("aurora")).in_force
    mine.config_version = "support@7"
    assert compiled(config("aurora")).in_force.config_version == "support@1.0.0"
    assert len(made) == 1


def test_no_more_are_kept_than_are_used_together(made: list[Any]) -> None:
    for number in range(9):
        compiled(config(f"aurora{number}"))
    compiled(config("aurora8"))
    compiled(config("aurora0"))
    assert len(made) == 10


def test_what_cannot_be_read_is_refused_every_time(made: list[Any]) -> None:
    for _ in range(2):
        with pytest.raises(ConfigurationInvalid):
            compiled("policies: 7")
    assert made == []
