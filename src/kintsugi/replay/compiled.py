"""Configurations compiled for cases and replays, and containments upon them, kept ready by their
text.

A long replay asks for the same few page after page, and every publish tries the newest one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from kintsugi.gateway.in_force import InForce
from kintsugi.gateway.oversight import made_ready
from kintsugi.model.config import Config
from kintsugi.model.containment import Containment
from kintsugi.policy.containment import Contained
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import revision
from kintsugi.replay.driver import put_in_force

# Each takes a few tenths of a second, and a few megabytes while it is kept.
_KEPT_MAX: Final = 8
# What pins a version of the policies is as large; others are small, and quickly made again.
_CONTAINED_MAX: Final = 32


class Compiled(NamedTuple):
    """A configuration that is ready to judge.

    Attributes:
        in_force: the caller's own, to name as it likes.
    """

    content: str
    config: Config
    in_force: InForce
    revision: str

    def contained(self, containment: Containment, config_id: str) -> tuple[Contained, ...]:
        """A containment, with what it pins, as a gateway makes it ready for this configuration;
        nothing where a gateway leaves it out.

        Args:
            config_id: what the configuration is called here.
        """
        # What a bypass let through is told when it is over, and has no part in what it does.
        acts = msgspec.structs.replace(containment, bypassed=None, bypassed_at=None)
        return _contained(self.content, acts, config_id)


def compiled(content: str) -> Compiled:
    """A configuration from its text.

    Raises:
        ConfigurationInvalid: this release cannot read it.
    """
    config, ready, digest = _ready(content)
    own = ready.among(board=ready.board, oversight=ready.oversight)
    return Compiled(content, config, own, digest)


@lru_cache(maxsize=_KEPT_MAX)
def _ready(content: str) -> tuple[Config, InForce, str]:
    config = parse_config(content)
    return config, put_in_force(config), revision(config)


@lru_cache(maxsize=_CONTAINED_MAX)
def _contained(content: str, containment: Containment, config_id: str) -> tuple[Contained, ...]:
    return made_ready((containment,), _ready(content)[1].config, config_id)
