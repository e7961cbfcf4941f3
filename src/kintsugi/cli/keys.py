"""``kt keys``: the key-encryption keys of the vault."""

from __future__ import annotations

from typing import Any

import typer

from kintsugi.cli.invocation import Invocation, online
from kintsugi.cli.output import Output, table

app = typer.Typer(help="The keys that recorded content is sealed under.", no_args_is_help=True)

_COLUMNS = ("id", "source", "state", "data_keys", "created_at", "retired_at")


@app.command("list")
@online
def list_keys(kt: Invocation) -> None:
    """Show every key-encryption key, and how many data keys hang on it. Never a key itself."""
    with kt.client() as client:
        vault = client.get("/v1/keys")
    _show(kt.output, vault)


@app.command("rotate")
@online
def rotate(kt: Invocation) -> None:
    """Begin a new key-encryption key, and bring the data keys over in the background.

    Until that is done, and after it for older backups, the old key is needed as well.
    """
    with kt.client() as client:
        vault = client.post("/v1/keys/rotate")
    _show(kt.output, vault)


def _show(output: Output, vault: Any) -> None:
    if not vault["available"]:
        output.say(f"nothing can be recorded: {vault['problem']}")
    if vault["unsealed"]:
        output.say(f"{vault['unsealed']:,} contents from before there was a vault are being sealed")
    if vault["to_rewrap"]:
        output.say(f"{vault['to_rewrap']:,} data keys are being wrapped by the current key")
    rows = [[_cell(key, column) for column in _COLUMNS] for key in vault["keys"]]
    output.result(vault, lambda: table(_COLUMNS, rows, empty="none"))


def _cell(key: dict[str, Any], column: str) -> Any:
    if column == "data_keys" and key["data_keys_is_floor"]:
        return f"more than {key['data_keys']:,}"
    return key[column]
