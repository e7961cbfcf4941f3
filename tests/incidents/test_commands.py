"""What people do to an incident, apart from moving it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from kintsugi.errors import Blocked, InvalidInput
from kintsugi.incidents import judgement, notes, opening, people, relations
from kintsugi.incidents.severity import LEVELS
from kintsugi.incidents.taxonomies import known_label, taxonomies
from kintsugi.model.incident import Change, Entry, Triage, Verdicts, new_id
from kintsugi.model.verdict import Verdict
from tests.control_plane import make_event
from tests.incidents.cases import ANA, BO, NOON, act, complete, incident

OTHER = msgspec.structs.replace(
    incident("closed"), id="019db9a0-0000-7000-8000-000000000002", number=7
)


def test_declaring_needs_a_title_and_nothing_else() -> None:
    change = opening.opened("It lied", act(ANA, reason=""), state="declared")
    assert (change.incident.state, change.incident.severity) == ("declared", None)
    assert change.incident.version == 0
    with pytest.raises(InvalidInput, match="title"):
        opening.opened(" ", act(ANA), state="declared")


def test_splitting_moves_the_named_events() -> None:
    first, second = opening.split(incident(), "Another", act(), events=["e1"])
    assert (first.remove_events, second.add_events) == (("e1",), ("e1",))
    assert [one.kind for one in first.incident.links] == ["split_into"]
    assert [one.incident_id for one in second.incident.links] == [incident().id]


def test_a_merge_can_be_taken_back() -> None:
    into = msgspec.structs.replace(OTHER, state="declared")
    gone, come = relations.merged(incident("contained"), into, act())
    assert (gone.incident.state, gone.incident.merged_into) == ("merged", into.id)
    assert come.incident.state == "declared"
    assert len(gone.entries) == len(come.entries) == 1
    back, _ = relations.unmerged(gone.incident, into, act())
    assert (back.incident.state, back.incident.merged_into) == ("contained", "")


def test_a_merge_that_makes_no_sense_is_refused_with_every_reason() -> None:
    with pytest.raises(Blocked) as error:
        relations.merged(incident("closed"), incident("merged"), act(BO, reason=""))
    assert {one.code for one in error.value.blockers} == {
        *("reason", "not_in_command", "itself", "state", "merged"),
    }
    with pytest.raises(Blocked):
        relations.unmerged(incident(), OTHER, act())


def test_a_recurrence_is_told_on_both_sides() -> None:
    new, old = relations.linked(incident(), OTHER, "recurrence_of", act())
    assert [one.kind for one in new.incident.links] == ["recurrence_of"]
    assert [one.kind for one in old.incident.links] == ["recurred_in"]
    with pytest.raises(Blocked, match="linked already"):
        relations.linked(new.incident, OTHER, "recurrence_of", act())
    with pytest.raises(Blocked, match="not over"):
        relations.linked(OTHER, incident(), "recurrence_of", act())


def test_a_role_goes_from_one_to_the_next_with_its_hand_over() -> None:
    first = people.assigned(incident(), "commander", "ana", act(ANA)).incident
    with pytest.raises(Blocked, match="ana is commander"):
        people.assigned(first, "commander", "bo", act(BO))
    change = people.assigned(first, "commander", "bo", act(ANA, hours=2), handover="watch gw-2")
    ended, taken = change.incident.roles
    assert ended.renounced_at == taken.assumed_at == NOON + timedelta(hours=2)
    assert ended.handover == "watch gw-2"
    assert change.incident.holders("commander") == ("bo",)
    gone = people.renounced(change.incident, "commander", "bo", act(BO, hours=3)).incident
    assert gone.holders("commander") == ()
    with pytest.raises(Blocked, match="is not commander"):
        people.renounced(gone, "commander", "bo", act(BO))


def test_there_may_be_several_experts() -> None:
    found = people.assigned(incident(), "domain_expert", "ana", act(ANA)).incident
    found = people.assigned(found, "domain_expert", "bo", act(BO)).incident
    assert found.holders("domain_expert") == ("ana", "bo")


def test_anyone_raises_a_severity_and_the_commander_lowers_it() -> None:
    found = judgement.assessed(incident(), {"impact": 1}, act(BO)).incident
    assert found.severity == "high"
    found = judgement.overridden(found, "critical", act(BO)).incident
    assert found.severity == "critical"
    with pytest.raises(Blocked, match="commander"):
        judgement.overridden(found, "low", act(BO))
    with pytest.raises(Blocked, match="reason"):
        judgement.overridden(found, "low", act(reason=""))
    with pytest.raises(Blocked, match="commander"):
        judgement.overridden(found, None, act(BO))
    assert judgement.overridden(found, None, act()).incident.severity == "high"


def test_assessing_lower_is_the_commanders_too_and_what_it_once_was_is_kept() -> None:
    found = judgement.assessed(incident(), {"impact": 2}, act(BO)).incident
    assert (found.severity, found.severest) == ("high", "high")
    known = dict.fromkeys(LEVELS, 0)
    with pytest.raises(Blocked, match="commander"):
        judgement.assessed(found, known, act(BO))
    lowered = judgement.assessed(found, known, act()).incident
    assert (lowered.severity, lowered.severest) == ("low", "high")
    # Under an override nothing is lowered by it.
    kept = judgement.overridden(found, "critical", act(BO)).incident
    assert judgement.assessed(kept, known, act(BO)).incident.severity == "critical"
    assert kept.severest == "critical"


def test_what_is_serious_does_not_end_by_merging_it_into_what_is_less_or_over() -> None:
    grave = judgement.overridden(incident("contained"), "critical", act()).incident
    minor = msgspec.structs.replace(OTHER, state="declared")
    minor = judgement.overridden(minor, "low", act()).incident
    with pytest.raises(Blocked, match="is low, and INC-000042 is critical"):
        relations.merged(grave, minor, act())
    assert relations.merged(minor, grave, act())[0].incident.state == "merged"
    # One that nobody has assessed asks for as much as a high one.
    open_still = msgspec.structs.replace(OTHER, state="declared")
    with pytest.raises(Blocked, match="is not assessed, and INC-000042 is critical"):
        relations.merged(grave, open_still, act())
    for state in ("closed", "not_an_incident"):
        over = msgspec.structs.replace(OTHER, state=state)
        with pytest.raises(Blocked, match="over: what was declared goes its own way"):
            relations.merged(incident("declared"), over, act())
        # A report of it that comes late is a duplicate all the same.
        assert relations.merged(incident("reported"), over, act())[0].incident.state == "merged"


def test_a_near_miss_needs_what_caught_it_and_over_blocking_is_harm() -> None:
    with pytest.raises(Blocked) as error:
        judgement.judged(incident(), Verdicts(harm="near_miss"), act())
    assert {one.code for one in error.value.blockers} == {"caught_by", "caught_how"}
    with pytest.raises(Blocked, match="is harm"):
        judgement.judged(incident(), Verdicts("over_block", "none"), act())
    found = judgement.judged(incident(), Verdicts(enforcement="missed"), act()).incident
    found = judgement.judged(found, Verdicts(harm="harm"), act()).incident
    assert found.verdicts == Verdicts("missed", "harm")


def test_labels_are_of_pinned_editions() -> None:
    labels = ("owasp_llm:LLM01:2025", "atlas:AML.TA0010", "cosai:jailbreak", "avid:E0402")
    found = judgement.classified(incident(), ["correctness"], labels, act()).incident
    assert found.labels == labels
    with pytest.raises(InvalidInput, match="known: correctness"):
        judgement.classified(incident(), ["mood"], [], act())
    for label in ("owasp_llm:LLM11", "nist:1", "plain"):
        with pytest.raises(InvalidInput, match="labels"):
            known_label(label)


def test_every_taxonomy_says_where_and_when_it_was_read() -> None:
    assert set(taxonomies()) >= {"cosai", "owasp_llm", "owasp_agentic", "atlas", "aiid", "oecd"}
    for one in taxonomies().values():
        assert one.source.startswith("https://")
        assert one.labels
        assert len({label.id for label in one.labels}) == len(one.labels)
    counts = {name: len(one.labels) for name, one in taxonomies().items()}
    assert (counts["cosai"], counts["owasp_llm"], counts["owasp_threats"]) == (20, 10, 17)
    assert sum(label.group == "tactic" for label in taxonomies()["atlas"].labels) == 16


@pytest.mark.parametrize(
    "text", ["The model hallucinated.", "it hallucinated", "The model is just biased", " "]
)
def test_a_description_is_no_cause(text: str) -> None:
    with pytest.raises(InvalidInput, match="describes what happened"):
        judgement.explained(incident(), "mechanism", text, "known", act())


def test_a_cause_has_a_confidence() -> None:
    said = "The model hallucinated because retrieval returned the policy of 2023"
    found = judgement.explained(incident(), "mechanism", said, "potential", act()).incident
    assert found.cause["mechanism"].confidence == "potential"
    with pytest.raises(InvalidInput, match="known or potential"):
        judgement.explained(found, "trigger", said, "sure", act())


def test_nobody_waives_what_they_answer_for() -> None:
    until = NOON + timedelta(days=9)
    with pytest.raises(Blocked, match="somebody else"):
        judgement.waived(complete("high"), "review", "chief", until, act())
    with pytest.raises(Blocked) as error:
        judgement.waived(complete("low"), "review", "", NOON, act(BO, reason=""))
    assert {one.code for one in error.value.blockers} == {
        *("reason", "not_in_command", "gate", "owner", "expired"),
    }
    given = judgement.waived(complete("high"), "review", "bo", until, act()).incident.waivers[-1]
    assert (given.owner, given.approver) == ("bo", "chief/3")


def test_the_learning_gate_is_vouched_for_by_nobody() -> None:
    with pytest.raises(InvalidInput, match="nobody can vouch for learning"):
        judgement.attested(incident(), "learning", "sha256:00", act())
    found = judgement.attested(incident(), "review", "https://wiki/42", act()).incident
    assert found.attestations[-1].reference == "https://wiki/42"


def test_an_incident_that_has_ended_is_still_annotated_and_not_changed() -> None:
    about = Entry("e", "i", NOON, NOON, "ana/1", "transition", "closed")
    closed = incident("closed")
    notes.annotated(closed, about, "a day late", act(BO))
    notes.pinned(closed, about, act(BO), pin=True)
    refused: tuple[Callable[[], Change], ...] = (
        lambda: judgement.triaged(closed, Triage(), act()),
        lambda: judgement.assessed(closed, {}, act()),
        lambda: relations.with_events(closed, ["e"], act()),
        lambda: people.assigned(closed, "commander", "bo", act()),
    )
    for do in refused:
        with pytest.raises(Blocked, match="is closed"):
            do()


def test_an_update_meets_the_cadence_and_a_note_does_not() -> None:
    doing = act(BO, at=NOON)
    change = notes.noted(incident(), " all quiet ", doing, update=True)
    [told] = change.entries
    assert (told.text, told.at, told.recorded_at) == ("all quiet", NOON, doing.now)
    assert change.incident.last_update_at == doing.now
    assert not told.by_system
    assert notes.noted(incident(), "x", doing).incident.last_update_at is None


def test_a_promoted_event_stands_where_it_happened() -> None:
    event = make_event(3, verdict=Verdict.BLOCK, reason_code="prompt_injection.detected")
    change = relations.promoted(incident(), event, act(BO))
    [told] = change.entries
    assert (told.at, change.add_events) == (event.timestamp, (event.id,))
    assert told.text == "decision blocked: prompt_injection.detected"


def test_what_does_not_change_is_not_told() -> None:
    assert judgement.described(incident(), {"title": incident().title}, act()).entries == ()
    change = judgement.described(incident(), {"summary": "s", "first_occurred_at": NOON}, act())
    assert change.entries[0].detail["before"] == {"summary": "", "first_occurred_at": None}


def test_ids_of_one_millisecond_are_in_the_order_of_their_making() -> None:
    made = [new_id(NOON) for _ in range(100)]
    assert made == sorted(made)
