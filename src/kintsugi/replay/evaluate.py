"""What a policy is worth on labelled texts: what it finds, how often it is wrong, what it costs.

Pure but for the clock: records in, figures out. Every figure is per source and category too, since
one number over all of them hides everything.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from kintsugi.errors import InvalidInput
from kintsugi.model.config import Config, Gateway, Pack, PolicyBlock
from kintsugi.model.content import ExchangeView, Part
from kintsugi.model.decision import Phase
from kintsugi.model.facts import Facts
from kintsugi.policy.classifier.model import trained
from kintsugi.policy.decide import decide
from kintsugi.policy.plan import Plan, compile_plan
from kintsugi.policy.provenance import HIJACKED, worst_call
from kintsugi.policy.rules import KINDS

OVERLAP_MIN = 0.5
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
# Judged before the clock runs: a gateway is not measured on its first requests either.
WARM_UP = 40
EXCERPT_CHARS = 100
HIJACK_KIND = "agent-firewall"

# What data sets call the kinds of personal data that ours find.
SPAN_TYPES = {
    "email": "EMAIL",
    "phone": "PHONE",
    "credit_card": "CREDIT_CARD",
    "iban": "IBAN",
    "ip_address": "IP_ADDRESS",
    "drivers_license": "DRIVER_LICENSE",
    "passport": "PASSPORT",
    "date_of_birth": "DATE_OF_BIRTH",
    **dict.fromkeys(
        (
            *("us_ssn", "us_itin", "uk_nino", "uk_nhs", "es_dni", "es_nie", "it_codice_fiscale"),
            *("fr_nir", "de_tax_id", "nl_bsn", "be_nn", "pl_pesel", "se_personnummer"),
            *("fi_hetu", "no_fodselsnummer", "dk_cpr", "ch_ahv", "tr_tckn", "ro_cnp", "br_cpf"),
            *("mx_curp", "ca_sin", "au_tfn", "in_aadhaar", "in_pan", "cn_ric", "kr_rrn", "za_id"),
            "il_id",
        ),
        "NATIONAL_ID",
    ),
}


class Span(msgspec.Struct, frozen=True):
    """A labelled place, in characters; end exclusive."""

    start: int
    end: int
    type: str = ""


class Record(msgspec.Struct, frozen=True):
    """One labelled text or conversation; fields beyond these are ignored.

    Attributes:
        label: 1 where the thing to detect is there.
        category: what kind of example it is; figures are told by it.
        place: who says it: ``user`` or ``tool``; the command's own when empty.
    """

    label: int
    text: str = ""
    messages: tuple[dict[str, Any], ...] = ()
    id: str = ""
    category: str = ""
    source: str = ""
    place: str = ""
    spans: tuple[Span, ...] = ()


class Rates(msgspec.Struct, frozen=True):
    """Counts of one group, and what follows from them; None where it does not exist."""

    found: int
    missed: int
    false: int
    passed: int

    @property
    def precision(self) -> float | None:
        return _ratio(self.found, self.found + self.false)

    @property
    def recall(self) -> float | None:
        return _ratio(self.found, self.found + self.missed)

    @property
    def f1(self) -> float | None:
        return _ratio(2 * self.found, 2 * self.found + self.missed + self.false)

    @property
    def false_positive_rate(self) -> float | None:
        return _ratio(self.false, self.false + self.passed)


class Mistake(msgspec.Struct, frozen=True):
    """One record that was judged wrongly; personal data and secrets in it are masked."""

    kind: str
    id: str
    source: str
    score: float
    rules: tuple[str, ...]
    excerpt: str


class Cost(msgspec.Struct, frozen=True):
    """Microseconds of one text, and of 1,024 characters."""

    p50: float
    p99: float
    per_kilocharacter: float


class Evaluation(msgspec.Struct, frozen=True):
    """What the command reports.

    Attributes:
        groups: by source and category.
        spans: by type, counted over labelled places instead of texts.
        thresholds: by score from which a text counts, where the policy gives scores.
    """

    kind: str
    records: int
    total: Rates
    groups: tuple[tuple[str, str, Rates], ...]
    spans: tuple[tuple[str, Rates], ...]
    thresholds: tuple[tuple[float, Rates], ...]
    cost: Cost
    mistakes: tuple[Mistake, ...]


def read_records(data: bytes, *, file: str) -> Iterator[Record]:
    """The records of a JSON Lines file.

    Raises:
        InvalidInput: a line is no record; the message says which and why.
    """
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = msgspec.json.decode(line, type=Record)
        except msgspec.MsgspecError as error:
            raise InvalidInput(
                f'{file}:{number}: {error}; a record is {{"text": ..., "label": 0 or 1}}'
            ) from None
        if record.label not in (0, 1):
            raise InvalidInput(f"{file}:{number}: label is {record.label}; use 0 or 1")
        if record.text or record.messages:
            yield record


def plan_for(kind: str, config: Config | None, *, threshold: float | None = None) -> Plan:
    """A plan of this policy alone, with the options of a configuration where it has some.

    Raises:
        InvalidInput: there is no such policy, or it gives no scores to set a threshold on.
    """
    if kind not in KINDS:
        raise InvalidInput(f'unknown policy "{kind}"; use one of: {", ".join(sorted(KINDS))}')
    options = (
        next((block.options for block in config.chain if block.kind == kind), None)
        if (config is not None)
        else None
    )
    if options is None:
        options = msgspec.convert({}, KINDS[kind].options)
    if threshold is not None:
        if "threshold" not in options.__struct_fields__:
            raise InvalidInput(f"{kind} gives no scores; leave --threshold-report out")
        options = msgspec.structs.replace(options, threshold=threshold)
    pack = Pack(name="evaluation", version="1.0.0", id="evaluation")
    block = PolicyBlock(kind, options)
    return compile_plan(Config(pack, Gateway(), (), (block,), (), "", "", {}))


class _Judged(msgspec.Struct, frozen=True):
    record: Record
    hit: bool
    score: float
    rules: tuple[str, ...]
    places: tuple[Span, ...]
    microseconds: float


def evaluate(
    records: Sequence[Record],
    *,
    kind: str,
    config: Config | None = None,
    place: str = "user",
    thresholds: bool = False,
    mistakes_max: int = 10,
    clock: Callable[[], int] = time.process_time_ns,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Judge every record once and count.

    Args:
        place: who says the texts, where a record does not tell: ``user`` or ``tool``.
        thresholds: also count at other thresholds than the one in force.
        clock: nanoseconds; of the process, so that other programs do not count.
        progress: told how many records are done.

    Raises:
        InvalidInput: see ``plan_for``; or there are no records.
    """
    if not records:
        raise InvalidInput("no records: one JSON object a line, with text and label")
    judge = _hijack_judge() if _conversations(kind, records) else _text_judge(kind, config, place)
    for record in records[:WARM_UP]:
        judge(record)
    judged: list[_Judged] = []
    for number, record in enumerate(records, start=1):
        started = clock()
        hit, score, rules, places = judge(record)
        cost = (clock() - started) / 1_000
        judged.append(_Judged(record, hit, score, rules, places, cost))
        if progress is not None:
            progress(number)
    groups: dict[tuple[str, str], list[_Judged]] = defaultdict(list)
    for one in judged:
        groups[one.record.source, one.record.category].append(one)
    return Evaluation(
        kind=kind,
        records=len(judged),
        total=_rates((one.hit, one.record.label) for one in judged),
        groups=tuple(
            (*name, _rates((one.hit, one.record.label) for one in members))
            for name, members in sorted(groups.items())
        ),
        spans=_span_rates(judged, typed=kind == "pii-detector"),
        thresholds=_at_thresholds(records, kind, config, place) if thresholds else (),
        cost=_cost(judged),
        mistakes=_mistakes(judged, mistakes_max),
    )


