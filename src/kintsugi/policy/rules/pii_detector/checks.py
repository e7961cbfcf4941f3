"""What confirms that a candidate is what it looks like: checksums, number plans, context."""

from __future__ import annotations

import importlib
import ipaddress
import re
from functools import cache
from typing import Protocol, cast

import re2
from stdnum.exceptions import ValidationError

from kintsugi.policy.automata import Accept, Resume

# How far before a value a word may stand that says what the value is.
CONTEXT_CHARS = 60
# A value may be told by what follows it too: "555-0100 (office)".
AFTER_CHARS = 14
_PHONE_CHARS_MAX = 40
REACH_CHARS = _PHONE_CHARS_MAX + AFTER_CHARS


class _Module(Protocol):
    def is_valid(self, number: str) -> bool: ...


@cache
def _number_module(name: str) -> _Module:
    return cast("_Module", importlib.import_module(f"stdnum.{name}"))


def _free(text: str, start: int, end: int) -> bool:
    """Not a piece of something longer: no digit or letter touches it, no decimal point leads on."""
    if start > 0 and (_touches(text[start - 1]) or text[start - 1] in "_$"):
        return False
    if start > 1 and text[start - 1] in ".,-/" and text[start - 2].isdigit():
        return False
    if end < len(text) and (_touches(text[end]) or text[end] == "_"):
        return False
    return not (end + 1 < len(text) and text[end] in ".,-/" and text[end + 1].isdigit())


_LETTER = re.compile(r"[^\W\d_]")


def _touches(character: str) -> bool:
    """Whether a value that this stands beside is a piece of something; not where words are
    written without spaces."""
    return character.isalnum() and not "\u0e00" <= character <= "\ud7a3"


def near(words: str, *, unspaced: str = "") -> Accept:
    """Accepts what stands behind one of these words, within ``CONTEXT_CHARS``.

    Args:
        words: alternatives of a regular expression (RE2).
        unspaced: the same in scripts that write no spaces between words.
    """
    # RE2 reads sixty characters in a microsecond whatever the number of words; Python's own engine
    # tries them all at each place.
    more = f"|{unspaced}" if unspaced else ""
    pattern = re2.compile(rf"(?i)(?:^|[^\pL])(?:{words})(?:[^\pL]|$){more}")

    def accept(text: str, start: int, end: int) -> bool:  # noqa: ARG001
        first = max(start - CONTEXT_CHARS, 0)
        if _LETTER.search(text, first, start) is None:
            return False  # numbers among numbers: no word to look for
        before = text[first:start]
        return pattern.search(before.encode("utf-8", "replace")) is not None

    return accept


def number(module: str, *, context: str = "", bare_needs_context: bool = False) -> Accept:
    """Accepts what python-stdnum finds valid.

    Args:
        module: below ``stdnum``, such as ``us.ssn``.
        context: words of which one must stand before it; see ``near``.
        bare_needs_context: the words are needed only where the digits stand without separators.
    """
    told = near(context) if context else None

    def accept(text: str, start: int, end: int) -> bool:
        if not _free(text, start, end):
            return False
        value = text[start:end]
        bare = value.isalnum()
        if told is not None and (bare or not bare_needs_context) and not told(text, start, end):
            return False
        try:
            return _number_module(module).is_valid(value)
        except (ValidationError, ValueError, IndexError):
            return False  # some modules raise on digits of other scripts

    return accept


def ssn(text: str, start: int, end: int) -> bool:
    """US social security number: written with separators, or announced."""
    value = text[start:end]
    return (
        _free(text, start, end)
        and value[:3] not in ("000", "666")
        and value[0] != "9"
        and _number_module("us.ssn").is_valid(value)
        and (not value.isdigit() or bool(_announced_ssn(text, start, end)))
    )


_announced_ssn = near(r"ssn|ss ?#|social security|soc sec|social")

# First digits by which card schemes are known, and the lengths that they issue.
_CARD_SCHEMES = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"
    r"|(?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}"
    r"|3[47]\d{13}|(?:30[0-59]|3[689]\d)\d{11}(?:\d{2})?"
    r"|(?:6011|65\d{2}|64[4-9]\d)\d{12}(?:\d{3})?"
    r"|(?:35(?:2[89]|[3-8]\d)\d{12}|(?:2131|1800)\d{11})|62\d{14,17}|(?:5018|5020|5038|58\d{2}|6304|6759|676[1-3])\d{8,15}"
)
_SEPARATORS = str.maketrans("", "", " -")


