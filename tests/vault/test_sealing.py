"""Sealed content: opens as it was, for its event and under its key, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.vault.sealing import CannotOpen, key_id, new_key, seal, unseal, unwrap, wrap

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
DATA_KEY, EVENT = b"k" * 16, b"e" * 16


@given(st.binary(max_size=2000))
def test_content_comes_back_with_its_digest(text: bytes) -> None:
    sealed = seal(text, KEY, data_key=DATA_KEY, event=EVENT)
    assert unseal(sealed.data, KEY, data_key=DATA_KEY, event=EVENT) == (text, sealed.digest)


@given(st.binary(max_size=200), st.data())
def test_any_flipped_bit_is_found_out(text: bytes, data: st.DataObject) -> None:
    sealed = seal(text, KEY, data_key=DATA_KEY, event=EVENT).data
    at = data.draw(st.integers(0, len(sealed) * 8 - 1))
    changed = bytearray(sealed)
    changed[at // 8] ^= 1 << at % 8
    with pytest.raises(CannotOpen):
        unseal(bytes(changed), KEY, data_key=DATA_KEY, event=EVENT)


def test_content_opens_for_its_own_event_and_key_only() -> None:
    sealed = seal(b"text", KEY, data_key=DATA_KEY, event=EVENT).data
    for key, data_key, event in (
        (OTHER, DATA_KEY, EVENT),
        (KEY, b"x" * 16, EVENT),
        (KEY, DATA_KEY, b"x" * 16),
    ):
        with pytest.raises(CannotOpen):
            unseal(sealed, key, data_key=data_key, event=event)
    for torn in (b"", sealed[:20], sealed[:-1]):
        with pytest.raises(CannotOpen):
            unseal(torn, KEY, data_key=DATA_KEY, event=EVENT)


def test_neither_text_nor_digest_is_the_same_twice() -> None:
    one, two = (seal(b"yes", KEY, data_key=DATA_KEY, event=EVENT) for _ in range(2))
    assert one.data != two.data
    assert one.digest != two.digest
    assert b"yes" not in one.data


def test_a_data_key_opens_with_its_key_encryption_key_only() -> None:
    key = new_key()
    wrapped = wrap(key, KEY, data_key=DATA_KEY)
    assert unwrap(wrapped, KEY, data_key=DATA_KEY) == key
    assert key not in wrapped
    for by, data_key, data in (
        (OTHER, DATA_KEY, wrapped),
        (KEY, EVENT, wrapped),
        (KEY, DATA_KEY, wrapped[:-1]),
        (KEY, DATA_KEY, b""),
    ):
        with pytest.raises(CannotOpen):
            unwrap(data, by, data_key=data_key)


def test_a_key_s_name_tells_keys_apart() -> None:
    assert key_id(KEY) != key_id(OTHER)
    assert len(key_id(KEY)) == 16
    assert key_id(KEY) not in KEY.hex()
