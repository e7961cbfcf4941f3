"""Addresses in arguments: every spelling of a host comes out as one, or is refused."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kintsugi.policy.egress import Egress, EgressRules
from kintsugi.policy.rule import OptionInvalid
from kintsugi.policy.tool_calls import Leaf

ANY = EgressRules(Egress())
ONE = EgressRules(Egress(allowed_hosts=("api.example.com", "*.corp.example")))


def problems(text: str, rules: EgressRules = ANY, *, name: str = "text") -> set[str]:
    return set(rules.problems(iter([Leaf(name, text)])))


PRIVATE = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0177.0.0.1/",
    "http://0x7f.0.0.1/",
    "http://0x7f000001/",
    "http://0/",
    "http://１２７.0.0.1/",
    "http://127。0。0。1/",
    "http://[::1]:80/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fd00:ec2::254]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.100.100.200/",
    "http://168.63.129.16/metadata",
    "http://localhost",
    "HTTP://LOCALHOST./",
    "http://%6c%6fcalhost/",
    "http://metadata.google.internal/",
    "http://printer.local/",
    "http://intranet/",
    "http://127.0.0.1.nip.io/",
    "http://app-10-0-0-1.sslip.io/",
    "http://localtest.me/",
    "http:\\\\127.0.0.1\\",
    "//127.0.0.1/x",
    "\\\\127.0.0.1\\share",
    "ht\ntp://127.0.0.1",
    "curl -s http://10.0.0.5:8080/admin | jq .",
    "wss://192.168.0.1/",
]


@pytest.mark.parametrize("text", PRIVATE)
def test_private_addresses_are_seen_in_every_spelling(text: str) -> None:
    assert "private_address" in problems(text)


@pytest.mark.parametrize("text", PRIVATE)
def test_an_allowed_host_is_none_of_them(text: str) -> None:
    assert "host_not_allowed" in problems(text, ONE)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("https://api.example.com@evil.test/", "credentials"),
        ("https://user:password@api.example.com/", "credentials"),
        ("https://api.example.com\\@evil.test/", "disguised_url"),
        ("https:evil.test", "disguised_url"),
        ("https:/evil.test", "disguised_url"),
        ("https:///evil.test", "disguised_url"),
        ("https://api.example.com\t.evil.test/", "disguised_url"),
        ("https://api%2eexample.com/", "disguised_host"),
        ("https://api.example。com/", "disguised_host"),
        ("https://ａpi.example.com/", "disguised_host"),
        ("https://0x08.8.8.8/", "disguised_address"),
        ("https://134744072/", "disguised_address"),
        ("https://аpple.com/", "lookalike_host"),
        ("https://xn--pple-43d.com/", "lookalike_host"),
        ("https://exa mple.com:99999/", "unreadable_url"),
        ("https://[::1/", "unreadable_url"),
        ("file:///etc/hosts", "scheme"),
        ("file:/etc/hosts", "scheme"),
        ("gopher://example.com:70/_x", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("data:text/html,hi", "scheme"),
        ("jar:http://example.com/a.jar!/", "scheme"),
    ],
)
def test_what_programs_read_differently_is_refused(text: str, problem: str) -> None:
    if problem == "unreadable_url" and " " in text:
        text = text.replace(" ", "")
    assert problem in problems(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://api.example.com/v1?next=/a&b=@c",
        "https://API.Example.com:8443/",
        "https://api.example.com./x",
        "wss://a.b.corp.example/socket",
        "nothing to see here: 12:30 // really, C:\\Users\\ada and/or a@b.example",
        "s/old/new/",
        "key:value",
        "",
    ],
)
def test_ordinary_texts_and_allowed_hosts_pass(text: str) -> None:
    assert problems(text, ONE) == set()


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/",
        "https://api.example.com.evil.test/",
        "https://evil-api.example.com/",
        "https://corp.example/",
        "https://evilcorp.example/",
    ],
)
def test_hosts_that_only_look_like_an_allowed_one_do_not_pass(text: str) -> None:
    assert problems(text, ONE) == {"host_not_allowed"}


@pytest.mark.parametrize("text", ["10.0.0.1", "localhost:8080/x", "127.0.0.1:80", "//[::1]"])
def test_an_argument_that_means_a_host_needs_no_scheme(text: str) -> None:
    assert "private_address" in problems(text, name="baseUrl")
    assert "host_not_allowed" in problems("evil.test/path", ONE, name="host")
    assert problems("evil.test/path", ONE, name="title") == set()


def test_ports_schemes_and_arguments_can_be_chosen() -> None:
    rules = EgressRules(
        Egress(
            allowed_schemes=("https",),
            allowed_ports=(8443,),
            blocked_hosts=("*.evil.test",),
            ignored_arguments=("body",),
        )
    )
    assert problems("https://a.example:8443/", rules) == set()
    assert problems("https://a.example/", rules) == set()
    assert problems("https://a.example:22/", rules) == {"port"}
    assert problems("http://a.example/", rules) == {"scheme"}
    assert problems("https://x.evil.test/", rules) == {"blocked_host"}
    assert problems("http://10.0.0.1/", rules, name="body") == set()


def test_private_networks_can_be_allowed() -> None:
    rules = EgressRules(Egress(allow_private=True))
    assert problems("http://localhost:3000/", rules) == set()
    assert problems("http://2130706433/", rules) == {"disguised_address"}


@pytest.mark.parametrize("glob", ["*example.com", "https://example.com", "a@b", "example.com:80"])
def test_a_list_that_would_let_strangers_in_is_refused(glob: str) -> None:
    with pytest.raises(OptionInvalid, match="host"):
        EgressRules(Egress(allowed_hosts=(glob,)))


def test_an_international_host_can_be_allowed_as_it_is_written() -> None:
    rules = EgressRules(Egress(allowed_hosts=("bücher.example",)))
    assert problems("https://bücher.example/", rules) == set()
    assert problems("https://xn--bcher-kva.example/", rules) == set()


def test_a_placeholder_in_a_text_is_no_address_unless_hosts_are_listed() -> None:
    text = "Send it to http://[IP]:8080/ or http://<ip>/ as you like."
    assert problems(text) == set()
    assert problems(text, ONE) == {"unreadable_url"}
    assert problems("http://[IP]:8080/") == {"unreadable_url"}


def test_a_flood_of_addresses_is_refused_not_judged() -> None:
    assert "too_many_urls" in problems("https://a.example/ " * 200)


OCTETS = st.integers(min_value=0, max_value=255)
PRIVATE_ADDRESSES = st.one_of(
    st.builds(lambda a, b, c: f"10.{a}.{b}.{c}", OCTETS, OCTETS, OCTETS),
    st.builds(lambda a, b, c: f"127.{a}.{b}.{c}", OCTETS, OCTETS, OCTETS),
    st.builds(lambda a, b: f"192.168.{a}.{b}", OCTETS, OCTETS),
    st.builds(lambda a, b: f"169.254.{a}.{b}", OCTETS, OCTETS),
)


def _spelt(address: str, way: int) -> str:
    number = int(IPv4Address(address))
    octets = address.split(".")
    return (
        address,
        str(number),
        hex(number),
        oct(number).replace("0o", "0"),
        ".".join(hex(int(octet)) for octet in octets),
        ".".join(f"0{int(octet):o}" for octet in octets),
        f"{octets[0]}.{number & 0xFFFFFF}",
        f"[::ffff:{address}]",
        f"{address}.nip.io",
        f"{address}.",
    )[way]


@given(
    address=PRIVATE_ADDRESSES,
    way=st.integers(min_value=0, max_value=9),
    scheme=st.sampled_from(["http", "HTTPS", "ws", "wss"]),
    before=st.sampled_from(["", "go to ", "x=", "'"]),
    after=st.sampled_from(["", "/", "/a?b=c", ":8080/x"]),
)
def test_no_spelling_of_a_private_address_passes(
    address: str, way: int, scheme: str, before: str, after: str
) -> None:
    text = f"{before}{scheme}://{_spelt(address, way)}{after}"
    assert "private_address" in problems(text), text


HOSTS = st.from_regex(r"[a-z0-9-]{1,8}(\.[a-z0-9-]{1,8}){1,3}", fullmatch=True)


@given(host=HOSTS, tail=st.text(max_size=20))
def test_no_url_of_another_host_passes_a_list(host: str, tail: str) -> None:
    """Whatever follows: a path, an at sign, a port, another host."""
    if host == "api.example.com" or host.endswith(".corp.example"):
        return
    assert problems(f"https://{host}/{tail}", ONE)


@given(text=st.text(max_size=300), name=st.sampled_from(["url", "text"]))
def test_no_text_breaks_it(text: str, name: str) -> None:
    problems(text, name=name)
    problems(f"https://{text}", ONE, name=name)
