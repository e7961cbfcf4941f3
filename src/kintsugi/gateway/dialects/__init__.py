"""The wire formats that the gateway governs. The table is closed: what is not here is not served.

To add one, write a module with a class that satisfies ``Dialect`` and name it in ``DIALECTS``.
"""

from __future__ import annotations

from kintsugi.gateway.dialects.anthropic_messages import AnthropicCountTokens, AnthropicMessages
from kintsugi.gateway.dialects.dialect import Dialect
from kintsugi.gateway.dialects.openai_chat import OpenAIChat
from kintsugi.gateway.dialects.openai_embeddings import OpenAIEmbeddings
from kintsugi.gateway.dialects.openai_responses import OpenAIResponses

OPENAI_CHAT = OpenAIChat()
OPENAI_RESPONSES = OpenAIResponses()
OPENAI_EMBEDDINGS = OpenAIEmbeddings()
ANTHROPIC_MESSAGES = AnthropicMessages()
ANTHROPIC_COUNT_TOKENS = AnthropicCountTokens()

DIALECTS: tuple[Dialect, ...] = (
    OPENAI_CHAT,
    OPENAI_RESPONSES,
    OPENAI_EMBEDDINGS,
    ANTHROPIC_MESSAGES,
    ANTHROPIC_COUNT_TOKENS,
)
BY_PATH: dict[bytes, Dialect] = {dialect.path: dialect for dialect in DIALECTS}