def card(text: str, start: int, end: int) -> bool:
    """Payment card: the check digit, and a known scheme with a length that it issues or a word."""
    if not _free(text, start, end):
        return False
    digits = text[start:end].translate(_SEPARATORS)
    return (
        luhn(digits)
        and len(set(digits)) > 1
        and (_CARD_SCHEMES.fullmatch(digits) is not None or bool(_said_card(text, start, end)))
    )


_DOUBLED = bytes.maketrans(b"0123456789", bytes(sum(divmod(2 * n, 10)) for n in range(10)))


def luhn(digits: str) -> bool:
    """The check digit of cards (ISO/IEC 7812): every second digit doubled, a multiple of ten."""
    if not digits.isascii():
        return False
    data = digits.encode()
    plain = data[-1::-2]
    return (sum(plain) - 48 * len(plain) + sum(data[-2::-2].translate(_DOUBLED))) % 10 == 0


_said_card = near(
    r"(?:credit|debit|bank|payment)? ?cards?(?: numbers?)?|cc|visa|mastercard|amex|maestro"
)


def email(text: str, start: int, end: int) -> bool:
    """An address whose local part could be one; the pattern saw to the domain."""
    at = text.find("@", start, end)
    return ".." not in text[start:at] and text[at - 1] not in ".-"


def ip_v4(text: str, start: int, end: int) -> bool:
    """A version 4 address that may belong to somebody; not a version number or a mask."""
    if not _free(text, start, end) or _version(text, start, end):
        return False
    try:
        address = ipaddress.IPv4Address(text[start:end])
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_loopback or text[start:end].startswith("255."))


_version = near(r"v|ver|version|release|build")


def ip_v6(text: str, start: int, end: int) -> bool | Resume:
    """A version 6 address that may belong to somebody; not a time or a loopback."""
    if start > 0 and (text[start - 1].isalnum() or text[start - 1] == ":"):
        run = _HEX_RUN.match(text, start)  # no address begins inside of it either
        return Resume(run.end()) if run else False
    value = text[start:end]
    if not any(letter.isdigit() for letter in value) or not _free_of_hex(text, start, end):
        return False  # ``dead::beef`` is more often a name in a program
    try:
        address = ipaddress.IPv6Address(value)
    except ValueError:
        return False
    return not (address.is_unspecified or address.is_loopback) and len(value) > 6


_HEX_RUN = re.compile(r"[0-9a-fA-F:]{1,80}")


def _free_of_hex(text: str, start: int, end: int) -> bool:
    before = start == 0 or not (text[start - 1].isalnum() or text[start - 1] == ":")
    return before and (end == len(text) or not (text[end].isalnum() or text[end] == ":"))


_SAID_PHONE = near(
    r"phone|phones|telephone|tel|telephones?|mobile|cell|cellphone|fax|whatsapp|sms|landline"
    r"|hotline|helpline|call|calling|dial|text me|texting|contact|answering at"
    r"|messages to|call me|reach me|ring me|registered|voicemail|mobil|mobilnummer|telefon|handy"
    r"|telefonnummer|rufnummer|téléphone|portable|teléfono|móvil|celular|telefono|cellulare"
    r"|telefone|telemóvel|telefoon|telefonu|komórk\pL*|puhelin|τηλέφωνο|телефон\pL*|мобильн\pL*"
    r"|telepon|nomor hp|điện thoại|هاتف|טלפון|फ़ोन|फोन",
    unspaced="电话|電話|手机|手機|携帯|전화|휴대폰|โทร",
)
_SAYS_PHONE = re.compile(r"(?i)[\s\\,(-]{0,3}(?:office|fax|mobile|cell|home|desk|work|phone|tel)\b")
_SAID_OTHER = near(
    r"order|invoice|ticket|account|acct|isbn|issn|id|ids|card|zip|postcode|tracking|serial|part|sku|ssn|iban"
    r"|reference|ref|policy|case|pin|version|timestamp|population|usd|eur|total|amount|passport|license"
)
_NORTH_AMERICAN = re.compile(
    r"(?:\+?1[-. ]|001[-. ])?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}(?: ?(?:x|ext\.? ?)\d{1,5})?"
)
_DIGITS = re.compile(r"\d+")
# French numbers have five groups of digits, six with the country code.
_PHONE_GROUPS_MAX = 7
# A number has at most 17 digits, so where groups of one or two digits go on there are too many
# groups in any match that begins before the last eight.
_SMALL_GROUPS = re.compile(r"[+(]?(?:\d{1,2}[ .()/-]{1,3})+")
_SMALL_GROUPS_TAIL_CHARS = 48
_REGIONS = ("US", "GB", "DE", "FR", "IN", "AU")
_NOT_A_PHONE = re.compile(
    r"\d{3}[- ]\d{2}[- ]\d{4}$|(?:19|20)\d\d[-./ ]\d{1,2}[-./ ]\d{1,2}"
    r"|\d{1,2}[-./]\d{1,2}[-./](?:19|20)\d\d"
)


