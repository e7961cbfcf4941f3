"""Identifiers that sort by the time they were made."""

from __future__ import annotations

from datetime import UTC, datetime

_HEX = 16
# The variant is the two bits 10; the other two bits of that digit are random.
_VARIANT = {digit: "89ab"[int(digit, _HEX) & 3] for digit in "0123456789abcdef"}


def uuid7(unix_ms: int, random: bytes) -> str:
    """A UUIDv7 in its usual text form (RFC 9562 §5.7).

    Args:
        unix_ms: milliseconds since the epoch.
        random: ten bytes of randomness; passed in so that tests and replays are exact.
    """
    # Put together as text: the gateway makes one for every request, and this is the fastest way.
    at = f"{unix_ms & 0xFFFF_FFFF_FFFF:012x}"
    noise = random.hex()
    variant = _VARIANT[noise[4]]
    return f"{at[:8]}-{at[8:]}-7{noise[:3]}-{variant}{noise[5:8]}-{noise[8:20]}"


def uuid7_time(identifier: str) -> datetime:
    """The time in a UUIDv7, to the millisecond, in UTC.

    Raises:
        ValueError: the text is not a UUIDv7.
    """
    digits = identifier.replace("-", "")
    if len(identifier) != 36 or len(digits) != 32 or digits[12] != "7":
        raise ValueError(f'"{identifier}" is not a UUIDv7')
    return datetime.fromtimestamp(int(digits[:12], _HEX) / 1000, UTC)
