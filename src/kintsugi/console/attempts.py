"""How often somebody may try to come in: failures are counted by address and by account."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from kintsugi.errors import TooManyAttempts

WINDOW: Final = timedelta(minutes=5)
PER_ADDRESS: Final = 30
PER_ACCOUNT: Final = 10
KEYS_MAX: Final = 10_000


class Attempts:
    """Counts failures in windows of a few minutes, in bounded memory: whoever failed longest ago
    is forgotten first. Each server counts for itself."""

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._lock = threading.Lock()
        self._failed: OrderedDict[str, tuple[datetime, int]] = OrderedDict()

    def check(self, keys: Sequence[str], now: datetime) -> None:
        """Refuse where one of these failed too often.

        Raises:
            TooManyAttempts: with how long to wait.
        """
        with self._lock:
            for key in keys:
                since, count = self._failed.get(key, (now, 0))
                left = since + WINDOW - now
                limit = PER_ADDRESS if key.startswith("address ") else PER_ACCOUNT
                if count >= limit and left > timedelta(0):
                    raise TooManyAttempts(retry_after_seconds=int(left.total_seconds()) + 1)

    def failed(self, keys: Sequence[str], now: datetime) -> None:
        """Count a failure for each of these."""
        with self._lock:
            for key in keys:
                since, count = self._failed.pop(key, (now, 0))
                if now >= since + WINDOW:
                    since, count = now, 0
                self._failed[key] = (since, count + 1)
            while len(self._failed) > self._keys_max:
                self._failed.popitem(last=False)

    def succeeded(self, keys: Sequence[str]) -> None:
        """Take a failure back that was counted beforehand."""
        with self._lock:
            for key in keys:
                if key in self._failed:
                    since, count = self._failed[key]
                    self._failed[key] = (since, max(0, count - 1))


def keys_of(address: str, account: str = "") -> list[str]:
    """What a sign-in is counted by. Of IPv6 a whole /64, which one customer has for themselves."""
    try:
        parsed = ip_address(address)
    except ValueError:
        network = address
    else:
        one = isinstance(parsed, IPv6Address)
        network = str(ip_network(f"{parsed}/64", strict=False)) if one else str(parsed)
    return [f"address {network}", *([f"account {account}"] if account else [])]
