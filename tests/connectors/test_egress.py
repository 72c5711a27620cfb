"""Where requests may go: addresses in every notation, DNS rebinding, and the allow-list."""

from collections.abc import Sequence
from ipaddress import ip_address

import httpx
import pytest

from connectors.wire.egress import Address, Egress, EgressRefused, resolve_by_system
from connectors.wire.transport import Transport
from tests.connectors.servers import OK, answering, serve

pytestmark = pytest.mark.anyio

REFUSED = [
    "127.0.0.1",
    "127.8.8.8",
    "127.0.0.1.",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7f.1",
    "127.1",
    "127。0。0。1",  # Chinese and Japanese full stops
    "localhost",
    "LOCALHOST.",
    "0.0.0.0",
    "0",
    "10.1.2.3",
    "100.64.0.1",
    "168.63.129.16",
    "169.254.169.254",
    "2852039166",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[::]",
    "[::1]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::1]",
    "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fec0::1]",
    "[ff02::1]",
    "[100::1]",
    "user@127.0.0.1",
    "example.com@127.0.0.1",
]
PUBLIC = ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"]


@pytest.mark.parametrize("host", REFUSED)
async def test_a_non_public_address_is_refused_in_every_notation(host: str) -> None:
    async with Transport(Egress()) as transport:
        with pytest.raises(EgressRefused, match="egress_allow"):
            await transport.handle_async_request(httpx.Request("GET", f"http://{host}:9/"))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_permitted(address: str) -> None:
    Egress().ensure_allowed("example.com", [ip_address(address)])


@pytest.mark.parametrize("host", ["0177.0.0.1", "１２７.0.0.1", "①②⑦.0.0.1", "256.1.1.1", "[::1", "[::1%]"])
def test_an_invalid_host_sends_no_request(host: str) -> None:
    with pytest.raises(httpx.InvalidURL):
        httpx.Request("GET", f"http://{host}/")


@pytest.mark.parametrize("host", ["a..b", "." + "a" * 64, "a" * 300])
async def test_an_unresolvable_host_is_a_failed_connection(host: str) -> None:
    with pytest.raises(OSError, match="is not a host name"):
        await resolve_by_system(host, 80)


def test_a_name_with_one_non_public_address_is_refused() -> None:
    with pytest.raises(EgressRefused, match=r"mixed\.example is 10\.0\.0\.1, which is private"):
        Egress().ensure_allowed("mixed.example", [ip_address("1.1.1.1"), ip_address("10.0.0.1")])


async def test_a_rebound_name_is_connected_to_the_address_that_was_checked() -> None:
    """A connection resolves its name once, so there is no second answer that could differ."""
    asked = []
    answers = iter([["127.0.0.1"], ["10.0.0.1"], ["127.0.0.1"]])

    async def resolve(host: str, port: int) -> Sequence[Address]:
        asked.append(host)
        return [ip_address(address) for address in next(answers)]

    closing = OK.replace(b"200 OK\r\n", b"200 OK\r\nConnection: close\r\n")
    egress = Egress.parse("127.0.0.1")
    async with serve(answering(closing)) as server, Transport(egress, resolve=resolve) as transport:
        url = f"http://flips.example:{server.port}/"
        await (await transport.handle_async_request(httpx.Request("GET", url))).aread()
        with pytest.raises(EgressRefused):
            await transport.handle_async_request(httpx.Request("GET", url))
        await (await transport.handle_async_request(httpx.Request("GET", url))).aread()
        assert (len(asked), len(server.requests)) == (3, 2)


# -- the allow-list ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allow", "host", "address"),
    [
        ("127.0.0.0/8", "any.example", "127.3.2.1"),
        ("127.0.0.1", "2130706433", "127.0.0.1"),
        ("127.0.0.1/8", "any.example", "127.3.2.1"),
        ("127.0.0.0/8", "any.example", "::ffff:127.0.0.1"),
        ("::1", "any.example", "::1"),
        ("fd00::/8, 10.0.0.0/8", "any.example", "10.0.0.1"),
        ("crm.internal", "crm.internal", "10.0.0.1"),
        ("CRM.internal.", "crm.INTERNAL", "10.0.0.1"),
        ("bücher.internal", "xn--bcher-kva.internal", "10.0.0.1"),
        (" a.internal\n b.internal,", "b.internal.", "192.168.0.1"),
    ],
)
def test_hosts_on_the_allow_list_are_permitted(allow: str, host: str, address: str) -> None:
    Egress.parse(allow).ensure_allowed(host, [ip_address(address)])


@pytest.mark.parametrize("host", ["internal", "evil.crm.internal", "crm.internal.evil.example"])
def test_hosts_missing_from_the_allow_list_are_refused(host: str) -> None:
    with pytest.raises(EgressRefused):
        Egress.parse("crm.internal").ensure_allowed(host, [ip_address("10.0.0.1")])


@pytest.mark.parametrize("text", ["", " ", ","])
def test_an_empty_allow_list_permits_nothing(text: str) -> None:
    assert Egress.parse(text) == Egress()


@pytest.mark.parametrize(
    "item", ["10.0.0.0/33", "a/b", "crm.internal:80", "http://crm.internal", "*.internal", "1.2.3"]
)
def test_an_item_that_is_neither_host_nor_network_is_reported(item: str) -> None:
    with pytest.raises(ValueError, match=r"egress_allow: .* is neither") as caught:
        Egress.parse(f"10.0.0.0/8, {item}")
    assert item in str(caught.value)
