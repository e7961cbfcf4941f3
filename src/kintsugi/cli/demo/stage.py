"""Where the story is played: commands that are run as a person would, and an installation of its
own that they are run on."""

from __future__ import annotations

import io
import math
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from kintsugi.cli.client import Client
from kintsugi.cli.demo.teller import Teller, without_escapes
from kintsugi.cli.main import run
from kintsugi.cli.output import watching
from kintsugi.cli.parts import Program
from kintsugi.cli.runfile import Up, is_held, read_up
from kintsugi.errors import KintsugiError

_INTERRUPTED = 130
_LINES_MAX = 6
_CONTINUED = 4  # a line that is indented by so much more goes on with the one before
_POLL_SECONDS = 0.05
# What the demo's commands must not take from whoever starts it: they are about its own instance.
_NOT_OURS = ("KT_", "KEEPTRUSTS_", "API_TOKEN", "OPENAI_API_KEY")


class StepFailed(KintsugiError):
    """A step of the story did not come out as it has to; the message says which and how."""

    code = "demo.step_failed"


class Ran(msgspec.Struct, frozen=True):
    """One command, and what came of it.

    Attributes:
        value: its result, as ``--json`` would have it; None where it prints a document.
    """

    who: str
    line: str
    code: int
    seconds: float
    out: str
    err: str
    value: Any


@dataclass(frozen=True, slots=True)
class Act:
    """What was done in one act of the story."""

    title: str
    ran: list[Ran] = field(default_factory=list)
    seconds: float = 0.0


