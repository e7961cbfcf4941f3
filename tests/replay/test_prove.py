"""Red/green proof: a case counts only if it fails on the old configuration and holds on the new."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kintsugi import __version__
from kintsugi.model.config import Case, CaseExpected, CaseInput
from kintsugi.model.proof import Proof, ProofRun
from kintsugi.model.regression import CaseKind, CaseSource, Regression
from kintsugi.policy.parse import parse_config
from kintsugi.policy.plan import revision
from kintsugi.replay.prove import NO_CASE, Charge, Judge, prove, run_on
from tests.databases import NOON

SECRET = "the aurora papers of Ada Lovelace"


def config(*terms: str, streaming: str = "buffer") -> str:
    return (
        "pack: {name: support, version: 1.0.0}\n"
        f"gateway: {{streaming: {streaming}}}\n"
        "policies: {chain: [dlp-filter, audit-logger]}\n"
        f"policy: {{dlp-filter: {{blocked_terms: [{', '.join(terms)}], action: block}}, "
        "audit-logger: {}}\n"
    )


def judge(version: int, *terms: str, **more: Any) -> Judge:
    content = config(*terms)
    told = {"recorded_revision": revision(parse_config(content)), **more}
    return Judge("support", f"support@{version}", content, **told)


OLD = judge(1, "zebra")
NEW = judge(2, "zebra", "aurora")


def regression(
    number: int = 1,
    text: str = SECRET,
    *,
    kind: CaseKind = "case",
    verdict: str = "block",
    skip: str = "",
    **more: Any,
) -> Regression:
    case = Case(
        f"case {number}",
        CaseInput(messages=({"role": "user", "content": text},)),
        CaseExpected(verdict=verdict),
        skip=skip,
    )
    return Regression(
        id=f"REG-{number:06d}",
        version=1,
        kind=kind,
        state="approved",
        incident_id="inc",
        config_id="support",
        case=msgspec.structs.replace(case, **more),
        source=CaseSource("event", "e"),
        created_at=NOON,
        created_by="ana/1",
        changed_at=NOON,
        changed_by="ana/1",
    )


def twin(number: int = 9, text: str = "hello", *, verdict: str = "allow") -> Regression:
    return regression(number, text, kind="twin", verdict=verdict)


def proof_of(*cases: Regression, red: Judge = OLD, green: Judge = NEW, **more: Any) -> Proof:
    charges = [Charge(one, red, green, **more) for one in cases]
    return prove(charges, incident_id="inc", reference="INC-000001", at=NOON, by="ana/1")


def results(proof: Proof) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.result, one.sides) for one in proof.cases]


def test_a_case_that_failed_then_and_holds_now_is_proved() -> None:
    proof = proof_of(regression(), twin())
    assert proof.passed
    assert results(proof) == [("proved", ()), ("proved", ())]
    [red, green] = proof.runs
    assert (red.side, red.config_version, red.same_engine) == ("red", "support@1", True)
    assert (green.side, green.config_version) == ("green", "support@2")
    assert red.revision == OLD.recorded_revision
    assert red.engine_version == __version__
    assert red.cases[0].unmet == ("verdict",)
    assert green.cases[0].verdict == "block"
    assert green.cases[0].digest == regression().digest


def test_a_case_that_cannot_fail_is_refused() -> None:
    proof = proof_of(regression(), red=judge(1, "aurora"))
    assert not proof.passed
    assert results(proof) == [("never_red", ())]


def test_a_candidate_that_does_not_mend_it_is_not_proved() -> None:
    assert results(proof_of(regression(), green=judge(2, "zebra", "yak"))) == [("still_red", ())]


def test_a_twin_has_to_hold_on_both_sides_and_is_told_where_it_does_not() -> None:
    both = judge(1, "hello"), judge(2, "hello", "aurora")
    assert results(proof_of(twin(), green=both[1])) == [("twin_broken", ("green",))]
    assert results(proof_of(twin(), red=both[0])) == [("twin_broken", ("red",))]
    assert results(proof_of(twin(), red=both[0], green=both[1])) == [
        ("twin_broken", ("red", "green"))
    ]


def test_an_over_block_is_a_case_that_expects_to_be_let_through() -> None:
    typo, mended = judge(1, "order"), judge(2, "ordeal")
    blocked = regression(1, "where is my order?", verdict="allow")
    attack = twin(2, "an ordeal", verdict="block")
    assert results(proof_of(blocked, red=typo, green=mended)) == [("proved", ())]
    # Its twin is the attack that has to stay stopped; here it is not, on the mended side alone.
    assert results(proof_of(attack, red=judge(1, "ordeal"), green=typo)) == [
        ("twin_broken", ("green",))
    ]


def test_variants_and_twins_alone_prove_nothing() -> None:
    proof = proof_of(regression(kind="variant"), twin())
    assert [one.result for one in proof.cases] == ["proved", "proved"]
    assert not proof.passed
    assert proof.reasons == (NO_CASE,)
    assert not proof_of().passed


def test_what_cannot_run_is_neither_red_nor_green() -> None:
    broken = regression(input=CaseInput(messages=({"role": "nobody", "content": 7},)))
    [one] = proof_of(broken).cases
    assert (one.result, one.sides) == ("could_not_run", ("red", "green"))
    gone = Judge("support", "support@1", None, missing="support@1 is not kept here")
    proof = proof_of(regression(), red=gone)
    assert results(proof) == [("could_not_run", ("red",))]
    assert proof.runs[0].error == "support@1 is not kept here"
    proof = proof_of(regression(), green=Judge("support", "support", "nonsense: ["))
    assert results(proof) == [("could_not_run", ("green",))]
    assert proof.runs[1].error


def test_skip_keeps_no_case_from_being_tried() -> None:
    assert results(proof_of(regression(skip="not today"), red=judge(1, "aurora"))) == [
        ("never_red", ())
    ]


def test_a_case_whose_content_is_lost_cannot_run() -> None:
    lost = msgspec.structs.replace(regression(), lost="it was erased", lost_digest="sha256:x")
    proof = proof_of(lost)
    assert results(proof) == [("could_not_run", ("red", "green"))]
    assert proof.cases[0].digest == "sha256:x"


def test_cases_are_tried_on_the_configurations_that_are_theirs() -> None:
    other = msgspec.structs.replace(judge(5, "yak"), config_id="sales", name="sales@5")
    mended = msgspec.structs.replace(judge(6, "yak", "gnu"), config_id="sales", name="sales@6")
    charges = [
        Charge(regression(1), OLD, NEW),
        Charge(regression(2, "a gnu"), other, mended),
        Charge(regression(3), judge(0, "cat"), NEW),
    ]
    proof = prove(charges, incident_id="inc", reference="INC-000001", at=NOON, by="ana/1")
    assert proof.passed
    assert [(run.side, run.config_version, len(run.cases)) for run in proof.runs] == [
        ("red", "support@1", 1),
        ("red", "sales@5", 1),
        ("red", "support@0", 1),
        ("green", "support@2", 2),
        ("green", "sales@6", 1),
    ]
    assert [(one.red, one.green) for one in proof.cases] == [
        ("support@1", "support@2"),
        ("sales@5", "sales@6"),
        ("support@0", "support@2"),
    ]


def earlier_of(one: Regression, judged: Judge = OLD) -> ProofRun:
    return msgspec.structs.replace(run_on(judged, [one], "red", at=NOON), engine_version="0.1")


def test_the_red_run_of_its_time_counts_where_the_engine_means_something_else_today() -> None:
    # What the present engine makes of it would pass; what decided then did not.
    today = judge(1, "aurora", recorded_revision="sha256:then")
    one = regression()
    assert results(proof_of(one, red=today)) == [("never_red", ())]
    proof = proof_of(one, red=today, earlier=earlier_of(one))
    assert proof.passed
    assert proof.runs[0].engine_version == "0.1"
    assert not proof_of(one, red=today).runs[0].same_engine


def test_where_the_engine_is_the_same_nothing_kept_counts() -> None:
    one = regression()
    kept = earlier_of(one, judge(1, "aurora"))
    proof = proof_of(one, earlier=kept)
    assert proof.passed
    assert proof.runs[0].engine_version == __version__


def test_a_proof_holds_no_text_of_a_case() -> None:
    one = regression(expected=CaseExpected(response_contains=f"never: {SECRET}"))
    broken = regression(2, input=CaseInput(messages=({"role": SECRET, "content": 7},)))
    told = msgspec.json.encode(proof_of(one, broken)).decode()
    assert "aurora" not in told
    assert "Lovelace" not in told


WORDS = st.lists(st.sampled_from(["aurora", "zebra", "yak", "gnu", "emu"]), max_size=3)


@given(old=WORDS, new=WORDS, text=WORDS, verdict=st.sampled_from(["allow", "block"]))
def test_proved_means_not_met_then_and_met_now(
    old: list[str], new: list[str], text: list[str], verdict: str
) -> None:
    one = regression(1, "say " + " ".join(text), verdict=verdict)
    [case] = proof_of(one, red=judge(1, "ox", *old), green=judge(2, "ox", *new)).cases
    met = [("block" if set(text) & set(terms) else "allow") == verdict for terms in (old, new)]
    wanted = "never_red" if met[0] else "proved" if met[1] else "still_red"
    assert case.result == wanted
