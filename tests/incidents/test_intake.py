"""Fingerprints, mapping and mails hold against whatever comes."""

from __future__ import annotations

from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.incidents.alerts import of_alertmanager, of_pagerduty
from kintsugi.incidents.heard import Heard, Unreadable, time_in
from kintsugi.incidents.intake import fingerprint, of_words, title_of
from kintsugi.incidents.mails import read_mail
from kintsugi.incidents.mapping import mapped, read_mapping
from kintsugi.model.report import About, content_name

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
fields = st.dictionaries(st.text(min_size=1), st.text(), max_size=6)
MAPPING = {
    "items": "/items",
    "title": {"pointer": "/title"},
    "text": {"cel": "string(item.n)"},
    "severity": {"pointer": "/labels/severity"},
    "state": {"pointer": "/state"},
    "happened_at": {"pointer": "/at"},
    "labels": {"all": {"pointer": "/labels"}},
    "fingerprint": {"title": {"pointer": "/title"}, "n": {"pointer": "/n"}},
}


def stored(heard: Heard) -> None:
    """What a database and a log can hold."""
    assert 0 < len(heard.title) <= 300
    assert len(heard.text) <= 10_000
    for text in (heard.title, heard.text, heard.why_unmapped, *heard.labels.values()):
        assert "\0" not in text
        text.encode()


@given(fields)
def test_a_fingerprint_does_not_depend_on_the_order_of_its_fields(told: dict[str, str]) -> None:
    turned = dict(reversed(list(told.items())))
    assert fingerprint(told) == fingerprint(turned)
    assert fingerprint(told).digest == fingerprint(turned).digest


@given(fields, fields)
def test_fingerprints_are_equal_only_where_all_fields_are(
    one: dict[str, str], other: dict[str, str]
) -> None:
    said = [{name: value for name, value in each.items() if value} for each in (one, other)]
    equal = fingerprint(one).digest == fingerprint(other).digest
    assert equal is (said[0] == said[1])


@given(st.text(), st.text())
def test_moving_words_between_fields_changes_the_fingerprint(title: str, text: str) -> None:
    moved = of_words(f"{title}x", text=text) == of_words(title, text=f"x{text}")
    assert not moved or " ".join(f"{title}x".split()) == " ".join(title.split())


def test_words_are_compared_without_case_and_blanks() -> None:
    assert of_words("It  LIED\n", text="a b") == of_words("it lied", text=" A\tb ")
    about = (About("event", "e1"),)
    assert of_words("a", category="x", about=about) == of_words("b", category="x", about=about)
    assert of_words("a", category="x", about=about) != of_words("a", category="y", about=about)


@given(st.text())
def test_a_title_is_one_line_and_fits(text: str) -> None:
    title = title_of(text)
    assert len(title) <= 300
    assert len(title.splitlines()) <= 1


@given(json_values)
def test_any_json_makes_reports_that_can_be_kept(body: Any) -> None:
    mapping = read_mapping(MAPPING)
    for wrapped in (body, {"items": [body, {"title": "t", "n": 1, **_dict(body)}]}):
        heard = mapped(wrapped, mapping, source="x")
        assert heard
        for one in heard:
            stored(one)


@given(json_values)
def test_any_json_to_alertmanager_and_pagerduty_is_kept(body: Any) -> None:
    alert = {"status": "firing", "labels": {"alertname": "A"}, **_dict(body)}
    for message in (body, {"alerts": [body, alert]}, {"alerts": body}):
        found = of_alertmanager(message, source="x", workflow_label="workflow")
        assert found or message == {"alerts": []}
        for one in found:
            stored(one)
    event = {"event_type": "incident.triggered", "data": {"id": "P1", **_dict(body)}}
    for message in (body, {"event": body}, {"event": event}, {"event": {**event, **_dict(body)}}):
        for one in of_pagerduty(message, source="x", workflow_label="workflow"):
            stored(one)


@given(json_values)
def test_reading_the_same_twice_gives_the_same_fingerprint(body: Any) -> None:
    mapping = read_mapping(MAPPING)
    message = {"items": [body]}
    assert mapped(message, mapping, source="x") == mapped(message, mapping, source="x")


def test_pointers_go_through_arrays_and_escapes() -> None:
    mapping = read_mapping({"title": {"pointer": "/a~1b/1/m~0n"}})
    [heard] = mapped({"a/b": [0, {"m~n": "found"}]}, mapping, source="x")
    assert heard.title == "found"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("0001-01-01T00:00:00Z", None),
        ("2026-04-23T14:00:00+02:00", datetime(2026, 4, 23, 12, tzinfo=UTC)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_are_read(value: Any, expected: datetime | None) -> None:
    assert time_in(value) == expected


@given(json_values)
def test_times_are_read_or_refused(value: Any) -> None:
    try:
        found = time_in(value)
    except Unreadable:
        return
    assert found is None or found.tzinfo is UTC


@given(st.binary(max_size=400))
def test_any_bytes_are_a_mail_that_can_be_kept(raw: bytes) -> None:
    mail = read_mail(raw)
    stored(mail.heard)
    assert mail.contents[mail.files[0].digest] == raw
    assert {file.digest for file in mail.files} == mail.contents.keys()


headers = st.sampled_from(
    [
        *(b"Subject: ", b"From: ", b"Date: ", b"Message-ID: ", b"Content-Type: "),
        *(b"Content-Type: multipart/mixed; boundary=b", b"Content-Type: text/html; charset="),
        *(b"Content-Disposition: attachment; filename*=", b"Content-Transfer-Encoding: base64"),
        *(b"\r\n--b\r\n", b"--b--\r\n", b"\r\n"),
    ]
)


@given(st.lists(st.tuples(headers, st.binary(max_size=20)), max_size=12))
def test_broken_headers_and_parts_lose_nothing(lines: list[tuple[bytes, bytes]]) -> None:
    raw = b"".join(name + value + b"\r\n" for name, value in lines)
    mail = read_mail(raw)
    stored(mail.heard)
    assert mail.contents[content_name(raw)] == raw


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
def test_what_a_mail_says_is_found_again(text: str) -> None:
    message = EmailMessage()
    message["Subject"] = "It lied"
    message["Message-ID"] = "<1@example.org>"
    message.set_content(text or "x")
    message.add_attachment(b"\x00\x01", maintype="image", subtype="png", filename="shot.png")
    mail = read_mail(message.as_bytes())
    assert mail.heard.title == "It lied"
    assert mail.heard.text == (text or "x").replace("\r\n", "\n").strip()[:10_000]
    assert [file.name for file in mail.files] == ["message.eml", "shot.png"]
    assert mail.heard.fingerprint.fields == (("message_id", "1@example.org"),)


def test_a_page_is_read_as_words_and_nothing_in_it_runs() -> None:
    message = EmailMessage()
    message["Subject"] = "x"
    message.set_content("<p>Hello</p><script>alert(1)</script>you", subtype="html")
    assert "alert" not in read_mail(message.as_bytes()).heard.text


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
