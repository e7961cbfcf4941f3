"""Communications: filled, approved as they are, sent by a person, published redacted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from kintsugi.errors import Blocked, InvalidInput
from kintsugi.incidents import communications
from kintsugi.incidents.communications import Writing, standing
from kintsugi.incidents.redaction import redacted
from kintsugi.incidents.templates import check_fields, filled, templates
from kintsugi.model.communication import Communication
from kintsugi.model.incident import Actor, Change, Incident, RoleTerm, SeverityOverride
from kintsugi.model.obligation import Fact
from tests.incidents.cases import CHIEF, NOON, act, incident

ANA = Actor("ana", "ana/1")
BO = Actor("bo", "bo/2")
CY = Actor("cy", "cy/3")
DEE = Actor("dee", "dee/4")
FIELDS: dict[str, str | None] = {
    "description_plain": "The assistant invented a refund policy.",
    "affected_persons": "about 40",
    "affected_services": "support chat",
    "measures_taken": "The chat hands refunds to people.",
    "user_guidance": "Nothing has to be done.",
    "contact": "help@example.com",
}


def term(role: Any, person: str) -> RoleTerm:
    return RoleTerm(role, person, NOON, "ana/1")


INCIDENT = incident(
    override=SeverityOverride("critical", "as it is", "ana/1", NOON),
    roles=(term("commander", "ana"), term("risk_owner", "bo"), term("communications", "cy")),
    first_occurred_at=NOON - timedelta(hours=3),
    detected_at=NOON,
)


def only(change: Change) -> Communication:
    found = change.keep[0]
    assert isinstance(found, Communication)
    return found


def drafted(audience: str = "customers", by: Actor = DEE, **more: Any) -> Communication:
    writing = Writing(**({"said": FIELDS} | more))
    return only(communications.drafted(INCIDENT, audience, writing, act(by)))


def approved(found: Communication, *people: Actor, of: Incident = INCIDENT) -> Communication:
    for person in people:
        found = only(communications.approved(of, found, act(person)))
    return found


def test_every_template_uses_fields_that_there_are() -> None:
    for template in templates().audiences.values():
        check_fields(template.subject)
        check_fields(template.text)
        assert (template.approvals >= 2) is template.outside
        assert bool(template.approvers) is bool(template.approvals)


def test_a_draft_says_what_it_has_and_what_is_missing() -> None:
    bare = drafted(said={"affected_persons": None})
    message = filled(INCIDENT, bare)
    status = {one.name: (one.status, one.origin) for one in message.fields}
    assert status["first_occurred_at"] == ("have", "incident")
    assert status["affected_persons"] == ("unknown", "dee/4")
    assert status["user_guidance"] == ("missing", "")
    assert "Who is affected: not known yet." in message.text
    assert "[missing: What people affected can do]" in message.text
    said = {"user_guidance": Fact("not_applicable", "bo/2", NOON)}
    message = filled(msgspec.structs.replace(INCIDENT, facts=said), bare)
    assert "What you can do: does not apply" in message.text


def test_what_an_author_writes_is_not_filled_in_again() -> None:
    found = drafted(said={**FIELDS, "description_plain": "literally {contact}\n# and {nothing}"})
    assert "literally {contact}" in filled(INCIDENT, found).text
    subject = filled(
        INCIDENT, drafted(said={**FIELDS, "affected_services": "chat\nBcc: x"})
    ).subject
    assert "\n" not in subject


def test_the_outside_hears_what_two_people_besides_the_author_stand_behind() -> None:
    found = drafted()
    with pytest.raises(Blocked, match="2 more people"):
        communications.sent(INCIDENT, found, act(DEE), to="list", channel="mail")
    found = approved(found, BO)
    with pytest.raises(Blocked, match="already"):
        approved(found, BO)
    with pytest.raises(Blocked, match="1 more"):
        communications.sent(INCIDENT, found, act(DEE), to="list", channel="mail")
    found = approved(found, CY)
    after = only(communications.sent(INCIDENT, found, act(DEE), to="list", channel="mail"))
    assert (after.state, after.sent and after.sent.by) == ("sent", "dee/4")
    assert "about 40" in after.text


def test_nobody_approves_their_own_or_without_a_role() -> None:
    with pytest.raises(Blocked, match="you wrote it"):
        approved(drafted(by=BO), BO)
    with pytest.raises(Blocked, match="only the commander or risk_owner"):
        approved(drafted(), DEE)
    assert approved(drafted(), CHIEF).approvals[0].role == "command"
    with pytest.raises(Blocked, match="needs none"):
        approved(drafted("team"), BO)


def test_an_approval_lapses_with_the_text() -> None:
    found = approved(drafted(), BO, CY)
    closer = msgspec.structs.replace(INCIDENT, state="monitoring")
    assert standing(found, filled(closer, found)) == ()
    with pytest.raises(Blocked, match="2 approved another one"):
        communications.sent(closer, found, act(DEE), to="list", channel="mail")
    edited = only(
        communications.edited(INCIDENT, found, Writing({"contact": "us@example.com"}), act(BO))
    )
    assert edited.written_by == "bo/2"
    assert standing(edited, filled(INCIDENT, edited)) == ()


def test_nothing_is_sent_while_a_field_is_missing() -> None:
    with pytest.raises(Blocked) as caught:
        communications.sent(
            INCIDENT, drafted("team", said={}), act(DEE), to="channel", channel="chat"
        )
    assert {one.where for one in caught.value.blockers} >= {"fields.description_plain"}


def test_the_next_message_is_promised_by_severity_and_made_good_by_the_next_one() -> None:
    first = drafted("team")
    assert first.next_update_at == act().now + timedelta(minutes=30)
    change = communications.sent(INCIDENT, first, act(DEE), to="channel", channel="chat")
    sent = only(change)
    assert (sent.settled, sent.due_at) == (False, first.next_update_at)
    assert change.incident.last_update_at == act().now
    later = communications.sent(
        INCIDENT, drafted("team"), act(DEE), to="channel", channel="chat", waiting=[sent]
    )
    assert isinstance(later.keep[1], Communication)
    assert later.keep[1].settled
    assert drafted("regulators").next_update_at is None
    with pytest.raises(Blocked, match="lies behind"):
        communications.sent(INCIDENT, first, act(DEE, hours=9), to="channel", channel="chat")


def test_only_what_was_written_for_the_public_is_published_and_redacted() -> None:
    said = {**FIELDS, "measures_taken": "Ana (ana/1) stopped Contoso; mail ana@example.com"}
    found = drafted("public", said=said)
    found = only(
        communications.sent(
            INCIDENT, approved(found, BO, CY), act(DEE), to="status page", channel="page"
        )
    )
    with pytest.raises(Blocked, match="only the risk_owner or communications"):
        communications.published(INCIDENT, found, act(DEE))
    after = only(communications.published(INCIDENT, found, act(CY), terms=["contoso"]))
    assert after.publication is not None
    text = after.publication.text
    assert "the commander (the commander) stopped [redacted]; mail [REDACTED:EMAIL" in text
    assert "ana" not in text.casefold().replace("an a", "")
    with pytest.raises(Blocked) as caught:
        communications.published(INCIDENT, drafted("customers"), act(CY))
    assert {one.where for one in caught.value.blockers} == {"state", "audience"}
    back = only(communications.unpublished(INCIDENT, after, act(CY)))
    assert back.publication is None


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(InvalidInput, match="there is no"):
        drafted("press")
    with pytest.raises(InvalidInput, match='there is no "tenor"'):
        drafted(said={"tenor": "x"})
    with pytest.raises(InvalidInput, match='no field "tenor"'):
        drafted(body="{tenor}")
    with pytest.raises(InvalidInput, match="lies behind"):
        drafted(next_update_at=NOON)
    with pytest.raises(InvalidInput, match="say who got it"):
        communications.sent(INCIDENT, drafted("team"), act(DEE), to=" ", channel="chat")
    gone = only(communications.withdrawn(INCIDENT, drafted(), act(DEE)))
    with pytest.raises(Blocked, match="it was withdrawn"):
        communications.edited(INCIDENT, gone, Writing(), act(DEE))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ask Ana, not Diana or ana-maria", "ask the commander, not Diana or the commander-maria"),
        ("ana/1 did it", "the commander did it"),
        ("see 019db9a0-0000-7000-8000-000000000001", "see [id]"),
        ("nothing here", "nothing here"),
    ],
)
def test_people_become_their_roles(text: str, shown: str) -> None:
    assert redacted(text, {"ana": "the commander"}) == shown