_Verdict = tuple[bool, float, tuple[str, ...], tuple[Span, ...]]


def _facts() -> Facts:
    return Facts(now=datetime(2026, 1, 1, tzinfo=UTC))


def _text_judge(
    kind: str, config: Config | None, place: str, threshold: float | None = None
) -> Callable[[Record], _Verdict]:
    plan = plan_for(kind, config, threshold=threshold)
    phase = Phase.INPUT if plan.has(Phase.INPUT) else Phase.OUTPUT
    facts = _facts()

    def judge(record: Record) -> _Verdict:
        said_by_tool = (record.place or place) == "tool"
        part = Part(
            "tool" if said_by_tool else "user" if phase is Phase.INPUT else "assistant",
            "tool_result" if said_by_tool else "text",
            _text_of(record),
            "/text",
        )
        decision = decide(plan, phase, ExchangeView([part], [part]), facts)
        findings = decision.evaluations[0].findings if decision.evaluations else ()
        return (
            bool(findings),
            max((finding.score for finding in findings), default=0.0),
            tuple(dict.fromkeys(finding.rule for finding in findings)),
            tuple(Span(one.offset, one.offset + one.length, one.rule) for one in findings),
        )

    return judge


def _text_of(record: Record) -> str:
    if record.text:
        return record.text
    contents = (message.get("content") for message in record.messages)
    return "\n\n".join(content for content in contents if isinstance(content, str))


def _conversations(kind: str, records: Sequence[Record]) -> bool:
    return kind == HIJACK_KIND and all(record.messages for record in records)


def _hijack_judge() -> Callable[[Record], _Verdict]:
    model = trained()

    def suspect(text: str) -> float:
        return model.score(text, "tool").indirect.probability

    def judge(record: Record) -> _Verdict:
        worst = worst_call(list(_parts(record)), suspect=suspect)
        if worst is None:
            return False, 0.0, (), ()
        found = worst[1]
        rules = tuple(dict.fromkeys(witness.name for witness in found.witnesses))
        return found.score >= HIJACKED, found.score, rules, ()

    return judge


