"""The middle of the story: evidence that is safe, how far the harm reaches, and what caused it."""

from __future__ import annotations

from kintsugi.cli.demo.plot import CONFIG, STATE, Plot

_CAUSE = {
    "trigger": (
        "version 2 was published with an alternation that lacks its parentheses, and a sender "
        "planted an instruction in a delivery remark"
    ),
    "propagation": (
        "every worker took the version over at once; remarks reach the model as a tool's result"
    ),
    "mechanism": (
        r"\bORD|RTE-\d{6}\b matches the beginning of 'order'; nothing kept staff notes out of "
        "answers"
    ),
    "missed_detection": (
        "the configuration's own tests ask no question about an order, and the remark has none of "
        "the wordings that prompt-injection knows"
    ),
    "systemic_factors": (
        "patterns are published without being tried on recorded traffic; staff notes stand in the "
        "context of the model"
    ),
}


def preserved(plot: Plot) -> None:
    """What was frozen by itself, verified; and how far it reaches."""
    stage, incident = plot.stage, plot.incident
    stage.say(
        "The containment froze the last hour of its scope by itself, under a legal hold. "
        "Everything frozen is read again and checked against the log."
    )

    def frozen() -> str:
        found = stage.look(f"/v1/incidents/{incident}/freezes")
        done = [one["id"] for one in found if one["status"] == "frozen"]
        return done[0] if done else ""

    freeze = stage.until("the evidence is frozen", frozen)
    stage.kt("incidents", "freezes", incident, who="ana")
    verified = stage.kt(
        *("incidents", "verify", incident, freeze),
        who="ana",
        only="^(status|events|total|missing|verification.*) ",
        lines=8,
    ).value
    stage.facts["frozen_events"] = verified["events"]
    stage.kt(
        *("incidents", "blast-radius", incident),
        who="ana",
        only="^(events|users|configurations|verdicts|policies|people|numbers) ",
        lines=8,
    )


def investigated(plot: Plot) -> None:
    """The cause: what changed, which controls acted, the five parts."""
    stage, incident = plot.stage, plot.incident
    stage.kt("incidents", "investigate", incident, who="ana", only=STATE)
    onset = first_of_version(plot, 2)
    stage.kt(
        *("incidents", "describe", incident, "--first-occurred-at", onset),
        who="ana",
        only="^(first occurred|detected) ",
    )
    stage.say("What changed before it began? The publish stands out from what else changed.")
    changes = stage.kt("incidents", "changes", incident, who="ana").value["changes"]
    stage.facts["first_suspect"] = changes[0]["change"]["name"]
    stage.require(stage.facts["first_suspect"] == f"{CONFIG}@2", "the publish is suspect number 1")
    stage.say("Which controls did what?")
    stage.kt("incidents", "controls", incident, who="ana", lines=8)
    stage.say(
        "A decision of the window, judged again from the record alone: it comes out the same."
    )
    stage.kt("replay", plot.refused_event, who="ana")
    stage.say("And by version 1? Then it is answered. So it is the publish, and nothing else.")
    told = stage.kt("replay", plot.refused_event, "--with", f"{CONFIG}@1", who="ana", lines=5).value
    otherwise = told["counts"]["differs"]
    stage.require(otherwise == 1, "version 1 decides otherwise", told["counts"])
    refused, leaked = f"event:{plot.refused_event}", f"event:{plot.leak_event}"
    stage.kt(
        *("incidents", "propose", incident, "the alternation of version 2 lacks its parentheses"),
        who="ana",
        only="^H1 ",
    )
    stage.kt("incidents", "link-evidence", incident, "1", refused, who="ana", only="^H1 ")
    stage.kt(
        *("incidents", "settle-hypothesis", incident, "1", "--as", "confirmed"),
        *("--reason", "the same decision by version 1 lets the answer through"),
        who="ana",
        only="^H1 ",
    )
    stage.say("The cause has five parts, each with what shows it.")
    for part, text in _CAUSE.items():
        stage.kt(
            *("incidents", "explain", incident, part, text, "--confidence", "known"),
            *("--evidence", refused, "--evidence", leaked),
            who="ana",
            only="^" + part.replace("_", " "),
        )


def first_of_version(plot: Plot, version: int) -> str:
    """When a version decided for the first time, as the gateway recorded it."""
    found = plot.stage.look("/v1/events", {"config_version": f"{CONFIG}@{version}", "limit": "200"})
    return str(min(one["timestamp"] for one in found))
