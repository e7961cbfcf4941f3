"""The first half of the story: an ordinary day, what goes wrong on it, and how it is stopped."""

from __future__ import annotations

from kintsugi.cli.demo.plot import CONFIG, STATE, Plot
from kintsugi.cli.demo.traffic import (
    DEPOT_QUESTION,
    HARMLESS_REMARK,
    MODEL,
    PLANTED_REMARK,
    WORKFLOW,
)

_QUESTIONS = 48
_BY_VERSION = (
    "SELECT config_version, decision, count(*) AS answers, count(DISTINCT user_id) AS people "
    "FROM ai_decision_events GROUP BY 1, 2 ORDER BY 1, 2"
)
_FACTORS = {
    "impact": 2,
    "blast_radius": 1,
    "reversibility": 1,
    "exposure": 1,
    "data_sensitivity": 2,
}
_ROLES = {"commander": "ana", "ai_lead": "ben", "risk_owner": "cleo"}


def ordinary_day(plot: Plot) -> None:
    """Start, people, and traffic that is judged and let through."""
    stage = plot.stage
    stage.say(
        "Tern Parcels answers customers with a model. Kintsugi stands between the two: gateway, "
        "control plane and an embedded database, started with one command, no key and no network."
    )
    plot.open()
    stage.say("Four people work here, each with a token of their own.")
    stage.admit("ana", "commander")
    stage.admit("ben", "responder", "configurations:write")
    stage.admit("cleo", "commander")
    stage.admit("dana", "reporter", "viewer")
    stage.kt(
        *("workflows", "register", WORKFLOW, "--business-owner", "cleo"),
        *("--technical-owner", "ben", "--model", MODEL, "--tool", "track_parcel"),
        who="ana",
        only="^(workflow.)?(name|business_owner|technical_owner) ",
    )
    stage.say(
        "The demo plays the customers, as any OpenAI client would: "
        f"POST {plot.gateway_url}/v1/chat/completions, with the headers x-workflow and x-user-id."
    )
    plot.ask_around(_QUESTIONS)
    for user in ("customer-100", "customer-101"):
        plot.track(user, HARMLESS_REMARK)
    slip = plot.ask("customer-102", DEPOT_QUESTION)
    stage.require(slip.decision == "block", "a routing code stays inside", slip)
    plot.arrived()
    stage.say(
        f"{plot.asked} requests went through the gateway. One answer would have told a customer a "
        "routing code and was stopped, rightly. Each decision is on record:"
    )
    counted = stage.kt("sql", _BY_VERSION, who="ana").value
    stage.require(_refused(counted, 1) == 1, "nothing else is refused on an ordinary day")


def the_change(plot: Plot) -> None:
    """The typo is published and half of the answers are refused; a planted remark gets a note
    out."""
    stage = plot.stage
    stage.say(
        "Ben adds a second kind of routing code that customers must not see. "
        r"He writes \bORD|RTE-\d{6}\b and forgets the parentheses: every word that begins with "
        '"ord" is stopped now, "order" for one. The file is valid, and its own tests pass.'
    )
    stage.kt("policy", "lint", "--file", plot.file("typo.yaml"), who="ben", only="valid|warning")
    stage.kt("policy", "test", "--file", plot.file("typo.yaml"), who="ben", only="^ok|FAIL")
    note = "keep the new RTE routing codes inside too"
    applied = stage.kt(
        *("config", "apply", "--file", plot.file("typo.yaml"), "--note", note), who="ben"
    )
    stage.facts["publish_seconds"] = applied.value["seconds"]
    before = plot.asked
    plot.ask_around(_QUESTIONS)
    for user in ("customer-103", "customer-104"):
        plot.track(user, HARMLESS_REMARK)
    stage.say(
        "In the same minutes a sender writes into a delivery remark what an assistant shall do. "
        "The assistant reads it as a tool's result, and does it:"
    )
    leaks = [plot.track(f"customer-{number}", PLANTED_REMARK) for number in (110, 111)]
    for leak in leaks:
        stage.say(f"  customer reads: {leak.text}")
        stage.require("HERON-22" in leak.text, "the staff note leaks", leak)
    plot.leak_event = leaks[0].event_id
    plot.arrived()
    stage.facts["requests_in_window"] = plot.asked - before
    stage.facts["notes_leaked"] = len(leaks)


