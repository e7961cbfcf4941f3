"""What every command that asks the control plane begins with: three options, one value of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, Concatenate

import typer

from kintsugi.cli.options import ApiUrlOption, JsonOption, StateOption
from kintsugi.cli.output import Output
from kintsugi.cli.parts import program
from kintsugi.cli.settings import Settings

if TYPE_CHECKING:
    from kintsugi.cli.client import Client


class Invocation:
    """One run of a command that asks the control plane.

    Attributes:
        as_json: whether --json was given; ``output`` gives JSON into a pipe as well.
    """

    def __init__(
        self,
        context: typer.Context,
        as_json: JsonOption = False,
        state: StateOption = None,
        api_url: ApiUrlOption = None,
    ) -> None:
        self.program = program(context)
        self.as_json = as_json
        self.output = Output(json=as_json)
        self._state = state
        self._api_url = api_url

    @cached_property
    def settings(self) -> Settings:
        """Read when they are asked for: what is wrong with a command's own words is said first."""
        return self.program.settings(state=self._state, api_url=self._api_url)

    def client(self) -> Client:
        """A connection to the control plane, to be closed."""
        from kintsugi.cli.client import Client  # here: a command on files need not pay for it

        return Client(self.settings)

    def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        dry_run: bool = False,
        keep: Collection[str] = (),
    ) -> Any:
        """``data`` of the answer to what was said: fields that are None or empty are left out.

        Args:
            keep: fields that are sent even so.
        """
        said = {
            name: value for name, value in body.items() if name in keep or value not in (None, "")
        }
        with self.client() as client:
            return client.post(path, said, dry_run=dry_run)


def online(command: Callable[Concatenate[Invocation, ...], None]) -> Callable[..., None]:
    """A command with the options of ``Invocation`` behind its own; it gets them as one value."""
    shared = inspect.signature(Invocation, eval_str=True).parameters

    @wraps(command)
    def run(**given: Any) -> None:
        kt = Invocation(**{name: given.pop(name) for name in shared})
        command(kt, **given)

    context, *options = shared.values()
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    run.__signature__ = inspect.Signature([context, *own, *options])  # type: ignore[attr-defined]
    return run
