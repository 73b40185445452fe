"""
Other dialects: the host reads and writes them by a codec, a framing and a MAC of its own.

The bytes in `WIRE` were written once by the gateway's codec, which shares no code with this one.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from counterfoil_rail.dialects import (
    Dialect,
    Fields,
    UnreadableError,
    WrongMacError,
    dialect_named,
)
from counterfoil_rail.framing import Framing, FramingError
from counterfoil_rail.mac import aes_mac, retail_mac
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import (
    ANSWER_SECONDS_MAX,
    CARD,
    Gateway,
    Sandbox,
    Start,
    close,
    follow_up,
    item,
    network,
    payment,
    refund,
)
from .test_process import run

RETAIL = "0123456789ABCDEFFEDCBA9876543210"
AES = "2B7E151628AED2A6ABF7158809CF4F3C"
KEYS = {"gw87-bcd": RETAIL, "gw87-ebcdic": AES}
NAMES = ["gw87", "gw87-bcd", "gw87-ebcdic", "gw87-hex"]
WITH_MAC = list(KEYS)

SIGN_ON: Fields = {"t": "0800", "7": "1123101500", "11": "000001", "33": "987654", "70": "001"}
SALE: Fields = payment() | {"11": "000123", "37": "632710000123", "48": "0203123"}
VOID: Fields = {number: value for number, value in SALE.items() if number not in ("14", "48")} | {
    "t": "0420",
    "11": "000124",
    "39": "17",
    "90": "020000012311231015000000012345600000987654",
}
MESSAGES = {"0800": SIGN_ON, "0200": SALE, "0420": VOID}
WIRE = {
    ("gw87", "0800"): (
        "002f30383030822000008000000004000000000000003131323331303135303030303030303130363938"
        "37363534303031"
    ),
    ("gw87", "0200"): (
        "00c830323030723c448188e1801031363431313131313131313131313131313130303030303030303030"
        "303030303432303031313233313031353030303030313233313031353030313132333330313235393939"
        "3031303539303631323334353630363938373635343633323731303030303132335445524d303030314d"
        "45524348414e543030303030303154686520426f6f6b2053686f7020202020202020202020537072696e"
        "676669656c642020494c555330303730323033313233383430303036303030303031"
    ),
    ("gw87-bcd", "0800"): (
        "002d60008700010800822000008000000004000000000000011123101500000001069876540001ffe7f4"
        "f87c3c51f2"
    ),
    ("gw87-bcd", "0200"): (
        "00a460008700010200723c448188e1801116411111111111111100000000000000420011231015000001"
        "2310150011233012599900105906123456069876543633323731303030303132335445524d303030314d"
        "45524348414e543030303030303154686520426f6f6b2053686f7020202020202020202020537072696e"
        "676669656c642020494c55530007303230333132333834300006303030303031a0e7680bd7273e08"
    ),
    ("gw87-bcd", "0420"): (
        "00b860008700010420f23844818ae0801000000040000000011641111111111111110000000000000042"
        "001123101500000124101500112359990010590612345606987654363332373130303030313233313754"
        "45524d303030314d45524348414e543030303030303154686520426f6f6b2053686f7020202020202020"
        "202020537072696e676669656c642020494c555338343000063030303030310200000123112310150000"
        "0001234560000098765451253ef97f46e292"
    ),
    ("gw87-ebcdic", "0800"): (
        "30303437f0f8f0f082200000800000000400000000000000f1f1f2f3f1f0f1f5f0f0f0f0f0f0f0f1f0f6"
        "f9f8f7f6f5f4f0f0f1"
    ),
    ("gw87-ebcdic", "0200"): (
        "30323038f0f2f0f0723c448188e18011f1f6f4f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f0f0f0f0f0f0f0f0"
        "f0f0f0f0f0f0f4f2f0f0f1f1f2f3f1f0f1f5f0f0f0f0f0f1f2f3f1f0f1f5f0f0f1f1f2f3f3f0f1f2f5f9"
        "f9f9f0f1f0f5f9f0f6f1f2f3f4f5f6f0f6f9f8f7f6f5f4f6f3f2f7f1f0f0f0f0f1f2f3e3c5d9d4f0f0f0"
        "f1d4c5d9c3c8c1d5e3f0f0f0f0f0f0f1e3888540c296969240e288969740404040404040404040e29799"
        "89958786898593844040c9d3e4e2f0f0f7f0f2f0f3f1f2f3f8f4f0f0f0f6f0f0f0f0f0f1b52225e2fd99"
        "786b"
    ),
    ("gw87-ebcdic", "0420"): (
        "30323436f0f4f2f0f23844818ae080100000004000000001f1f6f4f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1"
        "f0f0f0f0f0f0f0f0f0f0f0f0f0f0f4f2f0f0f1f1f2f3f1f0f1f5f0f0f0f0f0f1f2f4f1f0f1f5f0f0f1f1"
        "f2f3f5f9f9f9f0f1f0f5f9f0f6f1f2f3f4f5f6f0f6f9f8f7f6f5f4f6f3f2f7f1f0f0f0f0f1f2f3f1f7e3"
        "c5d9d4f0f0f0f1d4c5d9c3c8c1d5e3f0f0f0f0f0f0f1e3888540c296969240e288969740404040404040"
        "404040e2979989958786898593844040c9d3e4e2f8f4f0f0f0f6f0f0f0f0f0f1f0f2f0f0f0f0f0f1f2f3"
        "f1f1f2f3f1f0f1f5f0f0f0f0f0f0f0f1f2f3f4f5f6f0f0f0f0f0f9f8f7f6f5f454282dd216f6e165"
    ),
    ("gw87-hex", "0800"): (
        "0249534f3031363030303035353038303038323230303030303830303030303030303430303030303030"
        "30303030303030313132333130313530303030303030313036393837363534303031035e"
    ),
    ("gw87-hex", "0200"): (
        "0249534f3031363030303035353032303037323343343438313838453138303130313634313131313131"
        "313131313131313131303030303030303030303030303034323030313132333130313530303030303132"
        "333130313530303131323333303132353939393031303539303631323334353630363938373635343633"
        "323731303030303132335445524d303030314d45524348414e543030303030303154686520426f6f6b20"
        "53686f7020202020202020202020537072696e676669656c642020494c55533030373032303331323338"
        "3430303036303030303031036d"
    ),
}


def dialect(name: str, key: str | None = None) -> Dialect:
    return dialect_named(name, key or KEYS.get(name))


def gateways_framing(framing: Framing) -> Framing:
    """Return how a gateway frames, and what it expects: the headers change places."""
    return replace(framing, header=framing.answer_header, answer_header=framing.header)


class Foreign(Gateway):
    """
    A gateway that speaks another dialect.
    """

    def __init__(
        self, spoken: Dialect, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        super().__init__(reader, writer)
        self.spoken = spoken
        self.framing = gateways_framing(spoken.framing)
        self.arrived = bytearray()

    def send(self, *messages: Fields) -> None:
        self.writer.write(b"".join(self.framing.put(self.spoken.encode(m)) for m in messages))

    async def answer(self, *, seconds: float = ANSWER_SECONDS_MAX) -> Fields:
        async with asyncio.timeout(seconds):
            while not (cut := self.framing.cut(self.arrived, 0)):
                more = await self.reader.read(4096)
                assert more, "the rail has closed the link"
                self.arrived += more
        del self.arrived[: cut.end]
        return self.spoken.decode(cut.message)


@contextlib.asynccontextmanager
async def linked(rail: Sandbox, spoken: Dialect, *, sign_on: bool = True) -> AsyncIterator[Foreign]:
    gateway = Foreign(spoken, *await asyncio.open_connection("127.0.0.1", rail.port))
    try:
        if sign_on:
            assert (await gateway.ask(network("001")))["39"] == "00"
        yield gateway
    finally:
        gateway.writer.close()


@pytest.mark.parametrize(("name", "mti"), list(WIRE))
def test_what_another_codec_wrote_is_read_and_written_alike(name: str, mti: str) -> None:
    """Frame, header, encoding and MAC, to the byte."""
    spoken, wire = dialect(name), bytes.fromhex(WIRE[name, mti])

    cut = spoken.framing.cut(bytearray(wire), 0)

    assert cut is not None
    assert cut.end == len(wire)
    assert spoken.mti(cut.message) == mti
    read = spoken.decode(cut.message)
    assert {n: read[n] for n in MESSAGES[mti]} == MESSAGES[mti]
    assert gateways_framing(spoken.framing).put(spoken.encode(dict(MESSAGES[mti]))) == wire


@pytest.mark.parametrize("name", NAMES)
async def test_a_day_is_spoken_in_each_dialect(start: Start, name: str) -> None:
    """Sale, capture, refund, void, a close out of balance with its upload, and an echo."""
    spoken = dialect(name)
    async with start(dialect=spoken) as rail, linked(rail, spoken) as gateway:
        sale, hold, gone = payment(), payment("0100", amount=500), payment(amount=700)
        approved = [await gateway.ask(each) for each in (sale, hold, gone)]
        taken, back = follow_up(hold, "0220"), refund(sale, amount=200)
        followed = [await gateway.ask(each) for each in (taken, back, follow_up(gone, "0420"))]
        totals = {"debits": [4200, 500, 700], "voids": [700], "credits": [200], "authorizations": 1}
        rail.faults.set("close_out_of_balance", "1")
        refused = await gateway.ask(close(**totals))
        items = [await gateway.ask(item(each)) for each in (sale, taken, back)]
        agreed = await gateway.ask(close("0520", **totals))
        echo = await gateway.ask(network("301"))

    assert [(each["t"], each["39"]) for each in approved] == [
        ("0210", "00"),
        ("0110", "00"),
        ("0210", "00"),
    ]
    assert approved[0]["2"] == CARD
    assert [each["39"] for each in [*followed, *items, echo]] == ["00"] * 7
    assert ((refused["t"], refused["39"]), agreed["39"]) == (("0510", "95"), "00")
    assert agreed["97"] == "C0000000000004500"
    assert [rail.charge(each)["state"] for each in (sale, hold, gone)] == [
        "captured",
        "captured",
        "reversed",
    ]
    assert not rail.logged("wrong_mac")
    assert CARD not in rail.log.getvalue()


@pytest.mark.parametrize("name", WITH_MAC)
async def test_a_message_with_a_wrong_mac_is_not_acted_on(start: Start, name: str) -> None:
    """Neither booked nor answered, but counted and told; the next right one is."""
    other = dialect(name, "13" * 8 + "42" * 8)
    async with start(dialect=dialect(name)) as rail, linked(rail, dialect(name)) as gateway:
        sale = payment()
        gateway.writer.write(gateway.framing.put(other.encode(dict(sale))))
        bare = replace(dialect(name), mac_of=None)
        gateway.writer.write(gateway.framing.put(bare.encode(dict(sale))))
        assert await gateway.is_silent()
        assert rail.charges() == []
        assert (await gateway.ask(sale))["39"] == "00"

    assert [each["count"] for each in rail.logged("wrong_mac")] == [1, 2]


@pytest.mark.parametrize("name", WITH_MAC)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_changed_byte_gets_past_the_mac(name: str, data: st.DataObject) -> None:
    """Whatever byte is changed, the message is refused."""
    spoken = dialect(name)
    wire = bytearray(spoken.encode(dict(VOID)))
    at = data.draw(st.integers(0, len(wire) - 1))
    wire[at] ^= data.draw(st.integers(1, 255))

    with pytest.raises((UnreadableError, WrongMacError)):
        spoken.decode(bytes(wire))


def test_messages_without_a_mac_are_those_of_the_dialect() -> None:
    """EBCDIC: none in network management, and a MAC in everything else."""
    spoken = dialect("gw87-ebcdic")

    assert "64" not in spoken.decode(spoken.encode(dict(SIGN_ON)))
    assert "64" in spoken.decode(spoken.encode(dict(SALE)))
    assert "128" in spoken.decode(spoken.encode(dict(VOID)))


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_segments_cut_anywhere_give_the_same_messages(name: str, data: st.DataObject) -> None:
    """TCP keeps no boundaries; keep-alives between messages are none."""
    framing = gateways_framing(dialect(name).framing)
    sent = data.draw(st.lists(st.binary(min_size=1, max_size=40).filter(_is_frameable)))
    stream = b"".join(framing.put(each) + framing.put(b"") for each in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    expected = dialect(name).framing

    buffer, got = bytearray(), list[bytes]()
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        buffer += stream[begin:end]
        while cut := expected.cut(buffer, 0):
            got += [cut.message] if cut.message else []
            del buffer[: cut.end]

    assert got == sent
    assert not buffer


def _is_frameable(message: bytes) -> bool:
    return b"\x03" not in message


@pytest.mark.parametrize("name", NAMES)
@given(raw=st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_arbitrary_bytes_are_a_message_or_refused(name: str, raw: bytes) -> None:
    """Nothing else is raised, by the frame or by what it holds."""
    spoken = dialect(name)
    with contextlib.suppress(FramingError):
        spoken.framing.cut(bytearray(raw), 0)
    spoken.mti(raw)
    with contextlib.suppress(UnreadableError, WrongMacError):
        spoken.decode(raw)


@pytest.mark.parametrize(
    ("name", "wire", "reason"),
    [
        ("gw87-bcd", "000760000100870800", "other_header"),
        ("gw87-bcd", "2000", "over_length"),
        ("gw87-ebcdic", "30303f30", "bad_length"),
        ("gw87-ebcdic", "39393939", "over_length"),
        ("gw87-hex", "30", "no_stx"),
        ("gw87-hex", "0249534f303136303030303535303830300300", "wrong_check"),
        ("gw87-hex", "02" + "41" * 4200, "over_length"),
    ],
)
async def test_bytes_that_are_no_frame_close_the_link(
    start: Start, name: str, wire: str, reason: str
) -> None:
    """And the log says why."""
    spoken = dialect(name)
    async with start(dialect=spoken) as rail, linked(rail, spoken) as gateway:
        gateway.writer.write(bytes.fromhex(wire))
        assert await gateway.is_closed()

    assert [each["reason"] for each in rail.logged("link_closed")] == [reason]


@pytest.mark.parametrize(
    ("key", "covered", "expected"),
    [
        # ISO/IEC 9797-1, annex with DES, algorithm 3 and padding 1: two data strings.
        (RETAIL, b"Now is the time for all ", "A1C72E74EA3FA9B6"),
        (RETAIL, b"Now is the time for it", "2E2B1428CC78254F"),
    ],
)
def test_the_retail_mac_has_the_published_values(key: str, covered: bytes, expected: str) -> None:
    """Whole blocks and not."""
    assert retail_mac(bytes.fromhex(key), covered).hex().upper() == expected


def test_the_aes_mac_has_the_published_values() -> None:
    """RFC 4493, section 4: of nothing, and of one block."""
    key, block = bytes.fromhex(AES), bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")

    assert aes_mac(key, b"").hex() == "bb1d6929e9593728"
    assert aes_mac(key, block).hex() == "070a16b46b4d4144"


@pytest.mark.parametrize(
    ("name", "key", "says"),
    [
        ("gw87-xml", None, "there is no dialect 'gw87-xml'; there are gw87, gw87-bcd"),
        ("gw87-bcd", None, "the dialect gw87-bcd needs the key of its MAC"),
        ("gw87-bcd", "0123", "must have 16 bytes for retail: 2"),
        ("gw87-ebcdic", "no hex", "the key of the MAC is not in hex"),
        ("gw87", RETAIL, "the dialect gw87 has no MAC: leave the key out"),
    ],
)
def test_a_dialect_that_cannot_be_had_is_told(name: str, key: str | None, says: str) -> None:
    """What was said, and what to do."""
    with pytest.raises(ValueError, match=says):
        dialect_named(name, key)


def test_the_command_takes_a_dialect_and_the_file_of_its_key(tmp_path: Path) -> None:
    """A start without the key says so, and never shows one."""
    key = tmp_path / "mac.key"
    key.write_text(f"{RETAIL}0 08D7B4\n")
    serve = ("serve", "--state", str(tmp_path), "--port", "0", "--dialect", "gw87-bcd")

    without = run(*serve)
    wrong = run(*serve, "--mac-key-file", str(key))

    assert "needs the key of its MAC" in without.stderr
    assert "not in hex" in wrong.stderr
    assert RETAIL not in wrong.stderr
