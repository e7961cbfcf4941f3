"""From a host name in the configuration to the addresses that may be connected to.

The addresses that were checked are the ones that are used: the caller connects to a number, never
to the name again, so an answer that changes between check and use (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_TTL_SECONDS = 30.0
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # RFC 4291 §2.4; nothing else is routed worldwide
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last four bytes are an IPv4 address


class AddressRefusedError(Exception):
    """This upstream's address is private; set allow_private_network on the target to use it."""


class NameUnknownError(Exception):
    """The upstream's host name has no address."""


def refusal(address: str, *, allow_private_network: bool) -> str:
    """Why an upstream must not live at this address; empty when it may.

    Link-local and multicast addresses are refused always: the first hold the metadata services of
    the clouds, which hand out credentials, and no model is served at either.
    """
    ip = _embedded(ip_address(address.partition("%")[0]))
    if ip.is_link_local:
        return "link-local"
    if ip.is_multicast:
        return "multicast"
    outside = ip.is_global and (isinstance(ip, IPv4Address) or ip in _GLOBAL_UNICAST)
    if not outside and not allow_private_network:
        return "private"
    return ""


def _embedded(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for, since that is where packets end up."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _NAT64:
        return IPv4Address(ip.packed[12:])
    return ip.ipv4_mapped or ip.sixtofour or ip


class Resolver:
    """Looks names up off the event loop and keeps the answers for a short while."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: dict[tuple[str, int], tuple[float, tuple[str, ...]]] = {}

    async def addresses(
        self, host: str, port: int, *, allow_private_network: bool
    ) -> tuple[str, ...]:
        """Numeric addresses in the order of preference; at least one.

        Raises:
            AddressRefusedError: one of the addresses is forbidden. One is enough: a name that
                points both outside and inside is how rebinding looks.
            NameUnknownError: the name does not resolve.
        """
        key = (host, port)
        expires, found = self._known.get(key, (0.0, ()))
        if expires <= self._loop.time():
            found = await self._look_up(host, port)
            self._known[key] = (self._loop.time() + _TTL_SECONDS, found)
        for address in found:
            reason = refusal(address, allow_private_network=allow_private_network)
            if reason:
                raise AddressRefusedError(
                    f"{host} is at {address}, a {reason} address; "
                    "set allow_private_network: true on the target if this is meant"
                    if reason == "private"
                    else f"{host} is at {address}, a {reason} address, where no upstream may be"
                )
        return found

    async def _look_up(self, host: str, port: int) -> tuple[str, ...]:
        try:
            answers = await self._loop.getaddrinfo(
                host, port, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM
            )
        except (socket.gaierror, UnicodeError) as error:
            raise NameUnknownError(f"{host} does not resolve: {error}") from error
        found = tuple(dict.fromkeys(str(answer[4][0]) for answer in answers))
        if not found:
            raise NameUnknownError(f"{host} has no address")
        return found
