"""
Where webhooks go: to public addresses only, to the very address that was checked, and no further.
"""

import asyncio
import re
import socket
import ssl
import threading
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from counterfoil.clock import SystemClock
from counterfoil.events import posting
from counterfoil.events.addresses import URL, AddressRefused, allowed, check_url
from counterfoil.events.posting import (
    ANSWER_BYTES_MAX,
    CheckedNetwork,
    Posted,
    Poster,
    tls_context,
)
from counterfoil.tls import own_identity
from hook_receiver import Receiver
from hypothesis import given
from hypothesis import strategies as st

OURS = (
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16",
    "198.18.0.1", "192.0.2.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1",
    "2001:db8::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::7f00:1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a00:1::1",
)  # fmt: skip
PUBLIC = ("93.184.216.34", "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8")


@pytest.mark.parametrize("address", OURS)
def test_no_webhook_goes_into_our_own_network(address: str) -> None:
    """Private, loopback, link-local, metadata, shared, multicast, reserved; and what means it."""
    assert not allowed(address, loopback=False)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    """In either family, and translated."""
    assert allowed(address, loopback=False)


@pytest.mark.parametrize("address", OURS)
def test_the_setting_for_loopback_opens_loopback_only(address: str) -> None:
    """Nothing else of our network, also in test mode."""
    loopback = address in {"127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "::7f00:1",
                           "64:ff9b::7f00:1", "2002:7f00:1::"}  # fmt: skip
    assert allowed(address, loopback=True) == loopback


@given(st.ip_addresses(v=4, network="10.0.0.0/8").map(int))
def test_an_ipv6_address_that_stands_for_a_private_one_is_private(number: int) -> None:
    """Mapped, compatible, NAT64 and 6to4."""
    for form in (
        0xFFFF << 32 | number, number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80
    ):  # fmt: skip
        assert not allowed(str(IPv6Address(form)), loopback=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.shop.example/", "https://hooks.shop.example:8443/a/b?c=d", "https://a.bc",
        "http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]:80/",
        "https://a.local/", "https://shop.home.arpa/", "https://local.example/",
        "https://chat.example/hooks/424242424242424242/x",  # 18 digits, and 1 in 10 fits a card.
    ],
)  # fmt: skip
def test_urls_that_can_be_stored(url: str) -> None:
    """A name over https; this machine itself over http, when that is configured."""
    assert re.match(URL, url)
    check_url(url, loopback=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.shop.example/", "https://user@shop.example/", "https://shop.example/#f",
        "https://93.184.216.34/", "https://[::1]/", "https://2130706433/", "https://0x7f.1/",
        "https://127.1/", "https://localhost/", "ftp://shop.example/", "https://shop.example/\n",
        "https://shop.example:0/", "https://shop.example\\@10.0.0.1/", "https://-a.example/",
        "http://127.0.0.1.evil.example/", "http://127.0.0.1@evil.example/", "https:///x", "//x",
    ],
)  # fmt: skip
def test_urls_that_cannot_be_stored(url: str) -> None:
    """No address in digits, no user, no fragment, no single name."""
    assert not re.match(URL, url)


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://localhost:1/", "http://[::1]/",
                                 "https://gateway.localhost/"])  # fmt: skip
def test_this_machine_is_refused_unless_configured(url: str) -> None:
    """The default."""
    with pytest.raises(AddressRefused):
        check_url(url, loopback=False)


async def test_a_name_that_leads_into_our_network_is_refused_after_it_was_resolved() -> None:
    """Not a byte is sent; the error says why."""
    async with Receiver().serving() as receiver:

        async def here(*_: object) -> list[str]:
            return ["127.0.0.1", "10.0.0.1", "::1"]

        poster = Poster(CheckedNetwork(loopback=False, resolve=here), tls_context())
        posted = await poster.post(f"http://innocent.example:{receiver.port}/", {}, b"{}")
        await poster.close()

    assert posted == Posted(None, "innocent.example is no public address: webhooks do not go there")
    assert receiver.received == []


