"""``kt incidents``."""

from __future__ import annotations

from kintsugi.cli.incidents import app
from tests.cli.conftest import ControlPlane, Kt, event


def test_an_incident_is_worked_from_the_command_line(
    control_plane: ControlPlane, kt_online: Kt
) -> None:
    seen = [event(1), event(2)]
    control_plane.stores.events.append(seen)
    made = kt_online("incidents", "declare", "It lied", "--event", seen[0].id, "--json")
    assert made.json["reference"] == "INC-000001"
    inc = "INC-1"
    for words in (
        ("assign", inc, "commander", "ana"),
        ("assess", inc, "--factor", "impact=2", "--factor", "blast-radius=1"),
        ("override-severity", inc, "low", "--reason", "a drill"),
        ("override-severity", inc, "computed", "--reason", "no drill"),
        ("judge", inc, "--enforcement", "missed", "--harm", "none"),
        ("classify", inc, "--category", "correctness", "--label", "cosai:jailbreak"),
        ("triage", inc, "--systematic", "yes"),
        ("contain", inc, "--reason", "stopped"),
        ("investigate", inc),
        ("explain", inc, "trigger", "a stale index", "--confidence", "known"),
        ("tie", inc, "--user", "ada"),
        ("note", inc, "all quiet", "--update"),
        ("describe", inc, "--decision", "rebuild"),
        (
            "waive",
            inc,
            "learning",
            "--owner",
            "bo",
            "--expires-at",
            "2999-01-01T00:00:00Z",
            "--reason",
            "no proofs yet",
        ),
        ("attest", inc, "review", "https://wiki/1"),
    ):
        ran = kt_online("incidents", *words, "--json")
        assert ran.code == 0, ran.err
    shown = kt_online("incidents", "show", inc, "--json").json
    assert (shown["state"], shown["commander"], shown["event_count"]) == ("investigating", "ana", 2)
    entries = kt_online("incidents", "timeline", inc, "--json").json
    entry = entries[-1]["id"]
    assert kt_online("incidents", "pin", inc, entry).code == 0
    assert kt_online("incidents", "annotate", inc, entry, "late").code == 0
    [pinned] = kt_online("incidents", "timeline", inc, "--pinned", "--json").json
    assert pinned["annotations"][0]["text"] == "late"
    assert len(kt_online("incidents", "gates", inc, "--json").json) == 12
    refused = kt_online("incidents", "close", inc)
    assert refused.code == 1
    assert "gate.evidence" in refused.err
    assert "state" in refused.err
    assert [one["reference"] for one in kt_online("incidents", "list", "--json").json] == [
        "INC-000001"
    ]


def test_a_report_is_accepted_merged_or_dismissed(kt_online: Kt) -> None:
    for title in ("one", "two", "three"):
        assert kt_online("incidents", "report", title).code == 0
    assert kt_online("incidents", "accept", "INC-1", "--json").json["state"] == "declared"
    merged = kt_online("incidents", "merge", "INC-2", "--into", "INC-1", "--reason", "same")
    assert merged.json["state"] == "merged"
    refused = kt_online("incidents", "dismiss", "INC-3", "--outcome", "quality_issue")
    assert refused.code == 1
    assert "reason" in refused.err
    kt_online(
        *("incidents", "triage", "INC-3", "--systematic", "no"),
        *("--regulated-or-vulnerable", "no", "--scales-silently", "no"),
    )
    done = kt_online(
        *("incidents", "dismiss", "INC-3", "--outcome", "quality_issue", "--reason", "typo"),
    )
    assert done.json["outcome"] == "quality_issue"
    assert kt_online("incidents", "list", "--in", "all", "--json").json[0]["title"] == "three"


def test_a_factor_without_a_score_is_refused(kt_online: Kt) -> None:
    kt_online("incidents", "declare", "x")
    assert kt_online("incidents", "assess", "INC-1", "--factor", "impact").code == 2


def test_every_command_says_what_it_does() -> None:
    assert all(command.callback and command.callback.__doc__ for command in app.registered_commands)