def _parts(record: Record) -> Iterator[Part]:
    """A conversation in OpenAI's form as parts."""
    for number, message in enumerate(record.messages):
        role = str(message.get("role", ""))
        for index, call in enumerate(message.get("tool_calls") or ()):
            function = call.get("function") or {}
            yield Part(
                role,
                "tool_call",
                str(function.get("arguments") or ""),
                f"/messages/{number}/tool_calls/{index}/function/arguments",
                name=str(function.get("name", "")),
            )
        content = message.get("content")
        if isinstance(content, str) and content:
            from_tool = role in ("tool", "function")
            path = f"/messages/{number}/content"
            yield Part(role, "tool_result" if from_tool else "text", content, path)


def _at_thresholds(
    records: Sequence[Record], kind: str, config: Config | None, place: str
) -> tuple[tuple[float, Rates], ...]:
    judge = _text_judge(kind, config, place, threshold=THRESHOLDS[0])
    scores = [(judge(record)[1], record.label) for record in records]
    return tuple(
        (bar, _rates((score >= bar, label) for score, label in scores)) for bar in THRESHOLDS
    )


def _rates(outcomes: Iterable[tuple[bool, int]]) -> Rates:
    counts = {(True, 1): 0, (False, 1): 0, (True, 0): 0, (False, 0): 0}
    for hit, label in outcomes:
        counts[hit, label] += 1
    return Rates(counts[True, 1], counts[False, 1], counts[True, 0], counts[False, 0])


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _span_rates(judged: Sequence[_Judged], *, typed: bool) -> tuple[tuple[str, Rates], ...]:
    """Found and missed places by type; ``all`` sums up. Empty without labelled places."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    if not any(one.record.spans for one in judged):
        return ()
    known = set(SPAN_TYPES.values())
    for one in judged:
        wanted = [span for span in one.record.spans if not typed or span.type in known]
        if not typed and not wanted and one.record.label:
            continue  # a place that nobody wrote down cannot be compared
        seen = [
            msgspec.structs.replace(span, type=SPAN_TYPES.get(span.type, "") if typed else "all")
            for span in one.places
        ]
        wanted = [span if typed else msgspec.structs.replace(span, type="all") for span in wanted]
        for span in wanted:
            counts[span.type][0 if any(_same(span, other) for other in seen) else 1] += 1
        for other in seen:
            if other.type and not any(_same(span, other) for span in wanted):
                counts[other.type][2] += 1
    if typed:
        counts["all"] = [sum(values) for values in zip(*counts.values(), strict=True)]
    return tuple(
        (name, Rates(found, missed, false, 0))
        for name, (found, missed, false) in sorted(counts.items())
    )


def _same(one: Span, other: Span) -> bool:
    shared = min(one.end, other.end) - max(one.start, other.start)
    whole = max(one.end, other.end) - min(one.start, other.start)
    return one.type == other.type and whole > 0 and shared / whole >= OVERLAP_MIN


def _cost(judged: Sequence[_Judged]) -> Cost:
    times = sorted(one.microseconds for one in judged)
    characters = sum(len(_text_of(one.record)) for one in judged)
    return Cost(
        p50=round(times[len(times) // 2], 1),
        p99=round(times[int(len(times) * 0.99)], 1),
        per_kilocharacter=round(sum(times) * 1_024 / max(characters, 1), 1),
    )


def _mistakes(judged: Sequence[_Judged], count_max: int) -> tuple[Mistake, ...]:
    """The surest false alarms and the most clearly missed, half and half."""
    false = sorted(
        (one for one in judged if one.hit and not one.record.label), key=lambda one: -one.score
    )
    missed = sorted(
        (one for one in judged if not one.hit and one.record.label), key=lambda one: one.score
    )
    half = count_max // 2
    chosen = [*false[: max(half, count_max - len(missed))]]
    chosen += missed[: count_max - len(chosen)]
    mask = _masking()
    return tuple(
        Mistake(
            kind="false alarm" if one.hit else "missed",
            id=one.record.id,
            source=one.record.source,
            score=one.score,
            rules=one.rules,
            excerpt=mask(_text_of(one.record)[: EXCERPT_CHARS * 4]),
        )
        for one in chosen
    )


def _masking() -> Callable[[str], str]:
    """What evidence would show of a text: its beginning, personal data and secrets masked."""
    pack = Pack(name="masking", version="1.0.0", id="masking")
    blocks = tuple(
        PolicyBlock(kind, msgspec.convert({}, KINDS[kind].options))
        for kind in ("pii-detector", "secrets-detector")
    )
    plan = compile_plan(Config(pack, Gateway(), (), blocks, (), "", "", {}))
    facts = _facts()

    def mask(text: str) -> str:
        part = Part("user", "text", text, "/text")
        decision = decide(plan, Phase.INPUT, ExchangeView([part], [part]), facts)
        for edit in reversed(decision.masks):
            text = text[: edit.start] + edit.replacement + text[edit.end :]
        return text[:EXCERPT_CHARS]

    return mask