class Stage:
    """Runs commands on one installation, and shows them.

    Attributes:
        facts: what the story has measured, by name; in the order in which it was found.
    """

    def __init__(self, program: Program, state: Path, teller: Teller) -> None:
        self.state = state
        self.facts: dict[str, Any] = {}
        self.acts: list[Act] = []
        self._program = program
        self._teller = teller
        kept = {k: v for k, v in program.environ.items() if not k.startswith(_NOT_OURS)}
        # A settings file of whoever starts it is about another installation.
        elsewhere = {"KT_STATE_DIR": str(state), "XDG_CONFIG_HOME": str(state / "no-settings")}
        self._environ = {**kept, **elsewhere}
        self._tokens: dict[str, str] = {}

    # What is told.

    def begin(self, title: str, number: int, count: int) -> None:
        """The next act."""
        self.acts.append(Act(title))
        self._teller.heading(title, number, count)

    def say(self, sentence: str) -> None:
        """See ``Teller``."""
        self._teller.say(sentence)

    # What is done.

    def start(self, *options: str) -> Up:
        """``kt up``, and wait until it is ready."""
        words = ("up", *options, "--detach")
        line = _typed(words)
        self._teller.command("you", line)
        began = time.monotonic()
        # A session of its own: Ctrl-C stops the story, and the story stops this in order.
        process = subprocess.Popen(  # noqa: S603 - our own program, no shell
            [sys.executable, "-m", "kintsugi", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environ,
            text=True,
            start_new_session=True,
        )
        try:
            out, _ = process.communicate()
        except KeyboardInterrupt:
            # What is half started cannot be stopped in order.
            self._teller.tell("Interrupted. It is stopped as soon as it is up.")
            process.communicate()
            raise
        seconds = time.monotonic() - began
        ran = Ran("you", line, process.returncode, seconds, out, "", None)
        self._show(ran, only="gateway  |console  ")
        if (up := read_up(self.state)) is None or ran.code:
            raise StepFailed(f"{line}\nended with exit code {ran.code}:\n{out}")
        return up

    def stop(self) -> None:
        """Stop what runs, in order; nothing where nothing does."""
        if is_held(self.state):
            self._run(("down",), "you", "")

    def admit(self, who: str, *roles: str) -> None:
        """Give somebody a token of their own."""
        named = [word for role in roles for word in role_or_scope(role)]
        made = self.kt("tokens", "create", who, *named, only="^(name|roles|scopes) ")
        self._tokens[who] = made.value["secret"]

    def kt(
        self,
        *words: str,
        who: str = "you",
        stdin: str = "",
        code: int = 0,
        only: str = "",
        lines: int = _LINES_MAX,
    ) -> Ran:
        """Run a command, show it with what it printed, and go on with what it found.

        Args:
            who: whose token it is run with; "you" are the administrator.
            code: the exit code that it has to have.
            only: of its output, only the lines in which this expression is found, and those that go
                on with them.

        Raises:
            StepFailed: it came out otherwise.
        """
        self._teller.command(who, _typed(words))
        ran = self._run(words, who, stdin)
        self._show(ran, only=only, lines=lines)
        if ran.code != code:
            raise StepFailed(
                f"{ran.line}\nended with exit code {ran.code}, not {code}:\n{ran.err}{ran.out}"
            )
        return ran

    def look(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """What the control plane says; where the story waits for something, or counts."""
        settings = replace_environ(self._program, self._environ).settings()
        with Client(settings) as client:
            return client.get(path, params)

    def until(self, what: str, found: Callable[[], Any], *, within_seconds: float = 20.0) -> Any:
        """The first true thing that it returns, asked again and again.

        Raises:
            StepFailed: there is none in time.
        """
        deadline = time.monotonic() + within_seconds
        while not (result := found()):
            if time.monotonic() > deadline:
                raise StepFailed(f"{what}: not within {within_seconds:g} s")
            time.sleep(_POLL_SECONDS)
        return result

    def require(self, holds: bool, what: str, came: object = "") -> None:
        """Go on only where it holds.

        Args:
            came: what came instead, for whoever has to find out why.

        Raises:
            StepFailed: it does not.
        """
        if not holds:
            instead = f"; what came: {came}" if came else ""
            raise StepFailed(f"the story says: {what}; this was not so{instead}")

    def _run(self, words: tuple[str, ...], who: str, stdin: str) -> Ran:
        environ = dict(self._environ)
        if who in self._tokens:
            environ["KT_API_TOKEN"] = self._tokens[who]
        seen: list[Any] = []
        out, err = _Terminal(), io.StringIO()
        began = time.monotonic()
        watch = watching.set(seen.append)
        before = sys.stdin
        sys.stdin = io.StringIO(stdin)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = run(self._program.parts, environ, words)
        finally:
            sys.stdin = before
            watching.reset(watch)
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
        return Ran(
            who=who,
            line=_typed(words),
            code=code,
            seconds=time.monotonic() - began,
            out=out.getvalue(),
            err=err.getvalue(),
            value=seen[-1] if seen else None,
        )

    def _show(self, ran: Ran, *, only: str = "", lines: int = _LINES_MAX) -> None:
        self.acts[-1].ran.append(ran)
        printed = [line for line in (ran.out + ran.err).splitlines() if line.strip()]
        self._teller.output(shortened(chosen(printed, only), lines))


def chosen(lines: Sequence[str], only: str) -> list[str]:
    """The lines in which an expression is found, each with those that go on with it: a value that
    is too long for one line is indented on the next."""
    kept: list[str] = []
    least = math.inf
    for line in lines:
        bare = without_escapes(line)
        indent = len(bare) - len(bare.lstrip())
        if re.search(only, bare):
            least = indent + _CONTINUED
            kept.append(line)
        elif indent >= least:
            kept.append(line)
        else:
            least = math.inf
    return kept


def shortened(lines: Sequence[str], most: int) -> list[str]:
    """At most so many lines, and how many more there are; one more is no more to read than that."""
    more = len(lines) - most
    return list(lines) if more <= 1 else [*lines[:most], f"… {more} more lines"]


def _typed(words: Sequence[str]) -> str:
    return shlex.join(("kt", *words))


class _Terminal(io.StringIO):
    """Gets what a command prints for people."""

    def isatty(self) -> bool:
        return True


def role_or_scope(word: str) -> tuple[str, str]:
    """The option of ``kt tokens create`` for a role, or for a scope such as ``events:read``."""
    return ("--scope" if ":" in word else "--role", word)


def replace_environ(program: Program, environ: Mapping[str, str]) -> Program:
    """The same program in another environment."""
    return replace(program, environ=environ)
