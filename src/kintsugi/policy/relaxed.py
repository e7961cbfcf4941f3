"""What a configuration does more weakly than it could, and who answers for it.

Nothing relaxed is hidden: each such setting is listed with its owner, reason and last day, and
lint asks for them where they are missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Literal

import msgspec

from kintsugi.model.config import Config, PolicyBlock, Relaxation
from kintsugi.model.decision import Mode, Phase
from kintsugi.model.verdict import Verdict
from kintsugi.policy.rule import RuleOptions
from kintsugi.policy.rules import KINDS

State = Literal["in_time", "overdue", "unowned"]

_ACTIONS = ("action", "output_action")
_RECORDING = {mode.value for mode in Mode if mode is not Mode.ENFORCE}


class Relaxed(msgspec.Struct, frozen=True):
    """One setting that is weaker than it could be.

    Attributes:
        place: the section that a ``relaxed`` for it stands in: ``gateway``, ``policy.KIND``.
        path: where the setting itself stands.
        setting: as an author would write it: ``mode: monitor``.
        meaning: what that comes to.
        by: who answers for it; None where nobody does.
    """

    place: str
    path: str
    setting: str
    meaning: str
    by: Relaxation | None

    def ended(self, today: date) -> bool:
        """Whether the day on which it was to end is over."""
        return self.by is not None and self.by.expires < today

    def state(self, today: date) -> State:
        """``unowned`` where nobody answers for it, ``overdue`` where it has ended."""
        if self.by is None:
            return "unowned"
        return "overdue" if self.ended(today) else "in_time"

    def days_left(self, today: date) -> int | None:
        """Until its last day; 0 on that day, negative after it; None where there is none."""
        return None if self.by is None else (self.by.expires - today).days


def relaxed(config: Config) -> tuple[Relaxed, ...]:
    """Everything relaxed, the gateway's own first, then in the order of the chain."""
    return (*_gateway(config), *(one for block in config.chain for one in _block(block)))


def _gateway(config: Config) -> Iterator[Relaxed]:
    gateway = config.gateway
    settings = []
    if gateway.fail_mode == "allow":
        settings.append(("fail_mode", "allow", "a rule that fails lets the exchange through"))
    if gateway.streaming == "observe" and _judges_answers(config):
        settings.append(("streaming", "observe", "streamed answers are only looked at"))
    for key, word, meaning in settings:
        yield Relaxed("gateway", f"gateway.{key}", f"{key}: {word}", meaning, gateway.relaxed)


def _judges_answers(config: Config) -> bool:
    streamed = {Phase.OUTPUT, Phase.TOOL}
    return any(streamed & {*KINDS[block.kind].phases} for block in config.chain)


def _block(block: PolicyBlock) -> Iterator[Relaxed]:
    place = f"policy.{block.kind}"
    options = block.options
    if options.mode == Mode.MONITOR.value and not _only_watches(block.kind):
        meaning = "what it finds is recorded and never stopped"
        yield Relaxed(place, f"{place}.mode", f"mode: {options.mode}", meaning, block.relaxed)
    elif not only_records(options):
        for path, word in _weak_actions(options, KINDS[block.kind].default_action):
            meaning = "what it finds goes through unchanged"
            setting = f"{path}: {word}"
            yield Relaxed(place, f"{place}.{path}", setting, meaning, block.relaxed)
    if options.on_error and is_weak(options.on_error):
        setting = f"on_error: {options.on_error}"
        meaning = "the exchange goes through when the policy itself fails"
        yield Relaxed(place, f"{place}.on_error", setting, meaning, block.relaxed)


def _only_watches(kind: str) -> bool:
    """Whether a kind monitors unless it is told otherwise, so that it is as strict as it can be."""
    fields = msgspec.structs.fields(KINDS[kind].options)
    return any(field.name == "mode" and field.default == Mode.MONITOR.value for field in fields)


def only_records(options: RuleOptions) -> bool:
    """Whether a policy never acts, whatever it finds. A kind may take other words for a mode that
    acts."""
    return options.mode in _RECORDING


def _weak_actions(
    options: msgspec.Struct, default: Verdict, prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """Actions of the whole policy that do nothing where its default would do something."""
    if default.strictness <= Verdict.FLAG.strictness:
        return
    for name in options.__struct_fields__:
        value = getattr(options, name)
        if isinstance(value, msgspec.Struct):
            yield from _weak_actions(value, default, f"{prefix}{name}.")
        elif name in _ACTIONS and value and is_weak(value):
            yield f"{prefix}{name}", value


def is_weak(word: str) -> bool:
    """Whether an action only records; False for what is no action at all, which has its own
    diagnostic."""
    try:
        return Verdict.parse(word).strictness <= Verdict.FLAG.strictness
    except ValueError:
        return False
