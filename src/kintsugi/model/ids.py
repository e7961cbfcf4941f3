"""Identifiers that sort by the time they were made."""

from __future__ import annotations

from datetime import UTC, datetime

_HEX = 16


def uuid7(unix_ms: int, random: bytes) -> str:
    """A UUIDv7 in its usual text form (RFC 9562 §5.7).

    Args:
        unix_ms: milliseconds since the epoch.
        random: ten bytes of randomness; passed in so that tests and replays are exact.
    """
    noise = int.from_bytes(random[:10], "big")
    value = (
        (unix_ms & 0xFFFF_FFFF_FFFF) << 80
        | 0x7000 << 64
        | (noise >> 68) << 64
        | 0x8000_0000_0000_0000
        | noise & 0x3FFF_FFFF_FFFF_FFFF
    )
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def uuid7_time(identifier: str) -> datetime:
    """The time in a UUIDv7, to the millisecond, in UTC.

    Raises:
        ValueError: the text is not a UUIDv7.
    """
    digits = identifier.replace("-", "")
    if len(identifier) != 36 or len(digits) != 32 or digits[12] != "7":
        raise ValueError(f'"{identifier}" is not a UUIDv7')
    return datetime.fromtimestamp(int(digits[:12], _HEX) / 1000, UTC)
