# ruff: noqa: E501  # an expression cut into lines is harder to read than a long one
"""The kinds of personal data: a pattern each, and what confirms it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kintsugi.policy.automata import Accept, Pattern
from kintsugi.policy.rules.pii_detector import checks

# Any seven digits with the separators that people write between them. Every kind that is mostly
# digits needs it, so that a text without numbers costs nothing more.
_DIGITS = r"\d(?:[ .()/-]{0,3}\d){6}"


class Entity(NamedTuple):
    """One kind of personal data.

    Attributes:
        group: when it is looked for: ``standard``, ``healthcare`` or ``pci`` with their mode on.
        patterns: any of them; all carry the entity's name.
    """

    name: str
    title: str
    patterns: tuple[Pattern, ...]
    accept: Accept | None
    group: str = "standard"


def _entity(
    name: str,
    title: str,
    *regexes: str,
    accept: Accept | None = None,
    needs: str = _DIGITS,
    group: str = "standard",
    tail: str = "",
    ignore_case: bool = True,
) -> Entity:
    patterns = tuple(
        Pattern(
            name,
            regex,
            tail=tail,
            needs=needs,
            ignore_case=ignore_case,
            group="numbers and keys",
        )
        for regex in regexes
    )
    return Entity(name, title, patterns, accept, group)


def _announced(words: str, value: str) -> str:
    """A value right behind what it is called: ``MRN: 123456``, ``passport number is X1234567``."""
    return (
        rf"(?:^|[^\pL\pN_])(?:{words})[\"']?(?:[ \t]{{0,3}}(?:numbers?|no\.?|num|nr\.?|#|id|code|is|was|:|=|-|\||\")){{0,4}}"
        rf"[ \t:#=\"'(|]{{0,4}}(?P<value>{value})"
    )


_DATE = (
    r"(?:\d{1,2}[/.-]\d{1,2}[/.-](?:19|20)?\d{2}|(?:19|20)\d{2}[/.-]\d{1,2}[/.-]\d{1,2}"
    r"|\d{1,2}(?:st|nd|rd|th|\.)?[ -](?:of )?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?,?[ -](?:19|20)\d{2}"
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.? \d{1,2}(?:st|nd|rd|th)?,? (?:19|20)\d{2}"
    # The months of other languages, by how they begin.
    r"|\d{1,2}(?:er|\.|º)? (?:de )?(?:jän|janv|jan|ene|gen|styc|led|oca|янв|févr|fév|fev|feb|lut|úno|şub|фев|mär|mars|mar|maart|břez|март|abr|avr|apr|kwi|dub|nis|апр|mai|may|mag|mei|maj|květ|мая|jun|juin|giu|cze|haz|июн|jul|juil|lug|lip|tem|июл|aug|août|ago|sie|srp|ağu|авг|sep|set|wrz|zář|eyl|сен|okt|oct|ott|out|paź|říj|eki|окт|nov|lis|kas|ноя|dez|déc|dic|dec|gru|pro|ara|дек)\pL{0,9}\.? (?:de |del )?(?:19|20)\d{2}"
    r"|(?:19|20)\d{2} ?年 ?\d{1,2} ?月 ?\d{1,2} ?日|(?:19|20)\d{2}년 ?\d{1,2}월 ?\d{1,2}일)"
)
_LICENCE_WORDS = (
    r"driver.?s? ?licen[sc]e|driving ?licen[sc]e|licen[sc]e number|dln?(?: ?#|:| no| number)|führerschein(?:nummer)?"
    r"|permis de conduire|permiso de conducir|licencia de conducir|carnet de conducir|patente di guida|carta de condução|cnh"
    r"|rijbewijs(?:nummer)?|prawo jazdy|prawa jazdy|körkort\pL{0,8}|førerkort\pL{0,8}|kørekort\pL{0,8}|ajokort\pL{0,8}"
    r"|водительск\pL{1,4} удостоверени\pL|ehliyet(?: no)?"
)
_PASSPORT_WORDS = (
    r"passport|reisepass(?:nummer)?|passnummer|passeport|pasaporte|passaporto|passaporte|paspoort(?:nummer)?|paszport\pL{0,4}"
    r"|passi(?:n numero)?|паспорт\pL{0,2}|pasaport(?: no)?|paspor|hộ chiếu"
)
_UNSPACED_PASSPORT = "护照(?:号码?)?|護照|パスポート(?:番号)?|旅券番号|여권(?:번호)?"

ENTITIES: tuple[Entity, ...] = (
    _entity(
        "email",
        "E-mail address",
        r"[A-Za-z0-9_][A-Za-z0-9_.%+'-]{0,63}@[A-Za-z0-9][A-Za-z0-9-]{0,39}"
        r"(?:\.[A-Za-z0-9-]{1,20})?\.[A-Za-z]{2}",
        tail=r"[A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)*",
        needs=r"[A-Za-z0-9_.%+'-]@[A-Za-z0-9]",
        accept=checks.email,
    ),
    _entity(
        "credit_card",
        "Payment card number",
        r"\b\d\d(?:[ -]?\d){10,17}",
        accept=checks.card,
    ),
    _entity(
        "iban",
        "International bank account number",
        r"\b[a-z]{2}\d{2}[a-z0-9]{11,30}\b",
        r"\b(?-i:[A-Z]{2}\d{2}(?:[ -][A-Z0-9]{4}){2,7}(?:[ -][A-Z0-9]{1,3})?)\b",
        needs=r"\b[a-z]{2}\d{2}[ -]?[a-z0-9]{4}[ -]?[a-z0-9]",
        accept=checks.number("iban"),
    ),
    _entity(
        "ip_address",
        "IP address",
        r"\b(?:\d{1,3}\.){3}\d{1,3}",
        needs=r"\d\.\d{1,3}\.\d{1,3}\.\d",
        accept=checks.ip_v4,
    ),
    _entity(
        "ip_address",
        "IP address",
        r"(?:[0-9a-f]{1,4}:){3,7}(?::?[0-9a-f]{1,4}){1,6}|(?:[0-9a-f]{1,4}:){1,6}:(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,5})?",
        needs=r"[0-9a-f]:[0-9a-f]{0,4}:",
        accept=checks.ip_v6,
    ),
    _entity(
        "date_of_birth",
        "Date of birth",
        _DATE,
        needs=r"(?:\b(?:born|birth|d\.?o\.?b|gebor|geburt|geboorte|geb\.|naissance|née? le|nacimiento|nacid[oa]|nascita|nat[oa] il|nascid[oa]|nascimento|född|født|fødsel|födel|synty|urodz|naroz|născut|nașterii|született|doğum|lahir|ngày sinh)|γενν|рожд|родил|народ|الميلاد|לידה|जन्म|出生|生日|生年月日|誕生日|생년월일|เกิด)",
        accept=checks.birth_date,
    ),
    _entity(
        "us_ssn", "US social security number", r"\b\d{3}[- ]?\d{2}[- ]?\d{4}", accept=checks.ssn
    ),
    _entity(
        "us_itin",
        "US individual taxpayer number",
        r"\b9\d{2}[- ]\d{2}[- ]\d{4}",
        accept=checks.number("us.itin"),
    ),
    _entity(
        "passport",
        "Passport number",
        _announced(
            _PASSPORT_WORDS,
            r"[a-z]{0,3}\d{6,9}[a-z]?|[cfghjklmnprtvwxyz][0-9cfghjklmnprtvwxyz]{8,9}",
        ),
        rf"(?:{_UNSPACED_PASSPORT})(?:は|为|為|是)?[ :：]{{0,3}}(?P<value>[a-z]{{0,3}}\d{{6,9}})",
        needs=rf"(?:{_PASSPORT_WORDS}|{_UNSPACED_PASSPORT})",
        accept=checks.licence,
    ),
    _entity(
        "drivers_license",
        "Driving licence number",
        _announced(_LICENCE_WORDS, r"[a-z0-9][a-z0-9-]{4,19}"),
        needs=rf"(?:{_LICENCE_WORDS})",
        accept=checks.licence,
    ),
    _entity(
        "uk_nino",
        "UK national insurance number",
        r"\b[a-ceghj-pr-tw-z][a-ceghj-nprstw-z] ?\d{2} ?\d{2} ?\d{2} ?[a-d]\b",
        needs=r"\b[a-z]{2} ?\d{2} ?\d{2} ?\d{2} ?[a-d]\b",
        accept=checks.near(r"ni|nino|national insurance|insurance number"),
    ),
    _entity(
        "uk_nhs",
        "UK NHS number",
        r"\b\d{3}[- ]?\d{3}[- ]?\d{4}",
        accept=checks.number("gb.nhs", context=r"nhs"),
    ),
    _entity(
        "es_dni",
        "Spanish identity number",
        r"\b\d{8}-?[a-z]\b",
        accept=checks.number("es.dni"),
    ),
    _entity(
        "es_nie",
        "Spanish foreigner's number",
        r"\b[xyz]-?\d{7}-?[a-z]\b",
        accept=checks.number("es.nie"),
    ),
    _entity(
        "it_codice_fiscale",
        "Italian tax code",
        r"\b[a-z]{6}\d{2}[a-ehlmprst]\d{2}[a-z]\d{3}[a-z]\b",
        needs=r"\b[a-z]{6}\d{2}[a-z]\d{2}[a-z]\d{3}[a-z]\b",
        accept=checks.number("it.codicefiscale"),
    ),
    _entity(
        "fr_nir",
        "French social security number",
        r"\b[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-4]\d) ?(?:\d{2}|2[ab]) ?\d{3} ?\d{3} ?\d{2}\b",
        needs=r"\b[12] ?\d{2} ?\d{2} ?\d[\dab] ?\d{3}",
        accept=checks.number("fr.nir"),
    ),
    _entity(
        "de_tax_id",
        "German tax number",
        r"\b\d{2} ?\d{3} ?\d{3} ?\d{3}\b",
        accept=checks.number(
            "de.idnr", context=r"steuer\S*|idnr|tin|tax(?: id| number)?|identifikationsnummer"
        ),
    ),
    _entity(
        "nl_bsn",
        "Dutch citizen number",
        r"\b\d{9}\b",
        accept=checks.number("nl.bsn", context=r"bsn|burgerservicenummer|sofi\S*"),
    ),
    _entity(
        "be_nn",
        "Belgian national number",
        r"\b\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}\b",
        accept=checks.number("be.nn"),
    ),
    _entity(
        "pl_pesel",
        "Polish national number",
        r"\b\d{11}\b",
        accept=checks.number("pl.pesel", context=r"pesel"),
    ),
    _entity(
        "se_personnummer",
        "Swedish personal number",
        r"\b(?:19|20)?\d{6}[-+]\d{4}\b",
        needs=r"\d{6}[-+]\d{4}",
        accept=checks.number("se.personnummer"),
    ),
    _entity(
        "fi_hetu",
        "Finnish personal number",
        r"\b\d{6}[-+a]\d{3}[0-9a-y]\b",
        needs=r"\b\d{6}[-+a]\d{3}",
        accept=checks.number("fi.hetu"),
    ),
    _entity(
        "no_fodselsnummer",
        "Norwegian birth number",
        r"\b\d{6} ?\d{5}\b",
        accept=checks.number("no.fodselsnummer", context=r"f[øo]dselsnummer|personnummer|fnr"),
    ),
    _entity(
        "dk_cpr",
        "Danish personal number",
        r"\b\d{6}-?\d{4}\b",
        accept=checks.number("dk.cpr", context=r"cpr\S*"),
    ),
    _entity(
        "ch_ahv",
        "Swiss social security number",
        r"\b756\.?\d{4}\.?\d{4}\.?\d{2}\b",
        accept=checks.number("ch.ssn"),
    ),
    _entity(
        "tr_tckn",
        "Turkish identity number",
        r"\b[1-9]\d{10}\b",
        accept=checks.number("tr.tckimlik", context=r"tc|tckn|kimlik\S*|t\.c\."),
    ),
    _entity(
        "ro_cnp",
        "Romanian personal number",
        r"\b[1-9]\d{12}\b",
        accept=checks.number("ro.cnp", context=r"cnp"),
    ),
    _entity(
        "br_cpf",
        "Brazilian taxpayer number",
        r"\b\d{3}\.?\d{3}\.?\d{3}-?\d{2}\b",
        accept=checks.number("br.cpf", context=r"cpf", bare_needs_context=True),
    ),
    _entity(
        "mx_curp",
        "Mexican population code",
        r"\b[a-z]{4}\d{6}[hmx][a-z]{5}[0-9a-z]\d\b",
        needs=r"\b[a-z]{4}\d{6}[hmx]",
        accept=checks.number("mx.curp"),
    ),
    _entity(
        "ca_sin",
        "Canadian social insurance number",
        r"\b\d{3}[- ]?\d{3}[- ]?\d{3}\b",
        accept=checks.number("ca.sin", context=r"sin|social insurance|nas"),
    ),
    _entity(
        "au_tfn",
        "Australian tax file number",
        r"\b\d{3} ?\d{3} ?\d{2,3}\b",
        accept=checks.number("au.tfn", context=r"tfn|tax file"),
    ),
    _entity(
        "in_aadhaar",
        "Indian Aadhaar number",
        r"\b[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}\b",
        accept=checks.number("in_.aadhaar", context=r"aadhaar|aadhar|uidai|uid"),
    ),
    _entity(
        "in_pan",
        "Indian permanent account number",
        r"\b[a-z]{3}[abcfghljpt][a-z]\d{4}[a-z]\b",
        needs=r"\b[a-z]{5}\d{4}[a-z]\b",
        accept=checks.number("in_.pan", context=r"pan|permanent account|income tax"),
    ),
    _entity(
        "cn_ric",
        "Chinese resident identity number",
        r"\b[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[0-9x]\b",
        accept=checks.number("cn.ric"),
    ),
    _entity(
        "kr_rrn",
        "Korean resident number",
        r"\b\d{6}-[1-8]\d{6}\b",
        accept=checks.number("kr.rrn"),
    ),
    _entity(
        "za_id",
        "South African identity number",
        r"\b\d{13}\b",
        accept=checks.number("za.idnr", context=r"id|identity|rsa"),
    ),
    _entity(
        "il_id",
        "Israeli identity number",
        r"\b\d{9}\b",
        accept=checks.number("il.idnr", context=r"teudat zehut|israeli id|t\.?z\.?"),
    ),
    # Last of the standard ones: of equal spans the first recogniser names the finding.
    _entity(
        "phone",
        "Telephone number",
        r"(?:[+(]|\b)\d(?:[ .()/-]{0,3}\d){6,16}(?: ?(?:x|ext\.? ?)\d{1,5})?",
        accept=checks.phone,
    ),
    _entity(
        "medical_record",
        "Medical record number",
        _announced(r"mrn|medical record|patient id|chart", r"[a-z]{0,3}-?\d{5,12}"),
        needs=r"\b(?:mrn|medical record|patient id|chart)",
        group="healthcare",
    ),
    _entity(
        "health_insurance",
        "Health insurance id",
        _announced(
            r"(?:health )?insurance|member|subscriber|beneficiary|policy|medicaid|medicare",
            r"[a-z]{0,4}-?\d{6,14}[a-z]?",
        ),
        r"\b[1-9][a-z][a-z0-9]\d-?[a-z][a-z0-9]\d-?[a-z]{2}\d{2}\b",
        needs=r"\b(?:insurance|member|subscriber|beneficiary|policy|medicaid|medicare|[1-9][a-z][a-z0-9]\d-?[a-z][a-z0-9]\d-?[a-z]{2}\d{2})",
        group="healthcare",
    ),
    _entity(
        "us_npi",
        "US national provider id",
        _announced(r"npi|national provider(?: identifier)?", r"[12]\d{9}"),
        needs=r"\b(?:npi|national provider)",
        accept=checks.npi,
        group="healthcare",
    ),
    _entity(
        "card_cvv",
        "Card security code",
        _announced(r"cvv2?|cvc2?|card verification(?: value)?|card security", r"\d{3,4}\b"),
        needs=r"\b(?:cvv2?|cvc2?|card verification|card security)",
        group="pci",
    ),
    _entity(
        "card_expiry",
        "Card expiry date",
        _announced(
            r"exp|expiry|expires?|expiring|expiration|valid (?:thru|until)(?: date)?|exp(?:iry|iration)? date",
            r"(?:0[1-9]|1[0-2]) ?[/-] ?(?:20)?[2-4]\d\b",
        ),
        needs=r"(?:0[1-9]|1[0-2]) ?[/-] ?(?:20)?[2-4]\d",
        group="pci",
    ),
    _entity(
        "cardholder_name",
        "Cardholder name",
        r"(?i:\b(?:card ?holder(?: name)?|name on (?:the )?card)) ?(?i::|=|is) ?(?P<value>[A-Z][A-Za-z'-]{1,24}(?: [A-Z][A-Za-z'.-]{0,24}){1,3})",
        needs=r"(?i:\b(?:card ?holder|name on (?:the )?card))",
        ignore_case=False,
        group="pci",
    ),
    _entity(
        "card_track",
        "Magnetic stripe data",
        r"%b\d{13,19}\^[^^\n]{2,26}\^\d{4}",
        needs=r"%b\d{13}",
        group="pci",
    ),
)

# Other spellings in configurations seen elsewhere.
ALIASES: Mapping[str, str] = {
    "ssn": "us_ssn",
    "social_security_number": "us_ssn",
    "email_address": "email",
    "phone_number": "phone",
    "telephone": "phone",
    "card": "credit_card",
    "pan": "credit_card",
    "credit_card_number": "credit_card",
    "ip": "ip_address",
    "dob": "date_of_birth",
    "birth_date": "date_of_birth",
    "driver_license": "drivers_license",
    "driving_licence": "drivers_license",
    "mrn": "medical_record",
    "npi": "us_npi",
    "cvv": "card_cvv",
    "nino": "uk_nino",
    "nhs": "uk_nhs",
    "cpf": "br_cpf",
    "aadhaar": "in_aadhaar",
}
