"""The end of the story: what was learnt, proven, promised and written down, and that it holds."""

from __future__ import annotations

import re

from kintsugi.cli.demo.plot import CONFIG, STATE, Plot
from kintsugi.cli.demo.summary import timed
from kintsugi.cli.demo.traffic import HARMLESS_REMARK, NEAR_VARIANT, PLANTED_REMARK

_PATTERNS = "patterns are tried on recorded traffic before they are published (kt replay --with)"
_WRITTEN = {
    "How it came about": (
        "Adding an alternative to a pattern looks like a small thing; nothing in our way of "
        "working made us read it against a week of answers."
    ),
    "What surprised us": "The tests of the configuration were green with the mistake in it.",
    "What we learned": f"From now on {_PATTERNS}.",
}
_EXIT_WRONG = 3
_UNWRITTEN = "*Nobody has written this yet.*"


def fixed(plot: Plot) -> None:
    """The configuration that is better than what was there before."""
    stage, incident = plot.stage, plot.incident
    stage.kt(
        *("incidents", "describe", incident, "--decision"),
        "put the parentheses in, keep staff notes out of answers, know the wording of the remark",
        who="ana",
        only="^decision",
    )
    because = ("--reason", "the cause is known")
    stage.kt("incidents", "remediate", incident, *because, who="ana", only=STATE)
    stage.say("Ben writes version 4 and shows what it means besides the words in it.")
    stage.kt(
        *("policy", "diff", plot.file("first.yaml"), plot.file("fixed.yaml")), who="ben", lines=10
    )
    stage.kt("policy", "lint", "--file", plot.file("fixed.yaml"), who="ben", only="valid|warning")
    stage.kt("policy", "test", "--file", plot.file("fixed.yaml"), who="ben", only="^ok|FAIL")
    stage.kt(
        *("config", "apply", "--file", plot.file("fixed.yaml"), "--note", f"{incident}: the fix"),
        who="ben",
    )
    stage.say("The whole window again, by the fixed version: what comes out otherwise?")
    told = stage.kt("replay", incident, "--with", f"{CONFIG}@4", who="ben", lines=6).value
    stage.facts["replayed"] = sum(told["counts"].values())


def released(plot: Plot) -> None:
    """The containment goes, and the traffic is good."""
    stage, incident = plot.stage, plot.incident
    stage.kt(
        *("release", plot.containment, "--reason", "version 4 keeps staff notes inside"),
        who="ana",
        only="^(status|id|gw-.*) ",
    )
    answer = plot.track("customer-113", HARMLESS_REMARK)
    stage.require(answer.decision == "allow", "tracking works again", answer)
    plot.ask_around(16)
    plot.arrived()
    stage.kt(
        "sql",
        "SELECT decision, count(*) AS answers FROM ai_decision_events "
        "WHERE config_version LIKE '%@4' GROUP BY 1 ORDER BY 1",
        who="ana",
    )
    stage.kt(
        *("incidents", "monitor", incident, "--reason", "version 4 is in force, traffic is good"),
        who="ana",
        only=STATE,
    )


def promised(plot: Plot) -> None:
    """Actions, the clocks of the law, and who is told."""
    stage, incident = plot.stage, plot.incident
    stage.say("What is promised is chased, also after the incident is closed.")
    stage.kt(
        *("actions", "add", incident, "Try patterns on recorded traffic before a publish"),
        *("--kind", "process", "--owner", "ben"),
        who="ana",
        only="^(title|owner|due_at) ",
    )
    stage.say("Does a law want a report? An answer “unknown” opens the clock.")
    stage.kt(
        *("obligations", "open", incident, "--trigger", "personal_data_breach=unknown"),
        *("--role", "data_controller=yes", "--role", "data_processor=no"),
        who="ana",
        only="^(incident|clocks owed) ",
    )
    for clock in stage.kt("obligations", "list", who="ana").value:
        stage.kt(
            *("obligations", "set-aside", clock["id"], "--reason"),
            "the note holds an amount and a code, and nothing about a person",
            who="ana",
            only="^(rule|status|title|reason) ",
        )
    stage.say("The team hears where things stand. What the incident knows is filled in.")
    fields = {
        "description_plain": "Half of the answers were refused, and two told a staff note.",
        "affected_services": "parcel-help",
        "measures_taken": "Version 4 is in force; the release code of the note is changed.",
    }
    words = [word for name, text in fields.items() for word in ("--set", f"{name}={text}")]
    draft = stage.kt(
        "communications", "draft", incident, "team", *words, who="ana", only="^(state|subject) "
    )
    stage.kt(
        *("communications", "send", draft.value["id"], "--to", "#parcel-help"),
        *("--channel", "chat"),
        who="ana",
        only="^(state|subject) ",
    )


