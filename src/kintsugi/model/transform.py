"""What a policy asks for besides a verdict: a changed request, a freeze, a person."""

from __future__ import annotations

from typing import Literal

import msgspec

QuarantineScope = Literal["session", "agent", "user", "key", "source"]


class PinnedPrompt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A prompt that stands in for whatever a request brings.

    Attributes:
        id, version: where a request names this prompt (OpenAI responses), it asks for this version.
        text: takes the place of the instructions that a request begins with; empty to leave those.
    """

    id: str = ""
    version: str = ""
    text: str = ""


class Transform(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to a request that goes on; what is left at its default is not changed.

    Attributes:
        inject_text: text added as a message of ``inject_role``, before all others.
        strip_tools: names of declared tools to take out; ``*`` stands for any characters.
        max_output_tokens: upper bound for the tokens of the answer.
        max_context_chars: the oldest messages are left out until the rest fits; instructions
            (system, developer) and the last message always stay.
        model: the model to ask instead; it is routed anew.
        prompt: what stands in for the prompt; a request that has none gets none.
        confirmation: asked of the user in place of a tool call that would act: the calls are
            taken out of the answer, and this text says what they would have done.
    """

    inject_text: str = ""
    inject_role: Literal["system", "user"] = "system"
    strip_tools: tuple[str, ...] = ()
    max_output_tokens: int = 0
    max_context_chars: int = 0
    model: str = ""
    prompt: PinnedPrompt | None = None
    confirmation: str = ""


class Escalation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a person is asked.

    Attributes:
        hold_seconds: how long the answer is held for a reviewer; 0 answers 409 at once.
        expires_seconds: how long an approval may be given, and used once given.
    """

    hold_seconds: float = 0.0
    expires_seconds: float = 3600.0
