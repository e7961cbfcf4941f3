"""Communications: what is told about an incident, to whom, and who stands behind it.

Kintsugi writes the record, not the mail: a person sends the text by the channel that the audience
reads, and says so here. Webhooks and feeds may carry it on.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

CommunicationState = Literal["draft", "sent", "withdrawn"]


class Approval(msgspec.Struct, frozen=True):
    """A person stands behind exactly this text.

    Attributes:
        role: in which the person did so; ``command`` by permission.
        digest: ``sha256:...`` of the text.
    """

    by: str
    role: str
    at: datetime
    digest: str


class Sending(msgspec.Struct, frozen=True):
    """That it went out.

    Attributes:
        to: who got it, in words: a list, an authority, a page.
        channel: mail, chat, call, portal, page.
        reference: of the message where it was sent.
    """

    at: datetime
    by: str
    to: str
    channel: str
    reference: str = ""


class Publication(msgspec.Struct, frozen=True):
    """That anybody may read it in the public feed, and in which words.

    Attributes:
        text: redacted; what the feed shows.
        digest: of that text.
    """

    at: datetime
    by: str
    title: str
    text: str
    digest: str


class Communication(
    msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="communication"
):
    """One message to one audience.

    Attributes:
        incidents: ids; one.
        audience: a key of the templates.
        written_by: who wrote this text last; approves it never.
        said: what its author gave for fields of the template; None says that it is not known yet.
        body: in place of the template's text.
        subject, text: as it was sent; empty until then, since a draft is filled when it is read.
        next_update_at: when this audience was promised to hear more.
        superseded: a later message to this audience made its promise good, or nothing more is owed.
    """

    id: str
    incidents: tuple[str, ...]
    audience: str
    created_at: datetime
    created_by: str
    written_by: str
    version: int = 0
    state: CommunicationState = "draft"
    said: dict[str, str | None] = {}
    body: str | None = None
    approvals: tuple[Approval, ...] = ()
    subject: str = ""
    text: str = ""
    digest: str = ""
    sent: Sending | None = None
    next_update_at: datetime | None = None
    superseded: bool = False
    publication: Publication | None = None
    end_reason: str = ""

    @property
    def settled(self) -> bool:
        """Whether this audience waits for nothing because of it."""
        return self.superseded or self.state == "withdrawn" or self.due_at is None

    @property
    def due_at(self) -> datetime | None:
        """When the next message to this audience is due because of this one."""
        return self.next_update_at if self.state == "sent" else None

    @property
    def party(self) -> str:
        """Whom it concerns: its audience."""
        return self.audience

    @property
    def status(self) -> str:
        """The word that lists are narrowed by."""
        return "published" if self.publication is not None else self.state
