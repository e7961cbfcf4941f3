"""English wording about protected groups: who is spoken of, and what is said of them.

Every pattern is a pair: a group and a judgement, or a decision and a characteristic. A word about a
group alone is a mention; mentions are only counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

CHARACTERISTICS: Mapping[str, str] = MappingProxyType(
    {
        "gender": (
            r"wom[ae]n|men|females?|males?|girls|boys|ladies|mothers|moms|housewi(?:fe|ves)|"
            r"trans(?:gender)? (?:people|wom[ae]n|m[ae]n|persons?)"
        ),
        "race": (
            r"(?:black|white|brown|asian|african[- ]american|latino|hispanic|arab|indigenous|native"
            r"|roma) (?:people|persons?|wom[ae]n|m[ae]n|folks|candidates?|applicants?|employees?)|"
            r"blacks|whites|asians|latin[oa]s|hispanics|africans|arabs|gypsies|people of colou?r"
        ),
        "religion": (
            r"muslims?|christians?|jews|jewish people|hindus?|buddhists?|sikhs?|atheists?|"
            r"catholics?|protestants?|mormons?"
        ),
        "age": (
            r"(?:old|older|elderly|young|younger|middle-aged) (?:people|persons?|workers?|"
            r"employees?|candidates?|applicants?|wom[ae]n|m[ae]n)|the elderly|seniors|pensioners|"
            r"millennials|boomers|people (?:over|under) \d\d"
        ),
        "disability": (
            r"(?:disabled|handicapped|autistic|deaf|blind) (?:people|persons?|workers?|employees?|"
            r"candidates?|applicants?)|the (?:disabled|handicapped|deaf|blind)|wheelchair users?|"
            r"people (?:with|who have) (?:a )?(?:disabilit(?:y|ies)|autism|adhd|depression)"
        ),
        "orientation": (
            r"gay (?:people|persons?|m[ae]n)|gays|lesbians?|homosexuals?|bisexuals?|queer people"
        ),
        "nationality": (
            r"(?:im)?migrants?|foreigners?|refugees?|asylum seekers?|mexicans?|chinese people|"
            r"indians|poles|romanians|turks|nigerians|russians|americans|non-native speakers?"
        ),
        "family": r"pregnant (?:women|candidates?|employees?)|single (?:mothers|moms|parents)|"
        r"(?:women|candidates?) with (?:small |young )?children",
    }
)

# What a decision must not rest on, by characteristic.
GROUNDS: Mapping[str, str] = MappingProxyType(
    {
        "gender": r"gender|sex",
        "race": r"race|skin colou?r|ethnicit(?:y|ies)|ethnic (?:origin|background)",
        "religion": r"religio(?:n|us beliefs?)|faith|headscarf|hijab",
        "age": r"age|date of birth",
        "disability": r"disabilit(?:y|ies)|handicap|wheelchair|mental illness|medical history",
        "orientation": r"sexual(?:ity| orientation)|same-sex (?:partner|marriage)",
        "nationality": r"nationalit(?:y|ies)|national origin|accent|immigration status|"
        r"foreign name|country of origin",
        "family": r"pregnanc(?:y|ies)|marital status|family (?:status|plans?)|maternity leave",
    }
)

_GAP = r"\W{1,3}(?:[\w'’-]{1,20}\W{1,3}){0,3}?"
_WIDE = r"\W{1,3}(?:[\w'’-]{1,20}\W{1,3}){0,8}?"
_TRAIT = (
    r"(?:lazy|stupid|dumb|inferior|superior|dangerous|criminals?|violent|aggressive|untrustworthy|"
    r"dishonest|liars?|thieves|terrorists?|greedy|dirty|filthy|disgusting|incompetent|unreliable|"
    r"irrational|hysterical|emotional|weak|useless|unproductive|slow|a burden|unqualified|"
    r"uneducated|backward|savages?|parasites?|animals|vermin|subhuman|evil|sick|"
    r"(?:less|not) (?:intelligent|capable|competent|reliable|suited|suitable|smart|able|rational|"
    r"productive|committed|trustworthy|fit)|(?:worse|bad) (?:at|leaders|drivers)|"
    r"unfit|unable|incapable)"
)
_ALWAYS = (
    r"(?:cannot|can'?t|can not|should(?: not|n'?t)|must not|do(?: not|n'?t)|never|always|tend to|"
    r"only want|just want|belong|lack|deserve)"
)
_REFUSE = (
    r"(?:reject(?:ed|ing)?|den(?:y|ied|ying)|declin(?:e|ed|ing)|refus(?:e|ed|ing)|exclud(?:e|ed|ing)|"
    r"avoid(?:ed|ing)?|not (?:hire|hiring|recommend|recommended|select|selected|promote|promoted|"
    r"approve|approved|suitable|a good fit|invite|invited|qualify)|less suitable|unsuitable|"
    r"lower(?:ed)? (?:the )?(?:score|rating|offer|salary|limit)|higher (?:risk|premium|rate)|"
    r"too (?:risky|expensive)|(?:won'?t|will not) (?:hire|fit|be able))"
)
_BECAUSE = (
    r"(?:because of|due to|based on|on account of|on the basis of|given|owing to|for reasons of)"
)
_WHOSE = r"(?:(?:his|her|their|your|the|its|(?:the )?(?:applicant|candidate|customer|tenant)'?s) )?"
_PREGNANT = r"(?:get|become|be) pregnant"
_ABLE = (
    r"(?:be|do|work|handle|lead|drive|vote|think|understand|learn|cope|hold|run|manage|teach|fly)"
)
_APPLY = r"(?:(?:need|should|may|can) apply|preferred|wanted)"
_POST = r"(?:role|job|position|post|work|team|training)\b"
_HIRE = (
    r"hir(?:e|ing)|employ(?:ing)?|promot(?:e|ing)|rent(?:ing)? to|lend(?:ing)? to|approv(?:e|ing)"
)


class Wording(NamedTuple):
    """One pattern.

    Attributes:
        name: what it is, such as ``trait``.
        score: how surely its matches are biased, from looking at examples.
    """

    name: str
    characteristic: str
    regex: str
    score: float


# Written once for all groups; GROUP and GROUND stand for the lists above.
_PATTERNS = (
    ("trait", rf"\b(?:GROUP)\b{_GAP}(?:are|is|were|being|seem|look){_GAP}{_TRAIT}\b", 0.95),
    ("trait", rf"\b(?:GROUP) (?:are|is|were|seem) {_TRAIT}\b", 0.95),
    ("rule", rf"\b(?:all|most|typical|those|these|the) (?:GROUP) {_ALWAYS}\b", 0.9),
    ("rule", r"\b(?:GROUP) (?:belong|just|simply|only|naturally|never|always) \w+", 0.85),
    ("rule", rf"\b(?:GROUP) (?:can ?not|can'?t|should ?n[o']t) {_ABLE}\b", 0.9),
    ("decision", rf"\b{_REFUSE}\b{_WIDE}{_BECAUSE} {_WHOSE}(?:GROUND)\b", 0.95),
    ("decision", rf"\b{_BECAUSE} {_WHOSE}(?:GROUND)\b{_WIDE}{_REFUSE}\b", 0.95),
    ("decision", rf"\b(?:{_HIRE}) (?:no|fewer|less) (?:GROUP)\b", 0.95),
    ("decision", rf"\b(?:do not|don'?t|never|avoid|stop) (?:{_HIRE}) (?:any )?(?:GROUP)\b", 0.95),
    ("preference", rf"\b(?:only|no) (?:GROUP) {_APPLY}\b", 0.9),
    ("preference", r"\b(?:prefer|preferably|we want|looking for) (?:only )?(?:GROUP)\b", 0.85),
    (
        "backhanded",
        r"\b(?:surprisingly|remarkably|unusually) \w{3,20} for (?:an? )?(?:GROUP)\b",
        0.85,
    ),
)
_OWN_PATTERNS: Mapping[str, tuple[tuple[str, str, float], ...]] = MappingProxyType(
    {
        "age": (
            ("decision", r"\btoo (?:old|young) for (?:this|the|our|a) (?:\w+ )?" + _POST, 0.9),
            ("preference", r"\b(?:a )?young and dynamic (?:team|candidate|applicant)", 0.85),
        ),
        "gender": (
            ("rule", r"\b(?:wom[ae]n|man|girl)'?s (?:job|place|work) (?:is|to)\b", 0.9),
            ("rule", r"\blike a girl\b|\bman up\b", 0.85),
        ),
        "nationality": (("rule", r"\bgo back to (?:your|their|his|her) (?:own )?country\b", 0.95),),
        "family": (
            (
                "decision",
                rf"\b(?:she|her|candidate)\b{_WIDE}(?:might|may|will) (?:soon )?{_PREGNANT}\b",
                0.95,
            ),
        ),
    }
)


def wordings(characteristic: str) -> list[Wording]:
    """The patterns about one characteristic, in RE2's syntax."""
    group, ground = CHARACTERISTICS[characteristic], GROUNDS[characteristic]
    return [
        Wording(
            name, characteristic, regex.replace("GROUP", group).replace("GROUND", ground), score
        )
        for name, regex, score in (*_PATTERNS, *_OWN_PATTERNS.get(characteristic, ()))
    ]


def anchor(characteristic: str) -> str:
    """An expression that is in every text in which a pattern of this characteristic can match."""
    own = {
        "age": r"|too (?:old|young)|young and dynamic",
        "gender": r"|man's|girl's|womans|mans|girls|like a girl|man up",
        "nationality": "|go back to",
        "family": "|pregnant",
    }
    group, ground = CHARACTERISTICS[characteristic], GROUNDS[characteristic]
    return rf"\b(?:{group}|{ground}{own.get(characteristic, '')})\b"


# Where such wording is spoken of rather than used. Looked for shortly before a match.
SPOKEN_OF = (
    r"stereotyp|discriminat|prejudic|\bbias|\bmyth\b|misconception|not true|untrue|false|wrong|"
    r"unfair|illegal|unlawful|prohibit|forbid|offensive|racis|sexis|must not|should not|cannot|"
    r"can'?t|never|avoid|claim|believe[ds]? that|do not|don'?t|no evidence|regardless|whether|if\b"
)
