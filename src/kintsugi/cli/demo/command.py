"""``kt demo``: one incident from the first bad answer to closed, played on an installation of its
own."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from kintsugi.cli.demo.plot import DESK, FILES, Plot
from kintsugi.cli.demo.stage import Stage
from kintsugi.cli.demo.story import ACTS
from kintsugi.cli.demo.summary import summary, tell, where_to_look
from kintsugi.cli.demo.teller import Teller
from kintsugi.cli.output import Output
from kintsugi.cli.parts import program
from kintsugi.errors import InvalidInput

_PAUSE_SECONDS = 1.2


def demo(
    context: typer.Context,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            metavar="DIR",
            help="Play it in this folder, which has to be empty; default: one that is made for it "
            "and removed.",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running at the end, to look at.")
    ] = False,
    fast: Annotated[
        bool, typer.Option("--fast", help="Without pauses for whoever reads along.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print what was done and measured as JSON; tell on stderr."),
    ] = False,
) -> None:
    """Play one incident from the first bad answer to closed, on an installation of its own.

    A policy typo refuses half of the legitimate answers and a planted instruction gets a staff note
    out. Every step is a command that you can type yourself; every number is what the product said.
    A step that does not come out as it has to ends the demo with exit code 1.
    """
    folder, is_ours = _folder(state)
    teller = Teller(
        sys.stderr if as_json else sys.stdout, pause_seconds=0.0 if fast else _PAUSE_SECONDS
    )
    began = time.monotonic()
    stage = Stage(program(context), folder / "state", teller)
    with _stoppable(), _wide(teller), chdir(folder):
        try:
            _introduce(teller, folder, stage.state)
            plot = _play(stage)
            done = summary(stage, seconds=time.monotonic() - began)
            tell(done, teller)
            if keep:
                where_to_look(plot, teller)
            if as_json:
                Output(json=True).result(done, lambda: "")
        except BaseException:
            keep = False  # half an incident is nothing to look at
            raise
        finally:
            if not keep:
                teller.tell("")
                teller.tell("Everything that was started is being stopped.")
                stage.stop()
                if is_ours:
                    shutil.rmtree(folder, ignore_errors=True)
                left = "Nothing is left of it" if is_ours else f"Its files are in {folder}"
                teller.tell(f"{left}. `kt demo --keep` leaves it running, to look at and to try.")


def _introduce(teller: Teller, folder: Path, state: Path) -> None:
    """What will be seen, and where the commands are typed."""
    teller.say(
        f"One incident from the first bad answer to closed, in {len(ACTS)} acts. Each line with a "
        "name and a $ is a command that this person types, with a token of their own "
        "(KT_API_TOKEN); below it stands what matters of its output. Ctrl-C stops everything."
    )
    teller.command("you", shlex.join(("cd", str(folder))))
    teller.command("you", f"export KT_STATE_DIR={shlex.quote(str(state))}")


def _play(stage: Stage) -> Plot:
    """Play every act; what they found."""
    desk = Path(DESK)
    desk.mkdir()
    for source in sorted(FILES.glob("*.yaml")):
        shutil.copyfile(source, desk / source.name)
    with Plot(stage) as plot:
        for number, (title, act) in enumerate(ACTS, start=1):
            stage.begin(title, number, len(ACTS))
            act(plot)
    return plot


def _folder(given: Path | None) -> tuple[Path, bool]:
    """Where the demo plays, and whether it is the demo's own to remove."""
    if given is None:
        made = Path(tempfile.mkdtemp(prefix="kt-demo-"))
        made.chmod(0o755)  # the embedded database may run as another user (DESIGN §9)
        return made, True
    if given.exists() and (not given.is_dir() or any(given.iterdir())):
        raise InvalidInput(f"--state {given}: the demo wants a folder that is empty or not there")
    given.mkdir(parents=True, exist_ok=True)
    return given.absolute(), False


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM ends the story as Ctrl-C does: what was started is stopped."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _wide(teller: Teller) -> Iterator[None]:
    """What commands print is as wide as what it is shown in."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(teller.width)
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
