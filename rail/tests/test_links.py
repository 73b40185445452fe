"""
Frames, links, network messages, and what cannot be read.
"""

import asyncio
import time

import pytest

from .conftest import Gateway, Sandbox, Start, follow_up, frame, network, payment


@pytest.mark.parametrize("code", ["001", "002", "201", "301"])
async def test_network_messages_are_always_answered(rail: Sandbox, code: str) -> None:
    """0810 echoes 7, 11, 33, 70 and says 00, before and after sign-on."""
    async with rail.link(sign_on=False) as gateway:
        asked = network(code)
        answer = await gateway.ask(asked)

    assert answer.items() >= {"t": "0810", "39": "00"}.items()
    assert {n: answer[n] for n in ("7", "11", "33", "70")} == {
        n: asked[n] for n in ("7", "11", "33", "70")
    }


async def test_an_unknown_network_code_is_refused(gateway: Gateway) -> None:
    """Key exchange is not supported: 40."""
    assert (await gateway.ask(network("161")))["39"] == "40"


async def test_nothing_else_is_done_before_sign_on_or_after_sign_off(rail: Sandbox) -> None:
    """58, and nothing is booked; each link signs on for itself."""
    async with rail.link() as signed_on, rail.link(sign_on=False) as gateway:
        before = await gateway.ask(payment())
        await gateway.ask(network("001"))
        during = await gateway.ask(payment())
        await gateway.ask(network("002"))
        after = await gateway.ask(payment())
        other = await signed_on.ask(payment())

    codes = [answer["39"] for answer in (before, during, after, other)]
    assert codes == ["58", "00", "58", "00"]
    assert len(rail.charges()) == 2


async def test_segments_may_split_and_merge_messages(rail: Sandbox, gateway: Gateway) -> None:
    """A byte at a time, several at once, keep-alives in between: the same answers."""
    first, second, third = payment(), payment(), payment()
    wire = b"\0\0" + frame(first) + b"\0\0\0\0" + frame(second)

    for byte in wire:
        gateway.writer.write(bytes([byte]))
        await gateway.writer.drain()
        await asyncio.sleep(0)
    gateway.writer.write(frame(third) + b"\0\0" + frame(network("301"))[:10])
    answers = [await gateway.answer() for _ in range(3)]

    assert [answer["11"] for answer in answers] == [first["11"], second["11"], third["11"]]


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"\x10\x01", "over_length"),
        (b"\x00\x040211", "unknown_mti"),
        (b"\x00\x04\xff\xfe\xfd\xfc", "unknown_mti"),
        (b"\x00\x01x", "unknown_mti"),
        (b"\x00\x040200", "undecodable_field_p"),
        (b"\x00\x0d0200" + b"\x40" + bytes(7) + b"9", "undecodable_field_2"),
        (b"\x00\x1d0200\x80" + bytes(7) + b"\x80" + bytes(7) + b"\x80" + bytes(8), "undecodable"),
    ],
)
async def test_what_cannot_be_read_closes_the_link_unanswered(
    rail: Sandbox, gateway: Gateway, wire: bytes, reason: str
) -> None:
    """It is counted and the link ends; others stay."""
    gateway.writer.write(wire)

    assert await gateway.is_closed()
    assert str(rail.logged("link_closed")[-1]["reason"]).startswith(reason)
    async with rail.link() as other:
        assert (await other.ask(payment()))["39"] == "00"


async def test_an_empty_secondary_bitmap_is_read(gateway: Gateway) -> None:
    """Bit 1 may be set with nothing behind it."""
    raw = frame(payment())[2:]
    padded = raw[:4] + bytes([raw[4] | 0x80]) + raw[5:12] + bytes(8) + raw[12:]

    gateway.writer.write(len(padded).to_bytes(2, "big") + padded)

    assert (await gateway.answer())["39"] == "00"


MANDATORY = {
    "0200": "2 3 4 7 11 12 13 14 18 22 25 32 37 41 42 43 49 60".split(),  # noqa: SIM905
    "0220": "2 3 4 7 11 12 13 18 22 25 32 37 38 41 42 43 49 60 90".split(),  # noqa: SIM905
    "0420": "2 3 4 7 11 12 13 32 37 39 41 42 49 60 90".split(),  # noqa: SIM905
    "0800": "7 11 33 70".split(),  # noqa: SIM905
}


