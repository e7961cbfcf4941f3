"""What the acts of the story share: where it is played, and what earlier acts have found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from kintsugi.cli.demo.stage import Stage
from kintsugi.cli.demo.traffic import Customers, Reply

CONFIG = "parcel-help"
FILES = Path(__file__).parent
DESK = "desk"
# Of an incident as `kt incidents` prints it, where only its state is of interest.
STATE = "^(incident|state) "


class Plot:
    """The story so far.

    Attributes:
        incident: what the two reports become.
        refused_event: a decision on a good answer that was refused.
        leak_event: the decision that let the staff note out.
        containment: id of the containment that stopped the leak.
        cases: ids of the regression cases of what went wrong: what was refused, what was missed.
        proposed: variants and twins of them, and whether the fix holds for each.
        gateway_url: where customers ask.
        api_url: the control plane, and the console.
        asked: exchanges that customers have begun.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.incident = "INC-1"
        self.refused_event = ""
        self.leak_event = ""
        self.containment = ""
        self.cases: list[str] = []
        self.proposed: list[dict[str, Any]] = []
        self.gateway_url = ""
        self.api_url = ""
        self.asked = 0
        self._customers: Customers | None = None

    def __enter__(self) -> Plot:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._customers is not None:
            self._customers.close()

    def open(self) -> None:
        """Start the installation, and let customers in."""
        up = self.stage.start(
            *("--gateway-port", "0", "--api-port", "0", "--workers", "1"),
            *("--policy-config", self.file("first.yaml")),
            *("--simulator-script", self.file("simulator.yaml")),
        )
        self.gateway_url, self.api_url = up.gateway_url, up.api_url
        self._customers = Customers(up.gateway_url)
        self.stage.until("version 1 in force", lambda: self._runs(1))

    def file(self, name: str) -> str:
        """A file on the desk of the people of the story, as they type it."""
        return f"{DESK}/{name}"

    def write(self, file: str, edit: Callable[[str], str]) -> None:
        """Edit a file, as a person would in an editor."""
        path = Path(file)
        before = path.read_text("utf-8")
        after = edit(before)
        self.stage.require(after != before, f"{path.name} can be edited")
        path.write_text(after, "utf-8")

    def ask_around(self, count: int) -> None:
        """Many customers ask; see ``Customers``."""
        self.asked += self._people.ask_around(count)

    def ask(self, user: str, question: str) -> Reply:
        """One customer asks; see ``Customers``."""
        self.asked += 1
        return self._people.ask(user, question)

    def track(self, user: str, remark: str, *, stream: bool = False) -> Reply:
        """One customer asks where a parcel is; see ``Customers``."""
        self.asked += 2
        return self._people.track(user, remark, stream=stream)

    def arrived(self) -> None:
        """Wait until the control plane holds every decision."""

        def all_stored() -> bool:
            [gateway] = self.stage.look("/v1/gateways")
            return int(gateway["counters"]["stored"]) >= self.asked

        self.stage.until("every decision is stored", all_stored)

    @property
    def _people(self) -> Customers:
        self.stage.require(self._customers is not None, "customers are there")
        assert self._customers is not None  # noqa: S101 - for the type checker
        return self._customers

    def _runs(self, version: int) -> bool:
        found = self.stage.look("/v1/gateways")
        wanted = f"{CONFIG}@{version}"
        running = [worker["config_version"] for one in found for worker in one["workers"]]
        return bool(running) and set(running) == {wanted}
