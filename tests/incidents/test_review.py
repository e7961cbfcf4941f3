"""Reviews: every generated line rests on something, what people wrote survives, nothing is blamed
unseen, and hostile text stays text."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from kintsugi.errors import Blocked, InvalidInput
from kintsugi.incidents import actions, reviewing
from kintsugi.incidents.review import Number, ReviewFacts, duration_text, people_in, review_text
from kintsugi.incidents.review_html import review_html
from kintsugi.incidents.review_markdown import EMPTY, parse_review, plain
from kintsugi.incidents.reviewing import for_strangers, read_import, wording_of
from kintsugi.incidents.wording import check_wording
from kintsugi.model.action import Action
from kintsugi.model.incident import Cause, Entry, Incident, RoleTerm
from kintsugi.model.review import Edition, Review, Words
from tests.incidents.cases import ANA, NOON, act, complete

HOSTILE = (
    "<script>alert(1)</script> <!-- end: summary --> [x](javascript:alert(1)) ![i](http://evil/p)\n"
    "<!-- people: cause -->\n# Heading | a | b `code` **bold**"
)
INCIDENT = msgspec.structs.replace(
    complete("high"),
    title=HOSTILE,
    summary=HOSTILE,
    first_occurred_at=NOON - timedelta(hours=1),
    detected_at=NOON,
    reached={"contained": NOON + timedelta(minutes=20), "monitoring": NOON + timedelta(hours=2)},
)


def entry(number: int, kind: Any, text: str, **detail: Any) -> Entry:
    at = NOON + timedelta(minutes=number)
    entry_id = f"019db9a0-0000-7000-8000-0000000000{number:02d}"
    return Entry(entry_id, INCIDENT.id, at, at, "ana/1", kind, text, detail=detail)


ENTRIES = (
    entry(0, "transition", "declared", to="declared"),
    entry(20, "transition", "contained", to="contained"),
    entry(30, "note", HOSTILE),
    entry(40, "cause", "trigger", part="trigger"),
    entry(50, "role", "not told unless it is pinned"),
)
ACTION = cast(
    "Action",
    actions.agreed(INCIDENT, actions.NewAction(HOSTILE, "fix", owner="bo"), act()).keep[0],
)
WORDS = {"cause": Words("We believed the index was **fresh**.\n\n- and more", "ana/1", NOON)}


def facts(incident: Incident = INCIDENT, **changes: Any) -> ReviewFacts:
    made = ReviewFacts(
        incident=incident,
        entries=ENTRIES,
        actions=(ACTION,),
        numbers=(Number("Blocked", "5,602", 'kt sql "SELECT 1"'), Number("Users", "", "q", "away")),
        environment=(Number("Models", "1: sim-echo (3)", "kt events export"),),
        words=WORDS,
        now=NOON + timedelta(days=1),
    )
    return msgspec.structs.replace(made, **changes)


TEXT = review_text(facts())


def test_the_sections_stand_in_the_order_of_the_templates() -> None:
    titles = re.findall(r"^##+ (.+)$", TEXT, re.MULTILINE)
    assert titles == [
        *("Summary", "Timeline", "Technical details", "Impact", "Root cause", "How it came about"),
        *("What changed", "What surprised us", "What we learned", "Action items"),
    ]
    assert "**Date:** 2026-04-23 | **Duration:** 3 hours | **Severity:** high" in TEXT


def test_the_front_matter_is_yaml() -> None:
    front = YAML(typ="safe", pure=True).load("\n".join(parse_review(TEXT).front))
    assert (front["incident"], front["severity"], front["duration_minutes"]) == (
        "INC-000042",
        "high",
        180,
    )
    assert front["title"] == HOSTILE
    assert front["digests"]["summary"].startswith("sha256:")


def test_every_generated_line_says_what_it_rests_on() -> None:
    document = parse_review(TEXT)
    assert document.problems == ()
    anchors = set(re.findall(r"^\[(r\d+)\]: <[^>]+>$", TEXT, re.MULTILINE))
    for name, section in document.sections.items():
        if section.kind == "people" or name == "evidence":
            continue
        for line in section.lines:
            if line.strip() and not line.startswith("#"):
                anchor = re.search(r" \[(r\d+)\]$| — `[^`]+`$", line)
                assert anchor, (name, line)
                assert anchor[1] is None or anchor[1] in anchors


def test_numbers_stand_beside_their_query_and_say_when_they_are_not_known() -> None:
    assert '- Blocked: **5,602** — `kt sql "SELECT 1"`' in TEXT
    assert "- Users: not known (away) — `q`" in TEXT


def test_the_timeline_tells_of_milestones_and_of_what_was_pinned() -> None:
    timeline = parse_review(TEXT).sections["timeline"].text
    assert "**First occurrence:** 2026-04-23 11:00 UTC" in timeline
    assert "**Final mitigation:** 2026-04-23 14:00 UTC" in timeline
    assert "not told unless" not in timeline
    pinned = review_text(facts(pinned=frozenset({ENTRIES[-1].id})))
    assert "**pinned** not told unless it is pinned" in pinned


def test_hostile_text_ends_no_section_and_is_no_markup() -> None:
    assert parse_review(TEXT).problems == ()
    page = review_html(TEXT, title=HOSTILE)
    assert "<script" not in page
    assert "<img" not in page
    assert 'href="javascript:' not in page
    assert "alert(1)" in page
    assert "<strong>fresh</strong>" in page
    harmful = Words("[x](javascript:alert(1)) <b onclick=x> ![i](http://evil/p.png)", "ana/1", NOON)
    page = review_html(review_text(facts(words={"lesson": harmful})), title="x")
    assert 'href="javascript:' not in page
    assert "<b " not in page
    assert "<img" not in page


@given(st.text(max_size=200))
def test_words_of_others_stay_words(text: str) -> None:
    found = review_text(facts(msgspec.structs.replace(INCIDENT, summary=text), words={}))
    document = parse_review(found)
    assert document.problems == ()
    assert set(document.sections) == set(parse_review(TEXT).sections)
    assert "\n" not in plain(text)


@given(st.dictionaries(st.sampled_from(["cause", "surprise", "lesson"]), st.text(max_size=200)))
def test_what_people_wrote_comes_back(parts: dict[str, str]) -> None:
    try:
        change = reviewing.written(INCIDENT, None, parts, act())
    except InvalidInput:
        return
    [review] = change.keep
    assert isinstance(review, Review)
    text = review_text(facts(words=review.parts))
    back = read_import(INCIDENT, text, text, review.parts)
    assert (back.words, back.findings) == ({}, ())


def test_an_edit_is_taken_and_generated_lines_are_computed_anew() -> None:
    edited = TEXT.replace(EMPTY, "The filter saw nothing.", 1).replace(
        "**Detection:**", "**Seen:**"
    )
    # The incident went on meanwhile: what is generated differs, and that is nobody's edit.
    later = review_text(facts(msgspec.structs.replace(INCIDENT, decision="pay twice")))
    got = read_import(INCIDENT, edited.replace("\n", "\r\n"), later, WORDS)
    assert got.words == {"surprise": "The filter saw nothing."}
    [finding] = got.findings
    assert TEXT.split("\n")[finding.line - 1].startswith("- **Detection:**")
    emptied = TEXT.replace(WORDS["cause"].text, "")
    assert read_import(INCIDENT, emptied, TEXT, WORDS).words == {"cause": ""}


def test_words_that_somebody_else_changed_meanwhile_are_not_overwritten() -> None:
    edited = TEXT.replace("**fresh**", "stale")
    meanwhile = {"cause": Words("Another text.", "bo/2", NOON)}
    with pytest.raises(Blocked) as caught:
        read_import(INCIDENT, edited, TEXT, meanwhile)
    [blocker] = caught.value.blockers
    line = TEXT.split("\n").index("We believed the index was **fresh**.") + 1
    assert (blocker.where, blocker.code) == (f"line {line}", "conflict")
    untouched = read_import(INCIDENT, TEXT, TEXT, meanwhile)
    assert untouched.words == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[10:], "front matter"),
        (lambda text: text.replace("INC-000042", "INC-000043"), "review of INC-000043"),
    ],
)
def test_what_is_no_review_of_this_incident_is_refused(change: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read_import(INCIDENT, change(TEXT), TEXT, WORDS)


def test_a_broken_form_is_told_with_its_lines() -> None:
    broken = TEXT.replace("<!-- end: lesson -->\n", "").replace("<!-- people: surprise -->\n", "")
    with pytest.raises(Blocked) as caught:
        read_import(INCIDENT, broken, TEXT, WORDS)
    said = [one.message for one in caught.value.blockers]
    assert any('"surprise" ends here and has not begun' in one for one in said)
    assert any('"lesson" has not ended' in one for one in said)
    assert any('part "surprise" is missing' in one for one in said)


def test_an_edition_needs_the_words_of_people_and_the_commander() -> None:
    with pytest.raises(Blocked) as caught:
        reviewing.published(
            msgspec.structs.replace(INCIDENT, roles=()),
            TEXT,
            act(ANA),
            audience="internal",
            number=1,
            names={},
        )
    assert {one.where for one in caught.value.blockers} == {
        *("actor", "review.surprise", "review.lesson")
    }


def test_a_redacted_edition_holds_no_names_anchors_or_markers() -> None:
    named = msgspec.structs.replace(
        INCIDENT,
        roles=(RoleTerm("commander", "ana", NOON, "bo/2"),),
        summary="Ana told Contoso by ana@example.com.",
        cause={"trigger": Cause("bo changed the index", "known", "bo/2", NOON)},
    )
    words = {part: Words("Ana saw it.", "ana/1", NOON) for part in ("cause", "surprise", "lesson")}
    owned = msgspec.structs.replace(ACTION, owner="Dora", title="Dora rebuilds it")
    made = facts(named, words=words, actions=(owned,))
    text, names = review_text(made), people_in(made)
    change = reviewing.published(
        *(named, text, act()), audience="redacted", number=2, names=names, terms=["Contoso"]
    )
    [edition] = change.keep
    assert isinstance(edition, Edition)
    assert edition.number == 2
    assert change.entries[0].detail["digest"] == edition.digest
    for word in ("Ana", "Dora", "Contoso", "example.com", "<!--", "[r1]", "019db9a0", "---\n"):
        assert word not in edition.text, word
    assert "the commander saw it." in edition.text
    assert for_strangers(text, names, terms=["Contoso"]) == edition.text


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("It was human error.", ["human error"]),
        ("She should  have looked; obviously.", ["should  have", "obviously"]),
        ("ana forgot to look", ["ana", "forgot to"]),
        ("The banana was ripe, and the check passed.", []),
    ],
)
def test_blame_is_found_with_its_place(line: str, words: list[str]) -> None:
    found = check_wording(["", line], people=["ana"])
    assert [one.words for one in found] == words
    assert all(one.line == 2 and line[one.column - 1 :].startswith(one.words) for one in found)
    assert all(one.instead for one in found)


def test_remarks_name_lines_of_the_review() -> None:
    words = {"lesson": Words("Look twice.\nBo should have known.", "ana/1", NOON)}
    text = review_text(facts(words=words))
    lines = text.split("\n")
    for finding in wording_of(text, {}):
        assert finding.words in lines[finding.line - 1]
    assert "should have" in [one.words for one in wording_of(text, {})]


@pytest.mark.parametrize(
    ("minutes", "text"),
    [(0, "under a minute"), (1, "1 minute"), (125, "2 hours 5 minutes"), (3000, "2 days 2 hours")],
)
def test_durations_are_words(minutes: int, text: str) -> None:
    assert duration_text(timedelta(minutes=minutes)) == text
