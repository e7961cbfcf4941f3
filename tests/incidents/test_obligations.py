"""Clocks: opened strictly, started by decisions, chained, tolled, never deleted."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import get_args

import msgspec
import pytest

from kintsugi.errors import Blocked, InvalidInput, NotFound
from kintsugi.incidents import obligations
from kintsugi.incidents.drafts import draft, draft_text
from kintsugi.incidents.gates import unmet_gates
from kintsugi.incidents.rules import REMINDER, catalogue, fields, rule_of
from kintsugi.model.incident import Incident
from kintsugi.model.obligation import Fact, MomentKind, Obligation
from tests.incidents.cases import ANA, BO, FROZEN, NOON, act, complete, incident

HOUR = timedelta(hours=1)

# As the instruments say, counted by hand; a change of the data has to be made twice.
PERIODS = {
    "eu_aia_73_2": (15, "calendar_days"),
    "eu_aia_73_3": (2, "calendar_days"),
    "eu_aia_73_4": (10, "calendar_days"),
    "eu_aia_26_5": (0, "immediate"),
    "gpai_cop_infra": (2, "calendar_days"),
    "gpai_cop_cyber": (5, "calendar_days"),
    "gpai_cop_death": (10, "calendar_days"),
    "gpai_cop_other": (15, "calendar_days"),
    "gpai_cop_intermediate": (28, "calendar_days"),
    "gpai_cop_final": (60, "calendar_days"),
    "gdpr_33": (72, "hours"),
    "nis2_early": (24, "hours"),
    "nis2_notify": (72, "hours"),
    "nis2_final": (1, "months"),
    "dora_initial_class": (4, "hours"),
    "dora_initial_aware": (24, "hours"),
    "dora_intermediate": (72, "hours"),
    "dora_final": (1, "months"),
    "cra_vuln_early": (24, "hours"),
    "cra_vuln_notify": (72, "hours"),
    "cra_vuln_final": (14, "calendar_days"),
    "cra_inc_early": (24, "hours"),
    "cra_inc_notify": (72, "hours"),
    "cra_inc_final": (1, "months"),
    "hipaa_individuals": (60, "calendar_days"),
    "hipaa_hhs_annual": (60, "calendar_days"),
    "sec_8k_105": (4, "business_days"),
    "ca_sb53": (15, "calendar_days"),
    "ca_sb53_imminent": (24, "hours"),
    "ny_raise": (72, "hours"),
    "nydfs_500_17": (72, "hours"),
    "glba_ftc": (30, "calendar_days"),
    "tx_ag": (30, "calendar_days"),
    "fda_mdr_30": (30, "calendar_days"),
    "fda_mdr_5": (5, "business_days"),
}


def clock(found: Incident, rule: str, round_: int = 1) -> Obligation:
    [one] = [one for one in found.obligations if (one.rule, one.round) == (rule, round_)]
    return one


def aware(found: Incident, at: datetime = NOON, hours: float = 1) -> Incident:
    return obligations.moment_decided(found, "aware", at, act(hours=hours)).incident


@pytest.mark.parametrize("rule", PERIODS)
def test_periods_are_those_of_the_instruments(rule: str) -> None:
    assert (rule_of(rule).amount, rule_of(rule).unit) == PERIODS[rule]


def test_every_rule_says_who_when_to_whom_and_where_it_was_read() -> None:
    rules = {rule.id: rule for rule in catalogue().rules}
    assert len(rules) == len(catalogue().rules)
    assert catalogue().retrieved_on == date(2026, 11, 21)
    for rule in rules.values():
        assert rule.source.startswith("https://")
        assert rule.legal_status
        assert rule.recipient
        assert rule.trigger in catalogue().triggers
        assert set(rule.fields) <= set(fields())
        assert set(rule.start) <= set(get_args(MomentKind))
        assert {*rule.after, *rule.beats} <= set(rules)
        assert bool(rule.start) != bool(rule.after), rule.id
        assert (rule.amount == 0) == (rule.unit == "immediate")
    frontier = [rule for rule in rules.values() if rule.who == "frontier_developer"]
    assert frontier
    assert not any(rule.enabled for rule in frontier)
    assert not rules["circia"].enabled
    assert "contested" in rules["eu_aia_73_2"].legal_status


def test_unknown_opens_a_clock_and_a_role_that_is_denied_does_not() -> None:
    found = obligations.opened(incident(), act(), triggers={"personal_data_breach": "unknown"})
    assert {one.rule for one in found.incident.obligations} == {"gdpr_33", "gdpr_33_2"}
    assert len(found.entries) == 2
    denied = obligations.opened(
        incident(),
        act(),
        triggers={"personal_data_breach": "yes"},
        roles={"data_processor": "no"},
    ).incident
    assert [one.rule for one in denied.obligations] == ["gdpr_33"]
    assert obligations.opened(incident(), act(), triggers={"death": "no"}).entries == ()
    again = obligations.opened(found.incident, act(), triggers={"personal_data_breach": "no"})
    assert again.incident.obligations == found.incident.obligations


def test_exactly_the_shortest_clock_of_article_73_runs() -> None:
    answers = {
        "serious_incident": "yes",
        "death": "unknown",
        "widespread_or_critical_infrastructure": "no",
    }
    roles = {"ai_deployer": "no"}
    found = obligations.opened(incident(), act(), triggers=answers, roles=roles)  # type: ignore[arg-type]
    assert [one.rule for one in found.incident.obligations] == ["eu_aia_73_4"]
    answers["widespread_or_critical_infrastructure"] = "unknown"
    found = obligations.opened(incident(), act(), triggers=answers, roles=roles)  # type: ignore[arg-type]
    assert [one.rule for one in found.incident.obligations] == ["eu_aia_73_3"]


def test_what_is_not_enabled_is_opened_by_name_only() -> None:
    asked = obligations.opened(incident(), act(), triggers={"critical_safety_incident": "yes"})
    assert asked.incident.obligations == ()
    named = obligations.opened(incident(), act(), rules=["ca_sb53"]).incident
    assert clock(named, "ca_sb53").why == "by name"
    for wrong in ({"rules": ["gdpr_99"]}, {"triggers": {"mood": "yes"}}, {"roles": {"king": "no"}}):
        with pytest.raises(InvalidInput):
            obligations.opened(incident(), act(), **wrong)


def test_a_clock_waits_until_somebody_decides_when_we_knew() -> None:
    found = obligations.opened(incident(), act(), rules=["gdpr_33"]).incident
    assert clock(found, "gdpr_33").status(NOON) == "waiting"
    with pytest.raises(Blocked, match="reason"):
        obligations.moment_decided(found, "aware", NOON, act(reason=""))
    with pytest.raises(InvalidInput, match="lies ahead"):
        obligations.moment_decided(found, "aware", NOON + 9 * HOUR, act())
    found = aware(found)
    one = clock(found, "gdpr_33")
    assert (one.start_at, one.due_at) == (NOON, NOON + 72 * HOUR)
    assert found.moments[0].decided_by == "chief/3"
    assert one.status(NOON + HOUR) == "running"
    assert one.status(NOON + 60 * HOUR) == "due_soon"
    assert one.status(NOON + 73 * HOUR) == "overdue"
    revised = aware(found, NOON - 5 * HOUR, hours=2)
    assert clock(revised, "gdpr_33").due_at == NOON + 67 * HOUR
    assert len(revised.moments) == 2


def test_chained_clocks_start_from_the_report_before() -> None:
    found = obligations.opened(incident(), act(), triggers={"major_ict_incident": "yes"}).incident
    assert {one.rule for one in found.obligations} == {
        *("dora_initial_class", "dora_initial_aware", "dora_intermediate", "dora_final"),
    }
    found = aware(found)
    assert clock(found, "dora_intermediate").status(NOON) == "waiting"
    sent = act(hours=3)
    found = obligations.submitted(
        found, clock(found, "dora_initial_aware").id, sent, reference="BaFin 1"
    ).incident
    assert clock(found, "dora_intermediate").due_at == NOON + 75 * HOUR
    later = act(hours=75, at=NOON + 74 * HOUR)
    found = obligations.submitted(
        found, clock(found, "dora_intermediate").id, later, reference="BaFin 2"
    ).incident
    assert clock(found, "dora_final").start_at == NOON + 74 * HOUR
    assert clock(found, "dora_final").due_at == datetime.fromisoformat("2026-05-26T14:00:00Z")


def test_naming_the_first_of_a_chain_opens_all_of_it() -> None:
    found = obligations.opened(incident(), act(), rules=["gpai_cop_other"]).incident
    assert [one.rule for one in found.obligations] == ["gpai_cop_other", "gpai_cop_intermediate"]
    found = aware(found)
    found = obligations.submitted(
        found, clock(found, "gpai_cop_other").id, act(hours=2), reference="AIO 1"
    ).incident
    found = obligations.submitted(
        found, clock(found, "gpai_cop_intermediate").id, act(hours=3), reference="AIO 2"
    ).incident
    second = clock(found, "gpai_cop_intermediate", 2)
    assert second.due_at == NOON + 3 * HOUR + timedelta(days=28)
    found = obligations.moment_decided(found, "resolved", NOON, act(hours=4)).incident
    found = obligations.submitted(found, second.id, act(hours=5), reference="AIO 3").incident
    assert len(found.obligations) == 3


def test_an_incomplete_report_is_owed_its_rest_where_the_law_allows_it() -> None:
    found = aware(obligations.opened(incident(), act(), rules=["gdpr_33", "sec_8k_105"]).incident)
    one = clock(found, "gdpr_33").id
    found = obligations.submitted(found, one, act(BO), reference="DPA 7", incomplete=True).incident
    assert clock(found, "gdpr_33").status(NOON) == "met_incomplete"
    found = obligations.submitted(found, one, act(BO), reference="DPA 8").incident
    assert clock(found, "gdpr_33").status(NOON) == "met"
    with pytest.raises(InvalidInput, match="does not allow"):
        obligations.submitted(
            found, clock(found, "sec_8k_105").id, act(), reference="x", incomplete=True
        )
    with pytest.raises(NotFound):
        obligations.submitted(found, "nope", act(), reference="x")


def test_tolled_time_does_not_count() -> None:
    found = aware(obligations.opened(incident(), act(), rules=["hipaa_ba"]).incident)
    one = clock(found, "hipaa_ba")
    assert one.due_at == NOON + timedelta(days=60)
    with pytest.raises(Blocked) as error:
        obligations.tolled(found, one.id, act(BO, reason=""), evidence=" ")
    assert {two.code for two in error.value.blockers} == {"reason", "not_in_command", "evidence"}
    found = obligations.tolled(found, one.id, act(hours=10), evidence="letter of the FBI").incident
    assert clock(found, "hipaa_ba").status(NOON + timedelta(days=99)) == "tolled"
    found = obligations.resumed(found, one.id, act(hours=34)).incident
    assert clock(found, "hipaa_ba").due_at == NOON + timedelta(days=61)
    with pytest.raises(Blocked, match="not tolled"):
        obligations.resumed(found, one.id, act(hours=35))


def test_a_clock_is_set_aside_by_command_and_stays_in_the_record() -> None:
    found = aware(obligations.opened(complete("low"), act(), rules=["gdpr_34"]).incident)
    one = clock(found, "gdpr_34")
    assert [two.where for two in unmet_gates(found, FROZEN, now=NOON)] == ["gate.clocks"]
    with pytest.raises(Blocked, match="commander"):
        obligations.set_aside(found, one.id, act(BO))
    with pytest.raises(Blocked, match="reason"):
        obligations.set_aside(found, one.id, act(reason=""))
    aside = obligations.set_aside(found, one.id, act(ANA)).incident
    assert clock(aside, "gdpr_34").status(NOON) == "set_aside"
    assert unmet_gates(aside, FROZEN, now=NOON) == []
    with pytest.raises(Blocked, match="it is set_aside"):
        obligations.set_aside(aside, one.id, act())
    with pytest.raises(Blocked, match="it was set aside"):
        obligations.submitted(aside, one.id, act(), reference="x")
    back = obligations.reinstated(aside, one.id, act()).incident
    assert clock(back, "gdpr_34").status(NOON + 2 * HOUR) == "overdue"


def test_a_draft_tells_what_is_had_missing_unknown_and_not_applicable() -> None:
    found = msgspec.structs.replace(incident(), summary="It invented refunds.")
    found = aware(obligations.opened(found, act(), rules=["gdpr_33"]).incident)
    facts = {
        "affected_persons": Fact("unknown", "ana/1", NOON),
        "delay_reasons": Fact("not_applicable", "ana/1", NOON),
        "contact": Fact("have", "ana/1", NOON, "dpo@example.com"),
    }
    found = obligations.facts_said(found, facts, act()).incident
    by_name = {field.name: field for field in draft(found, clock(found, "gdpr_33"))}
    assert tuple(by_name) == rule_of("gdpr_33").fields
    assert {name: field.status for name, field in by_name.items()} == {
        "description_plain": "have",
        "data_categories": "missing",
        "affected_persons": "unknown",
        "affected_records": "missing",
        "contact": "have",
        "likely_consequences": "missing",
        "measures_taken": "missing",
        "measures_planned": "missing",
        "delay_reasons": "not_applicable",
        "aware_at": "have",
    }
    text = draft_text(found, clock(found, "gdpr_33"))
    assert REMINDER in text
    assert "[missing]" in text
    for wrong in ({"mood": facts["contact"]}, {"contact": Fact("have", "ana/1", NOON)}):
        with pytest.raises(InvalidInput):
            obligations.facts_said(found, wrong, act())
