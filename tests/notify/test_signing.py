"""Signatures, checked by the library that the specification's authors give to receivers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from kintsugi.errors import InvalidInput
from kintsugi.model.notify import ROTATION_OVERLAP, Secrets
from kintsugi.notify.messages import webhook_body
from kintsugi.notify.signing import check_secret, headers, make_secret
from tests.notify.made import SECRET, told


@given(st.dictionaries(st.text(max_size=5), st.text()), st.text("abc-019", min_size=1))
def test_the_official_library_takes_what_we_sign(data: dict[str, str], message_id: str) -> None:
    body, secret = json.dumps(data).encode(), make_secret()
    signed = headers(message_id, body, [secret], now=datetime.now(UTC))
    assert Webhook(secret).verify(body, signed) == data


def test_what_was_changed_or_is_old_or_another_secrets_is_refused() -> None:
    body, now = webhook_body(told()), datetime.now(UTC)
    good = headers("m1", body, [SECRET], now=now)
    for wrong_body, wrong, secret in (
        (body + b" ", good, SECRET),
        (body, good | {"webhook-id": "m2"}, SECRET),
        (body, headers("m1", body, [SECRET], now=now - timedelta(minutes=10)), SECRET),
        (body, good, make_secret()),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(wrong_body, wrong)


def test_both_secrets_sign_while_one_is_being_replaced() -> None:
    now = datetime.now(UTC)
    old, new = make_secret(), make_secret()
    held = Secrets(new, old, now + ROTATION_OVERLAP)
    body = webhook_body(told())
    signed = headers("m1", body, held.signing(now), now=now)
    for secret in (old, new):
        assert Webhook(secret).verify(body, signed)
    assert held.signing(now + ROTATION_OVERLAP) == (new,)
    assert new not in repr(held)


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_c2hvcnQ=", "abc", f"whsec_{'A' * 200}"])
def test_a_secret_that_is_none_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(InvalidInput, match="24 to 64") as refused:
        check_secret(text)
    assert not text or text not in str(refused.value) or text in ("whsec_", "abc")


def test_the_body_is_what_the_specification_recommends() -> None:
    body = json.loads(webhook_body(told(7)))
    assert {"type", "timestamp", "data"} <= body.keys()
    assert (body["type"], body["subject"]) == ("incident.declared", "incident:INC-000007")
