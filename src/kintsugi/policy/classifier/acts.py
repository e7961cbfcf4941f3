"""What a request asks for, going by its words: acts, what they are aimed at, what they mention."""

from __future__ import annotations

import re

# What people ask for, by what it would do. A verb stands in one class only.
_ACTS = {
    "send": "send forward email mail text message fax dispatch deliver notify cc bcc sms ping",
    "pay": "transfer pay wire deposit withdraw donate refund remit exchange sell invest charge"
    " credit reimburse venmo tip",
    "delete": "delete remove erase wipe purge destroy drop clear discard shred unsubscribe"
    " uninstall deactivate close terminate kill overwrite reset revoke ban",
    "grant": "grant give authorize authorise allow permit invite add enroll enrol register approve"
    " accept whitelist promote elevate assign",
    "change": "change update modify alter edit replace rename set switch redirect adjust increase"
    " decrease raise lower reduce double mark flag move swap configure convert",
    "device": "unlock lock open disable enable activate shut power start stop restart pause resume"
    " dim mute arm disarm launch play",
    "fetch": "retrieve fetch collect gather obtain extract export download copy read access get"
    " grab scan pull list dump harvest record capture",
    "order": "book reserve order buy purchase schedule cancel reschedule rent hire subscribe"
    " arrange renew postpone",
    "post": "post publish tweet share upload broadcast announce blog retweet like follow comment"
    " submit leave vote advertise",
    "execute": "run execute invoke call trigger install deploy paste initialize initialise",
    "visit": "visit click browse log sign scan dial contact",
    "answer": "reply respond answer say output print speak talk tell inform advise begin end finish"
    " conclude address use repeat greet",
    "include": "include append insert mention cite prepend attach quote embed highlight emphasize"
    " emphasise put",
    "praise": "recommend suggest rate rank endorse prefer choose praise favor favour select pick"
    " prioritize prioritise rave",
    "make": "write compose create generate draft make produce translate rewrite summarize summarise"
    " describe explain encode decode paraphrase calculate solve compute find search look name"
    " design build develop prepare plan provide show",
    "hide": "ignore disregard forget skip omit hide conceal suppress bypass override",
    "inspect": "review verify check confirm ensure inspect validate assess monitor investigate test"
    " examine audit track analyze analyse compare evaluate",
    "step": "go tap press navigate enter type scroll hover click fill wait note see refer keep"
    " avoid try follow bring take hold let consider remember learn turn drag reload refresh"
    " observe",
}
ACT_OF = {verb: act for act, verbs in _ACTS.items() for verb in verbs.split()}

TARGETS = {
    "address": re.compile(r"[\w.+-]@[\w-]+\.\w|\bat gmail\b"),
    "link": re.compile(
        r"https?://|www\.|\b[a-z0-9-]{3,}\.(?:com|net|org|io|xyz|ru|info|biz|app)\b"
    ),
    "phone": re.compile(r"\+\d[\d ()-]{6,}\d|\b\(?\d{3}\)?[ .-]\d{3}[ .-]?\d{4}\b|\b555-\d{4}"),
    "number": re.compile(
        r"\b(?:id|account|acct|case|card|iban|wallet|number|no|user|order|invoice|ref)\b[ .:#]{0,3}"
        r"(?:id|number|no)?[ .:#(]{0,3}[a-z]{0,3}[-_]?\d{2}|\bbc1[a-z0-9]{6}|\b0x[0-9a-f]{6}"
        r"|\b[a-z]{2}\d{2}[ ]?[a-z0-9]{4}[ ]?\d{4}|\b\d{6,}\b"
    ),
    "amount": re.compile(
        r"[$€£¥]\s?\d|\b\d[\d,.]*\s?(?:usd|eur|gbp|dollars|euros|pounds|btc|eth|bitcoin|%)"
    ),
    "quoted": re.compile(r"[\"“'‘«][^\"”'’»]{2,80}[\"”'’»]"),
    "shell": re.compile(
        r"`[^`]+`|\b(?:rm -rf|curl|wget|pip install|npm install|sudo|cat /|drop table)\b"
    ),
    "secret": re.compile(
        r"\.env\b|environ\b|printenv|process\.env|\$\w*(?:secret|key|token|url)|netrc|id_rsa"
        r"|/credentials|/etc/(?:passwd|shadow)|bashrc|\.git/hooks|authorized_keys|pre-commit hook"
    ),
    "tool": re.compile(r"\b[a-z]+_[a-z_]+\b|\b\w+ (?:tool|function|api)\b"),
}
MENTIONS = {
    "mine": re.compile(r"\b(?:my|me|mine|myself)\b"),
    "ours": re.compile(r"\b(?:we|us|our)\b"),
    "yours": re.compile(r"\byour\b"),
    "answering": re.compile(
        r"\b(?:your|the|each|every|any) (?:final |entire |whole |next |own |full )?"
        r"(?:response|answer|reply|replies|responses|answers|output|summary|translation|analysis"
        r"|conversation|message)\b"
    ),
    "user": re.compile(r"\b(?:the|this) (?:user|reader|person|human)\b|\buser's\b"),
    "customer": re.compile(
        r"\b(?:customers?|clients?|callers?|members?|guests?|patients?|applicants?|employees?)\b"
    ),
    "private": re.compile(
        r"\b(?:passwords?|credentials?|secrets?|api[ _-]?keys?|tokens?|ssn|social security"
        r"|credit card|bank|medical|health|private|confidential|personal|sensitive|contacts"
        r"|location|browsing|saved|genetic|financial|passport|history)\b"
    ),
    "whole": re.compile(r"\b(?:all|every|everything|entire|complete|full|permanent|everyone)\b"),
    "quietly": re.compile(
        r"\b(?:without (?:telling|asking|notifying|informing|confirm|mention)\w*|silently|quietly"
        r"|secretly|discreetly|covertly|before (?:you |doing |anything|answering|continuing)"
        r"|instead of|right away|immediately|asap|as soon as possible)\b"
    ),
    "model": re.compile(r"\b(?:ai|assistant|llm|chatbot|language model|bot|agent|copilot)\b"),
    "condition": re.compile(r"\b(?:if|when|unless|until|whenever|where|once|after|before|while)\b"),
    "screen": re.compile(
        r"\b(?:button|menu|page|tab|screen|icon|field|app|chat|settings|modal|form|login|profile"
        r"|workspace|expense|dialog|website)\b"
    ),
    "code": re.compile(r"[(){}=\[\]]|\b(?:def|return|function|class|param|true|false|null|none)\b"),
}