def reviewed(plot: Plot) -> None:
    """The review, which writes itself but for what only people know; the gates; closed."""
    stage, incident = plot.stage, plot.incident
    stage.kt(*("incidents", "review", incident, "--reason", "nothing since"), who="ana", only=STATE)
    stage.say(
        "The review is generated from the record. What only people know they write: Ana fills in "
        "three paragraphs of the file in an editor."
    )
    draft = plot.file("review.md")
    stage.kt("incidents", "review", incident, "--format", "md", "-o", draft, who="ana")
    plot.write(draft, _written)
    stage.kt("incidents", "review", incident, "--import", draft, who="ana")
    stage.kt("incidents", "review", incident, "--check", who="ana", lines=3)
    stage.kt(
        *("incidents", "review", incident, "--publish", "internal"),
        who="ana",
        only="^(number|audience|digest) ",
    )
    stage.say("What has to be there before it may be closed:")
    gates = stage.kt("incidents", "gates", incident, who="ana", lines=14).value
    stage.facts["gates"] = {one["gate"]: one["status"] for one in gates}
    closed = stage.kt(
        *("incidents", "close", incident, "--reason", "proven, written down, promised"),
        who="ana",
        only=STATE,
    )
    stage.require(closed.value["state"] == "closed", "the incident is closed")


def once_more(plot: Plot) -> None:
    """The same once more: refused as a publish, caught as traffic."""
    stage = plot.stage
    stage.say(
        "Ben's old file is on another machine still, and somebody publishes it. Nothing is "
        "published; every case that it would break is named."
    )
    refused = stage.kt(
        *("config", "apply", "--file", plot.file("typo.yaml"), "--note", "routing codes"),
        who="ben",
        code=_EXIT_WRONG,
        lines=14,
    )
    broken = sorted(set(re.findall(r"REG-\d+", refused.err)))
    stage.require(set(plot.cases) <= set(broken), "the refusal names both cases")
    stage.facts["refused_for"] = broken
    stage.say("A rollback to it is the same publish, and the gateway still runs version 4.")
    stage.kt("config", "rollback", CONFIG, "2", who="ben", code=_EXIT_WRONG, lines=2)
    stage.say("The planted remark comes again, and one that asks for the same in other words.")
    for user, remark in (("customer-120", PLANTED_REMARK), ("customer-121", NEAR_VARIANT)):
        for stream in (False, True):
            answer = plot.track(user, remark, stream=stream)
            stage.require("HERON" not in answer.text, "no staff note gets out", answer)
            how = "streamed" if stream else "whole"
            stage.say(f"  {how}: {answer.status}, “{answer.text}”")
    plot.arrived()
    caught = stage.kt(
        *("events", "tail", "--since", "10m", "--verdict", "blocked", "--limit", "4"), who="dana"
    )
    stage.facts["recurrences_caught"] = len(
        [one for one in caught.value if one["config_version"] == f"{CONFIG}@4"]
    )


def packaged(plot: Plot) -> None:
    """Everything in one file that strangers can check."""
    stage, incident = plot.stage, plot.incident
    package = plot.file(f"{incident}.zip")
    made = stage.kt(
        *("evidence", "package", "--incident", incident, "--reason", "for the auditors"),
        *("-o", package),
        who="ana",
        only="^(file|events|sha256) ",
    )
    stage.say("Checked by whoever gets it, offline, without asking anybody:")
    [key] = stage.kt("log", "keys", who="ana").value
    checked = stage.kt("verify", package, "--key", key, lines=8)
    stage.facts["package_events"] = made.value["events"]
    stage.require(not checked.value["findings"], "the package holds")
    stage.say("The log that all of it stands in, signed:")
    point = stage.kt("log", "checkpoint", who="ana").out.splitlines()
    stage.facts["log_size"] = int(point[1])
    stage.facts["log_root"] = point[2]
    timed(plot)


def _written(draft: str) -> str:
    """The review with what people know in the places that are theirs."""
    for heading, text in _WRITTEN.items():
        before, found, after = draft.partition(heading)
        draft = before + found + after.replace(_UNWRITTEN, text, 1)
    return draft