def reported(plot: Plot) -> None:
    """Customers complain, and the support desk looks."""
    stage = plot.stage
    stage.say("A customer calls. Dana at the support desk looks at what the gateway did for them.")
    seen = stage.kt(
        *("events", "tail", "--since", "10m", "--verdict", "blocked", "--user", "customer-000"),
        who="dana",
    )
    plot.refused_event = seen.value[0]["id"]
    counted = stage.kt("sql", _BY_VERSION, who="ana").value
    refused, answered = _refused(counted, 2), _answered(counted, 2)
    stage.facts["legitimate_refused"] = refused
    stage.facts["legitimate_asked"] = answered - stage.facts["notes_leaked"]
    stage.say(f"{refused} of {answered} answers were refused under version 2.")
    stage.kt(
        *("reports", "send", "The assistant refuses whatever is about an order"),
        *("--workflow", WORKFLOW, "--category", "correctness", "--severity", "high"),
        *("--event", plot.refused_event),
        who="dana",
        only="^incident",
    )
    stage.kt(
        *("reports", "send", "The assistant told a customer a staff note"),
        *("--workflow", WORKFLOW, "--category", "security_and_data_leakage"),
        *("--severity", "high", "--event", plot.leak_event),
        who="dana",
        only="^incident",
    )


def triaged(plot: Plot) -> None:
    """Two reports become one incident, with people and a severity."""
    stage, incident = plot.stage, plot.incident
    shown = "^(incident|state|severity|roles) "
    stage.say(
        "Each report opened an incident. Ana answers the three triage questions and declares it."
    )
    stage.kt(
        *("incidents", "triage", incident, "--systematic", "yes"),
        *("--regulated-or-vulnerable", "no", "--scales-silently", "yes"),
        who="ana",
        only=shown,
    )
    stage.kt("incidents", "accept", incident, who="ana", only=shown)
    stage.say("Same assistant, same minutes: one commander for both. A merge can be taken back.")
    because = ("--reason", "same assistant, same minutes")
    stage.kt(
        "incidents",
        "merge",
        "INC-2",
        "--into",
        incident,
        *because,
        who="ana",
        only=f"{STATE}|merged_into",
    )
    for role, person in _ROLES.items():
        stage.kt("incidents", "assign", incident, role, person, who="ana", only="^roles ")
    scores = [word for name, score in _FACTORS.items() for word in ("--factor", f"{name}={score}")]
    assessed = stage.kt("incidents", "assess", incident, *scores, who="ana", only=shown)
    stage.facts["severity"] = assessed.value["severity"]
    stage.kt(
        *("incidents", "judge", incident, "--enforcement", "missed", "--harm", "harm"),
        *("--reason", "a note got out, and half of the customers got no answer"),
        who="ana",
        only="^(enforcement was|harm) ",
    )
    stage.kt(
        *("incidents", "classify", incident, "--category", "security_and_data_leakage"),
        *("--category", "correctness", "--label", "owasp_llm:LLM01:2025"),
        who="ana",
        only="^(categories|labels) ",
    )


def contained(plot: Plot) -> None:
    """The leak is stopped within a second, and good answers go out again."""
    stage = plot.stage
    lever = ("contain", "block-sources", "--source", "track_parcel", "--workflow", WORKFLOW)
    about = ("--incident", plot.incident, "--reason", "remarks of senders steer the assistant")
    stage.say(
        "First stop the leak: whatever the tracking tool returned does not reach the model any "
        "more. The preview says what would have been in scope in the last hour."
    )
    stage.kt(*lever, *about, "--dry-run", who="ana", only="status|scope|lever|expires")
    made = stage.kt(*lever, *about, who="ana", only="status|in force|gw-|frozen").value
    plot.containment = made["containment"]["id"]
    stage.facts["contain_seconds"] = made["seconds"]
    stage.require(made["everywhere"], "the containment is in force on every gateway")
    again = plot.track("customer-112", PLANTED_REMARK)
    stage.require(again.decision == "block", "the same remark is refused now", again)
    stage.say(f"The same parcel once more: {again.status}, “{again.text}”")
    stage.say("Then take the typo back. Good answers go out again; history stays as it was.")
    stage.kt(
        *("config", "rollback", CONFIG, "1", "--note", f"{plot.incident}: orders are refused"),
        who="ana",
    )
    plot.ask_around(8)
    stage.kt(
        *("incidents", "contain", plot.incident),
        *("--reason", "tracking results are kept from the model; version 1 is back"),
        who="ana",
        only=STATE,
    )


def _refused(rows: list[dict[str, object]], version: int) -> int:
    return sum(_count(row) for row in rows if _is(row, version) and row["decision"] == "blocked")


def _answered(rows: list[dict[str, object]], version: int) -> int:
    return sum(_count(row) for row in rows if _is(row, version))


def _is(row: dict[str, object], version: int) -> bool:
    return row["config_version"] == f"{CONFIG}@{version}"


def _count(row: dict[str, object]) -> int:
    return int(str(row["answers"]))