async def test_names_that_nobody_answers_for_hold_up_no_other_name_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A merchant's name server is silent: others are told, and the link to an acquirer connects."""
    looked_up, silent = [], threading.Event()

    def look_up(host: str, port: int, *_: object, **__: object) -> list[object]:
        looked_up.append(host)
        if host.startswith("silent"):
            silent.wait(20)
            raise socket.gaierror("no answer")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    poster = Poster(CheckedNetwork(loopback=True), tls_context())
    urls = [f"http://silent{each % 40}.example/" for each in range(80)]
    held_up = [asyncio.create_task(poster.post(each, {}, b"{}")) for each in urls]
    try:
        async with Receiver().serving() as receiver, asyncio.timeout(4):
            await asyncio.sleep(0.1)
            told = await poster.post(f"http://well.example:{receiver.port}/", {}, b"{}")
            await asyncio.get_running_loop().getaddrinfo("acquirer.example", 8583)
    finally:
        silent.set()
    ended = await asyncio.gather(*held_up)
    await poster.close()

    assert told == Posted(200, None)
    assert {each.status for each in ended} == {None}
    assert len(looked_up) == len(set(looked_up)), "one look-up of a name at a time"


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    """One resolution: a name server that says something else the second time is not asked."""
    answers = [["10.0.0.1", "127.0.0.1"], ["10.0.0.1"]]

    async def changing(*_: object) -> list[str]:
        return answers.pop(0)

    async with Receiver().serving() as receiver:
        poster = Poster(CheckedNetwork(loopback=True, resolve=changing), tls_context())
        posted = await poster.post(f"http://rebinding.example:{receiver.port}/", {}, b"{}")
        await poster.close()

    assert posted.status == 200
    assert len(answers) == 1
    assert receiver.received[0].headers["host"] == f"rebinding.example:{receiver.port}"


async def test_no_redirect_is_followed() -> None:
    """Its status is what came of it."""
    async with Receiver(302).serving() as receiver:
        receiver.more = f"Location: {receiver.url}/elsewhere\r\n"
        posted = await _post(receiver.url)

    assert posted == Posted(302, None)
    assert len(receiver.received) == 1


async def test_little_of_an_answer_is_read() -> None:
    """A receiver that sends a gigabyte gets its connection closed."""
    async with Receiver().serving() as receiver:
        receiver.answer = b"x" * (ANSWER_BYTES_MAX * 64)
        posted = await _post(receiver.url)

    assert posted == Posted(200, None)


async def test_who_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """One deadline for the whole of it."""
    monkeypatch.setattr(posting, "POST_SECONDS_MAX", 0.2)
    async with Receiver(-1).serving() as receiver:
        posted = await asyncio.wait_for(_post(receiver.url), 5)

    assert posted == Posted(None, "no answer within 0.2 s")


async def test_who_hangs_up_or_is_not_there_is_said_in_words() -> None:
    """Never an exception: the other side's faults are results."""
    async with Receiver(0).serving() as receiver:
        hung_up = await _post(receiver.url)
    not_there = await _post(f"http://127.0.0.1:{receiver.port}/")

    async def nowhere(*_: object) -> list[str]:
        raise OSError("no such name")

    poster = Poster(CheckedNetwork(loopback=True, resolve=nowhere), tls_context())
    no_name = await poster.post("https://nowhere.example/", {}, b"")
    await poster.close()

    assert hung_up.status is None
    assert "no HTTP" in (hung_up.error or "")
    assert "could not be reached" in (not_there.error or "")
    assert no_name.error == "could not be reached: the name nowhere.example has no address"


