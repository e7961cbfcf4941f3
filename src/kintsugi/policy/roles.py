"""Who has which role.

A role comes, in this order, from the gateway key that was presented (``gateway.keys[].role``), from
a list of keys, users, teams or agents in the options, or from a header. Keys are proven; all else
is the application's word: it names its own users and could name others. So a key with a role, or
one that is listed, is never overruled by a header.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from kintsugi.model.config import Config
from kintsugi.model.content import Identity
from kintsugi.model.facts import Facts
from kintsugi.policy.names import Names
from kintsugi.policy.rule import OptionInvalid


class Members(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who has a role; ``*`` and ``?`` are understood.

    Attributes:
        keys: names of gateway keys.
        users, teams, agents: as the identity headers say.
    """

    keys: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()


# Headers that prove or might prove who somebody is; they are never shown to a rule.
_SECRET_HEADERS = frozenset(("authorization", "x-api-key", "cookie", "proxy-authorization"))


def claim_name(header: str, path: str) -> str:
    """A header's name as facts carry it.

    Raises:
        OptionInvalid: it is none, or it carries a secret, which must not reach the record.
    """
    name = header.strip().lower()
    if name in _SECRET_HEADERS:
        raise OptionInvalid(
            path, f'"{header}" carries a secret', "name a header that only says who is asking"
        )
    if not name or not all(c.isascii() and (c.isalnum() or c in "-_") for c in name):
        raise OptionInvalid(path, f'"{header}" is no header', "write it as X-User-ID")
    return name


class _Lists(NamedTuple):
    """Who has one role, ready to ask."""

    role: str
    keys: Names
    users: Names
    teams: Names
    agents: Names


class RoleBook:
    """The roles of one policy.

    Args:
        members: by role, in the order in which they are tried.
        header: the header in which the application names the role; empty for none.
        default: the role of everybody else; empty for none.

    Raises:
        OptionInvalid: the default is not among the roles, or the header cannot be used.
    """

    def __init__(self, members: Mapping[str, Members], *, header: str, default: str) -> None:
        if default and default not in members:
            raise OptionInvalid(
                "default_role", f'there is no role "{default}"', f"use one of: {', '.join(members)}"
            )
        self._roles = frozenset(members)
        self._lists = [
            _Lists(role, Names(m.keys), Names(m.users), Names(m.teams), Names(m.agents))
            for role, m in members.items()
        ]
        self._default = default
        self.header = claim_name(header, "role_header") if header else ""
        self._key_roles: dict[str, str] = {}

    def bind(self, config: Config, path: str) -> None:
        """Take in the roles of the gateway's keys.

        Raises:
            OptionInvalid: a key has a role that this policy does not know.
        """
        self._key_roles = {key.name: key.role for key in config.gateway.keys if key.role}
        for name, role in self._key_roles.items():
            if self._roles and role not in self._roles:
                known = ", ".join(sorted(self._roles))
                raise OptionInvalid(
                    path,
                    f'the gateway key "{name}" has the role "{role}", which is not here',
                    f"add it, or give the key one of: {known}",
                )

    def role_of(self, facts: Facts) -> str:
        """The caller's role; empty for none."""
        who = facts.identity
        if who.key_name in self._key_roles:
            return self._key_roles[who.key_name]
        listed = self._role_by_key(who.key_name) or self._role_by_name(who)
        if listed:
            return listed
        claimed = facts.claims.get(self.header, "") if self.header else ""
        return claimed if claimed in self._roles else self._default

    def _role_by_key(self, key_name: str) -> str:
        if not key_name:
            return ""
        return next((one.role for one in self._lists if key_name in one.keys), "")

    def _role_by_name(self, who: Identity) -> str:
        for one in self._lists:
            if (
                (who.user_id and who.user_id in one.users)
                or (who.team_id and who.team_id in one.teams)
                or (who.agent_id and who.agent_id in one.agents)
            ):
                return one.role
        return ""
