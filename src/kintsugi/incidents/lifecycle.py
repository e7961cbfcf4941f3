"""The life of an incident: one table says what may follow what, who may do it, what must be there.

Everything that stands in the way of a move is told at once. A move and its timeline entry are one
change, stored in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import msgspec

from kintsugi.errors import InvalidInput
from kintsugi.incidents.commands import Act, changed, entry, in_command, refuse, wanted_reason
from kintsugi.incidents.gates import GateFacts, unmet_gates
from kintsugi.model.blocker import Blocker
from kintsugi.model.incident import CaughtBy, Change, Incident, Outcome, State, Verdicts

Who = Literal["reporter", "responder", "commander"]


class Move(msgspec.Struct, frozen=True):
    """What a move brings along, besides who, when and why.

    Attributes:
        outcome: of ``dismiss``: what it was instead of an incident.
        caught_by, caught_how: what kept a near miss from being harm.
        facts: of ``close``: what the server computed for its gates.
    """

    outcome: Outcome | None = None
    caught_by: CaughtBy | None = None
    caught_how: str = ""
    facts: GateFacts = GateFacts()


Need = Callable[[Incident, Move, Act], list[Blocker]]


class Transition(msgspec.Struct, frozen=True):
    """A row of the table.

    Attributes:
        who: ``commander`` is whoever holds that role, or the permission to command any incident.
        needs: what must be there, besides the right state and person.
        text: what the timeline says.
    """

    verb: str
    sources: tuple[State, ...]
    target: State
    who: Who
    needs: tuple[Need, ...]
    text: str


def _reason(_incident: Incident, _move: Move, act: Act) -> list[Blocker]:
    return wanted_reason(act)


def _how_contained(_incident: Incident, _move: Move, act: Act) -> list[Blocker]:
    if act.reason.strip():
        return []
    return [Blocker("reason", "how", "say how the harm was stopped", "name the lever or the act")]


def _reason_unless_contained(incident: Incident, _move: Move, act: Act) -> list[Blocker]:
    if incident.state == "contained" or act.reason.strip():
        return []
    return [
        Blocker(
            "reason",
            "not_contained",
            f"the harm is not contained ({incident.state})",
            "contain it first, or give the reason why this comes now",
        )
    ]


def _commander(incident: Incident, _move: Move, _act: Act) -> list[Blocker]:
    if incident.holders("commander"):
        return []
    return [Blocker("roles.commander", "commander", "nobody commands it", "assign a commander")]


def _severity(incident: Incident, _move: Move, _act: Act) -> list[Blocker]:
    if incident.severity is not None:
        return []
    return [Blocker("severity", "severity", "it has no severity", "assess it, or override")]


def _answered(incident: Incident, _move: Move, _act: Act) -> list[Blocker]:
    questions = {
        "systematic": incident.triage.systematic,
        "regulated_or_vulnerable": incident.triage.regulated_or_vulnerable,
        "scales_silently": incident.triage.scales_silently,
    }
    return [
        Blocker(f"triage.{name}", "unanswered", f"nobody has answered: {name}", "answer in triage")
        for name, answer in questions.items()
        if answer == "unknown"
    ]


def _outcome(incident: Incident, move: Move, _act: Act) -> list[Blocker]:
    if move.outcome in (None, "incident"):
        return [
            Blocker(
                "outcome",
                "outcome",
                "say what it was instead of an incident",
                "near_miss, quality_issue or not_an_incident",
            )
        ]
    if move.outcome != "near_miss":
        return []
    found = []
    if (move.caught_by or incident.verdicts.caught_by) is None:
        found.append(
            Blocker(
                "caught_by",
                "caught_by",
                "say what caught the near miss",
                "designed_control, unplanned_human or chance",
            )
        )
    if not (move.caught_how or incident.verdicts.caught_how).strip():
        found.append(Blocker("caught_how", "caught_how", "say how it was caught", "in a sentence"))
    return found


def _gates(incident: Incident, move: Move, act: Act) -> list[Blocker]:
    return unmet_gates(incident, move.facts, now=act.now)


_LIVE: Final[tuple[State, ...]] = (
    *("reported", "triage", "declared", "contained"),
    *("investigating", "remediating", "monitoring", "review"),
)

TRANSITIONS: Final[tuple[Transition, ...]] = (
    Transition("triage", ("reported",), "triage", "responder", (), "taken up"),
    Transition("declare", ("reported", "triage"), "declared", "reporter", (), "declared"),
    Transition(
        "dismiss",
        ("reported", "triage"),
        "not_an_incident",
        "responder",
        (_reason, _outcome, _answered),
        "not an incident",
    ),
    Transition(
        "contain",
        ("declared", "investigating"),
        "contained",
        "responder",
        (_how_contained,),
        "contained",
    ),
    Transition(
        "investigate",
        ("declared", "contained", "remediating", "monitoring", "review"),
        "investigating",
        "commander",
        (_reason_unless_contained, _commander),
        "under investigation",
    ),
    Transition(
        "remediate",
        ("contained", "investigating"),
        "remediating",
        "commander",
        (_commander, _severity),
        "being remediated",
    ),
    Transition(
        "monitor",
        ("remediating",),
        "monitoring",
        "commander",
        (_reason, _commander),
        "remediated, being watched",
    ),
    Transition(
        "review", ("monitoring",), "review", "commander", (_commander, _severity), "under review"
    ),
    Transition("close", ("review",), "closed", "commander", (_gates,), "closed"),
    Transition(
        "relapse",
        ("contained", "investigating", "remediating", "monitoring", "review"),
        "declared",
        "responder",
        (_reason,),
        "harm goes on",
    ),
    Transition("reopen", ("closed",), "investigating", "commander", (_reason,), "reopened"),
    Transition(
        "recall", ("not_an_incident",), "triage", "responder", (_reason,), "looked into again"
    ),
)
BY_VERB: Final[Mapping[str, Transition]] = {one.verb: one for one in TRANSITIONS}
# Which states may be merged into another incident; the way back is "unmerge".
MERGEABLE: Final = (*_LIVE, "not_an_incident")


def blockers(incident: Incident, transition: Transition, move: Move, act: Act) -> list[Blocker]:
    """Everything that stands in the way of a move; empty when it may be made."""
    found: list[Blocker] = []
    if incident.state not in transition.sources:
        found.append(_not_from_here(incident, transition))
    if transition.who == "commander":
        found += in_command(incident, act)
    for need in transition.needs:
        found += need(incident, move, act)
    return found


def transition_of(verb: str) -> Transition:
    """The row of a verb.

    Raises:
        InvalidInput: there is none.
    """
    try:
        return BY_VERB[verb]
    except KeyError:
        raise InvalidInput(f'"{verb}" is no move; use one of {", ".join(BY_VERB)}') from None


def moved(incident: Incident, verb: str, act: Act, move: Move | None = None) -> Change:
    """Decide a move.

    Raises:
        Blocked: with everything that stands in the way.
    """
    transition = transition_of(verb)
    move = move or Move()
    refuse(f"{verb} {incident.reference}", blockers(incident, transition, move, act))
    fields = _fields(incident, transition, move)
    told = entry(
        incident,
        "transition",
        transition.text,
        act,
        detail={"from": incident.state, "to": transition.target, "verb": verb, **_told(move)},
    )
    reached = {**incident.reached, transition.target: act.happened_at}
    return changed(incident, [told], act, state=transition.target, reached=reached, **fields)


def moves_from(state: State) -> tuple[str, ...]:
    """The verbs that lead on from a state."""
    return tuple(one.verb for one in TRANSITIONS if state in one.sources)


def _fields(incident: Incident, transition: Transition, move: Move) -> dict[str, Any]:
    if transition.verb == "declare":
        return {"outcome": "incident"}
    if transition.verb == "recall":
        return {"outcome": None}
    if transition.verb != "dismiss":
        return {}
    verdicts = incident.verdicts
    if move.outcome == "near_miss":
        verdicts = Verdicts(
            verdicts.enforcement,
            "near_miss",
            move.caught_by or verdicts.caught_by,
            move.caught_how or verdicts.caught_how,
        )
    return {"outcome": move.outcome, "verdicts": verdicts}


def _told(move: Move) -> dict[str, Any]:
    said = {
        "outcome": move.outcome,
        "caught_by": move.caught_by,
        "caught_how": move.caught_how,
    }
    return {name: value for name, value in said.items() if value}


def _not_from_here(incident: Incident, transition: Transition) -> Blocker:
    possible = moves_from(incident.state) or ("unmerge",)
    return Blocker(
        "state",
        "state",
        f"it is {incident.state}, and {transition.verb} begins at "
        f"{' or '.join(transition.sources)}",
        f"from {incident.state}: {', '.join(possible)}",
    )
