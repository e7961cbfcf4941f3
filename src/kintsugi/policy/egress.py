"""Where the arguments of tool calls would have data sent to.

Addresses are read by the URL Standard (ada-url, the parser of Node.js), so that every spelling of
a host comes out as one: ``0x7f.1``, ``2130706433`` and full-width digits are ``127.0.0.1``. Other
parsers read some texts differently: what stands before an ``@``, a backslash, a percent sign in a
host, a line break inside. Such a text is refused whatever it would mean, so that the reading that
was judged is the only one there is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal

import ada_url
import msgspec

from kintsugi.policy.folding import fold, latin_table, odd_characters
from kintsugi.policy.names import Names
from kintsugi.policy.rule import OptionInvalid
from kintsugi.policy.tool_calls import Leaf, same_name

EgressRule = Literal[
    "scheme",
    "host_not_allowed",
    "blocked_host",
    "private_address",
    "port",
    "credentials",
    "disguised_url",
    "disguised_host",
    "disguised_address",
    "lookalike_host",
    "unreadable_url",
    "too_many_urls",
]

HOST_ARGUMENTS = (
    "url",
    "uri",
    "href",
    "link",
    "host",
    "hostname",
    "domain",
    "endpoint",
    "base_url",
    "webhook",
    "webhook_url",
    "callback_url",
)
# Schemes that read files, run code or talk to services that take whatever they are sent.
BLOCKED_SCHEMES = (
    "data",
    "dict",
    "expect",
    "file",
    "ftp",
    "gopher",
    "jar",
    "javascript",
    "ldap",
    "ldaps",
    "netdoc",
    "phar",
    "php",
    "sftp",
    "tftp",
    "vbscript",
)


class Egress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which addresses may stand in arguments.

    Attributes:
        allowed_hosts: nothing else; ``*.example.com`` takes every host below. Empty: any host.
        blocked_hosts: go before what is allowed.
        allowed_schemes: nothing else. Empty: all but ``blocked_schemes``.
        allowed_ports: nothing else, the scheme's own port aside. Empty: any port.
        allow_private: let private, loopback and link-local addresses pass, and names that stand
            for the machine or its network.
        host_arguments: arguments whose text is a host even without a scheme.
        ignored_arguments: arguments that may name any address, such as the text of a message.
    """

    enabled: bool = True
    allowed_hosts: tuple[str, ...] = ()
    blocked_hosts: tuple[str, ...] = ()
    allowed_schemes: tuple[str, ...] = ()
    blocked_schemes: tuple[str, ...] = BLOCKED_SCHEMES
    allowed_ports: tuple[int, ...] = ()
    allow_private: bool = False
    host_arguments: tuple[str, ...] = HOST_ARGUMENTS
    ignored_arguments: tuple[str, ...] = ()