async def test_a_name_that_is_not_found_in_time_is_said_to_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may have an address: only its name server is slow."""
    monkeypatch.setattr(posting, "CONNECT_SECONDS_MAX", 0.1)

    async def silent(*_: object) -> list[str]:
        await asyncio.sleep(20)
        return ["127.0.0.1"]

    poster = Poster(CheckedNetwork(loopback=True, resolve=silent), tls_context())
    posted = await poster.post("https://slow.example/", {}, b"")
    await poster.close()

    assert posted.error == "could not be reached: the name slow.example was not found in time"


async def test_a_receiver_must_prove_its_name(tmp_path: Path) -> None:
    """A certificate of an authority that nobody trusts, or for another name: not a byte is sent."""
    identity = own_identity(tmp_path, ("hooks.example",), SystemClock())
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(identity.certificate, identity.private_key)

    async def here(*_: object) -> list[str]:
        return ["127.0.0.1"]

    async with Receiver().serving(server) as receiver:
        results = []
        for name, authority in (
            ("hooks.example", None),
            ("other.example", str(identity.authority)),
            ("hooks.example", str(identity.authority)),
        ):
            poster = Poster(CheckedNetwork(loopback=True, resolve=here), tls_context(authority))
            results.append(await poster.post(f"https://{name}:{receiver.port}/", {}, b"{}"))
            await poster.close()

    assert [each.status for each in results] == [None, None, 200]
    assert all("certificate" in (each.error or "") for each in results[:2])
    assert len(receiver.received) == 1


async def _post(url: str) -> Posted:
    poster = Poster(CheckedNetwork(loopback=True), tls_context())
    try:
        return await poster.post(url, {"content-type": "application/json"}, b"{}")
    finally:
        await poster.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://4242424242424242.com/", "A card's number stands here"),
        ("https://shop.example/?pan=4242424242424242", "A card's number stands here"),
        ("https://shop.example/4242.4242.4242.4242", "A card's number stands here"),
        ("https://shop.example/%34242424242424242", "A card's number stands here"),
        ("https://10.0.0.1/hook", "10.0.0.1 is an address in a private or reserved network"),
        ("http://192.168.1.5:8080/", "192.168.1.5 is an address in a private or reserved network"),
        ("https://[fd00::1]/", "fd00::1 is an address in a private or reserved network"),
        ("https://127.0.0.1/", "127.0.0.1 is an address of this machine"),
        ("https://8.8.8.8/", "An address in numbers is no name"),
        ("https://[2001:4860:4860::8888]/", "An address in numbers is no name"),
        ("https://user@shop.example/", "Leave user and password out"),
        ("https://user:p w@shop.example/", "Leave user and password out"),
        ("https://shop.example/#", "Leave # and what follows it out"),
        ("https://shop.example/<hook>", "< cannot stand in an address: write it as %3C."),
        ("https://shop.example/\u00fc", "\u00fc cannot stand in an address: write it as %C3%BC."),
        ("https://b\u00fccher.example/", "Write the host's name with letters a to z"),
        ("https://my shop.example/", "Write the host's name with letters a to z"),
        ("https://shop.example/a hook", "A space stands in this"),
        ("https://shop.example/\u202ekooh", "A character that cannot be seen stands in this"),
        ("https:///hook", "No host is named behind https://"),
        ("https://", "No host is named behind https://"),
        ("https://?a=b", "No host is named behind https://"),
        ("hooks.shop.example", "Write it with https:// at its beginning"),
        ("ftp://hooks.shop.example", "Write it with https:// at its beginning"),
        ("http://hooks.shop.example", "Write it with https:// at its beginning"),
        ("https://shop.example/#top", "Leave # and what follows it out"),
        ("https://shop.example:80000/", "Choose a port from 1 to 9999"),
        ("https://shop.example:99999/", "Choose a port from 1 to 9999"),
        ("https://shop.example:10000/", "Choose a port from 1 to 9999"),
        ("https://shop.example:0/", "Choose a port from 1 to 9999"),
        ("https://shop.example:web/", "Choose a port from 1 to 9999"),
        ("https://shop.example:/", "Choose a port from 1 to 9999"),
        ("HTTPS://EXAMPLE.COM", "Write https:// in small letters."),
        ("https://127.1/", "An address in numbers is no name"),
        ("https://0x7f.1/", "An address in numbers is no name"),
        ("https://2130706433/", "An address in numbers is no name"),
        ("https://localhost./", "Write the host's whole public name"),
        ("https://shop.example./", "Leave the dot at the end"),
        ("https://shop..example/", "Two dots stand beside each other"),
        ("https://-a.com/", "No part of the host's name begins or ends with a hyphen"),
        ("https://a.local/", "a.local is a name of a private network"),
        ("https://Hooks.Internal/", "hooks.internal is a name of a private network"),
        ("https://shop.home.arpa/", "shop.home.arpa is a name of a private network"),
        ("https://shop/", "Write the host's whole public name"),
        ("https://[fd00::1/", "This cannot be read as an address"),
        ("https://shop.example/" + "x" * 500, "This is too long: write up to 500 characters."),
        ("https://shop.example:25/", "Port 25 is another service's"),
        ("https://shop_1.example/", "Send an https URL"),
    ],
)
def test_an_address_that_is_refused_is_told_what_it_is(url: str, words: str) -> None:
    """Private, ours, or simply no name; whatever else is wrong with it is named too."""
    with pytest.raises(AddressRefused) as caught:
        check_url(url, loopback=False)

    assert str(caught.value).startswith(words)
    assert "%20" not in str(caught.value) or words in (
        "A space stands in this",
        "Send an https URL",
    )
