"""Lint of what is relaxed: it needs an owner, a reason and a last day that is not over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import groupby

from kintsugi.model.config import Config, Position, Relaxation
from kintsugi.policy.diagnostics import Problems, listed
from kintsugi.policy.relaxed import Relaxed, relaxed

# Has a code of its own, which is older than owners and expiries.
_OPEN_ON_FAILURE = "gateway.fail_mode"


def check_relaxed(config: Config, problems: Problems, *, today: date | None) -> None:
    """Ask for who answers.

    Args:
        today: a relaxation whose last day is before it is an error; None asks for no day.
    """
    settings = relaxed(config)
    for place, group in groupby(settings, key=lambda one: one.place):
        _check_place(place, list(group), config, problems, today)
    weak = {one.place for one in settings}
    for place, by in _stated(config):
        path = f"{place}.relaxed"
        at = config.positions.get(path, Position())
        if place not in weak:
            problems.add("W114", f"nothing is relaxed in {place}", at, path, help="remove it")
        for key in ("owner", "reason"):
            if not getattr(by, key).strip():
                where = f"{path}.{key}"
                at = config.positions.get(where, at)
                problems.add("E009", f"the {key} is empty", at, where, help="write a few words")


def _check_place(
    place: str, settings: list[Relaxed], config: Config, problems: Problems, today: date | None
) -> None:
    by = settings[0].by
    if by is None:
        for one in settings:
            if one.path != _OPEN_ON_FAILURE:
                problems.add(
                    "W111",
                    f"{one.setting}: {one.meaning}, and nobody answers for it",
                    config.positions.get(one.path, Position()),
                    one.path,
                    help=f"add to {place}: relaxed: {{owner: ..., reason: ..., "
                    "expires: 2026-12-31}",
                )
    elif today is not None and settings[0].ended(today):
        path = f"{place}.relaxed.expires"
        problems.add(
            "E029",
            f"{listed(one.setting for one in settings)} was to end on {by.expires}; "
            f"{by.owner} answers for it",
            config.positions.get(path, Position()),
            path,
            help="tighten it again and remove relaxed, or have it prolonged by its owner",
        )


def _stated(config: Config) -> Iterator[tuple[str, Relaxation]]:
    if config.gateway.relaxed is not None:
        yield "gateway", config.gateway.relaxed
    for block in config.chain:
        if block.relaxed is not None:
            yield f"policy.{block.kind}", block.relaxed
