"""Amounts of money and the like in the arguments of tool calls."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from kintsugi.policy.tool_calls import ToolCall, leaves, same_name, values_of

AMOUNT_ARGUMENTS = (
    "amount",
    "total",
    "total_amount",
    "amount_usd",
    "refund_amount",
    "payment_amount",
    "transfer_amount",
    "value_usd",
)
# 1,234.56 and 1.234,56 and 1 234,56, with a sign and a currency before or after.
_NUMBER = re.compile(r"[-+]?\d[\d.,'\u00a0\u202f ]{0,40}")
_AROUND = re.compile(r"[A-Za-z]{0,4}[$€£¥₹]?\s{0,3}|\s{0,3}[$€£¥₹]?\s{0,3}[A-Za-z]{0,4}")


class AmountUnreadable(ValueError):
    """An argument that should be an amount is none; to be taken for too much."""


class Amounts:
    """Finds amounts by the names of arguments, at any depth.

    Args:
        names: of the arguments; case, ``_`` and ``-`` make no difference.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(same_name(name) for name in names)

    def total(self, call: ToolCall) -> float | None:
        """The sum of all amounts of a call, without their signs; None where it has none.

        Raises:
            AmountUnreadable: one of them is no number, or the arguments cannot be read.
        """
        if call.problem:
            raise AmountUnreadable
        found = [
            _read(value) for value in values_of(call.arguments, self._names) if value is not None
        ]
        return math.fsum(found) if found else None


def _read(value: Any) -> float:
    if isinstance(value, bool):
        raise AmountUnreadable
    if isinstance(value, dict):
        return _in_object(value)
    if isinstance(value, int | float):
        try:
            number = abs(float(value))
        except OverflowError:
            raise AmountUnreadable from None
    else:
        number = _read_text(str(value))
    if not math.isfinite(number):
        raise AmountUnreadable
    return number


def _in_object(value: dict[str, Any]) -> float:
    """``{value: 500, currency: USD}``: the largest number counts."""
    numbers = []
    for leaf in leaves(value):
        try:
            numbers.append(_read(leaf.value))
        except AmountUnreadable:
            continue
    if not numbers:
        raise AmountUnreadable
    return max(numbers)


def _read_text(text: str) -> float:
    """A number as people and programs write it. Where a separator could be either, the larger
    reading counts: ``1.500`` is fifteen hundred."""
    written = text.strip()
    readings = []
    for read in (_plain, _grouped):
        try:
            readings.append(read(written))
        except (ValueError, InvalidOperation):
            continue
    if not readings:
        raise AmountUnreadable
    return max(readings)


def _plain(text: str) -> float:
    return abs(float(text))


def _grouped(text: str) -> float:
    match = _NUMBER.search(text)
    if match is None:
        raise AmountUnreadable
    if not _AROUND.fullmatch(text[: match.start()]) or not _AROUND.fullmatch(text[match.end() :]):
        raise AmountUnreadable
    digits = re.sub(r"[ '\u00a0\u202f]", "", match[0])
    whole, fraction = digits, ""
    place = max(digits.rfind("."), digits.rfind(","))
    if place >= 0 and (len(digits) - place - 1 != 3 or digits[:place].lstrip("+-") in ("", "0")):
        whole, fraction = digits[:place], digits[place + 1 :]
    return abs(float(Decimal(f"{re.sub('[.,]', '', whole) or 0}.{fraction or 0}")))
