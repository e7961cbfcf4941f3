"""What people send with a form: read once, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec
from fastapi import Request

from kintsugi.console.sessions import Sessions
from kintsugi.errors import InvalidInput

#: Of a reason, as for the API.
REASON_CHARS_MAX = 2000
# Each character may take twelve bytes, percent-encoded.
FORM_BYTES_MAX = 32_768
_FIELDS_MAX = 20


class Form(msgspec.Struct, frozen=True):
    """A form that came from a page of this session.

    Attributes:
        values: by field name, without blanks around them; the first one counts.
    """

    values: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")

    @property
    def confirmed(self) -> bool:
        """Whether the second step was taken."""
        return self["confirmed"] == "yes"

    def reason(self) -> str:
        """The reason given.

        Raises:
            InvalidInput: none, or too long a one.
        """
        reason = self["reason"]
        if not reason:
            raise InvalidInput("Say why: the reason is kept with the decision.")
        if len(reason) > REASON_CHARS_MAX:
            raise InvalidInput(f"The reason has {len(reason):,} characters; 2,000 are the most.")
        return reason


def read_form(sessions: Sessions, request: Request, body: bytes) -> Form:
    """A form that may change something.

    Raises:
        Forbidden: it does not come from a page of this session.
        InvalidInput: it is no form.
    """
    form = parse_form(body)
    sessions.require_form(request, form["form_key"])
    return form


def parse_form(body: bytes) -> Form:
    """A form from anywhere; whoever takes it says why it may change something.

    Raises:
        InvalidInput: it is no form.
    """
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError:
        raise InvalidInput("This is no form of the console.") from None
    values: dict[str, str] = {}
    for name, value in pairs:
        values.setdefault(name, value.strip().replace("\0", "\u2400"))
    return Form(values)
