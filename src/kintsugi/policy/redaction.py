"""What stands in the place of a span that must not be shown."""

from __future__ import annotations

from typing import Literal

import msgspec

_SHOWN_CHARS = 4
_PARTIAL_CHARS_MIN = 8


class Redaction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a redacted span is shown.

    Attributes:
        marker_format: ``label`` writes ``[REDACTED:US_SSN]``; ``asterisks`` writes ``***``;
            ``partial`` keeps the last four characters of a span of eight or more.
        custom_markers: text to write per entity, whatever the format.
        preserve_length: make the marker as long as the span: asterisks are counted, a label is
            cut or padded with asterisks.
        include_metadata: keep offset, length and fingerprint of each span in the record. Without
            it a finding says only that and how often its rule matched.
    """

    marker_format: Literal["label", "asterisks", "partial"] = "label"
    custom_markers: dict[str, str] = {}
    preserve_length: bool = False
    include_metadata: bool = True


def marker(redaction: Redaction, rule: str, text: str, *, exact: bool) -> str:
    """What to write instead of a span.

    Args:
        rule: the recogniser; upper-cased in a label.
        text: the original text of the span.
        exact: whether the span is the thing itself, not an encoded or merged stretch that holds
            it; only then are its last characters shown.
    """
    custom = redaction.custom_markers.get(rule)
    if custom is not None:
        return custom
    if redaction.marker_format == "partial" and exact and len(text) >= _PARTIAL_CHARS_MIN:
        return "*" * (len(text) - _SHOWN_CHARS) + text[-_SHOWN_CHARS:]
    if redaction.marker_format != "label":
        return "*" * len(text) if redaction.preserve_length else "***"
    label = f"[REDACTED:{rule.upper().replace('-', '_')}]"
    return label[: len(text)].ljust(len(text), "*") if redaction.preserve_length else label
