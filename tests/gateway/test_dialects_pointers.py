"""Whatever the document: it is refused, or every text that is read stands where its path says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.gateway.dialects import DIALECTS, OPENAI_RESPONSES
from kintsugi.gateway.dialects.dialect import Dialect
from kintsugi.gateway.dialects.json_text import MalformedDocument, json_text
from kintsugi.gateway.dialects.openai_chat_message import words
from kintsugi.gateway.dialects.openai_responses_events import PLACES
from kintsugi.gateway.dialects.openai_responses_items import ITEMS

KEYS = sorted(
    words("""
    type role content text input output arguments name summary refusal tools function tool_calls
    function_call annotations delta index id call_id image_url url file_data logprobs action
    commands results queries code outputs error message encrypted_content item part response
    instructions prompt variables metadata choices input_audio output_index content_index
    summary_index command_index item_id annotation messages system thinking signature source data
    a/b c~d ² 5
""")
)
WORDS = [
    *ITEMS,
    *PLACES,
    *sorted(words("message user assistant tool system output_text input_text input_image text")),
    *sorted(words("reasoning_text refusal image_url hologram function gAAAAABx é😀")),
    "data:image/png;base64,AAAA",
    "data:text/plain,x",
    "words of a text",
    "",
]
EVENTS = [
    *(f"{name}.{verb}" for name in PLACES for verb in ("delta", "done", "added")),
    *(f"response.{verb}" for verb in ("created", "completed", "failed", "surprise")),
    *(f"response.output_item.{verb}" for verb in ("added", "done")),
    *(f"response.content_part.{verb}" for verb in ("added", "done")),
    *(f"response.reasoning_summary_part.{verb}" for verb in ("added", "done")),
    *("response.output_text.annotation.added", "response.future.delta", "error", ""),
]
leaves = st.sampled_from(WORDS) | st.integers(-1, 3) | st.none() | st.booleans()
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=14,
)
objects = st.dictionaries(st.sampled_from(KEYS), values, max_size=5)
typed = st.builds(lambda kind, rest: {**rest, "type": kind}, st.sampled_from(WORDS), objects)
spoken = st.builds(lambda role, rest: {**rest, "role": role}, st.sampled_from(WORDS), objects)
lists = st.lists(typed | spoken | objects, max_size=4)


def at(document: Any, pointer: str) -> Any:
    """What stands at a JSON pointer."""
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


def stands(text: str, value: Any) -> bool:
    return text == (value if isinstance(value, str) else json_text(value))


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(rest=objects, said=st.text(max_size=3) | lists)
def test_the_texts_of_a_request_stand_where_their_paths_say(
    dialect: Dialect, rest: dict[str, Any], said: Any
) -> None:
    body = {"max_tokens": 9, **rest, "model": "m", "input": said, "messages": said}
    try:
        view = dialect.read_request(json.dumps(body).encode())
    except MalformedDocument:
        return
    for part in view.parts:
        assert not part.text or stands(part.text, at(body, part.path)), part


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(rest=objects, said=lists)
def test_the_texts_of_an_answer_stand_where_their_paths_say(
    dialect: Dialect, rest: dict[str, Any], said: list[Any]
) -> None:
    choices = [{"index": 0, "message": one} for one in said]
    body = {**rest, "output": said, "content": said, "choices": choices}
    try:
        view = dialect.read_answer(json.dumps(body).encode())
    except MalformedDocument:
        return
    for part in view.parts:
        assert not part.text or stands(part.text, at(body, part.path)), part


@given(st.lists(st.tuples(st.sampled_from(EVENTS), objects), max_size=8))
def test_the_texts_of_an_event_stand_where_their_pointers_say(
    made: list[tuple[str, dict[str, Any]]],
) -> None:
    reader = OPENAI_RESPONSES.open_stream()
    for kind, rest in made:
        event = {**rest, "type": kind}
        try:
            view = reader.read(json.dumps(event).encode())
        except MalformedDocument:
            continue
        for piece in view.pieces:
            text = "".join(piece.channel.pieces)[piece.start : piece.end]
            assert stands(text, at(event, piece.pointer)), (piece.pointer, text)
    paths = [channel.path for channel in reader.channels]
    assert len(paths) == len(set(paths))
    json.loads(reader.whole(()))
