"""``kt obligations``."""

from __future__ import annotations

from tests.cli.conftest import Kt


def test_a_clock_is_opened_started_drafted_and_met(kt_online: Kt) -> None:
    kt_online("incidents", "declare", "Records leaked", "--summary", "Who saw what.")
    words = ("--trigger", "personal_data_breach=unknown", "--role", "data_processor=no")
    preview = kt_online("obligations", "open", "INC-1", *words, "--dry-run", "--json")
    assert preview.json["owed"] == 1
    assert kt_online("obligations", "list", "--json").json == []
    assert kt_online("obligations", "open", "INC-1", *words).code == 0
    [one] = kt_online("obligations", "list", "--json").json
    decided = kt_online("obligations", "moment", "INC-1", "aware", "1h", "--reason", "the log")
    assert decided.code == 0, decided.err
    shown = kt_online("obligations", "show", one["id"], "--json").json
    assert (shown["status"], shown["rule"]) == ("running", "gdpr_33")
    assert kt_online("obligations", "fact", "INC-1", "contact", "dpo@example.com").code == 0
    assert kt_online("obligations", "fact", "INC-1", "affected_records", "--unknown").code == 0
    draft = kt_online("obligations", "draft", one["id"])
    assert "not legal advice" in draft.out
    assert "dpo@example.com" in draft.out
    assert "[unknown]" in draft.out
    met = kt_online("obligations", "meet", one["id"], "--reference", "DPA 7", "--incomplete")
    assert met.json["status"] == "met_incomplete"
    met = kt_online("obligations", "meet", one["id"], "--reference", "DPA 8")
    assert met.json["status"] == "met"
    [ended] = kt_online("obligations", "list", "--incident", "INC-1", "--json").json
    assert len(ended["submissions"]) == 2


def test_a_clock_is_tolled_and_set_aside(kt_online: Kt) -> None:
    kt_online("incidents", "declare", "x")
    kt_online("obligations", "open", "INC-1", "--rule", "sec_8k_105")
    [one] = kt_online("obligations", "list", "--json").json
    toll = ("toll", one["id"], "--evidence", "letter", "--reason", "Attorney General")
    assert kt_online("obligations", *toll).json["status"] == "tolled"
    assert kt_online("obligations", "resume", one["id"]).json["status"] == "waiting"
    aside = kt_online("obligations", "set-aside", one["id"], "--reason", "not listed")
    assert aside.json["status"] == "set_aside"
    assert kt_online("obligations", "set-aside", one["id"], "--reason", "again").code == 1
    back = kt_online("obligations", "reinstate", one["id"], "--reason", "we are")
    assert back.json["status"] == "waiting"


def test_answers_and_facts_in_no_form_are_refused(kt_online: Kt) -> None:
    kt_online("incidents", "declare", "x")
    assert kt_online("obligations", "open", "INC-1", "--trigger", "death").code == 2
    assert kt_online("obligations", "fact", "INC-1", "contact").code == 2
    assert kt_online("obligations", "fact", "INC-1", "mood", "good").code == 2
    assert len(kt_online("obligations", "rules", "--json").json["catalogue"]["rules"]) == 51