def phone(text: str, start: int, end: int) -> bool | Resume:
    """A telephone number: international and valid, in North American form, or announced.

    ``phonenumbers`` is imported when the first candidate comes: most gateways never see one.
    """
    if end - start > _PHONE_CHARS_MAX:
        return _past_groups(text, start, end)
    if not _phone_edges(text, start, end):
        return False
    value = text[start:end]
    groups = _DIGITS.findall(value)
    if len(groups) > _PHONE_GROUPS_MAX:
        return _past_groups(text, start, end)
    if _NOT_A_PHONE.match(value):
        return False
    if not 7 <= sum(map(len, groups)) <= 20:
        return False
    if value.startswith(("+", "00")) and _valid_phone("+" + value.lstrip("+0")):
        return True
    written_as_one = _NORTH_AMERICAN.fullmatch(value) is not None
    if not written_as_one:
        said = _SAID_PHONE(text, start, end) or _SAYS_PHONE.match(text, end, end + AFTER_CHARS)
        if not said or not _possible_phone(value):
            return False
    return not _SAID_OTHER(text, start, end)


def _past_groups(text: str, start: int, end: int) -> bool | Resume:
    """Where the last groups of too many begin: from any earlier one there are still too many."""
    small = _SMALL_GROUPS.match(text, start)
    if small is not None and small.end() > end:
        end = small.end()
        start = max(start, end - _SMALL_GROUPS_TAIL_CHARS)
    groups = [match.start() for match in _DIGITS.finditer(text, start, end)]
    # One less, because a group may be preceded by a sign that belongs to the number.
    at = len(groups) - _PHONE_GROUPS_MAX - 1
    return Resume(groups[at]) if at > 0 else False


def _phone_edges(text: str, start: int, end: int) -> bool:
    before = text[start - 1] if start else " "
    after = text[end] if end < len(text) else " "
    return not (before.isalnum() or before in "_$#.-/+=") and not (after.isalnum() or after in "_%")


def _valid_phone(value: str) -> bool:
    import phonenumbers  # not at the top: see phone()

    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(value, None))
    except phonenumbers.NumberParseException:
        return False


def _possible_phone(value: str) -> bool:
    import phonenumbers  # not at the top: see phone()

    for region in _REGIONS:
        try:
            if phonenumbers.is_possible_number(phonenumbers.parse(value, region)):
                return True
        except phonenumbers.NumberParseException:
            continue
    return False


def licence(text: str, start: int, end: int) -> bool:
    """A document number: mostly digits, and not a piece of something."""
    value = text[start:end]
    return sum(character.isdigit() for character in value) >= 4 and _free(text, start, end)


_BORN = near(
    r"born(?: on| in)?|birth|birthday|birth ?date|date of birth|d\.?o\.?b\.?|geboren(?: am)?|geb\."
    r"|geburts(?:datum|tag)|né[e]? le|date de naissance|nacid[oa](?: el)?|fecha de nacimiento"
    r"|nat[oa] il|data di nascita|nascid[oa] em|data de nascimento|nascimento|geboortedatum"
    r"|född|födelsedatum|født|fødselsdato|syntynyt|syntymäaika|urodzon[yae]|data urodzenia"
    r"|narozen[ýaá]?|datum narození|născut[ăa]?|data nașterii|született|γεννήθηκε"
    r"|ημερομηνία γέννησης|doğum(?: tarihi)?|рожден\pL*|родил\pL*|народи\pL*|lahir|tanggal lahir"
    r"|ngày sinh|تاريخ الميلاد|מועד לידה|תאריך לידה|जन्म(?:तिथि)?",
    unspaced="出生|生日|生年月日|誕生日|생년월일|เกิด",
)


def birth_date(text: str, start: int, end: int) -> bool:
    """A date behind a word for birth."""
    return _free(text, start, end) and bool(_BORN(text, start, end))


def npi(text: str, start: int, end: int) -> bool:
    """US national provider identifier: Luhn over the number with its issuer prefix 80840."""
    return _free(text, start, end) and luhn("80840" + text[start:end])
