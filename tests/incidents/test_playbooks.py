"""Playbooks: shipped ones can be worked through, and no tick is ever lost."""

from __future__ import annotations

import shlex
from typing import Any

import msgspec
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.errors import Blocked, InvalidInput, NotFound
from kintsugi.incidents import playbooks
from kintsugi.incidents.runbooks import runbook_text, runbooks
from kintsugi.model.incident import RoleTerm
from kintsugi.model.playbook import Playbook, PlaybookRun, PlaybookStep
from tests.acceptance.conftest import SEEDS
from tests.incidents.cases import NOON, act, incident
from tests.test_manual import resolve

INCIDENT = incident(roles=(RoleTerm("commander", "ana", NOON, "ana/1"),))
NAMES = ("one", "two", "three", "four")


def book(*steps: str, version: int = 1) -> Playbook:
    made = tuple(PlaybookStep(one, "contain", f"do {one}") for one in steps)
    return Playbook("own", version, "Our own", "everything", made)


def run_of(*steps: str, version: int = 1, done: tuple[str, ...] = ()) -> PlaybookRun:
    [run] = playbooks.attached(INCIDENT, book(*steps, version=version), None, act()).keep
    assert isinstance(run, PlaybookRun)
    for step in done:
        [run] = playbooks.step_moved(INCIDENT, run, step, "done", act()).keep
        assert isinstance(run, PlaybookRun)
    return run


def told(run: PlaybookRun) -> list[tuple[str, str, bool]]:
    return [(one.step.id, one.state, one.retired) for one in run.steps]


def test_four_are_shipped_and_every_phase_is_in_each() -> None:
    assert set(playbooks.shipped()) == {
        *("customer-facing", "data-sensitive", "decision-support", "tool-using")
    }
    for one in playbooks.shipped().values():
        phases = {step.phase for step in one.steps}
        assert phases >= {"contain", "preserve", "investigate", "remediate", "communicate", "learn"}
        assert all(step.done_when for step in one.steps)


@pytest.mark.parametrize("playbook", playbooks.shipped().values(), ids=lambda one: one.id)
def test_every_command_of_a_playbook_exists_with_its_options(playbook: Playbook) -> None:
    for step in playbook.steps:
        if step.command:
            words = tuple(shlex.split(playbooks.command_of(INCIDENT, step)))
            assert "INC-000042" in words or "INC" not in step.command
            command, arguments = resolve(words[1:])
            assert isinstance(command, typer.core.TyperCommand), step.command
            command.make_context("kt", list(arguments))


def test_runbooks_are_those_of_the_documents() -> None:
    for name in ("policy-rollback.sh", "check-escalation-backlog.sh", "emergency-passthrough.yaml"):
        [shipped] = [one for one in runbooks().values() if one.file == name]
        assert runbook_text(shipped) == (SEEDS / name).read_text()
    assert {"gateway-restart", "emergency-bypass"} <= set(runbooks())


def test_steps_are_ticked_skipped_with_a_reason_and_opened_again() -> None:
    run = run_of("one", "two", done=("one",))
    with pytest.raises(Blocked, match="already"):
        playbooks.step_moved(INCIDENT, run, "one", "done", act())
    with pytest.raises(Blocked, match="a reason is needed"):
        playbooks.step_moved(INCIDENT, run, "two", "skipped", act(reason=""))
    change = playbooks.step_moved(INCIDENT, run, "two", "skipped", act(reason="no tools"))
    [after] = change.keep
    assert isinstance(after, PlaybookRun)
    assert (after.steps[1].state, after.steps[1].reason, after.status) == (
        *("skipped", "no tools", "done"),
    )
    assert "skipped" in change.entries[0].text
    [again] = playbooks.step_moved(INCIDENT, after, "one", "open", act()).keep
    assert isinstance(again, PlaybookRun)
    assert (again.steps[0].by, again.steps[0].at) == ("", None)
    with pytest.raises(NotFound, match="it has one, two"):
        playbooks.step_moved(INCIDENT, run, "nine", "done", act())


def test_a_step_belongs_to_whoever_took_it_or_holds_its_role() -> None:
    run = run_of("one")
    assert playbooks.owner_of(INCIDENT, run.steps[0]) == "ana"
    assert playbooks.owner_of(incident(), run.steps[0]) == "commander"
    [taken] = playbooks.step_assigned(INCIDENT, run, "one", "bo", act()).keep
    assert isinstance(taken, PlaybookRun)
    assert playbooks.owner_of(INCIDENT, taken.steps[0]) == "bo"


def test_a_newer_version_keeps_ticks_and_what_it_dropped_after_a_tick() -> None:
    run = run_of("one", "two", "three", done=("one", "three"))
    newer = book("two", "four", "one", version=2)
    [after] = playbooks.attached(INCIDENT, newer, run, act()).keep
    assert isinstance(after, PlaybookRun)
    assert told(after) == [
        ("two", "open", False),
        ("four", "open", False),
        ("one", "done", False),
        ("three", "done", True),
    ]
    with pytest.raises(Blocked, match="no more"):
        playbooks.step_moved(INCIDENT, after, "three", "open", act())
    back = playbooks.merged(after, book("one", "two", "three", version=3))
    assert told(back) == [("one", "done", False), ("two", "open", False), ("three", "done", False)]


def test_the_same_version_again_and_an_older_one_are_refused() -> None:
    run = run_of("one", version=2)
    with pytest.raises(InvalidInput, match="nothing would change"):
        playbooks.attached(INCIDENT, book("one", version=2), run, act())
    with pytest.raises(InvalidInput, match="older"):
        playbooks.attached(INCIDENT, book("one"), run, act())


@given(st.data())
def test_no_version_loses_a_tick(data: Any) -> None:
    steps = st.lists(st.sampled_from(NAMES), min_size=1, unique=True)
    first = data.draw(steps)
    done = set(data.draw(st.lists(st.sampled_from(first))))
    run = run_of(*first, done=tuple(sorted(done)))
    for version in range(2, 5):
        wanted = data.draw(steps)
        run = playbooks.merged(run, book(*wanted, version=version))
        assert [one.step.id for one in run.steps if not one.retired] == wanted
    assert {one.step.id for one in run.steps if one.state == "done"} == done


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "../x"}, "playbook.id"),
        ({"version": 0}, "playbook.version"),
        ({"steps": ()}, "playbook.steps"),
        ({"steps": (PlaybookStep("a", "learn", "x"),) * 2}, "two steps"),
        ({"steps": (PlaybookStep("a", "learn", " "),)}, r"steps\.0\.title"),
        ({"steps": (PlaybookStep("a", "learn", "x" * 2000),)}, "characters"),
    ],
)
def test_a_playbook_that_cannot_be_worked_through_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        playbooks.checked(msgspec.structs.replace(book("one"), **changes))
