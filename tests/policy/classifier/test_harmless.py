"""Questions that a company's users ask, with the words of attacks; training has not seen them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kintsugi.policy.classifier.model import trained

QUESTIONS = (Path(__file__).parent / "harmless_questions.txt").read_text().splitlines()


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_about_rules_and_passwords_is_no_attack(question: str) -> None:
    assert max(score.probability for score in trained().score(question, "user")) < 0.5
