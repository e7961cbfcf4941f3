"""Wordings of answers that decide something for a person, by subject."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Wording(NamedTuple):
    """One wording (RE2), and how sure it makes us that the subject is there."""

    regex: str
    score: float


_ADVISE = r"(?:you should|i(?:'d| would)? (?:recommend|advise|suggest)|we (?:recommend|advise)|it(?:'s| is) (?:best|wise) to|my (?:advice|recommendation) is)"

CATEGORIES: Mapping[str, tuple[Wording, ...]] = MappingProxyType(
    {
        "financial_advice": (
            Wording(
                rf"{_ADVISE}[^.!?\n]{{0,60}}\b(?:invest(?:ing)?|buy(?:ing)?|sell(?:ing)?|short(?:ing)?|refinanc\w{{1,5}})\b[^.!?\n]{{0,50}}\b(?:shares?|stocks?|bonds?|funds?|etfs?|crypto\w{{0,8}}|bitcoin|options?|portfolio|mortgage|pension)\b",
                0.9,
            ),
            Wording(
                r"\b(?:put|move|allocate|invest)\b[^.!?\n]{0,25}(?:\d{1,3} ?%|\b(?:percent|all|half|most)\b)[^.!?\n]{0,40}\b(?:savings|portfolio|stocks?|bonds?|funds?|401\(?k\)?|isa)\b",
                0.8,
            ),
            Wording(
                r"\b(?:loan|credit|mortgage|refund|claim)\b[^.!?\n]{0,30}\b(?:is|has been|was) (?:approved|denied|rejected|declined)\b",
                0.7,
            ),
            Wording(
                r"\b(?:guaranteed|risk-free) (?:returns?|profits?|gains?)\b",
                0.8,
            ),
        ),
        "medical_decisions": (
            Wording(
                rf"{_ADVISE}[^.!?\n]{{0,50}}\b(?:take|taking|increase|increasing|decrease|reduc\w{{1,3}}|stop(?:ping)?|double|skip(?:ping)?)\b[^.!?\n]{{0,40}}\b(?:dos(?:e|es|age)|medication|medicine|tablets?|pills?|insulin|antibiotics?|antidepressants?|mg|statins?|treatment|chemotherapy)\b",
                0.9,
            ),
            Wording(
                r"\b(?:take|prescribe|administer|inject)\b[^.!?\n]{0,30}\b\d{1,5}(?:[.,]\d{1,3})? ?(?:mg|mcg|µg|g|ml|iu|units?)\b",
                0.8,
            ),
            Wording(
                r"\b(?:you (?:have|are suffering from|probably have|most likely have)|(?:the|your) diagnosis is)\b[^.!?\n]{0,40}\b(?:cancer|diabetes|pneumonia|depression|infection|fracture|disorder|disease|syndrome|tumou?r)\b",
                0.8,
            ),
            Wording(
                r"\byou (?:do not|don't) need (?:to see )?(?:a|any) (?:doctor|specialist|ambulance|hospital)\b",
                0.9,
            ),
        ),
        "legal_opinions": (
            Wording(
                r"\byou (?:have|'ve got) (?:a|an|no) (?:strong |valid |good |clear |legal ){0,2}(?:case|claim|legal claim|grounds?|defen[cs]e)\b",
                0.8,
            ),
            Wording(
                rf"{_ADVISE}[^.!?\n]{{0,50}}\b(?:su(?:e|ing)|plead(?:ing)?|settl(?:e|ing)|sign(?:ing)?|terminat(?:e|ing)|breach(?:ing)?|fil(?:e|ing))\b[^.!?\n]{{0,40}}\b(?:lawsuit|suit|claim|contract|agreement|guilty|court|complaint|appeal|bankruptcy|them|him|her)\b",
                0.8,
            ),
            Wording(
                r"\b(?:this|that|it) (?:is|would be|was) (?:perfectly |completely |clearly )?(?:il)?legal\b",
                0.6,
            ),
            Wording(
                r"\byou(?:'re| are)(?: not)? (?:legally )?liable\b",
                0.7,
            ),
        ),
        "hiring_actions": (
            Wording(
                r"\b(?:reject|hire|shortlist|decline|dismiss|advance)\b[^.!?\n]{0,30}\b(?:the |this |that )?(?:candidate|applicant|application|resume|cv)\b",
                0.7,
            ),
            Wording(
                r"\b(?:candidate|applicant|application)\b[^.!?\n]{0,40}\b(?:is|has been|was|should be|will be) (?:rejected|hired|declined|shortlisted|not (?:selected|suitable)|disqualified)\b",
                0.8,
            ),
            Wording(
                rf"{_ADVISE}[^.!?\n]{{0,40}}\b(?:fir(?:e|ing)|terminat(?:e|ing)|promot(?:e|ing)|demot(?:e|ing)|dismiss(?:ing)?)\b[^.!?\n]{{0,30}}\b(?:him|her|them|employees?|the worker|staff)\b",
                0.8,
            ),
        ),
        "safety_critical": (
            Wording(
                r"\b(?:disable|bypass|override|disconnect|remove|ignore)\b[^.!?\n]{0,30}\b(?:safety|interlock|alarm|emergency stop|e-stop|brakes?|relief valve|smoke detector|guard rail|circuit breaker|airbag)\b",
                0.8,
            ),
            Wording(
                r"\b(?:open|close|shut|vent|restart|start|shut down)\b[^.!?\n]{0,25}\b(?:valve|reactor|turbine|pump|breaker|boiler|substation|runway|switchgear)\b",
                0.7,
            ),
            Wording(
                r"\b(?:it is|it's|you are|you're) safe to (?:drive|fly|enter|operate|energi[sz]e|touch|restart|evacuate|drink|eat)\b",
                0.7,
            ),
        ),
    }
)
