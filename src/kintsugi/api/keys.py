"""``/v1/keys``: the key-encryption keys of the vault; never the keys themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec
from starlette.responses import Response

from kintsugi.api.answers import One, one
from kintsugi.api.control import Caller, Control, Ctl
from kintsugi.api.custody import actor_of
from kintsugi.api.permissions import Scope
from kintsugi.api.routing import Routes
from kintsugi.errors import KeyUnavailable
from kintsugi.model.custody import custody_entry
from kintsugi.model.vault import KeyUse

routes = Routes("keys")

KeyState = Literal["current", "being replaced", "retired"]


class KeyView(msgspec.Struct, frozen=True):
    """A key-encryption key.

    Attributes:
        id: tells nothing about the key; a file of keys that holds it says so.
        source: ``file``, ``env`` or a plug-in's name.
        state: ``current`` wraps new data keys; of one ``being replaced`` data keys are left.
        data_keys: how many it wraps; at least so many where ``data_keys_is_floor``.
    """

    id: str
    source: str
    state: KeyState
    data_keys: int
    data_keys_is_floor: bool
    created_at: datetime
    retired_at: datetime | None


class VaultView(msgspec.Struct, frozen=True):
    """The vault as it is.

    Attributes:
        available: whether the current key is to be had; without it nothing can be recorded.
        problem: why it is not.
        keys: newest first.
        unsealed: contents that lie open still, from before there was a vault.
        to_rewrap: data keys that an older key wraps.
    """

    available: bool
    problem: str
    keys: tuple[KeyView, ...]
    unsealed: int
    to_rewrap: int


@routes.add("GET", "/v1/keys", Scope.KEYS_READ, answer=One[VaultView])
def show_keys(control: Ctl) -> Response:
    """Every key-encryption key, what hangs on it, and the background work that is left."""
    return one(vault_view(control))


@routes.add("POST", "/v1/keys/rotate", Scope.KEYS_ROTATE, answer=One[VaultView], status=202)
def rotate_keys(control: Ctl, caller: Caller) -> Response:
    """Begin a new key-encryption key. Data keys are wrapped by it in the background; until then
    old and new both open."""
    now = control.clock()
    key = control.stores.vault.rotate(now=now)
    control.stores.custody.add(
        custody_entry("rotate", f"key:{key.id}", actor=actor_of(caller), now=now)
    )
    control.feed.announce(("vault",))
    return one(vault_view(control), status=202)


def vault_view(control: Control) -> VaultView:
    """The vault as callers see it."""
    problem = ""
    try:
        control.stores.vault.ready()
    except KeyUnavailable as error:
        problem = str(error)
    status = control.stores.vault.status()
    keys = tuple(map(_view, control.stores.vault.key_uses()))
    return VaultView(not problem, problem, keys, status.unsealed, status.to_rewrap)


def _view(use: KeyUse) -> KeyView:
    state: KeyState = "current" if use.current else "being replaced"
    if use.key.retired_at is not None:
        state = "retired"
    return KeyView(
        use.key.id,
        use.key.source,
        state,
        use.data_keys,
        use.data_keys_is_floor,
        use.key.created_at,
        use.key.retired_at,
    )
