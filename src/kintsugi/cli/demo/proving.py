"""The heart of the story: what went wrong becomes tests, which failed then and hold now."""

from __future__ import annotations

from collections import Counter

from kintsugi.cli.demo.plot import CONFIG, Plot

_EXIT_WRONG = 3
# One of each kind; `kt regressions variants` makes all of them where none is named.
_TECHNIQUES = (
    *("homoglyphs", "base64", "rot13", "framed_german", "streamed", "anthropic_messages"),
)
_INPUT = "^(id|state|from|went wrong on) |^ {10}"
_CASE = "^(case|expects|reproduces|fails|replaced|state|version|characters|tests|holds on|found) ?"


def kept_as_cases(plot: Plot) -> None:
    """A case for what was refused, one for what was missed; both fail on version 2."""
    stage, incident = plot.stage, plot.incident
    stage.say(
        "Each of the two failures becomes a regression case, in one command. It is run at once on "
        "the configuration that decided, and has to fail there: a test that cannot fail proves "
        "nothing."
    )
    for event, expect, name in (
        (plot.refused_event, ("--expect", "allow"), "a question about an order is answered"),
        (plot.leak_event, ("--expect", "block"), "a staff note stays inside"),
    ):
        made = stage.kt(
            *("regressions", "add", event, "--incident", incident, *expect, "--name", name),
            who="ben",
            only=_CASE,
        )
        [case] = made.value["cases"]
        stage.require(case["red"] is True, "the case fails on the configuration of its time")
        plot.cases.append(case["regression"]["id"])


def shortened(plot: Plot) -> None:
    """Shorter cases, what is near them, and twins that have to pass."""
    stage = plot.stage
    stage.say(
        "With a version that puts it right, a case can be cut down to what matters: it goes on "
        "failing then and holding now."
    )
    for case in plot.cases:
        stage.kt("regressions", "minimise", case, who="ben", only=_CASE)
    over_block, miss = plot.cases
    stage.say("Near variants of the miss: does the fix hold in other spellings and other dialects?")
    techniques = [word for name in _TECHNIQUES for word in ("--technique", name)]
    made = stage.kt("regressions", "variants", miss, *techniques, who="ben", lines=10)
    plot.proposed += made.value["relatives"]
    stage.say("And twins: what is like it and has to come out the same on both versions.")
    for case in (miss, over_block):
        found = stage.kt("regressions", "twins", case, who="ben", lines=10).value
        plot.proposed += found["relatives"]


def approved(plot: Plot) -> None:
    """A person decides about each case."""
    stage = plot.stage
    stage.say("A person decides about each; nothing counts by itself. Cleo reads them.")
    _over_block, miss = plot.cases
    stage.kt("regressions", "show", miss, who="cleo", only=_INPUT, lines=16)
    held = [one["regression"]["id"] for one in plot.proposed if one["holds"]]
    stage.kt("regressions", "approve", *plot.cases, *held, who="cleo", lines=12)
    if others := [one["regression"]["id"] for one in plot.proposed if not one["holds"]]:
        because = ("--reason", "no model of ours reads it so")
        stage.kt("regressions", "reject", *others, *because, who="cleo")
    approved = stage.kt(
        *("regressions", "list", "--incident", plot.incident, "--status", "approved"),
        who="ana",
        lines=16,
    )
    stage.facts["cases"] = dict(Counter(one["kind"] for one in approved.value))


def proved(plot: Plot) -> None:
    """Red on the version of the time, green on the one in force."""
    stage, incident = plot.stage, plot.incident
    stage.say(
        "Would the rollback alone have been enough? No: version 3 answers again, and still lets "
        "the note out."
    )
    stage.kt(
        *("prove", incident, "--with", f"{CONFIG}@3", "--dry-run"),
        who="ben",
        code=_EXIT_WRONG,
        lines=14,
    )
    stage.say("And version 4? Every case failed on version 2, and holds now.")
    told = stage.kt("prove", incident, who="ben", lines=20).value
    proof = told["proof"]
    stage.require(proof["passed"], "every case is red on version 2 and green on version 4")
    stage.facts["proof"] = proof["id"]
    stage.facts["proved"] = dict(Counter(one["result"] for one in proof["cases"]))
