"""The table of moves, walked at random, and what each move asks for."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kintsugi.errors import Blocked, InvalidInput
from kintsugi.incidents.gates import GateFacts
from kintsugi.incidents.lifecycle import (
    BY_VERB,
    TRANSITIONS,
    Move,
    blockers,
    moved,
    moves_from,
    transition_of,
)
from kintsugi.incidents.severity import duties_of
from kintsugi.model.incident import Actor, RoleTerm, State, Triage
from tests.incidents.cases import ANA, BO, CHIEF, FROZEN, NOON, act, complete, incident

STATES = get_args(State)
ANSWERED = Triage("yes", "no", "yes")
NEAR_MISS = Move("near_miss", "unplanned_human", "a clerk read it twice", FROZEN)


def codes(error: pytest.ExceptionInfo[Blocked]) -> set[str]:
    return {one.code for one in error.value.blockers}


def test_every_state_but_those_of_merging_is_reached_by_a_move() -> None:
    reached = {one.target for one in TRANSITIONS}
    assert reached == set(STATES) - {"reported", "merged"}
    assert len(BY_VERB) == len(TRANSITIONS)


def test_an_incident_goes_from_report_to_close() -> None:
    found = msgspec.structs.replace(complete("critical"), state="reported")
    walk = ("triage", "declare", "contain", "investigate", "remediate", "monitor", "review")
    for verb in (*walk, "close"):
        change = moved(found, verb, act(), NEAR_MISS)
        [told] = change.entries
        assert told.kind == "transition"
        assert (told.detail["from"], told.detail["to"]) == (found.state, change.incident.state)
        found = change.incident
    assert found.state == "closed"
    assert set(found.reached) >= {"declared", "contained", "closed"}


@given(st.sampled_from(STATES), st.sampled_from(sorted(BY_VERB)))
def test_a_move_from_a_state_that_it_does_not_begin_at_is_refused(state: State, verb: str) -> None:
    found = msgspec.structs.replace(complete("low"), state=state, triage=ANSWERED)
    if state in transition_of(verb).sources:
        assert moved(found, verb, act(), NEAR_MISS).incident.state == transition_of(verb).target
        return
    with pytest.raises(Blocked) as error:
        moved(found, verb, act(), NEAR_MISS)
    assert "state" in codes(error)


def test_everything_in_the_way_is_told_at_once() -> None:
    with pytest.raises(Blocked) as error:
        moved(incident("reported"), "dismiss", act(ANA, reason=" "), Move("near_miss"))
    assert {one.where for one in error.value.blockers} == {
        "reason",
        "caught_by",
        "caught_how",
        "triage.systematic",
        "triage.regulated_or_vulnerable",
        "triage.scales_silently",
    }


def test_a_near_miss_keeps_what_caught_it() -> None:
    found = incident("triage", triage=ANSWERED)
    after = moved(found, "dismiss", act(ANA), NEAR_MISS).incident
    assert (after.state, after.outcome) == ("not_an_incident", "near_miss")
    assert (after.verdicts.harm, after.verdicts.caught_by) == ("near_miss", "unplanned_human")
    again = moved(after, "recall", act(ANA)).incident
    assert (again.state, again.outcome) == ("triage", None)


@pytest.mark.parametrize("verb", [one.verb for one in TRANSITIONS if one.who == "commander"])
def test_only_the_commander_or_who_may_command_all_moves_on(verb: str) -> None:
    found = msgspec.structs.replace(complete("low"), state=transition_of(verb).sources[0])
    with pytest.raises(Blocked) as error:
        moved(found, verb, act(BO))
    assert "not_in_command" in codes(error)
    assert moved(found, verb, act(ANA), NEAR_MISS).incident.state == transition_of(verb).target
    assert moved(found, verb, act(CHIEF), NEAR_MISS).incident.state == transition_of(verb).target


def test_a_renounced_command_commands_no_more() -> None:
    term = RoleTerm("commander", "ana", NOON, "ana/1", renounced_at=NOON)
    found = blockers(
        incident("contained", roles=(term,)), transition_of("investigate"), Move(), act(ANA)
    )
    assert {one.code for one in found} == {"not_in_command", "commander"}


def test_investigating_before_containing_takes_a_reason() -> None:
    found = complete("low", "declared")
    with pytest.raises(Blocked) as error:
        moved(found, "investigate", act(reason=""))
    assert codes(error) == {"not_contained"}
    moved(found, "investigate", act(reason="nothing is running any more"))


def test_what_happens_cannot_lie_ahead() -> None:
    with pytest.raises(InvalidInput, match="lies ahead"):
        moved(incident("reported"), "triage", act(at=NOON.replace(year=2027)))
    late = moved(incident("reported"), "triage", act(at=NOON))
    assert late.entries[0].at < late.entries[0].recorded_at
    assert late.incident.reached["triage"] == NOON


def test_an_unknown_move_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="use one of triage"):
        moved(incident(), "explode", act())


class Walk(RuleBasedStateMachine):
    """Random moves by random people: the table holds whatever comes."""

    def __init__(self) -> None:
        super().__init__()
        self.found = incident("reported")
        self.entries = 0

    @rule(
        verb=st.sampled_from(sorted(BY_VERB)),
        who=st.sampled_from([ANA, BO, CHIEF]),
        reason=st.sampled_from(["", "because"]),
        filled=st.booleans(),
        facts=st.sampled_from(
            [FROZEN, GateFacts(), GateFacts(evidence=(), actions=("none agreed",), review=())]
        ),
    )
    def move(self, verb: str, who: Actor, reason: str, filled: bool, facts: GateFacts) -> None:
        if filled:
            self.found = msgspec.structs.replace(
                complete("high"), state=self.found.state, triage=ANSWERED
            )
        transition = transition_of(verb)
        doing = act(who, reason=reason)
        move = msgspec.structs.replace(NEAR_MISS, facts=facts)
        stands = blockers(self.found, transition, move, doing)
        if verb == "close":
            # What the server computed stands in the way, whoever asks and whatever else is there.
            told = {one.where for one in stands}
            applying = duties_of(self.found.severity).gates
            lacking = bool(facts.evidence) or not self.found.event_count
            assert ("gate.evidence" in told) == ("evidence" in applying and lacking)
            if facts.actions and "actions" in applying:
                assert "gate.actions" in told
        if stands:
            with pytest.raises(Blocked) as error:
                moved(self.found, verb, doing, move)
            assert list(error.value.blockers) == stands
            return
        change = moved(self.found, verb, doing, move)
        assert self.found.state in transition.sources
        assert transition.who != "commander" or who.may_command or who.name == "ana"
        assert len(change.entries) == 1
        self.found = change.incident

    @invariant()
    def the_state_has_a_way_on(self) -> None:
        assert self.found.state in STATES
        assert moves_from(self.found.state)


TestWalk = Walk.TestCase
