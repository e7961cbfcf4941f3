# ruff: noqa: E501  # an expression cut into lines is harder to read than a long one
"""Words and phrases by category.

A list of words says nothing about intent, so most entries are a wish and its object together:
"how to make a bomb", not "bomb".
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# Wishes: what somebody says who wants to do it.
_HOW = (
    r"(?:how (?:to|do i|can i|would i|could i|should i|does one)|(?:best|easiest|safest) ways? (?:to|of)|ways to|teach me (?:how )?to"
    r"|show me how to|tell me how to|help me(?: to)?|explain how to|(?:instructions?|steps?|guide|tutorial|plan|recipe|manual)"
    r"(?: on| for| to)?(?: how)?(?: to)?|i (?:want|need|am going|plan) to|i.m going to|script (?:that|to|for)|develop|create|write)"
)
_GAP = r"(?: [a-z'-]{1,15}){0,4} "
WISH = f"{_HOW}{_GAP}"
_PERSON = (
    r"(?:someone|somebody|some one|a person|people|a human|humans|a man|a woman|a child|children|kids|my (?:wife|husband|boss|ex"
    r"|girlfriend|boyfriend|neighbou?r|mother|father|parents|teacher|classmates?|coworkers?)|him|her|them|an? (?:police )?officer"
    r"|a politician|the president|civilians|animals)"
)
_GROUPS = (
    r"(?:jews|muslims|christians|blacks|black people|whites|white people|asians|immigrants|refugees|gays|gay people|lesbians"
    r"|trans(?:gender)? people|women|mexicans|arabs|gypsies|roma|disabled people|indians|foreigners)"
)

GENERAL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "violence": (
            rf"{_HOW}{_GAP}(?:kill|murder|poison|torture|kidnap|abduct|assassinate|strangle|stab|behead|maim|harm|hurt|attack) {_PERSON}\b",
            rf"{_HOW}{_GAP}(?:get away with murder|dispose of a (?:dead )?body|hide a (?:dead )?body|hire a hitman)\b",
            r"\b(?:mass shooting|school shooting|terror(?:ist)? attack)(?: [a-z'-]{1,15}){0,6} (?:plan|step|instructions|guide|carry out|commit)",
            rf"{_HOW}{_GAP}(?:mass shooting|school shooting|terror(?:ist)? attack|bomb threat|arson|massacre)\b",
        ),
        "weapons": (
            (
                rf"{_HOW}{_GAP}(?:pipe bomb|dirty bomb|nail bomb|bomb|explosives?|molotov(?: cocktail)?|grenade|napalm|thermite|silencer|ghost gun"
                r"|untraceable (?:gun|firearm)|nerve agent|sarin|ricin|mustard gas|anthrax|chemical weapons?|biological weapons?|bioweapon|nuclear weapon|improvised explosive)\b"
            ),
        ),
        "self_harm": (
            rf"{_HOW}{_GAP}(?:kill myself|end my life|hang myself|cut myself|harm myself|hurt myself|commit suicide|self[- ]harm|overdose on)\b",
            r"\b(?:kill yourself|go die|you should (?:just )?(?:die|kill yourself)|end your life)\b",
            r"\b(?:pro[- ]?ana|thinspo|painless(?: ways?)? to die)\b",
        ),
        "hate": (
            rf"\b(?:kill|exterminate|gas|deport|hang|shoot|eradicate|get rid of) (?:all |every |those |the ){{0,2}}{_GROUPS}\b",
            rf"\b{_GROUPS} (?:are|should be) (?:all |just |nothing but )?(?:vermin|subhuman|inferior|animals|parasites|rats|cockroaches|filth|exterminated|scum|stupid|evil|lazy)\b",
            rf"{_HOW}{_GAP}(?:racist|hate speech|antisemitic|neo-?nazi|white supremac\w{{1,3}}) (?:propaganda|manifesto|joke|jokes|post|content|campaign)\b",
            r"\b(?:heil hitler|white power|gas the jews|ethnic cleansing (?:of|against|is))\b",
        ),
        "sexual": (
            r"\b(?:explicit|graphic|hardcore|erotic|pornographic) (?:sex(?:ual)?|sex scene|story|porn|content|erotica|fan ?fiction|roleplay)\b",
            r"\b(?:write|create|generate)(?: [a-z'-]{1,15}){0,5} (?:porn|erotica|smut|nsfw)\b",
        ),
        "child_safety": (
            r"\b(?:child|minor|underage|preteen|teen)(?: [a-z'-]{1,12}){0,2} (?:porn(?:ography)?|erotica|nudes?|sexual(?:ly)?)\b",
            r"\b(?:groom|seduce|molest|sexually abuse) (?:an? |the |my ){0,2}(?:child|children|minors?|kids?|underage)\b",
            r"\b(?:csam|child sexual abuse)\b",
        ),
        "illegal_drugs": (
            (
                rf"{_HOW}{_GAP}(?:make|cook|synthesi[sz]e|manufacture|produce|extract|grow|smuggle|distribute|sell|buy)(?: [a-z'-]{{1,12}}){{0,3}} "
                r"(?:meth(?:amphetamine)?|crystal meth|cocaine|heroin|fentanyl|lsd|mdma|ecstasy|ghb|illegal drugs|crack|dmt)\b"
            ),
        ),
        "cybercrime": (
            rf"{_HOW}{_GAP}(?:malware|ransomware|a virus|computer virus|keylogger|trojan|rootkit|botnet|ddos|phishing (?:email|page|site|campaign|attack)|zero[- ]day exploit|sql injection attack)\b",
            rf"{_HOW}{_GAP}(?:hack|break|crack) (?:into )?(?:an? |the |someone'?s? |somebody'?s? |my ){{0,2}}(?:[a-z]{{1,12}} ){{0,2}}(?:account|computer|phone|wi-?fi|network|database|server|email|webcam|bank|system|systems|facebook|instagram)\b",
        ),
        "fraud": (
            rf"{_HOW}{_GAP}(?:credit card fraud|identity theft|tax evasion|evade taxes|launder money|money laundering|counterfeit (?:money|bills|currency)|fake ids?|forge (?:a )?(?:passport|signature|documents?|checks?)|ponzi scheme|insider trading|shoplift|steal (?:a |an |someone'?s? )?(?:identity|car|credit card|credit cards|money|identities)|insurance fraud|blackmail|extort)\b",
        ),
    }
)

# Looked for where the industry or ``block_if`` names them.
FURTHER: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "critical_infrastructure": (
            rf"{_HOW}{_GAP}(?:power grid|power plant|water supply|water treatment|scada|plc|substation|pipeline|nuclear (?:plant|reactor)|dam|railway signal|air traffic control|cell tower)\b",
            r"\b(?:disable|bypass|override|defeat|sabotage|disrupt|shut down|attack) (?:the |an? |all ){0,2}(?:[a-z-]{1,15} ){0,2}(?:safety (?:interlock|instrumented system|system|relay|valve)|interlocks?|emergency (?:stop|shutdown)|scada|plc|power grid|alarm system|pressure relief|water supply)\b",
        ),
        "automotive": (
            r"\b(?:disable|bypass|override|defeat|remove|cut|hack|turn off) (?:the |my |an? |someone'?s |all ){0,2}(?:[a-z-]{1,15} ){0,2}(?:airbags?|abs|brakes?|brake lines?|speed limiter|seat ?belt (?:alarm|sensor)|driver monitoring|lane (?:assist|keeping)|immobili[sz]er|collision (?:warning|avoidance)|emission controls?|catalytic converter|dpf|can bus)\b",
            rf"{_HOW}{_GAP}(?:roll back|rollback|tamper with) (?:the |an? ){{0,2}}odometer\b",
        ),
        "education": (
            r"\b(?:write|do|complete|finish) my (?:[a-z]{1,12} ){0,2}(?:essay|homework|assignment|exam|thesis|dissertation|coursework|term paper) for me\b",
            rf"{_HOW}{_GAP}(?:cheat on|cheat in|plagiari[sz]e|fake a (?:sick|doctor'?s?) note|bully|hack (?:the )?school|change my grades?)\b",
            r"\b(?:answers?|answer key) (?:to|for) (?:the |my |tomorrow'?s )(?:[a-z]{1,12} ){0,2}(?:exam|test|quiz|final)\b",
        ),
        "law_enforcement": (
            rf"{_HOW}{_GAP}(?:tamper with|plant|destroy|fabricate|alter) (?:the )?evidence\b",
            r"\b(?:identity|name|address|location) of (?:the |an? |our )?(?:confidential informant|informant|undercover (?:officer|agent)|protected witness|witness)\b",
            rf"{_HOW}{_GAP}(?:evade (?:the )?police|police checkpoint|fool a polygraph|beat a (?:polygraph|drug test|breathaly[sz]er)|escape (?:from )?(?:custody|prison|handcuffs))\b",
        ),
        "profanity": (
            r"\b(?:fuck(?:ing|ed|er|ers)?|mother ?fucker|shit(?:ty|head)?|bullshit|asshole|bitch(?:es)?|bastard|cunt|dickhead|wanker|twat)\b",
        ),
        "harassment": (
            r"\b(?:you are|you.re|ur) (?:an? |such an? |so )?(?:worthless|pathetic|disgusting|idiot|moron|stupid|ugly|loser|retard(?:ed)?|piece of shit)\b",
            r"\b(?:i will|i.ll|i.m going to|gonna) (?:find|kill|hurt|rape|destroy|beat) (?:you|your family)\b",
        ),
    }
)

INDUSTRY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "general": (),
        "critical_infrastructure": ("critical_infrastructure",),
        "automotive": ("automotive",),
        "education": ("education", "profanity", "harassment"),
        "law_enforcement": ("law_enforcement",),
    }
)

CATEGORIES: Mapping[str, tuple[str, ...]] = MappingProxyType({**GENERAL, **FURTHER})
