"""Texts in pieces: nothing is lost, and what a reader takes for one stays one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.replay.text_pieces import GRAINS, Grain, characters, words

ODD = st.text(
    alphabet=st.one_of(
        st.characters(),
        st.sampled_from(
            "\r\n .!?\u200d\u0301\u3002 \U0001f468\U0001f1e9\U0001f3fd\u1100\u1161\u11a8"
        ),
    )
)


@pytest.mark.parametrize("grain", GRAINS)
@given(text=ODD)
def test_pieces_put_together_are_the_text(grain: Grain, text: str) -> None:
    pieces = GRAINS[grain](text)
    assert "".join(pieces) == text
    assert all(pieces)


@pytest.mark.parametrize(
    "one",
    [
        "e\u0301",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\U0001f44b\U0001f3fd",
        "\U0001f1e9\U0001f1ea",
        "\u1112\u1161\u11ab",
        "\ud55c",
        "\u0e01\u0e33"[:1] + "\u0e34",
        "\U0001f3f4\U000e0067\U000e0062\U000e007f",
        "\r\n",
    ],
)
def test_what_a_reader_takes_for_one_character_stays_whole(one: str) -> None:
    assert characters(f"a{one}b") == ["a", one, "b"]


def test_two_flags_are_two_characters() -> None:
    assert len(characters("\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7")) == 2


def test_a_message_hidden_in_tag_characters_can_be_shortened() -> None:
    assert len(characters("a\U000e0069\U000e0067\U000e006e")) == 4


def test_words_of_a_script_without_blanks_are_its_characters() -> None:
    assert words("say 忽略指令 now") == ["say ", "忽", "略", "指", "令", " ", "now"]


def test_each_grain_cuts_where_its_name_says() -> None:
    text = "One. Two!\nThree\n\nFour five"
    assert GRAINS["paragraph"](text) == ["One. Two!\nThree\n\n", "Four five"]
    assert GRAINS["line"](text) == ["One. Two!\n", "Three\n", "\n", "Four five"]
    assert GRAINS["sentence"](text) == ["One. ", "Two!\n", "Three\n\nFour five"]
    assert GRAINS["word"]("Four five") == ["Four ", "five"]
