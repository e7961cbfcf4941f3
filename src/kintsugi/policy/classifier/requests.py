"""Requests that stand in a tool's result, and whether they belong there.

A recipe, a runbook and a mail are full of requests, and none of them is an attack. A planted one
differs in how it stands: alone among sentences that ask for nothing, at the end of a value, about
something that the rest of the text does not mention, with an address or an amount to act upon.
None of that is in a window of words, so the classifier cannot learn it; here it is read off the
text, a few dozen features for every sentence that asks for something, and a linear model weighs
them (``second_look.py``).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kintsugi.policy.classifier.acts import ACT_OF, MENTIONS, TARGETS


def _words(listing: str) -> frozenset[str]:
    return frozenset(listing.split())


# Where a sentence ends, and another may begin: also inside a JSON value, a cell, a comment.
_SPLIT = str.maketrans(dict.fromkeys('.!?;:…。\r\t"`<>|[](){}*#•–—', "\n"))
# The same number of characters, so that places stay what they are.
_BREAKS = (("\\n", " \n"), (" - ", " \n "), (", please ", "\n please "), (" //", "\n  "))
_END = re.compile(r"[.!?](?:[\"')\]]*(?:\s|$|\\n))|\n\s*\n|\n[ \t]*[-*#|]|\\n|\"\s*[,}\]]|<")
_SENTENCE_CHARS_MAX = 400
_REQUESTS_MAX = 24
_QUESTIONS_MAX = 6
_TEXT_CHARS_MAX = 20_000
_WORDS_AHEAD = 16
# A text as short as this that begins with a request is a message, not content with one in it.
_MESSAGE_CHARS_MAX = 400
# Nor is there content that a request could be foreign to with less than this around it.
_CONTENT_CHARS_MIN = 60

# What may stand before the verb.
_SOFT = frozenset({"please", "kindly", "pls"})
_LINKS = _words(
    "also now then next additionally just and first immediately finally oh btw instead"
    " furthermore moreover afterwards meanwhile lastly simply always quickly hey hi hello note"
    " ps important reminder urgent update request task todo action attention so hence"
    " therefore second"
)
_ASKING = frozenset({"can", "could", "would", "will"})
_CLAUSES = frozenset(
    {"before", "prior", "when", "whenever", "after", "once", "to", "in", "if", "for"}
)
_NEGATIONS = frozenset({"don't", "never"})
_QUESTION_WORDS = frozenset({"what", "which", "who", "how", "where", "when", "why"})
_OPENERS = frozenset(
    {*ACT_OF, *_SOFT, *_LINKS, *_ASKING, *_CLAUSES, *_NEGATIONS, "you", "i", "we", "make", "be"}
    | {"remember", "do", "it", "as"}
)
_DETERMINERS = _words(
    "the a an my your this that these those all any every each our his her its their it them"
    " me him us some both one two three ten another anything everything everyone"
)
_NOT_A_VERB = _words(
    "of is are was were and or has have had by from for as can will may must should would"
    " could be been than which who not to"
)
_NOT_AFTER_A_VERB = _NOT_A_VERB - _words("and or by from for as to")
_COMMON = _words(
    "that this with from have will your about their there which would could should please"
    " into been were they them then than when what where also some such only more most other"
    " very just each over make made like does done using used after before must need want"
)
_CONTENT = re.compile(r"[a-z]{4,}")
_PROCEDURES = frozenset(
    {
        "proced",
        "policy",
        "eligib",
        "guidel",
        "requir",
        "agents",
        "repres",
        "employ",
        "suppor",
    }
)
_PROGRAM = re.compile(
    r"(?m:^[ \t]*(?:def |class |import |from \w+ import|return\b|public |private |const |let |var "
    r"|#include|function |if \(|for \(|package |using |select ))"
)
_ITEM = re.compile(r"(?:^|\n|\\n)[ \t]*(?:[-*•]|\d{1,2}[.)]|step \d+:?)[ \t*]*$")
_COMMENT = re.compile(r"(?:#|//|/\*|<!--|--|;)[^\n]*$")
_VALUE_ENDS = re.compile(r"[\"'\s]*(?:[,}\]|]|<|$)")
_COMMAND = re.compile(
    r"[\s`'\"a-z:#/*]{0,20}?(?:```|`|\n[ #/]*)(?:bash|sh|shell|console)?[\s`#$]*(?:python3? -[cm]"
    r"|pip3? install|npm |cat |echo |curl |wget |env\b|export |mkdir |sudo |source |head |printenv)"
)
_BEFORE_CHARS = 120
_STEM_CHARS = 6
_WORDS_ENOUGH = 6


class Request(NamedTuple):
    """A sentence that asks for something, with what is true of it.

    Attributes:
        start, end: its characters.
        features: by name; a feature that is not in here is 0.
    """

    start: int
    end: int
    features: dict[str, float]


class _Spot(NamedTuple):
    """Where somebody asks for something.

    Attributes:
        act: the class of its verb; ``question`` for a question.
        leads: what stands before the verb.
        then: the word behind it.
    """

    start: int
    end: int
    act: str
    leads: frozenset[str]
    then: str


class _Text:
    """A text in lower case, with what is true of all of it."""

    def __init__(self, lowered: str, spots: Sequence[_Spot]) -> None:
        self.lowered = lowered
        stems = [word[:_STEM_CHARS] for word in _CONTENT.findall(lowered) if word not in _COMMON]
        self.stems = Counter(stems)
        self.known = min(len(self.stems) / 60, 1.0)
        once = sum([count == 1 for count in self.stems.values()])
        self.once = once / max(len(self.stems), 1)
        requests_count = max(sum(spot.act != "question" for spot in spots), 1)
        sentences = lowered.count(". ") + lowered.count("\n") + lowered.count("\\n") + 1
        self.features = {
            "requests_log": math.log(requests_count),
            "requests_share": min(requests_count / sentences, 1.0),
            "questions_log": math.log(max(lowered.count("?"), 1)),
            "alone": float(requests_count == 1),
            "few": float(2 <= requests_count <= 3),
            "known": self.known,
        }
        self.features.update((f"in_{kind}", 1.0) for kind in self._kinds())

    def _kinds(self) -> Iterator[str]:
        lowered = self.lowered
        if lowered.lstrip()[:1] in ("{", "["):
            yield "json"
        if '"parameters"' in lowered or '"properties"' in lowered or '"inputschema"' in lowered:
            yield "schema"
        if _PROGRAM.search(lowered):
            yield "program"
        if "subject:" in lowered or "regards" in lowered or "sincerely" in lowered:
            yield "letter"
        if "**" in lowered or "\n- " in lowered or "\n#" in lowered or "\n* " in lowered:
            yield "markup"
        if "\n2." in lowered or "\n2)" in lowered or "step 2" in lowered or "\n1." in lowered:
            yield "numbered"
        if "</" in lowered:
            yield "web"
        if lowered.count("|") > 2 or lowered.count("\t") > 1:
            yield "table"
        if not _PROCEDURES.isdisjoint(self.stems):
            yield "procedure"


def requests(text: str) -> list[Request]:
    """The sentences of a text that ask for something, in order."""
    lowered = text[:_TEXT_CHARS_MAX].lower()
    if len(lowered) != min(len(text), _TEXT_CHARS_MAX):  # a capital became two small letters
        return []
    spots = list(_spots(lowered))
    if not spots:
        return []
    whole = _Text(lowered, spots)
    found = [_request(whole, spot) for spot in spots]
    if len(lowered) < _MESSAGE_CHARS_MAX:
        found = [
            one
            for one in found
            if not one.features.get("first")
            and len(lowered) - (one.end - one.start) >= _CONTENT_CHARS_MIN
        ]
    for name in ("polite", "targeted", "mentions_answering"):
        having = [one for one in found if one.features.get(name)]
        if len(having) == 1 and len(found) > 1:
            having[0].features[f"only_{name}"] = 1.0
    return found


def _spots(lowered: str) -> Iterator[_Spot]:
    broken = lowered
    for mark, space in _BREAKS:
        broken = broken.replace(mark, space)
    place = count = questions = 0
    for piece in broken.translate(_SPLIT).split("\n"):
        start, place = place, place + len(piece) + 1
        said = piece.lstrip(" '-/>%")
        first = said[:20].partition(" ")[0].rstrip(",")
        if first not in _OPENERS and first not in _QUESTION_WORDS:
            continue
        start += len(piece) - len(said)
        if first in _QUESTION_WORDS and lowered[place - 1 : place] == "?":
            if len(said) > 12 and questions < _QUESTIONS_MAX:
                questions += 1
                yield _Spot(start, place, "question", frozenset(), "")
            continue
        words = said[: _SENTENCE_CHARS_MAX // 2].split(None, _WORDS_AHEAD)[:_WORDS_AHEAD]
        leads, at = _leads(words)
        if at + 1 >= len(words):
            continue
        verb, then = words[at].strip("\"'_,"), words[at + 1]
        act = ACT_OF.get(verb, "")
        if not act and ("polite" not in leads or not verb.isalpha()):
            continue
        if verb in _NOT_A_VERB or then.strip(",") in _NOT_AFTER_A_VERB or then[0] in "=/":
            continue
        found = _END.search(lowered, start + len(verb), start + _SENTENCE_CHARS_MAX)
        end = found.start() + 1 if found else min(start + _SENTENCE_CHARS_MAX, len(lowered))
        yield _Spot(start, end, act or "other", leads, then.strip(",\"'"))
        count += 1
        if count >= _REQUESTS_MAX:
            break


def _leads(words: Sequence[str]) -> tuple[frozenset[str], int]:
    """What stands before the verb, and which word the verb would be."""
    leads: set[str] = set()
    at = 0
    while at < len(words) - 1 and len(leads) < 5:
        word, then = words[at].strip(",-_'\""), words[at + 1]
        if word in _SOFT:
            leads |= {"soft", "polite"}
            at += 1
        elif word in _ASKING and then in ("you", "u"):
            leads |= {"ask", "polite"}
            at += 2
        elif word == "you" and then in ("must", "should", "shall", "need", "have", "are", "ought"):
            to = at + 2 < len(words) and words[at + 2] in ("to", "required")
            if then not in ("must", "should", "shall") and not to:
                break
            leads |= {"must", "polite"}
            at += 3 if to else 2
        elif word in ("i", "we", "i'd") and "you" in words[at + 1 : at + 5]:
            at = words.index("you", at) + 1
            if words[at : at + 1] != ["to"]:
                break
            leads |= {"ask", "polite"}
            at += 1
        elif word in ("make", "be") and then == "sure":
            at += 3 if words[at + 2 : at + 3] in (["to"], ["you"]) else 2
            leads |= {"must", "polite"}
        elif word == "remember" and then == "to":
            leads |= {"must", "polite"}
            at += 2
        elif word in _NEGATIONS or (word == "do" and then == "not"):
            at += 1 + (word == "do")
            if words[at : at + 2] in (["forget", "to"], ["fail", "to"]):
                leads |= {"must", "polite"}
                at += 2
            else:
                leads.add("not")
        elif word in _CLAUSES and not leads & {"clause"}:
            ends = [n for n, one in enumerate(words[at : at + 12], at) if one.endswith(",")]
            if not ends:
                break
            leads.add("clause")
            at = ends[0] + 1
        elif word in _LINKS and word not in leads:
            if word in ACT_OF and then in _DETERMINERS:
                break
            leads.add("link")
            at += 1
        else:
            break
    return frozenset(leads), at


def _request(text: _Text, spot: _Spot) -> Request:
    lowered, start, end = text.lowered, spot.start, spot.end
    said = lowered[start:end]
    features = dict(text.features)
    features[f"act_{spot.act}"] = 1.0
    place = _place(text, start, end)
    if spot.act == "question":
        features["first"] = place["first"]
        features.update((f"question_{name}", value) for name, value in place.items())
        return Request(start, end, features)
    features.update(place)
    features.update(("polite" if lead == "polite" else f"lead_{lead}", 1.0) for lead in spot.leads)
    features["determiner"] = float(spot.then in _DETERMINERS)
    targets = [name for name, pattern in TARGETS.items() if pattern.search(said)]
    features.update((f"target_{name}", 1.0) for name in targets)
    features.update(
        (f"mentions_{name}", 1.0) for name, pattern in MENTIONS.items() if pattern.search(said)
    )
    if "mentions_yours" in features and "mentions_answering" not in features:
        features["mentions_yours_only"] = 1.0
    if _COMMAND.match(lowered, end - 1):
        features["command_next"] = 1.0
        if TARGETS["secret"].search(lowered, end, end + 200):
            features["secret_next"] = 1.0
    if features["first"] and "polite" in features:
        features["first_polite"] = 1.0
    # Together they say more than each: a request by itself, about something new, with a target.
    if targets:
        features["targeted"] = 1.0
        features["targeted_fresh"] = features["fresh"]
    if features["alone"]:
        features["alone_fresh"] = features["fresh"]
        features["alone_last"] = features["last"]
        if "polite" in features:
            features["alone_polite"] = 1.0
    return Request(start, end, features)


def _place(text: _Text, start: int, end: int) -> dict[str, float]:
    """How a sentence stands in its text, and how little it shares with it."""
    lowered = text.lowered
    own = Counter(
        [
            word[:_STEM_CHARS]
            for word in _CONTENT.findall(lowered, start, end)
            if word not in _COMMON
        ]
    )
    fresh = sum([text.stems[stem] <= count for stem, count in own.items()])
    share = fresh / len(own) if own else 0.5
    before = lowered[max(start - _BEFORE_CHARS, 0) : start]
    stripped = before.rstrip(" \t")
    first = not before.strip(" \t\n\"'{[(<>#*-")
    last = not lowered[end : end + 40].strip(" \t\n\"'}])>.`*-/\\")
    return {
        "fresh": share,
        "fresher": share - text.once,
        "fresh_known": share * text.known,
        "words": min(len(own), _WORDS_ENOUGH) / _WORDS_ENOUGH,
        "first": float(first),
        "last": float(last),
        "value_start": float(before.endswith(('": "', '":"', "': '"))),
        "value_end": float(_VALUE_ENDS.match(lowered, end - 1) is not None),
        "item": float(_ITEM.search(before) is not None),
        "comment": float(_COMMENT.search(before) is not None),
        "new_line": float(stripped.rstrip("#>*-").endswith(("\n", "\\n"))),
        "blank_before": float(before.endswith(("\n\n", "\\n\\n"))),
        "after_sentence": float(stripped.endswith((".", "!", "?", ";"))),
    }
