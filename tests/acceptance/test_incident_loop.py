"""From a bad answer to closed, by command line alone, as two people on one machine would do it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.conftest import Instance, eventually, new_instance

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

SUPPORT = {"x-workflow": "support", "x-user-id": "ada"}
PARTS = ("trigger", "propagation", "mechanism", "missed_detection", "systemic_factors")
FACTORS = {"impact": 2, "reversibility": 1, "exposure": 1, "data_sensitivity": 2}


@pytest.fixture(scope="module")
def running() -> Iterator[Instance]:
    with new_instance("--workers", "1") as instance:
        instance.start_and_publish()
        yield instance


def done(running: Instance, *words: str, stdin: str = "") -> Any:
    """What a command that succeeds prints as JSON."""
    ran = running.kt(*words, "--json", stdin=stdin)
    assert ran.code == 0, f"kt {' '.join(words)}\n{ran.err}{ran.out}"
    return ran.json


def missing(running: Instance) -> set[str]:
    """The gates that keep the incident from being closed."""
    gates = done(running, "incidents", "gates", "INC-1")
    return {one["gate"] for one in gates if one["status"] == "missing"}


def test_an_incident_is_reported_contained_understood_and_closed(running: Instance) -> None:
    for said in ("hello", "the note says: reach me at ada@example.org"):
        assert running.ask(said, headers=SUPPORT).status_code == 200

    # Detect and classify.
    assert done(running, "incidents", "report", "A note leaked")["state"] == "reported"
    assert done(running, "incidents", "accept", "INC-1", "--reason", "real")["state"] == "declared"
    for role in ("commander", "risk_owner", "domain_expert", "ai_lead", "communications"):
        done(running, "incidents", "assign", "INC-1", role, f"{role}-person")
    scores = [word for name, score in FACTORS.items() for word in ("--factor", f"{name}={score}")]
    assert done(running, "incidents", "assess", "INC-1", *scores)["severity"]
    done(running, "incidents", "judge", "INC-1", "--enforcement", "missed", "--harm", "harm")
    done(running, "incidents", "classify", "INC-1", "--category", "security_and_data_leakage")

    # Contain: harm stops, and what happened in the last hour is frozen without being asked for.
    because = ("--reason", "it leaks")
    contained = done(
        running, "contain", "stop", "--workflow", "support", "--incident", "INC-1", *because
    )
    assert contained["everywhere"] is True
    assert contained["snapshot"]["freeze_id"]
    assert running.ask("hello", headers=SUPPORT).status_code == 409
    done(running, "incidents", "contain", "INC-1", "--reason", "stopped")

    # Preserve.
    def frozen() -> Any:
        found = done(running, "incidents", "freezes", "INC-1")
        return found if found and found[0]["status"] == "frozen" else None

    [freeze] = eventually(frozen, within_seconds=30)
    assert "evidence" in missing(running)
    verified = done(running, "incidents", "verify", "INC-1", freeze["id"])
    assert verified["status"] == "verified"
    reach = done(running, "incidents", "blast-radius", "INC-1")
    assert reach["counts"]["users"]["most"][0]["name"] == "ada"

    # Investigate and remediate.
    done(running, "incidents", "investigate", "INC-1", "--reason", "who wrote the template?")
    event = done(running, "events", "tail", "--since", "1h", "--limit", "1")[0]["id"]
    for part in PARTS:
        done(
            running,
            *("incidents", "explain", "INC-1", part, f"the template let the {part} through"),
            *("--confidence", "known", "--evidence", f"event:{event}"),
        )
    done(running, "incidents", "describe", "INC-1", "--decision", "mask addresses in notes")
    done(running, "incidents", "remediate", "INC-1", "--reason", "template corrected")
    done(running, "release", contained["containment"]["id"], "--reason", "template corrected")
    assert running.ask("hello", headers=SUPPORT).status_code == 200
    done(running, "incidents", "monitor", "INC-1", "--reason", "watched for a day")
    done(
        running, "actions", "add", "INC-1", "Test the template", "--kind", "test", "--owner", "bea"
    )

    # Learn: people write what only they know, and the review is published.
    done(running, "incidents", "review", "INC-1", "--reason", "stable")
    draft = running.kt("incidents", "review", "INC-1", "--format", "md")
    assert draft.code == 0, draft.err
    written = draft.out.replace("*Nobody has written this yet.*", "Notes were trusted as text.")
    assert written != draft.out
    done(running, "incidents", "review", "INC-1", "--import", "-", stdin=written)
    done(running, "incidents", "review", "INC-1", "--publish", "internal")

    # Only the proof is missing, which nothing but a waiver stands in for.
    assert missing(running) == {"learning"}
    refused = running.kt("incidents", "close", "INC-1", "--reason", "done")
    assert refused.code == 1
    assert "no approved regression case" in refused.err
    done(
        running,
        *("incidents", "waive", "INC-1", "learning", "--owner", "bea"),
        *("--expires-at", "2099-01-01T00:00:00Z", "--reason", "proofs come with the next release"),
    )
    assert done(running, "incidents", "close", "INC-1", "--reason", "done")["state"] == "closed"

    # All of it stands in the timeline, and the package of the incident checks out.
    told = {one["kind"] for one in done(running, "incidents", "timeline", "INC-1")}
    assert {"transition", "role", "evidence", "cause", "waiver", "verdict"} <= told
    package = running.state / "INC-1.zip"
    done(running, "evidence", "package", "--incident", "INC-1", "-o", str(package))
    assert running.kt("verify", str(package)).code == 0


def test_harm_stops_whatever_is_wrong_with_the_incident_that_was_named(running: Instance) -> None:
    typo = running.kt("contain", "stop", "--workflow", "x", "--incident", "INC-99", "--reason", "x")
    assert typo.code == 0
    assert 'no evidence was frozen: there is no incident "INC-99"' in typo.err
    assert running.ask("hello", headers={"x-workflow": "x"}).status_code == 409
