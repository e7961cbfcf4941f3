"""Configurations compiled for cases and replays, kept ready by their text.

A long replay asks for the same few page after page, and every publish tries the newest one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from kintsugi.gateway.in_force import InForce
from kintsugi.model.config import Config
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import revision
from kintsugi.replay.driver import put_in_force

# Each takes a few tenths of a second, and a few megabytes while it is kept.
_KEPT_MAX: Final = 8


class Compiled(NamedTuple):
    """A configuration that is ready to judge.

    Attributes:
        in_force: the caller's own, to name as it likes.
    """

    config: Config
    in_force: InForce
    revision: str


def compiled(content: str) -> Compiled:
    """A configuration from its text.

    Raises:
        ConfigurationInvalid: this release cannot read it.
    """
    config, ready, digest = _ready(content)
    return Compiled(config, ready.among(board=ready.board, oversight=ready.oversight), digest)


@lru_cache(maxsize=_KEPT_MAX)
def _ready(content: str) -> tuple[Config, InForce, str]:
    config = parse_config(content)
    return config, put_in_force(config), revision(config)