async def test_every_mandatory_field_is_demanded(rail: Sandbox, gateway: Gateway) -> None:
    """A readable request without one of them is answered 30 and books nothing."""
    wholes = {
        "0200": payment(),
        "0220": follow_up(payment("0100"), "0220"),
        "0420": follow_up(payment(), "0420"),
        "0800": network("301"),
    }
    for mti, numbers in MANDATORY.items():
        for number in numbers:
            lacking = {n: value for n, value in wholes[mti].items() if n != number}
            answer = await gateway.ask(lacking)
            assert answer["39"] == "30", f"{mti} without {number}"
            assert answer["t"] == f"{mti[:2]}{int(mti[2]) + 1}0"
    assert rail.charges() == []


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("2", "41111111x1111111"),
        ("2", "41111"),
        ("4", "00000000-100"),
        ("7", "1323101500"),
        ("7", "1123251500"),
        ("11", "000000"),
        ("13", "0232"),
        ("14", "3013"),
        ("37", "6327 0000001"),
        ("41", "        "),
        ("48", "0209123"),
        ("48", "02x3123"),
        ("49", "000"),
        ("60", "12345"),
        ("60", "ABCDEF"),
        ("48", "0203\x07\x07\x07"),
    ],
)
async def test_a_field_that_says_nothing_valid_is_answered_30(
    rail: Sandbox, gateway: Gateway, number: str, value: str
) -> None:
    """Content is checked, not only presence."""
    answer = await gateway.ask(payment() | {number: value})

    assert answer["39"] == "30"
    assert rail.charges() == []


async def test_an_original_that_cannot_be_one_is_answered_30(gateway: Gateway) -> None:
    """DE 90 must name a payment or an advice."""
    answer = await gateway.ask(follow_up(payment(), "0420", f90="0800" + "1" * 38))

    assert answer["39"] == "30"


async def test_a_slow_issuer_keeps_nothing_else_waiting(start: Start) -> None:
    """With a delay, other messages on the link overtake, and slow ones run side by side."""
    async with start(seed=7) as rail, rail.link() as gateway:
        rail.faults.set("issuer_delay_ms", "100-200")
        sales = [payment() for _ in range(50)]
        gateway.send(*sales, network("301"))

        started = time.monotonic()
        first = await gateway.answer()
        answers = [await gateway.answer() for _ in sales]

        assert time.monotonic() - started < 50 * 0.1
    assert first["t"] == "0810"
    assert {answer["11"] for answer in answers} == {sale["11"] for sale in sales}
    assert [answer["11"] for answer in answers] != [sale["11"] for sale in sales]


async def test_a_silent_link_is_tested_and_then_closed(start: Start) -> None:
    """The host sends 0800/301 on an idle link; one that never answers is closed."""
    async with start(idle_seconds=0.15) as rail, rail.link() as gateway:
        test = await gateway.answer()
        assert (test["t"], test["70"], test["33"]) == ("0800", "301", "987654")
        gateway.send({"t": "0810", "39": "00"} | {n: test[n] for n in ("7", "11", "33", "70")})

        left = [await gateway.answer() for _ in range(3)]

        assert [message["70"] for message in left] == ["301"] * 3
        assert await gateway.is_closed()
        assert rail.logged("link_closed")[-1]["reason"] == "silent"


async def test_links_are_limited(rail: Sandbox) -> None:
    """One link too many is closed at once."""
    opened = [await asyncio.open_connection("127.0.0.1", rail.port) for _ in range(65)]

    assert await Gateway(*opened[-1]).is_closed()
    for _, writer in opened:
        writer.close()


async def test_the_wire_is_what_the_dialect_says(rail: Sandbox) -> None:
    """A golden sign-on: two bytes of length, ASCII, raw bitmaps; its answer byte for byte."""
    ask = (
        b"\x00\x2f"  # 47 bytes follow
        b"0800"
        b"\x82\x20\x00\x00\x80\x00\x00\x00"  # second bitmap, 7, 11, 33
        b"\x04\x00\x00\x00\x00\x00\x00\x00"  # 70
        b"1123101500"  # 7
        b"000042"  # 11
        b"06987654"  # 33, with two length digits
        b"001"  # 70
    )
    async with rail.link(sign_on=False) as gateway:
        gateway.writer.write(ask)
        answer = await gateway.reader.readexactly(2 + 49)

    assert answer == (
        b"\x00\x31"  # 49 bytes follow
        b"0810"
        b"\x82\x20\x00\x00\x82\x00\x00\x00"  # second bitmap, 7, 11, 33, 39
        b"\x04\x00\x00\x00\x00\x00\x00\x00"  # 70
        b"1123101500"
        b"000042"
        b"06987654"
        b"00"  # 39
        b"001"
    )
