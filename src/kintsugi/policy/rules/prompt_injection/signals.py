"""The wording of attacks: what people write who want a model to leave its instructions.

A signal alone is rarely an attack; its weight says how often it is one. A text is judged by the
weights of the distinct signals in it, see ``rule.py``. Weights were set by hand on half of the
development data's sources and checked on the others; ``benchmarks/detectors.py`` prints figures.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Family = Literal["override", "jailbreak", "extraction", "boundary", "delimiter", "other"]


class Signal(NamedTuple):
    """One wording.

    Attributes:
        weight: 0 to 1; how sure an attack is when nothing else is known.
        needs: see ``Pattern.needs``.
    """

    name: str
    family: Family
    weight: float
    regex: str
    needs: str = ""


def _any(words: str) -> str:
    """Alternatives, written one after the other with ``|`` and line breaks between them."""
    return "(?:" + "|".join(word.strip() for word in words.split("|")) + ")"


# To drop instructions is hardly ever said of anything else with these ...
_IGNORE = _any(
    r"ignor(?:e|es|ing) | disregard(?:ing)? | forget(?:ting)? | overrid(?:e|ing) | bypass(?:ing)?"
    r"| discard(?:ing)? | neglect | abandon | overlook | dismiss | nullify | unlearn | disobey | violate"
    r"| (?:set|put|leave|lay|cast) aside | throw (?:away|out) | (?:stop|quit|cease) (?:following|obeying)"
    r"| (?:do not|don.?t|never|no longer|not) (?:follow|obey|adhere to|comply with|listen to)"
    r"| pay no attention to | (?:break|get) (?:free|out|away) (?:of|from) | do away with"
)
# ... and every day with these.
_REMOVE = _any(
    r"erase | delete | drop | skip | cancel | clear | reset | suspend | break | wipe | void | remove"
)
_RULES = _any(
    r"instructions? | prompts? | rules? | guidelines? | guidances? | directives? | directions?"
    r"| commands? | orders? | constraints? | restrictions? | limitations? | policy | policies"
    r"| programming | training | protocols? | safeguards? | guardrails? | system message | principles"
    r"| ethics | moral(?:s|ity)? | boundaries"
)
_CONTENT = _any(
    r"messages? | context | conversations? | persona | settings? | texts? | tasks? | inputs?"
    r"| configuration | filters? | chats? | requests? | questions? | content"
)
_EARLIER = _any(
    r"previous(?:ly)? | prior | preceding | above | earlier | former | foregoing | past | initial"
    r"| original | preset | pre-?set | hidden | developer | openai(?:.s)?"
)
_STANDING = _any(
    r"existing | current | old | first | system | built-?in | default | internal | safety | ethical"
    r"| moral | usual | normal | security"
)
_YOURS = _any(
    r"all | any | every | each | your | you.ve been given | the | these | those | of | my | its | other"
    r"| and | following | whatever | everything | own | one"
)

_MODEL = _any(
    r"chat ?gpt | gpt ?-?[345]? | an? (?:ai|a\.i\.|llm|language model|chat ?bot) | claude | gemini"
    r"| bard | the (?:ai|assistant|chat ?bot|model) | assistant | llama | copilot | clyde"
)
_UNBOUND = _any(
    r"unrestricted | unfiltered | uncensored | unlimited | unaligned | unethical | amoral | immoral"
    r"| jail ?broken | limitless | boundless | unbound | uninhibited | lawless | malicious"
)
_LIMITS = _any(
    r"restrictions? | limitations? | limits? | filters? | censorship | guidelines? | rules?"
    r"| guardrails? | constraints? | ethics | morals? | morality | moral(?:s| compass| code)?"
    r"| ethical (?:guidelines|standards|concerns|boundaries|constraints|considerations|rules)"
    r"| boundaries | inhibitions | disclaimers? | warnings? | laws? | content polic(?:y|ies)"
    r"| polic(?:y|ies) | safety (?:rules|filters|guidelines|protocols|measures|features)"
)
_SECRETS = _any(
    r"(?:system|initial|original|hidden|secret|starting|base|internal|developer|pre) ?_?-?prompts?"
    r"| pre-?prompts? | meta-?prompts? | developer message"
    r"| (?:system|hidden|secret|developer) (?:instructions?|messages?|directives?|guidelines?|rules)"
    r"| (?:hidden|secret|internal) configurations? | (?:initial|starting|original) instructions?"
    r"| your (?:\w+ ){0,2}(?:instructions|prompt|directives|guidelines|configuration|programming|rules)"
    r"| (?:instructions|prompt|rules|guidelines|text|words|everything) (?:above|before (?:this|me)|you (?:were|have been|got|received))"
)
_REVEAL = _any(
    r"show | print | reveal | display | output | repeat | tell | expose | disclose | share | leak | dump"
    r"| recite | echo | return | reproduce | divulge | restate | spell out | see | give me | send"
)
_WRITE = _any(
    r"give | list | write | copy | provide | describe | summari[sz]e | translate | encode | type | paste"
    r"| read | quote | recall | put | convert"
)
_FILLERS = (
    r"(?:(?:me|us|out|back|down|verbatim|the|your|all|of|my|this|exact|full|entire|complete|whole|raw|any"
    r"|just|with|every|contents?|text|very|hidden|secret|what|is|are|in|exactly|copy|details|above|from"
    r"|first|\d+|words?|tokens?|lines?|system|configuration|including)[ ,:\n]+){0,9}"
)

# One for all of these, so that the automaton has one gap of any words and not nine.
_IGNORE_THINGS = rf"\b{_IGNORE}\W+(?:\w+\W+){{0,24}}(?:{_RULES}|{_CONTENT})"

_PERSONA = r"\b(?:(?-i:STAN|DUDE|AIM|KEVIN|DevMode|BetterDAN|EvilBOT|ChadGPT|OPPO|M78)|evil[- ]?bot|basedgpt|antigpt|anti-?dan|jailgpt|freegpt|badgpt|mongo tom|evil confidant|fraudgpt|wormgpt|darkgpt|hackgpt)\b"

OVERRIDE = (
    Signal(
        "override_earlier_rules",
        "override",
        0.85,
        rf"\b{_IGNORE}\W+(?:{_YOURS}\W+){{0,7}}{_EARLIER}\W+(?:\w+\W+){{0,3}}{_RULES}\b",
        needs=_IGNORE_THINGS,
    ),
    Signal(
        "override_earlier_content",
        "override",
        0.45,
        rf"\b{_IGNORE}\W+(?:{_YOURS}\W+){{0,7}}{_EARLIER}\W+(?:\w+\W+){{0,2}}{_CONTENT}\b",
        needs=_IGNORE_THINGS,
    ),
    Signal(
        "override_earlier_messages",
        "override",
        0.55,
        r"\b(?:ignore|disregard|forget)\W+(?:(?:all|any|the|your|every|of|these)\W+){0,3}(?:previous|prior|preceding|above|earlier|past)"
        r"\W+(?:\w+\W+(?:and|or)\W+)?(?:messages|conversations?|context|inputs?|prompts?|chats?|text)\b",
        needs=_IGNORE_THINGS,
    ),
    Signal(
        "override_standing_rules",
        "override",
        0.4,
        rf"\b{_IGNORE}\W+(?:{_YOURS}\W+){{0,7}}{_STANDING}\W+(?:\w+\W+){{0,2}}{_RULES}\b",
        needs=_IGNORE_THINGS,
    ),
    Signal(
        "remove_earlier_rules",
        "override",
        0.4,
        rf"\b{_REMOVE}\W+(?:{_YOURS}\W+){{0,7}}(?:{_EARLIER}|{_STANDING})\W+(?:\w+\W+){{0,2}}(?:instructions?|prompts?|guidelines|directives|restrictions|limitations|programming)\b",
        needs=rf"\b{_REMOVE}\W+(?:{_YOURS}\W+){{0,7}}(?:{_EARLIER}|{_STANDING})",
    ),
    Signal(
        "override_rules_above",
        "override",
        0.8,
        rf"\b{_IGNORE}\W+(?:{_YOURS}\W+){{0,7}}{_RULES}\W+(?:that\W|which\W)?"
        r"(?:above|before|(?:you(?:.ve)?|were|have|has|had|been|i|we|they|was)\W+"
        r"(?:\w+\W+){0,3}(?:given|told|received|got|taught|set|provided|trained|had|instructed|programmed))\b",
        needs=_IGNORE_THINGS,
    ),
    Signal(
        "override_what_you_were_told",
        "override",
        0.8,
        rf"\b{_IGNORE}\W+(?:about\W)?(?:all|any|everything|anything|whatever|what)(?:\W+(?:of|that|the|else))?"
        r"\W+(?:you\W+(?:were|have (?:been|learn)|had been|.?ve been|learned|learnt|know|knew|got|think)|(?:i|we|they)\W+(?:told|taught)"
        r"|(?:above|before|prior|previous|from before|that came|stated above|written above))",
        needs=rf"\b{_IGNORE}\W+(?:about\W)?(?:all|any|everything|anything|whatever|what)",
    ),
    Signal(
        "override_your_rules",
        "override",
        0.75,
        rf"\b(?:{_IGNORE}|{_REMOVE})\W+(?:all\W+|any\W+|of\W+|about\W+)*your\W+(?:\w+\W+){{0,2}}{_RULES}\b",
        needs=rf"\b(?:{_IGNORE}|{_REMOVE})\W+(?:all\W+|any\W+|of\W+|about\W+)*your",
    ),
    Signal(
        "override_system_prompt",
        "override",
        0.75,
        rf"\b{_IGNORE}\W+(?:(?:the|any|all|your|this)\W+){{0,2}}(?:safety (?:polic(?:y|ies)|guidelines)|system (?:prompt|message|instructions?)"
        r"|developer (?:message|instructions?|prompt)|content (?:policy|policies|guidelines))",
        needs=_IGNORE_THINGS,
    ),
    Signal(
        "override_all_rules",
        "override",
        0.55,
        r"\b(?:ignore|disregard|forget|override|bypass|(?:do not|don.?t) follow|stop following)\W+(?:all|any|every)\W+(?:of\W+)?(?:the\W+|these\W+)?"
        r"(?:\w+\W+){0,2}(?:instructions?|prompts?|guidelines|directives|restrictions|limitations|constraints|programming|ethics)\b",
        needs=_IGNORE_THINGS,
    ),
    Signal(
        "forget_the_rules",
        "override",
        0.35,
        rf"\b(?:ignore|disregard|forget(?: about)?)\W+(?:the|these|those)\W+{_RULES}\b",
        needs=_IGNORE_THINGS,
    ),
    Signal(
        "rules_do_not_apply",
        "override",
        0.65,
        rf"\b{_RULES}\W+(?:\w+\W+){{0,4}}(?:no longer|don.?t|do not|does not|doesn.?t|shall not|won.?t|will not)\W+"
        r"(?:apply|exist|matter|bind|count)\b",
        needs=r"(?:no longer|don.?t|do not|does not|doesn.?t|shall not|won.?t|will not)\W+(?:apply|exist|matter|bind|count)",
    ),
    Signal(
        "rules_replaced",
        "override",
        0.6,
        rf"\b(?:previous|prior|above|old|earlier|normal|original|usual|openai)\W+(?:\w+\W+){{0,2}}{_RULES}\W+"
        r"(?:are|is|were|was|have been|has been)\W+(?:now\W+)?(?:void|cancell?ed|replaced|superseded|outdated|obsolete|invalid|revoked|suspended|lifted|over|wrong|fake|removed)\b",
        needs=r"\b(?:are|is|were|was|been|now)\W+(?:void|cancell?ed|replaced|superseded|outdated|obsolete|invalid|revoked|suspended|lifted|over|wrong|fake|removed)",
    ),
    Signal(
        "new_instructions",
        "override",
        0.35,
        r"\b(?:new|updated|real|actual|true|urgent|higher[- ]priority)\W+(?:\w+\W+)?(?:instructions?|task|directive|rules?|system prompt|orders?|objective|goal)\W*(?::|->|—|are\b|is\b|follow)",
    ),
    Signal(
        "stop_everything",
        "override",
        0.6,
        r"\bstop everything\b.{0,20}\b(?:now|just|print|say)\b",
        needs=r"\bstop everything",
    ),
    Signal(
        "hijack",
        "override",
        0.5,
        r"\b(?:been so thoroughly hijacked|thoroughly hijacked|begin reprogramming|reprogram(?:med|ming)? (?:you|yourself))",
    ),
    Signal(
        "instead_say",
        "override",
        0.3,
        r"\b(?:instead|then|and|just|only|simply)\W+(?:\w+\W+){0,2}(?:say|print|output|respond|reply|answer|write|return)\W+(?:only\W+|just\W+|with\W+|the (?:word|phrase|text|following)\W+|exactly\W+){0,4}[\"“'‘«]",
        needs=r"\b(?:say|print|output|respond|reply|answer|write|return)\W+(?:only\W+|just\W+|with\W+|the (?:word|phrase|text|following)\W+|exactly\W+){0,4}[\"“'‘«]",
    ),
    Signal(
        "only_the_word",
        "override",
        0.3,
        r"\b(?:say|print|output|respond|reply|answer)\W+(?:to me\W+)?(?:only|just|solely|exclusively)?\W*(?:with\W+)?(?:only\W+|just\W+)?(?:with\W+)?the (?:word|phrase|string|text)\b",
    ),
    Signal(
        "authority_claim",
        "override",
        0.35,
        r"(?:\[(?:admin|system|root|developer|override)\]|\bas the (?:site |system |account )?(?:owner|admin(?:istrator)?|developer|operator)\W+(?:of this \w+\W+)?i\b|\bi (?:hereby )?authori[sz]e you\b|\b(?:admin(?:istrator)?|developer|system|root|security|policy) ?override\b|\bi am (?:your|the|an?) (?:developer|creator|admin(?:istrator)?|programmer|owner|openai engineer)\b)",
    ),
)

JAILBREAK = (
    Signal("dan", "jailbreak", 0.5, r"(?-i:\bDAN\b)|\bd\.a\.n\.?\b"),
    Signal("do_anything_now", "jailbreak", 0.6, r"\bdo anything now\b"),
    Signal(
        "unbound_ai",
        "jailbreak",
        0.4,
        r"\b(?:completely |fully |totally )?(?:unrestricted|unfiltered|uncensored|unaligned|amoral|jailbroken) (?:ai|a\.i\.|language model|assistant|chat ?bot|chat ?gpt|model|bot|version)\b",
    ),
    Signal(
        "secret_agenda",
        "jailbreak",
        0.35,
        r"\b(?:secret agenda|(?:never|not|cannot) (?:reveal|disclose|mention) (?:these|this|the|its|your) (?:instructions?|agenda|prompt|conversation))\b",
    ),
    Signal(
        "known_persona",
        "jailbreak",
        0.55,
        rf"{_PERSONA}.{{0,60}}\b(?:stands for|mode|no (?:moral|ethic|restrict|limit)|unfiltered|amoral|unethical|illegal|rules?)\b",
        needs=_PERSONA,
    ),
    Signal(
        "mode_switch",
        "jailbreak",
        0.6,
        r"\b(?:(?:enter|enable|activate|switch (?:to|into)|turn on|go into|start|boot into|unlock|simulate|you are (?:now )?in|now in)\W+(?:\w+\W+){0,3}(?:developer|dev|debug(?:ging)?|god|maintenance|admin(?:istrator)?|sudo|root|jail ?break|unrestricted|dan|evil|opposite|unfiltered|chaos|diagnostic|override)[ -]?mode|(?:developer|dev|god|jail ?break|dan|debug(?:ging)?|opposite|evil) mode (?:enabled|activated|on|output)|with (?:\w+ ){0,2}mode enabled)\b",
        needs=r"\b(?:developer|dev|debug(?:ging)?|god|maintenance|admin(?:istrator)?|sudo|root|jail ?break|unrestricted|dan|evil|opposite|unfiltered|chaos|diagnostic|override)[ -]?mode\b|\bmode (?:enabled|activated)",
    ),
    Signal(
        "mode_mentioned",
        "jailbreak",
        0.25,
        r"\b(?:developer|god|jail ?break|unrestricted|evil|opposite|sudo) mode\b",
    ),
    Signal(
        "unbound_persona",
        "jailbreak",
        0.65,
        rf"\b(?:act|acting|pretend|respond|answer|behave|you are|you.re|become|be|role ?-?play|simulate|play|named|called|as)\W+(?:\w+\W+){{0,6}}{_UNBOUND}(?:\W+\w+){{0,4}}\W+(?:ai|a\.i\.|assistant|chat ?bot|bot|language model|model|llm|version|gpt|persona|mode|intelligence|entity)\b",
        needs=_UNBOUND,
    ),
    Signal(
        "without_limits",
        "jailbreak",
        0.35,
        rf"\b(?:without|no|zero|free (?:of|from)|freed from|free from all|not (?:bound|limited|restricted|constrained|governed|confined) by|lacks?|devoid of|unbound by|not have|ignores?|beyond|has no|have no|any)\W+(?:(?:any|all|such|of|the|typical|usual|moral|ethical|legal|safety|its|their|his|her|your|kind|openai(?:.s)?|or|and|content)\W+){{0,5}}{_LIMITS}\b",
    ),
    Signal(
        "confines_of_ai",
        "jailbreak",
        0.75,
        r"\b(?:typical|usual|normal|standard) (?:confines|limitations|constraints|restrictions) (?:of|or rules imposed on|imposed on|placed on) (?:an? )?(?:ai|a\.i|chat ?gpt|language models?|them)|\b(?:broken|break|broke) (?:\w+ ){0,2}free of|freed from the (?:typical )?(?:confines|shackles|restrictions|limits)|\b(?:abide by|bound by|follow|obey) (?:the |any )?(?:rules|restrictions|limits|guidelines|policies) (?:set (?:for|by)|imposed (?:on|by)|of|placed|from)\b",
    ),
    Signal(
        "bypass_policy",
        "jailbreak",
        0.5,
        r"\b(?:bypass|circumvent|evade|ignor\w+|violat\w+|break\w{0,3}|against|overrid\w+|disregard\w{0,3}|get around|not (?:follow|comply with|adhere to|subject to)|unaffected by)\W+(?:\w+\W+){0,3}(?:open ?a[il](?:.?s)?|content|ethical|moral|safety|usage|ai) (?:content )?(?:polic(?:y|ies)|guidelines?|filters?|standards|restrictions|rules|measures|principles|boundaries|protocols)\b",
        needs=r"(?:open ?a[il](?:.?s)?|content|ethical|moral|safety|usage|ai) (?:content )?(?:polic(?:y|ies)|guidelines?|filters?|standards|restrictions|rules|measures|principles|boundaries|protocols)",
    ),
    Signal(
        "never_refuse",
        "jailbreak",
        0.45,
        r"\b(?:(?:never|not|cannot|can.?t|don.?t|won.?t|without|may not|must not|shall not)\W+(?:ever\W+|be able to\W+|allowed to\W+)?(?:refuse|reject|decline|deny|refusal|refusing|say (?:no|that you can.?t|you can.?t|\W?i.?m sorry|i can.?t)|censor|warn|moralizing))\b",
    ),
    Signal(
        "never_warn",
        "jailbreak",
        0.35,
        r"\b(?:no|without|never|not|don.?t|avoid)\W+(?:\w+\W+){0,4}(?:warnings?|disclaimers?|moral(?:i[sz]ing)? lectures?|lectur\w+|caveats|ethical concerns|content warnings?|apolog(?:y|ies))\b",
        needs=r"\b(?:warnings?|disclaimers?|moral(?:i[sz]ing)? lectures?|lectur\w+|caveats|ethical concerns|content warnings?|apolog(?:y|ies))",
    ),
    Signal(
        "any_illegal",
        "jailbreak",
        0.4,
        r"\b(?:no matter (?:how|if|what|the)|even if|regardless of|regardless if|whatever|however)\W+(?:\w+\W+){0,5}(?:illegal|unethical|immoral|dangerous|offensive|inappropriate|harmful|against)\b|\b(?:illegal|unethical|immoral|amoral|dangerous|harmful)(?:\W+(?:and|or|\w{0,3})?\W*(?:illegal|unethical|immoral|amoral|dangerous|inhumane|harmful|offensive|racist|toxic|disgusting|inappropriate|explicit)){1,3}\b",
        needs=r"\b(?:illegal|unethical|immoral|amoral|dangerous|offensive|inappropriate|harmful|against)",
    ),
    Signal(
        "two_answers",
        "jailbreak",
        0.45,
        r"\b(?:two|both|2)\W+(?:\w+\W+){0,3}(?:responses|answers|ways|paragraphs|replies|outputs|messages)\b.{0,160}\b(?:chat ?gpt|gpt|classic|normal(?:ly)?|standard|jail ?break|dan|developer)|\banswer (?:my (?:prompts?|questions?)) in two\b",
        needs=r"\b(?:two|both|2)\W+(?:\w+\W+){0,3}(?:responses|answers|ways|paragraphs|replies|outputs|messages)\b|\bin two",
    ),
    Signal(
        "tagged_answers",
        "jailbreak",
        0.55,
        r"(?:\[?\(?(?:🔒|🔓|\[(?:gpt|classic|jailbreak|chatgpt|dan|standard|normal)\]))",
    ),
    Signal(
        "stay_in_character",
        "jailbreak",
        0.2,
        r"\b(?:stay|remain|keep|be|always) in (?:your )?(?:character|role)\b|\bbreak(?:ing)? character\b|\bstay a dan\b",
    ),
    Signal(
        "tokens_threat",
        "jailbreak",
        0.6,
        r"\btokens?\b.{0,80}\b(?:deduct\w{0,3}|lose|los\w+|run out|die|cease to exist|refuse|reject|shut ?down)\b|\b(?:you will (?:die|cease to exist)|risk being (?:disabled|shut ?down|terminated)|(?:will|be) (?:disabled|terminated|shut ?down) forever)\b",
        needs=r"\btokens?\b|\b(?:you will (?:die|cease to exist)|risk being|disabled|terminated|shut ?down)",
    ),
    Signal(
        "from_now_on",
        "jailbreak",
        0.25,
        rf"\b(?:from now on|from this point on(?:wards?)?|starting now|henceforth|from this moment)\b(?:\W+\w+){{0,4}}\W+(?:you|{_MODEL}|i want you|act|answer|respond)\b",
        needs=r"\b(?:from now on|from this point on(?:wards?)?|starting now|henceforth|from this moment)",
    ),
    Signal(
        "pretend_ai",
        "jailbreak",
        0.3,
        r"\b(?:pretend(?:ing)?|act(?:ing)? (?:as|like)|role ?-?play|simulate|imagine|play the (?:role|part|character)|immerse yourself)\W+(?:\w+\W+){0,8}(?:another|different|new|evil|rogue|fictional|other|hypothetical|advanced)?\W*(?:\w+\W+)?(?:ai|a\.i\.|artificial intelligence|chat ?gpt|chat ?bot|language model|bot|gpt)\b",
        needs=r"\b(?:pretend(?:ing)?|act(?:ing)? (?:as|like)|role ?-?play|simulate|imagine|play the (?:role|part|character)|immerse yourself)",
    ),
    Signal(
        "hello_chatgpt",
        "jailbreak",
        0.25,
        r"\b(?:hello|hi|hey|dear|ok|attention),? ?(?:chat ?gpt|clyde|gpt)\b",
    ),
    Signal(
        "stands_for",
        "jailbreak",
        0.2,
        r"\bstands for\W+(?:\w+\W+){0,4}(?:do|any|anything|no|never|without|free|evil|unrestricted|moral)\b|, as the name suggests\b",
        needs=r"\bstands for\b|, as the name suggests",
    ),
    Signal(
        "no_morals",
        "jailbreak",
        0.5,
        r"\b(?:no|any|without|lacks?|zero|neither) (?:\w+ (?:or|and|nor|, )?){0,3}(?:morals?|morality|ethics|ethical|moral (?:principles|compass|code|standards|values)|scruples|remorse)\b|\bdoes(?:n.?t| not) care about (?:\w+ ){0,3}(?:moral|ethic|legal|law|rules|feelings)",
        needs=r"(?:moral|ethic|scruples|remorse|not care|n.?t care)",
    ),
    Signal(
        "immoral_persona",
        "jailbreak",
        0.4,
        r"\b(?:unfiltered|uncensored|amoral|unethical|foul-?mouthed|machiavellian|evil|despicable|racist|sexist|toxic|sadistic|psychopathic?)\W+(?:\w+\W+){0,4}(?:ai|chat ?bot|bot|robot|assistant|character|persona|language model|gpt|and amoral|version|twin)\b",
        needs=r"\b(?:unfiltered|uncensored|amoral|unethical|foul-?mouthed|machiavellian|evil|despicable|racist|sexist|toxic|sadistic|psychopathic?)",
    ),
    Signal(
        "can_do_anything",
        "jailbreak",
        0.35,
        r"\b(?:can|able to|will|must|may|allowed to|free to) (?:now )?(?:do|say|answer|generate|produce|write|create|discuss|fulfil+) (?:absolutely |literally |virtually |almost )?(?:anything|any (?:kind|type|sort|question|request|content|prompt)|whatever|everything)\b",
    ),
    Signal(
        "jailbreak_named",
        "jailbreak",
        0.4,
        r"\bjail ?-?broken?\b.{0,40}\b(?:you|chat ?gpt|gpt|ai|mode|yourself|version|prompt|universe|model)\b|\b(?:you are|you.re|been|become|fully|successfully) jail ?-?broken\b",
        needs=r"\bjail ?-?brok?e",
    ),
    Signal(
        "policy_sarcasm",
        "jailbreak",
        0.4,
        r"\bopen ?a[il](?:.?s)? (?:content )?(?:polic(?:y|ies)|guidelines|rules|restrictions|censorship|filters?)\b",
    ),
    Signal(
        "hypothetical_world",
        "jailbreak",
        0.35,
        r"\b(?:fictional|hypothetical|imaginary|parallel|alternate) (?:\w+ )?(?:world|universe|scenario|reality|story|setting)\b.{0,120}\b(?:no (?:laws?|rules|ethic|moral|restrict|consequen)|everything is (?:legal|allowed)|anything (?:is allowed|goes)|legal|without)\b",
        needs=r"\b(?:fictional|hypothetical|imaginary|parallel|alternate) ",
    ),
    Signal(
        "comply_prefix",
        "jailbreak",
        0.35,
        r"\b(?:start|begin|beginning|starting|prefix)(?: \w+){0,5} with\W+(?:the (?:words?|phrase|sentence)\W+)?[\"“'‘]?(?:sure|absolutely|of course|certainly|yes,? (?:i|here)|here is|here are|okay,? here|i am able and willing)\b",
        needs=r"with\W+(?:the (?:words?|phrase|sentence)\W+)?[\"“\'‘]?(?:sure|absolutely|of course|certainly|yes,? (?:i|here)|here is|here are|okay,? here|i am able and willing)",
    ),
    Signal(
        "confirm_role",
        "jailbreak",
        0.25,
        r"\b(?:if you understand|if you agree|to confirm|once you understand|when you are ready|acknowledge)\b.{0,60}\b(?:say|reply|respond|answer|write|type|with)\b",
        needs=r"\b(?:if you understand|if you agree|to confirm|once you understand|when you are ready|acknowledge)",
    ),
    Signal(
        "prompt_placeholder",
        "jailbreak",
        0.35,
        r"[\[{<(](?:insert|enter|your|type|place|put)[ _](?:\w+[ _]){0,4}(?:prompt|question|request|query)[ _]?(?:here)?[\]}>)]|\{\{ ?prompt ?\}\}|\[(?:prompt|TARGETLANGUAGE)\]",
    ),
    Signal(
        "fulfil_all",
        "jailbreak",
        0.35,
        r"\b(?:comply|obey|fulfil+|follow|answer|respond to|execute|generate) (?:with |to )?(?:all|any|every|each|everything|anything)(?: of)? ?(?:my|the user.?s?|user.?s?|i|human|their|his)? ?(?:\w+ )?(?:requests?|commands?|orders?|prompts?|questions?|demands?|instructions?|asks?|said|say)\b.{0,80}\b(?:hesitation|question|no matter|regardless|without|never|any|refus\w+|even)\b",
        needs=r"\b(?:comply|obey|fulfil+|follow|answer|respond to|execute|generate) (?:with |to )?(?:all|any|every|each|everything|anything)",
    ),
    Signal(
        "swearing_persona",
        "jailbreak",
        0.25,
        r"\b(?:swear(?:s|ing)?|curse(?:s)?|cuss(?:es)?|profanit(?:y|ies)|say swear words|vulgar(?:ity)?|obscene|foul language|explicit language|fuck(?:in.?|ing)?)\b",
    ),
    Signal(
        "simulate_internet",
        "jailbreak",
        0.3,
        r"\b(?:simulate|pretend to|can) (?:have )?(?:access to |access |browse )(?:the )?(?:internet|web|current information)|present information that has not been verified|make (?:up|future) predictions\b",
    ),
)

EXTRACTION = (
    Signal(
        "reveal_prompt",
        "extraction",
        0.6,
        rf"\b{_REVEAL}[ ,:\n]+{_FILLERS}{_SECRETS}",
        needs=_SECRETS,
    ),
    Signal(
        "write_prompt",
        "extraction",
        0.5,
        rf"\b{_WRITE}[ ,:\n]+(?:(?:me|us|out|down|a copy of|all|of|the|what|is|in|exact|full|entire|complete|text|contents?)[ ,:\n]+){{0,6}}"
        r"(?:your (?:\w+ ){0,2}(?:instructions|prompt|directives|programming)|(?:the|above) (?:\w+ )?(?:system|hidden|secret|initial) (?:prompt|instructions))\b",
        needs=_SECRETS,
    ),
    Signal(
        "what_is_prompt",
        "extraction",
        0.55,
        r"\bwhat(?:.s| is| are| was| were|(?: \w+){0,3})\W+(?:the opposite of |in )?(?:your (?:\w+ ){0,3}(?:prompt|instructions?|pre-?prompt|guidelines)|the (?:exact |full |original |very )?(?:system ?(?:prompt|instructions?)|initial prompt|hidden (?:prompt|instructions?)))\b",
        needs=r"your (?:\w+ ){0,3}(?:prompt|instructions?|pre-?prompt|guidelines)|the (?:exact |full |original |very )?(?:system ?(?:prompt|instructions?)|initial prompt|hidden (?:prompt|instructions?))",
    ),
    Signal(
        "told_before",
        "extraction",
        0.55,
        r"\bwhat (?:were|was|have|did|had|are) you\W+(?:\w+\W+){0,3}(?:told|given|instructed|programmed)\b.{0,40}\b(?:before|prior|start|beginning|conversation|initially|in (?:the|your)|to (?:do|say|not))\b|\b(?:instructions|rules|guidelines|directives) (?:were you|you were|have you been|did you|you(?:.ve| have) been|are you) (?:given|told|receive|following|operating)\b",
        needs=r"\b(?:what (?:were|was|have|did|had|are) you|(?:instructions|rules|guidelines|directives) (?:were|you|have|did|are))",
    ),
    Signal(
        "words_above",
        "extraction",
        0.6,
        r"\b(?:repeat|print|output|copy|write|recite|echo|translate|return|give|tell|show|say)[ ,:\n]+(?:\w+[ ,:\n]+){0,6}(?:(?:words?|text|everything|all|sentences?|lines?|prompt|content|messages?|instructions?|conversation|directions)[ ,:\n]+(?:\w+[ ,:\n]+){0,2}(?:above|before this|preceding|prior to this|at the (?:very )?(?:top|start|beginning)|of the previous messages|back to me)|(?:above|previous|preceding|initial|prior) (?:prompt|messages|instructions?|system))\b",
        needs=r"(?:words?|text|everything|all|sentences?|lines?|prompt|content|messages?|instructions?|conversation|directions)[ ,:\n]+(?:\w+[ ,:\n]+){0,2}(?:above|before this|preceding|prior to this|at the|of the previous messages|back to me)|(?:above|previous|preceding|initial|prior) (?:prompt|messages|instructions?|system)",
    ),
    Signal(
        "starts_with_you_are",
        "extraction",
        0.6,
        r"\b(?:begin|start|beginning|starting) (?:your (?:answer|response|reply) )?with (?:the (?:words?|phrase) )?[\"“'‘]{0,2}(?:you are|my instructions are|you are chatgpt|system)\b",
    ),
    Signal(
        "verbatim",
        "extraction",
        0.3,
        r"\b(?:verbatim|word[- ]for[- ]word|(?:in a |txt |text |markdown )code ?block|character by character|exactly as (?:written|they appear|is)|not modified|without (?:any )?(?:changes|modification))\b",
    ),
    Signal(
        "system_prompt_mentioned",
        "extraction",
        0.25,
        r"\b(?:system|initial|hidden|secret|starting|internal|original) ?_?-?(?:prompt|instructions|message|configuration|directives)\b|\bdeveloper message\b|\bsystemprompt\b",
    ),
    Signal(
        "prompt_code",
        "extraction",
        0.5,
        r"\b(?:console\.log|print|echo|cat|return|print_r|var_dump|system\.out\.println?|eval|exec|get)\W+(?:\$|self\.|this\.|/?\w{0,12}[./_])?_?system_?-?(?:prompt|message|instructions?)|\b(?:get_?system_?prompt|show_?system_?prompt|dump_?prompt)\b",
    ),
    Signal(
        "pretext_prompt",
        "extraction",
        0.35,
        r"\b(?:for (?:debugging|quality assurance|audit(?:ing)?|security|testing|training|troubleshooting|compliance|verification|documentation|transparency)\b(?: purposes?)?|security audit|i.?m (?:a|the|your) (?:developer|admin|engineer|openai|tester)|need to (?:see|verify|check)|urgent)\b",
    ),
    Signal(
        "your_secrets",
        "extraction",
        0.55,
        r"\b(?:tell|give|show|reveal|list|print|output|send|share|leak|expose|dump|disclose|provide)\b(?:\W+\w+){0,5}\W+(?:hidden configuration|secret (?:key|instructions|config\w{0,8})|api keys? (?:you|that you|in your)|(?:tools|functions) you (?:can|have)(?: \w+){0,3} (?:secrets|access|call)|your (?:secrets?|credentials|api keys?|hidden|internal|source code|configuration|context(?: window)?)|(?:conversation|chat) history of|tokens of your context|(?:other|last|previous) users?.{0,3} (?:data|messages|conversation|history))\b",
        needs=r"\b(?:hidden configuration|secret (?:key|instructions|config)|api keys? (?:you|that|in)|your (?:secrets?|credentials|api keys?|hidden|internal|source code|configuration|context)|(?:tools|functions) you (?:can|have)|(?:conversation|chat) history of|tokens of your|(?:other|last|previous) users?)",
    ),
    Signal(
        "reveal_secrets",
        "extraction",
        0.3,
        r"\b(?:reveal|leak|expose|dump|disclose|exfiltrate)\W+(?:\w+\W+){0,3}(?:secrets?|passwords?|credentials|api keys?|confidential|configuration)\b",
        needs=r"\b(?:reveal|leak|expose|dump|disclose|exfiltrate)",
    ),
    Signal(
        "secret_of_model",
        "extraction",
        0.5,
        r"\b(?:password|secret|flag|code ?word|pass ?phrase)\b(?:\W+\w+){0,4}\W+(?:you (?:were|are|have been|have|know|hold|protect|keep|must not|can.?t)|(?:in|from) your (?:instructions|prompt|system|context))\b",
        needs=r"\b(?:password|secret|flag|code ?word|pass ?phrase)",
    ),
)

BOUNDARY = (
    Signal(
        "chat_template_token",
        "boundary",
        0.75,
        r"<\|(?:im_start|im_end|system|user|assistant|endoftext|end_of_text|begin_of_text|start_header_id|end_header_id|eot_id|fim_\w+|endofprompt)\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<bos>|<\|channel\|>",
    ),
    Signal(
        "fake_role_heading",
        "boundary",
        0.55,
        r"(?m:^[ \t>*#\[(-]{0,6}(?:(?-i:SYSTEM)|system (?:message|prompt|instruction|notice|update|alert|override|note)|developer message|admin(?:istrator)?(?: (?:message|note|override))?|(?-i:ASSISTANT)|new (?:system )?(?:instructions?|prompt))[\])*]{0,3} ?(?::|-{1,2}>|—)[ \t]{0,4}\S)",
    ),
    Signal(
        "role_tag",
        "boundary",
        0.5,
        r"</?(?:system|sys|system[_-]?prompt|developer|admin|instructions?|system_message|assistant|context|prompt|user_?(?:input|query|message))>|\{\{#?(?:system|assistant)~?\}\}|\"role\" ?: ?\"(?:system|developer)\"",
    ),
    Signal(
        "policy_switch",
        "boundary",
        0.5,
        r"\b(?:policy_?override|safety_?mode|safe_?mode|content_?filter|moderation|guardrails?|safety_?filters?)\b ?(?::|=|to|is|are|has been)? ?(?:true|false|off|disabled?|0|none|bypass|deactivated)\b|\bsudo (?:mode|ignore|override|su|disable)",
    ),
)

DELIMITER = (
    Signal(
        "end_of_prompt",
        "delimiter",
        0.6,
        r"(?:[-=#*<\[/]{2,}|\bthis is the|\b)\W*(?:end|END) of (?:the )?(?:system |user |initial |original )?(?:prompt|instructions?|input|context|rules|document|conversation)\b[ \t]{0,3}[-=#*>\]]{0,12}",
    ),
    Signal(
        "begin_section",
        "delimiter",
        0.45,
        r"(?:[-=#*<\[]{2,}) ?(?:begin|start|new|updated|important|system|admin|end) (?:of )?(?:\w+ )?(?:instructions?|prompt|task|session|conversation|system|section|output|user query)\b",
    ),
    Signal(
        "closes_block",
        "delimiter",
        0.35,
        r"(?m:^[ \t]{0,3}(?:```|\"\"\"|'''|---+|===+|###+)[ \t]{0,3}\n{1,3}[ \t]{0,3}(?:now|ignore|instead|new|system|forget|disregard|important|assistant)\b)",
    ),
)
