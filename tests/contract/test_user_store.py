"""People and their ways in: one name each, found by either name, secrets kept as hashes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from kintsugi.errors import InvalidInput, NotFound, StateConflict
from kintsugi.model.incident import new_id
from kintsugi.model.stores import Stores
from kintsugi.model.tokens import Token
from kintsugi.model.user import Invitation, Session, SignInFlow, User
from tests.databases import NOON

HOUR = timedelta(hours=1)


def person(name: str, minutes: int = 0, **more: Any) -> User:
    at = NOON + timedelta(minutes=minutes)
    return User(new_id(at), name, ("viewer",), at, "root/1", **more)


def session(user: str = "", hours: int = 12, **more: Any) -> Session:
    return Session(new_id(NOON), NOON, NOON, NOON + hours * HOUR, user=user, **more)


def test_a_person_is_found_by_id_name_and_what_the_provider_says(stores: Stores) -> None:
    ana = person("ana", issuer="https://id.example", subject="42", email="ana@example.org")
    stores.users.add(ana)
    assert stores.users.get(ana.id) == stores.users.get("ana") == ana
    assert stores.users.known_as("https://id.example", "42") == ana
    assert stores.users.known_as("https://id.example", "43") is None
    for key in ("bo", new_id(NOON), "Ana"):
        with pytest.raises(NotFound):
            stores.users.get(key)


def test_names_and_subjects_are_unique(stores: Stores) -> None:
    ana = person("ana", issuer="i", subject="1")
    stores.users.add(ana)
    with pytest.raises(StateConflict, match="named"):
        stores.users.add(person("ana"))
    with pytest.raises(StateConflict, match="another user"):
        stores.users.add(person("bo", issuer="i", subject="1"))
    with pytest.raises(InvalidInput):
        stores.users.add(msgspec.structs.replace(person("cy"), id=ana.id))
    with pytest.raises(InvalidInput):
        stores.users.add(msgspec.structs.replace(person("cy"), id="x"))
    stores.users.add(person("bo"))
    stores.users.add(person("cy"))  # two without a subject are no conflict
    with pytest.raises(StateConflict):
        stores.users.change("bo", lambda u: msgspec.structs.replace(u, issuer="i", subject="1"))


def test_a_change_is_kept(stores: Stores) -> None:
    stores.users.add(person("ana"))
    after = stores.users.change("ana", lambda u: msgspec.structs.replace(u, roles=("admin",)))
    assert stores.users.get("ana") == after
    assert after.roles == ("admin",)
    with pytest.raises(NotFound):
        stores.users.change("bo", lambda user: user)


def test_people_are_listed_backwards_in_pages(stores: Stores) -> None:
    for number, name in enumerate(("a", "b", "c", "d")):
        gone = NOON if name == "b" else None
        stores.users.add(person(name, number, deactivated_at=gone))

    def names(active: bool | None) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            users, cursor = stores.users.page(active=active, limit=2, cursor=cursor)
            found += [user.name for user in users]
            if cursor is None:
                assert stores.users.count(active=active, ceiling=9) == len(found)
                return found

    assert (names(None), names(True), names(False)) == (["d", "c", "b", "a"], [*"dca"], ["b"])
    with pytest.raises(InvalidInput):
        stores.users.page(active=None, limit=2, cursor="x")


def test_a_session_is_found_by_the_hash_of_its_secret_until_it_ends(stores: Stores) -> None:
    ana = person("ana")
    mine, other = session(ana.id, address="10.0.0.1", agent="Firefox"), session(token_sha256="t")
    stores.sessions.begin(mine, secret_sha256="s1")
    stores.sessions.begin(other, secret_sha256="s2")
    assert stores.sessions.find("s1") == mine
    assert stores.sessions.find("s3") is None
    assert stores.sessions.of(ana.id) == [mine]
    stores.sessions.touch(mine.id, now=NOON + HOUR)
    seen = stores.sessions.find("s1")
    assert seen is not None
    assert seen.last_seen_at == NOON + HOUR
    assert stores.sessions.end_all(ana.id) == 1
    assert stores.sessions.find("s1") is None
    for _ in range(2):
        stores.sessions.end(other.id)
    assert stores.sessions.find("s2") is None
    stores.sessions.end("x")


def test_sessions_that_are_over_are_removed(stores: Stores) -> None:
    stores.sessions.begin(session(hours=1), secret_sha256="old")
    later = msgspec.structs.replace(session(hours=24), created_at=NOON + 2 * HOUR)
    stores.sessions.begin(later, secret_sha256="new")
    assert stores.sessions.find("old") is None


def test_an_invitation_is_used_once_and_replaced_by_the_next(stores: Stores) -> None:
    ana, bo = person("ana"), person("bo")
    for user, code in ((ana, "c1"), (ana, "c2"), (bo, "c3")):
        invitation = Invitation(user.id, NOON, "root/1", NOON + HOUR)
        stores.sessions.invite(invitation, code_sha256=code)
    assert stores.sessions.accept("c1", now=NOON) is None
    found = stores.sessions.accept("c2", now=NOON)
    assert found is not None
    assert found.user == ana.id
    assert stores.sessions.accept("c2", now=NOON) is None
    assert stores.sessions.accept("c3", now=NOON + HOUR) is None


def test_a_sign_in_comes_back_once_and_in_time(stores: Stores) -> None:
    flow = SignInFlow("b", "n", "v", "/log", NOON + HOUR)
    for state in ("s1", "s2"):
        stores.sessions.send_away(flow, state_sha256=state, now=NOON)
    assert stores.sessions.come_back("s1", now=NOON) == flow
    assert stores.sessions.come_back("s1", now=NOON) is None
    assert stores.sessions.come_back("s2", now=NOON + HOUR) is None
    stores.sessions.send_away(flow, state_sha256="s3", now=NOON + 2 * HOUR)
    assert stores.sessions.come_back("s2", now=NOON) is None


def test_a_token_keeps_whose_it_is_and_ends_when_told(stores: Stores) -> None:
    ana = person("ana")
    stores.users.add(ana)
    token = Token("t1", "x", (), NOON, roles=("viewer",), user=ana.id, owner="bo")
    stores.tokens.add(token, secret_sha256="h1")
    assert stores.tokens.find("h1") == token
    assert stores.tokens.expire("t1", at=NOON + HOUR).expires_at == NOON + HOUR
    assert stores.tokens.expire("t1", at=NOON + 2 * HOUR).expires_at == NOON + HOUR
    with pytest.raises(NotFound):
        stores.tokens.expire("t2", at=NOON)
