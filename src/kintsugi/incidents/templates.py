"""Templates of communications, from a data file: what is filled in, and what is missing. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

import msgspec
from ruamel.yaml import YAML

from kintsugi.errors import InvalidInput
from kintsugi.incidents.drafts import DraftField, field_of
from kintsugi.model.communication import Communication
from kintsugi.model.incident import Incident, Role, State
from kintsugi.model.signal import Severity

_FIELD: Final = re.compile(r"\{([a-z_]+)\}")
# What the outside is told of where it stands; the words of status pages.
_PHASES: Final[Mapping[State, str]] = {
    "reported": "investigating",
    "triage": "investigating",
    "declared": "investigating",
    "contained": "identified",
    "investigating": "identified",
    "remediating": "identified",
    "monitoring": "monitoring",
    "review": "resolved",
    "closed": "resolved",
    "not_an_incident": "resolved",
    "merged": "resolved",
}
NOT_KNOWN: Final = "not known yet"
DOES_NOT_APPLY: Final = "does not apply"


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one audience is told, and who stands behind it.

    Attributes:
        outside: people who are not of the house.
        approvals: of so many people, besides the author.
        approvers: the roles in an incident whose holders may approve.
        update_minutes: how often they hear more, by severity; left out is not promised.
    """

    title: str
    outside: bool
    approvals: int
    approvers: tuple[Role, ...]
    update_minutes: dict[Severity, int]
    subject: str
    text: str


class Templates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All audiences, and what their fields mean."""

    fields: dict[str, str]
    audiences: dict[str, Template]


class Filled(msgspec.Struct, frozen=True):
    """A message as far as it can be written now.

    Attributes:
        fields: that it uses, in the order of their first use.
        digest: ``sha256:...`` of subject and text; approvals are of exactly this.
    """

    subject: str
    text: str
    fields: tuple[DraftField, ...]
    digest: str

    @property
    def missing(self) -> tuple[DraftField, ...]:
        """What nobody has said anything about."""
        return tuple(one for one in self.fields if one.status == "missing")


@cache
def templates() -> Templates:
    """The templates as they are shipped."""
    file = files("kintsugi.incidents").joinpath("data", "communications", "templates.yaml")
    found: Any = YAML(typ="safe", pure=True).load(file.read_text("utf-8"))
    return msgspec.convert(found, Templates)


def template_of(audience: str) -> Template:
    """The template of an audience.

    Raises:
        InvalidInput: there is none.
    """
    known = templates().audiences
    if audience not in known:
        raise InvalidInput(f'audience: there is no "{audience}"; known: {", ".join(known)}')
    return known[audience]


def check_fields(text: str) -> None:
    """Raise when a text names a field that there is none of.

    Raises:
        InvalidInput: with the names of those that there are.
    """
    known = templates().fields
    for name in _FIELD.findall(text):
        if name not in known:
            raise InvalidInput(f'there is no field "{name}"; known: {", ".join(known)}')


def filled(incident: Incident, communication: Communication) -> Filled:
    """A draft with its fields filled in; one that was sent, as it was sent."""
    if communication.state == "sent":
        return Filled(communication.subject, communication.text, (), communication.digest)
    template = template_of(communication.audience)
    body = template.text if communication.body is None else communication.body
    used = dict.fromkeys(_FIELD.findall(template.subject) + _FIELD.findall(body))
    known = {name: _field(incident, communication, name) for name in used}

    def put(match: re.Match[str]) -> str:
        return _shown(known[match[1]])

    # The subject is one line wherever it goes.
    subject = " ".join(_FIELD.sub(put, template.subject).split())
    text = _FIELD.sub(put, body).strip()
    return Filled(subject, text, tuple(known.values()), digest_of(subject, text))


def digest_of(subject: str, text: str) -> str:
    """What an approval is bound to."""
    written = "\n\n".join((subject, text))
    return f"sha256:{sha256(written.encode()).hexdigest()}"


def _field(incident: Incident, communication: Communication, name: str) -> DraftField:
    title = templates().fields[name]
    if name in communication.said:
        said = communication.said[name]
        status: Any = "unknown" if said is None else "have"
        return DraftField(name, title, status, said or "", communication.written_by)
    if name == "next_update_at" and communication.next_update_at is not None:
        return DraftField(name, title, "have", _moment(communication.next_update_at), "incident")
    if name in _KNOWN and (value := _KNOWN[name](incident)):
        return DraftField(name, title, "have", value, "incident")
    return field_of(incident, name, title)


_KNOWN: Final[Mapping[str, Callable[[Incident], str]]] = {
    "reference": lambda one: one.reference,
    "title": lambda one: one.title,
    "severity": lambda one: one.severity or "not assessed",
    "phase": lambda one: _PHASES[one.state],
    "commander": lambda one: ", ".join(one.holders("commander")),
    "first_occurred_at": lambda one: _moment(one.first_occurred_at),
    "detected_at": lambda one: _moment(one.detected_at),
}


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def _shown(field: DraftField) -> str:
    match field.status:
        case "have":
            return field.value.strip()
        case "unknown":
            return NOT_KNOWN
        case "not_applicable":
            return DOES_NOT_APPLY
        case _:
            return f"[missing: {field.title}]"
