"""What the story came to, in numbers that the product told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from kintsugi.cli.demo.plot import CONFIG, Plot
from kintsugi.cli.demo.stage import Stage
from kintsugi.cli.demo.teller import Teller

# What is shown of what was measured: its name among the facts, and how people read it.
_LINES = (
    ("first_suspect", "first suspect among the changes", "{}"),
    ("legitimate_refused", "good answers refused", "{} of {legitimate_asked}"),
    ("notes_leaked", "staff notes that got out", "{}"),
    ("detected_seconds", "first bad answer to report", "{:.1f} s"),
    ("contain_seconds", "containment, command to in force", "{:.2f} s"),
    ("contained_seconds", "first bad answer to contained", "{:.1f} s"),
    ("frozen_events", "decisions frozen and verified", "{}"),
    ("cases", "regression cases, approved", "{}"),
    ("proof", "proof, red then green", "{}"),
    ("closed_seconds", "first bad answer to closed", "{:.1f} s"),
    ("refused_for", "the typo again, refused for", "{}"),
    ("recurrences_caught", "the same again, caught", "{}"),
    ("package_events", "decisions in the package, verified", "{}"),
    ("log_size", "size of the log, signed", "{}"),
)


def timed(plot: Plot) -> None:
    """Note when the incident came how far, as its record has it."""
    found = plot.stage.look(f"/v1/incidents/{plot.incident}")
    began = datetime.fromisoformat(found["first_occurred_at"])
    moments = {"detected": found["detected_at"]}
    moments |= {state: found["reached"].get(state) for state in ("contained", "closed")}
    for name, at in moments.items():
        if at is not None:
            seconds = (datetime.fromisoformat(at) - began).total_seconds()
            plot.stage.facts[f"{name}_seconds"] = round(seconds, 3)


def summary(stage: Stage, *, seconds: float) -> dict[str, Any]:
    """Everything that was done and measured, for ``--json``."""
    return {
        "seconds": round(seconds, 1),
        "facts": stage.facts,
        "acts": [
            {
                "title": act.title,
                "commands": [
                    {
                        "who": ran.who,
                        "command": ran.line,
                        "exit_code": ran.code,
                        "seconds": round(ran.seconds, 3),
                    }
                    for ran in act.ran
                ],
            }
            for act in stage.acts
        ],
    }


def tell(done: dict[str, Any], teller: Teller) -> None:
    """The same for people, in short."""
    found = done["facts"]
    commands = sum(len(act["commands"]) for act in done["acts"])
    teller.title("What it came to")
    for name, title, form in _LINES:
        if name in found:
            teller.result(title, form.format(_shown(found[name]), **found))
    teller.result("commands, all of them typed above", f"{commands} in {done['seconds']:g} s")


def _shown(value: Any) -> Any:
    """A value as people read it; numbers stay what they are."""
    match value:
        case dict():
            return ", ".join(f"{count} {name}" for name, count in value.items())
        case list():
            return ", ".join(value)
        case _:
            return value


def where_to_look(plot: Plot, teller: Teller) -> None:
    """Pages of the console, and commands, for whoever keeps it running."""
    state, api_url = plot.stage.state, plot.api_url
    teller.title("It keeps running")
    teller.result("console", f"{api_url}/   token: {state}/admin-token")
    for title, path in (
        ("the answer that was refused", f"/events/{plot.refused_event}"),
        ("the answer that leaked", f"/events/{plot.leak_event}"),
        ("the containment", f"/containments/{plot.containment}"),
        ("the case of the leak", f"/regressions/{plot.cases[-1]}"),
        ("the versions", f"/configurations/{CONFIG}"),
        ("the log", "/log"),
    ):
        teller.result(title, f"{api_url}{path}")
    teller.tell(
        f"For commands: cd {state.parent} and export KT_STATE_DIR={state}; then `kt incidents show "
        "INC-1`, for one. `kt down` stops everything."
    )