_URLS_MAX = 100
_URL_CHARS_MAX = 2_048
_SPECIAL = frozenset(("http", "https", "ws", "wss", "ftp"))
_URL = re.compile(
    r"(?<![A-Za-z0-9+.\-])([A-Za-z][A-Za-z0-9+.\-]{1,30}):([\\/]{1,8})"
    rf"[^\s\"'<>`{{}}|^]{{1,{_URL_CHARS_MAX}}}"
)
_WITH_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{1,30}:")
_OPAQUE = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]{1,30}):")
_HOST_AND_PORT = re.compile(r"[^\s:/\\?#@]{1,255}:\d{1,5}(?:[/?#]|\Z)")
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[\\/]*([^/\\?#]*)")
# Removed by parsers wherever they stand (URL Standard, 4.4).
_DROPPED = re.compile(r"[\t\r\n]")
_CONTROLS = re.compile(r"[\x00-\x20\x7f]")

_TWO_SLASHES = re.compile(r"//(?!/)")
# Full stops of other scripts, which browsers take for dots.
_STOPS = re.compile("[\u3002\uff0e\uff61]")

# Names that mean this machine, its network or its cloud's metadata service.
_LOCAL_NAMES = Names(
    (
        "localhost",
        "*.localhost",
        "*.local",
        "*.internal",
        "*.intranet",
        "*.lan",
        "*.home.arpa",
        "*.localdomain",
        "localtest.me",
        "*.localtest.me",
        "lvh.me",
        "*.lvh.me",
        "instance-data",
        "instance-data.ec2.internal",
    )
)
# Public services that answer with the address that stands in the name.
_EMBEDDING = re.compile(
    r"(?:\A|.*[.\-])(\d{1,3}[.\-]\d{1,3}[.\-]\d{1,3}[.\-]\d{1,3})\.(?:nip|sslip|xip)\.io\Z"
)
# Azure's platform address is public by its number alone.
_PLATFORM = frozenset(("168.63.129.16",))
_NAT64 = 0x64FF9B << 96


class EgressRules:
    """The rules of one policy, ready to ask.

    Raises:
        OptionInvalid: a host that stands for more than it seems to.
    """

    def __init__(self, options: Egress) -> None:
        self._options = options
        self._allowed = _hosts(options.allowed_hosts, "allowed_hosts")
        self._blocked = _hosts(options.blocked_hosts, "blocked_hosts")
        self._schemes = frozenset(word.lower().rstrip(":/") for word in options.allowed_schemes)
        self._no_schemes = frozenset(word.lower().rstrip(":/") for word in options.blocked_schemes)
        self._hosts_in = frozenset(same_name(name) for name in options.host_arguments)
        self._ignored = frozenset(same_name(name) for name in options.ignored_arguments)

    def problems(self, leaves: Iterator[Leaf]) -> set[EgressRule]:
        """What is wrong with the addresses in some texts."""
        found: set[EgressRule] = set()
        left = _URLS_MAX
        for leaf in leaves:
            if same_name(leaf.name) in self._ignored:
                continue
            for url, disguised, schemed, alone in self._addresses(leaf.name, str(leaf.value)):
                if left == 0:
                    return {*found, "too_many_urls"}
                left -= 1
                found |= {"disguised_url"} if disguised else set()
                wrong = self._about(url, schemed=schemed)
                # In a text, http://{host}/ is a way to speak of addresses. As the whole of an
                # argument it is one, which some program may read after all.
                strict = alone or bool(self._allowed)
                found |= wrong if strict else wrong - {"unreadable_url"}
        return found

    def _addresses(self, name: str, text: str) -> Iterator[tuple[str, bool, bool, bool]]:
        """Each address; whether it was disguised, says its scheme itself, is the whole text."""
        whole = text.strip(" \t\r\n\x00\x0b\x0c")
        if not whole:
            return
        joined = _DROPPED.sub("", whole)
        single = len(whole) <= _URL_CHARS_MAX and not _CONTROLS.search(joined)
        if single:
            is_host = same_name(name) in self._hosts_in
            if joined.startswith(("//", "\\\\", "/\\", "\\/")) and len(joined) > 2:
                yield "https:" + joined, joined != whole, True, True
                return
            if _HOST_AND_PORT.match(joined) and (
                is_host or joined.lower().startswith("localhost:")
            ):
                yield "https://" + joined, joined != whole, False, True
                return
            scheme = _OPAQUE.match(joined)
            if scheme is not None and scheme[1].lower() in _SPECIAL | self._no_schemes:
                yield joined, joined != whole, True, True
                return
            if is_host and not _WITH_SCHEME.match(joined):
                yield "https://" + joined, joined != whole, False, True
                return
        for match in _URL.finditer(text):
            scheme_word = match[1].lower()
            if scheme_word in _SPECIAL | self._no_schemes or len(match[2]) > 1:
                yield match[0], False, True, False

    def _about(self, url: str, *, schemed: bool) -> set[EgressRule]:
        scheme = url.partition(":")[0].lower()
        found: set[EgressRule] = set()
        if scheme in self._no_schemes or (self._schemes and scheme not in self._schemes):
            found.add("scheme")
        if scheme not in _SPECIAL and not url[len(scheme) + 1 :].startswith("//"):
            return found
        authority = _AUTHORITY.match(url)
        written = authority[1] if authority else ""
        if "@" in written:
            found.add("credentials")
        slashes = url[len(scheme) + 1 : len(scheme) + 4]
        if "\\" in url.partition("?")[0].partition("#")[0] or not _TWO_SLASHES.match(slashes):
            found.add("disguised_url")
        if (
            "%" in written
            or _STOPS.search(written)
            or not unicodedata.is_normalized("NFKC", written)
        ):
            found.add("disguised_host")
        try:
            parsed = ada_url.URL(url)
        except ValueError:
            return {*found, "unreadable_url"}
        host = parsed.hostname.rstrip(".").lower()
        address = _address_in(host)
        if address is not None and not _spells(written.rpartition("@")[2], host):
            found.add("disguised_address")
        if "xn--" in host and _imitates(host):
            found.add("lookalike_host")
        alone = schemed and scheme in _SPECIAL  # of s3://name, the name is no host
        return found | self._about_host(host, address, parsed.port, schemed=alone)

    def _about_host(
        self, host: str, address: IPv4Address | IPv6Address | None, port: str, *, schemed: bool
    ) -> set[EgressRule]:
        found: set[EgressRule] = set()
        if host in self._blocked:
            found.add("blocked_host")
        elif self._allowed and host not in self._allowed:
            found.add("host_not_allowed")
        if not self._options.allow_private:
            local = host in _LOCAL_NAMES or (schemed and "." not in host and ":" not in host)
            if local or host in _PLATFORM or (address is not None and not _is_public(address)):
                found.add("private_address")
        if port and self._options.allowed_ports and int(port) not in self._options.allowed_ports:
            found.add("port")
        return found


def _hosts(globs: tuple[str, ...], field: str) -> Names:
    written = []
    for at, glob in enumerate(globs):
        host = glob.strip().lower().rstrip(".")
        if "/" in host or "@" in host or (":" in host and not host.startswith("[")):
            raise OptionInvalid(
                f"egress.{field}.{at}", f'"{glob}" is not a host', "write it as api.example.com"
            )
        if field == "allowed_hosts" and re.match(r"\*+[^.*]", host):
            raise OptionInvalid(
                f"egress.{field}.{at}",
                f'"{glob}" also takes hosts of strangers that end like it',
                f'write "*.{host.lstrip("*")}"',
            )
        written.append(host if host.isascii() else _ascii(host))
    return Names(written)


def _ascii(host: str) -> str:
    return ada_url.idna_to_ascii(host).decode()


def _address_in(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is, or that a public service would answer for its name."""
    embedded = _EMBEDDING.match(host)
    text = embedded[1].replace("-", ".") if embedded else host.strip("[]")
    try:
        return ip_address(text)
    except ValueError:
        return None


def _spells(written: str, host: str) -> bool:
    """Whether an address is written the way everybody reads alike."""
    if host.startswith("["):
        return written.startswith("[")
    return re.sub(r":\d*\Z", "", written).rstrip(".").lower() == host


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and int(address) >> 32 == _NAT64 >> 32:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is None and address.teredo is not None:
            inner = address.teredo[1]
        if inner is not None:
            return _is_public(inner)
    return address.is_global and not address.is_multicast


def _imitates(host: str) -> bool:
    """Whether letters of another script make a host look like a Latin one."""
    for label in ada_url.idna_to_unicode(host).split("."):
        odd = odd_characters(label)
        if odd and fold(label, latin_table(odd, removing=True)).isascii():
            scripts = {unicodedata.name(c, "").partition(" ")[0] for c in odd}
            if scripts - {"LATIN"}:
                return True
    return False
