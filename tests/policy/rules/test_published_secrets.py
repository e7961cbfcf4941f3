"""Keys of public examples."""

from __future__ import annotations

from hashlib import sha256
from unittest.mock import patch

from kintsugi.model.content import ExchangeView
from kintsugi.model.decision import Phase
from kintsugi.policy.decide import decide
from kintsugi.policy.plan import compile_plan
from kintsugi.policy.rules.secrets_detector import published
from tests.policy.configs import FACTS, config_of, findings, user

PLAN = compile_plan(config_of({"secrets-detector": {}}))
KEY = "AIza" + "SyQ7fT2mWk9Lx4VbN8cRp3HdZs6Ju1GyEa0"


def test_a_key_of_a_public_example_is_no_finding() -> None:
    digest = sha256(KEY.encode()).hexdigest()[: published.DIGEST_CHARS]
    exchange = ExchangeView(user(f"the key is {KEY} here"))
    assert findings(decide(PLAN, Phase.INPUT, exchange, FACTS))
    with patch.object(published, "PUBLISHED", frozenset({digest})):
        assert not findings(decide(PLAN, Phase.INPUT, exchange, FACTS))
