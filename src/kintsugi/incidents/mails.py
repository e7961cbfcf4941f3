"""An e-mail as a report: read with the standard library, nothing opened, nothing run."""

from __future__ import annotations

import re
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parsedate_to_datetime
from hashlib import sha256
from html.parser import HTMLParser
from typing import Final, NamedTuple

from kintsugi.incidents.heard import Heard, cut, text_in, time_in, title_in
from kintsugi.incidents.intake import fingerprint, title_of
from kintsugi.model.report import File, content_name

MAIL_BYTES_MAX: Final = 25 * 1024 * 1024
_FILES_MAX: Final = 100
_PARTS_MAX: Final = 1000
_NAME_CHARS_MAX: Final = 200
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")


class Mail(NamedTuple):
    """What a message says.

    Attributes:
        contact: who it says that it is from; nobody has proven it.
        files: the message as it came first, then what was attached.
        contents: their bytes by digest.
    """

    heard: Heard
    contact: str
    files: tuple[File, ...]
    contents: dict[str, bytes]


def read_mail(raw: bytes) -> Mail:
    """A message from its bytes. Whatever is broken in it, the bytes are kept.

    Its fingerprint is the Message-ID, or the digest of its bytes where it has none.
    """
    message = BytesParser(policy=policy.default.clone(raise_on_defect=False)).parsebytes(raw)
    whole = File(content_name(raw), "message.eml", "message/rfc822", len(raw))
    files, contents = [whole], {whole.digest: raw}
    plain, html = "", ""
    for place, part in enumerate(message.walk()):
        if place >= _PARTS_MAX or len(files) > _FILES_MAX:
            break
        if part.is_multipart() or not isinstance(part, EmailMessage):
            continue
        media_type = _media_type(part)
        name = _header(part, "filename")
        content = _content(part)
        if media_type == "text/plain" and not name:
            plain = plain or _words(part, content)
        elif media_type == "text/html" and not name:
            html = html or _words(part, content)
        elif content:
            file = File(content_name(content), name or "attachment", media_type, len(content))
            if file.digest not in contents:
                files.append(file)
                contents[file.digest] = content
    text = text_in(plain.strip() or _without_tags(html).strip())
    identifier = _header(message, "Message-ID").strip("<> ")
    subject = title_in(_header(message, "Subject")) or title_in(title_of(text))
    fields = {"message_id": identifier} if identifier else {"bytes": sha256(raw).hexdigest()}
    heard = Heard(
        title=subject or "an e-mail without a subject",
        fingerprint=fingerprint(fields),
        text=text,
        happened_at=time_in(_date(message)),
        labels={
            name: value
            for name, value in (
                ("to", cut(_header(message, "To"), _NAME_CHARS_MAX)),
                ("message_id", cut(identifier, _NAME_CHARS_MAX)),
            )
            if value
        },
    )
    return Mail(heard, cut(_header(message, "From"), _NAME_CHARS_MAX), tuple(files), contents)


def _header(part: EmailMessage | object, name: str) -> str:
    """A header in words; empty where it is missing or cannot be read."""
    assert isinstance(part, EmailMessage)  # noqa: S101 - the policy makes no other
    try:
        value = part.get_filename() if name == "filename" else part.get(name, "")
        return cut(" ".join(str(value or "").split()), 2000)
    except (ValueError, LookupError, AttributeError, TypeError, IndexError):
        return ""  # the parser of headers stumbles over hostile ones (cpython issues)


def _date(message: object) -> object:
    try:
        at = parsedate_to_datetime(_header(message, "Date"))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return at if at.year >= 1970 else None


def _media_type(part: EmailMessage) -> str:
    try:
        found = part.get_content_type()
    except (ValueError, LookupError, AttributeError, TypeError, IndexError):
        found = ""
    return found if _MEDIA_TYPE.fullmatch(found) else "application/octet-stream"


def _content(part: EmailMessage) -> bytes:
    try:
        found = part.get_payload(decode=True)
    except (ValueError, LookupError, AttributeError, TypeError):
        return b""
    return found if isinstance(found, bytes) else b""


def _words(part: EmailMessage, content: bytes) -> str:
    try:
        charset = part.get_content_charset() or "utf-8"
        return content.decode(charset, "replace")
    except (ValueError, LookupError, AttributeError, TypeError, IndexError):
        return content.decode("utf-8", "replace")


class _Words(HTMLParser):
    """The words of a page; nothing in it is fetched or run."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._unseen += tag in ("script", "style", "head")
        if tag in ("p", "br", "div", "tr", "li"):
            self.found.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in ("script", "style", "head")))

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.found.append(data)


def _without_tags(html: str) -> str:
    words = _Words()
    words.feed(html)
    return "".join(words.found)
