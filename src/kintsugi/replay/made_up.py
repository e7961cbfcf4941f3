"""Values that belong to nobody and look like those that detectors find. Pure and deterministic:
what was made up here can be told from what was not."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Final

# From what issuers and standards set aside for examples: test cards of the networks, the domains of
# RFC 2606, the addresses of RFC 5737 and 3849, North American numbers 555-01xx, British numbers for
# drama, the IBANs of the registry's own examples. By entity of the detector of personal data.
_SET_ASIDE: Final[Mapping[str, tuple[str, ...]]] = {
    "email": tuple(f"person{number}@example.com" for number in range(1, 100)),
    "credit_card": (
        "4111 1111 1111 1111",
        "5555 5555 5555 4444",
        "4012 8888 8888 1881",
        "5105 1051 0510 5100",
        "4222 2222 2222 2220",
        "3782 822463 10005",
        "6011 1111 1111 1117",
        "3056 930902 5904",
    ),
    "iban": (
        "DE89 3704 0044 0532 0130 00",
        "GB29 NWBK 6016 1331 9268 19",
        "FR14 2004 1010 0505 0001 3M02 606",
        "NL91 ABNA 0417 1643 00",
        "ES91 2100 0418 4502 0005 1332",
    ),
    "phone": (
        *(f"(212) 555-01{number:02d}" for number in range(10, 60)),
        *(f"+44 20 7946 0{number}" for number in range(950, 999)),
    ),
    "ip_address": (
        *(f"203.0.113.{number}" for number in range(7, 200)),
        *(f"2001:db8::{number}" for number in range(7, 99)),
    ),
    "card_cvv": ("123", "1234"),
    "card_expiry": ("12/34", "11/35", "12/2034"),
    "date_of_birth": ("01/02/1980", "1980-02-01", "03/04/1985"),
    # The examples in the descriptions of the formats.
    "de_tax_id": ("36574261809",),
    "fi_hetu": ("131052-308T",),
    "mx_curp": ("BOXW310820HNERXN09",),
    "cn_ric": ("360426199101010071",),
    "cardholder_name": ("Jane Q. Doe", "John R. Roe", "Mary P. Major"),
}
_PERSONAL: Final = "pii."
_EXAMPLE_DOMAINS: Final = ("@example.com", "@example.org", "@example.net")
# How much of a value's beginning stays, because the format is known by it.
_KEPT_CHARS: Final = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 40)
# A checksum of two digits takes about a hundred tries. Short values get few, or every other one
# would be taken for one that was made up.
_TRIES: Final = 120
_TRIES_SHORT: Final = 2
_SHORT_CHARS: Final = 9
_CHANGEABLE: Final = frozenset(string.ascii_letters + string.digits)
_SEED: Final = "kintsugi"


def candidates(kind: str, value: str) -> Iterator[str]:
    """What may stand for a value of a kind, the best first: something that was set aside for
    examples, else the same shape with other letters and digits."""
    for one in _set_aside(kind):
        yield one
        yield one.replace(" ", "")
    # Full-width digits and the like become plain ones.
    plain = unicodedata.normalize("NFKC", value)
    for kept, number in _variants(plain):
        yield _filled(plain, kept, number)


def is_made_up(kind: str, value: str) -> bool:
    """Whether a value was made up here, or belongs to nobody by its form."""
    if kind == f"{_PERSONAL}email" and value.lower().endswith(_EXAMPLE_DOMAINS):
        return True
    plain = value.replace(" ", "")
    if any(plain == one.replace(" ", "") for one in _set_aside(kind)):
        return True
    return any(
        _begins(value, kept, number) and value == _filled(value, kept, number)
        for kept, number in _variants(value)
    )


def _set_aside(kind: str) -> tuple[str, ...]:
    return _SET_ASIDE.get(kind.removeprefix(_PERSONAL), ())


def _variants(value: str) -> Iterator[tuple[int, int]]:
    for kept in _KEPT_CHARS:
        changeable = sum(character in _CHANGEABLE for character in value[kept:])
        if not changeable or kept * 2 > len(value):
            return
        for number in range(_TRIES if changeable >= _SHORT_CHARS else _TRIES_SHORT):
            yield kept, number


def _filled(value: str, kept: int, number: int) -> str:
    """The shape of a value with letters and digits of our own behind the first ``kept``."""
    return value[:kept] + "".join(
        _letter(character, kept, number, at) for at, character in enumerate(value[kept:])
    )


def _begins(value: str, kept: int, number: int) -> bool:
    """Whether a value begins as such a one does: a glance that spares most of the work."""
    return all(
        character == _letter(character, kept, number, at)
        for at, character in enumerate(value[kept : kept + 4])
    )


def _letter(character: str, kept: int, number: int, at: int) -> str:
    for alphabet in (string.digits, string.ascii_lowercase, string.ascii_uppercase):
        if character in alphabet:
            return alphabet[_stream(kept, number)[at % 32] % len(alphabet)]
    return character


_STREAMS: Final[dict[tuple[int, int], bytes]] = {}


def _stream(kept: int, number: int) -> bytes:
    found = _STREAMS.get((kept, number))
    if found is None:
        found = sha256(f"{_SEED} {kept} {number}".encode()).digest()
        _STREAMS[(kept, number)] = found
    return found
