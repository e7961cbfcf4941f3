# ruff: noqa: E501  # an expression cut into lines is harder to read than a long one
"""Secrets of no known format: random text behind a word that says what it is."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise

from kintsugi.policy.automata import Accept, Pattern
from kintsugi.policy.rules.secrets_detector.published import published

# What randomness is judged by: the first so many characters. A stream may not have more yet.
JUDGED_CHARS = 64

_WORDS = (
    r"api[_ .-]?keys?|apikey|[_.-]key|access[_ .-]?key(?:[_ .-]?id)?|secret[_ .-]?key|private[_ .-]?key|signing[_ .-]?key"
    r"|encryption[_ .-]?key|license[_ .-]?key|client[_ .-]?(?:secret|key)|secrets?|(?:access|auth|bearer|refresh|session|id|api)?[_ .-]?tokens?"
    r"|credentials?|auth[_ .-]?key|webhook[_ .-]?secret"
)
_PASSWORDS = r"pass(?:word|wd|phrase|code)?|pwd|\bpw|passwort|contraseña|mot de passe|senha|пароль"
# Between a name and its value: in code, configuration, tables, markup and prose.
_BETWEEN = (
    r"[\"'`\]]{0,3}(?:[ \t]{0,4}(?::=|=>|[:=|：]|\b(?:is|was|ist|lautet|es|est|wordt)\b(?: (?:now|set to))?[ \t]{0,2}:?|é|è|є)\s{0,4}|\s{1,8}value\s{0,3}[:=]\s{0,3})"
    r"(?:[bru]?[\"'`]{1,3}|<)?"
)
_VALUE = r"[A-Za-z0-9_+/=.~!@#$%^&*?\-\\]"

# "the password for the build server is ..."
_WHOSE = r"(?: (?:for|to|of|on|für|de|del|pour|per|para) [\w .@'-]{1,40}?)?"

_NEEDS = rf"(?:{_WORDS}|{_PASSWORDS})[A-Za-z0-9_.-]{{0,20}}{_WHOSE}{_BETWEEN}{_VALUE}{{6}}"

GENERIC_TOKEN = Pattern(
    "generic_secret",
    rf"(?:{_WORDS})[A-Za-z0-9_.-]{{0,20}}{_BETWEEN}(?P<value>{_VALUE}{{10,80}})",
    tail=f"{_VALUE}*",
    needs=_NEEDS,
    group="named values",
)
GENERIC_PASSWORD = Pattern(
    "password",
    rf"(?:{_PASSWORDS})[A-Za-z0-9_.-]{{0,20}}{_WHOSE}{_BETWEEN}(?P<value>{_VALUE}{{6,80}})",
    needs=_NEEDS,
    group="named values",
)
GENERIC_BEFORE = Pattern(
    "generic_secret",
    rf"(?:^|[\s\"'`])(?P<value>{_VALUE}{{14,80}})[\"'`]?\s{{1,3}}(?:into|in|as|for|to|is)\s{{1,3}}(?:the |my |our |your ){{0,1}}"
    rf"[A-Za-z0-9_.-]{{0,30}}(?:{_WORDS}|{_PASSWORDS})",
    needs=rf"{_VALUE}{{14}}[\"'`]?\s{{1,3}}(?:into|in|as|for|to|is)\s{{1,3}}(?:the |my |our |your )?[A-Za-z0-9_.-]{{0,30}}(?:{_WORDS}|{_PASSWORDS})",
    group="named values",
)

_PLACEHOLDER = re.compile(
    r"(?i)x{4,}|\*{3,}|\.{3}|0{8,}|(.)\1{7,}|your|example|placeholder|changeme|change_me|dummy|sample|redacted"
    r"|<|>|\$\{|\{\{|%\(|process\.env|os\.environ|getenv|secrets?\.|config\.|self\.|this\.|env\.|vault:"
    r"|12345678|abcdefgh|test[_-]?(?:key|token|secret|password)$|insert|todo|null|none|undefined|true|false"
)
_IDENTIFIER_LIKE = re.compile(r"[A-Za-z_]+(?:[._-][A-Za-z_]+)*")
_COMMON_PASSWORDS = frozenset({"password", "required", "optional", "string", "secret", "hidden"})


def entropy_bits(text: str) -> float:
    """Shannon entropy per character, in bits; 0 for an empty text."""
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in Counter(text).values()) if size else 0.0


def placeholder(value: str) -> bool:
    """Whether somebody wrote this in the place of a value."""
    return _PLACEHOLDER.search(value) is not None


def random_token(text: str, start: int, end: int) -> bool:
    """A value that no person would type: letters and digits mixed, spread evenly."""
    if _inside_call(text, end) or (start > 0 and text[start - 1] in "$%{"):
        return False
    value = text[start : min(end, start + JUDGED_CHARS)].rstrip(".,;:!?)")
    if len(value) < 10 or placeholder(value) or _IDENTIFIER_LIKE.fullmatch(value):
        return False
    if "://" in value or value.startswith(("/", "./", "../", "~/")) or value.count("/") > 3:
        return False
    digits = sum(character.isdigit() for character in value)
    letters = sum(character.isalpha() for character in value)
    if digits == 0 or (letters == 0 and len(value) < 15):
        return False
    if "." in value and digits * 8 < len(value):
        return False  # a host name, a file or a package with a version
    if "..." in text[start : min(end, start + JUDGED_CHARS)]:
        return False  # cut off: not the whole of anything
    parts = _PART.split(value)
    if len(parts) > 1 and all(map(_word_or_number, parts)):
        return False  # words and numbers with signs between them: a name with a version
    if _NAMES_SOMETHING_ELSE.search(text, max(start - NAME_CHARS, 0), start):
        return False
    return entropy_bits(value) >= (2.6 if len(value) < 16 or letters == 0 else 2.9)


_PART = re.compile(r"[-_.:/+~=@]")
_PLAIN_PART_CHARS_MAX = 4


def _word_or_number(part: str) -> bool:
    """A stretch that somebody may have written: a word, a number, a short mixture."""
    if len(part) <= _PLAIN_PART_CHARS_MAX or part.isdigit():
        return True
    return part.isalpha() and case_changes(part) <= 1 + len(part) // 8


def case_changes(text: str) -> int:
    """How often a small letter and a capital stand side by side; often, where it is random."""
    return sum(a.islower() != b.islower() for a, b in pairwise(text) if a.isalpha() and b.isalpha())


# How far before a value its name is read.
NAME_CHARS = 40
# ``credentialsId: 29f63271-...`` names a secret and does not contain it.
_NAMES_SOMETHING_ELSE = re.compile(
    r"(?i)(?:(?:key|credentials?|secret|token)[_-]?ids?|names?|urls?|uri|length|size|types?|path|file|arn|endpoint"
    r"|count|expir\w+|version|hash|checksum|public[_-]?(?:key|token)|bucket[_-]?key|key(?:ing|words?|board|space)|csrf[_-]?token"
    r"|authenticity_token)[\"'`\]]{0,3}\s{0,4}(?::=|=>|[:=|]|value=)\s{0,4}[\"'`<]{0,3}$"
)


def typed_password(text: str, start: int, end: int) -> bool:
    """A value that a person may have chosen: not a word of the language of configuration."""
    if _inside_call(text, end) or (start > 0 and text[start - 1] in "$%{"):
        return False
    value = text[start : min(end, start + JUDGED_CHARS)].rstrip(".,;:!?)")
    if len(value) < 6 or placeholder(value) or value.lower() in _COMMON_PASSWORDS:
        return False
    if "://" in value or value.startswith(("/", "./", "~/", "$")) or value.endswith("="):
        return False
    kinds = sum(
        (
            any(character.islower() for character in value),
            any(character.isupper() for character in value),
            any(character.isdigit() for character in value),
            any(not character.isalnum() and character not in "._-/" for character in value),
        )
    )
    # A plain word behind "password is" is prose ("password is required"); a mixture is not.
    return kinds >= 2 and not _IDENTIFIER_LIKE.fullmatch(value) and len(set(value)) >= 4


def _inside_call(text: str, end: int) -> bool:
    """``token = make_token(...)``: a name of something, not its value."""
    return end < len(text) and text[end] in "(["


def credential(text: str, start: int, end: int) -> bool:
    """What stands where a password goes and is not the word for one."""
    value = text[start:end].lower().strip("[](){}")
    return not placeholder(value) and value not in _FILL_INS and not value.isdigit()


_FILL_INS = frozenset(
    {
        *("password", "passwd", "pass", "token", "secret", "pwd", "user", "pw", "x-oauth-basic"),
        *("test", "guest", "none", "anonymous"),
    }
)


def command_line_credential(text: str, start: int, end: int) -> bool:
    """The same behind ``curl -u``."""
    before = text[max(start - COMMAND_CHARS, 0) : start]
    return _COMMAND.search(before) is not None and credential(text, start, end)


COMMAND_CHARS = 160
_COMMAND = re.compile(r"\b(?:curl|wget|http)\b")


def issued_by(names: str) -> Accept:
    """A value in a format that counts only behind its issuer's name.

    Args:
        names: alternatives of a Python regular expression.
    """
    named = re.compile(f"(?i){names}")

    def accept(text: str, start: int, end: int) -> bool:
        before = text[max(start - COMMAND_CHARS, 0) : start]
        return named.search(before) is not None and issued(text, start, end)

    return accept


def issued(text: str, start: int, end: int) -> bool:
    """A value in a known format that is not the format's own picture, such as ``ghp_xxxx``."""
    if start > 0 and text[start - 1] in "+~":
        return False  # a piece of something longer
    value = text[start : min(end, start + JUDGED_CHARS)]
    body = value[4:] if len(value) > 12 else value
    if _PICTURE.search(value) or entropy_bits(body) < 2.0 or published(value):
        return False
    letters = body.replace("_", "").replace("-", "")
    return not (letters.isalpha() and _words_run_together(letters))


_VOWELS = frozenset("aeiouAEIOU")
_VOWEL_SHARE_MIN = 0.3


def _words_run_together(letters: str) -> bool:
    """``servingCellPriority``: vowels as often as in words, capitals as seldom."""
    vowels = sum(letter in _VOWELS for letter in letters)
    return vowels >= _VOWEL_SHARE_MIN * len(letters) and case_changes(letters) <= len(letters) // 5


_PICTURE = re.compile(
    r"(?i)x{6,}|\*{4,}|0{10,}|([b-wyz])\1{9,}|1234567890|abcdefghij|abc123|(?:123){3}|your[_-]|<|example\b"
    r"|^[a-z.]+(?:-[a-z]+)+$|randomstring"
)
