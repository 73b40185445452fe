"""
The link in other dialects, over real sockets, to a host that shares no code with it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from counterfoil.clock import SystemClock
from counterfoil.network.link import AcquirerLink, LinkSettings
from counterfoil.network.message import Fields
from counterfoil.network.outcome import Answered, Late, OutcomeUnknown
from dialect_stage import NAMES, Speech, Wire, dialect_named

CARD = "411111111111111"  # Fifteen digits: packed, they need a filler.
ECHOED = ("2", "3", "4", "7", "11", "33", "37", "41", "49", "70", "90")


class Peer(Speech):
    """
    A host that approves everything in one dialect, and keeps what came.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.received: list[Wire] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.response_code = "00"
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                message = self.read(await self.take(reader))
                self.received.append(message)
                if message["t"][2] in "02":
                    writer.write(self.framed(self.answer(message)))

    def answer(self, request: Wire) -> bytes:
        answer = {key: request[key] for key in ECHOED if key in request}
        answer["39"] = self.response_code if request["t"][1] != "8" else "00"
        return self.written({"t": request["t"][:2] + str(int(request["t"][2]) + 1) + "0"} | answer)

    def send(self, message: Wire) -> None:
        self.writers[-1].write(self.framed(self.written(message)))

    def codes(self) -> list[str]:
        """Return the codes of the 0800 that came."""
        return [each["70"] for each in self.received if each["t"] == "0800"]


class Told:
    """What the link told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.late: list[Late] = []

    def on_event(self, name: str, **details: Any) -> None:
        self.events.append((name, details))

    def named(self, name: str) -> list[dict[str, Any]]:
        return [details for event, details in self.events if event == name]


@contextlib.asynccontextmanager
async def at(peer: Peer, told: Told, **more: Any) -> AsyncIterator[AcquirerLink]:
    """Start the peer and a link to it."""
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    quick = {"reconnect_seconds_first": 0.02, "reconnect_seconds_max": 0.05, "drain_seconds": 0.05}
    quick |= {"sign_off_seconds": 0.1, "sign_on_seconds": 0.2, "key_request_seconds": 0.3}
    link = AcquirerLink(
        LinkSettings(host="127.0.0.1", port=peer.port, institution_id="987654", **(quick | more)),
        dialect_named(peer.name),
        SystemClock(),
        on_event=told.on_event,
        on_late=told.late.append,
    )
    await link.start()
    try:
        yield link
    finally:
        await link.stop()
        for writer in peer.writers:
            writer.close()
        server.close()


def sale(stan: int) -> Fields:
    return {
        2: CARD,
        3: "000000",
        4: "000000004200",
        7: "1123064500",
        11: f"{stan:06d}",
        37: f"632706{stan:06d}",
        41: "TERM0001",
        48: "0203123",
        49: "840",
    }


async def asked(
    link: AcquirerLink, fields: Fields, *, mti: str = "0200", within: float = 2.0
) -> Any:
    deadline = SystemClock().monotonic() + 2.0
    return await link.request(mti, fields, send_before=deadline, answer_within=within)


async def until(true: Callable[[], object], seconds: float = 3.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110  # Whatever it is, it has no event.
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("name", NAMES)
async def test_a_sale_and_its_reversal_are_answered_in_each_dialect(name: str):
    """Sign-on, one bitmap, two bitmaps, many at once; the host sees the card and we an answer."""
    peer, told = Peer(name), Told()
    async with at(peer, told) as link:
        assert await link.wait_ready(3.0)

        answers = await asyncio.gather(*(asked(link, sale(stan)) for stan in range(1, 41)))
        undone = await asked(link, sale(41) | {39: "68", 90: "0200" + "0" * 38}, mti="0420")

    assert all(isinstance(each, Answered) and each.response_code == "00" for each in answers)
    assert isinstance(undone, Answered)
    assert undone.mti == "0430"
    assert {each["2"] for each in peer.received if each["t"] == "0200"} == {CARD}
    assert peer.codes() == ["001", "002"]
    assert CARD not in f"{told.events}"


@pytest.mark.parametrize("name", NAMES)
async def test_a_message_of_the_host_is_answered_in_each_dialect(name: str):
    """An echo from the other side, in a frame of the other side."""
    peer, told = Peer(name), Told()
    async with at(peer, told) as link:
        assert await link.wait_ready(3.0)

        peer.send({"t": "0800", "7": "1123064500", "11": "000777", "70": "301"})
        await until(lambda: peer.received[-1]["t"] == "0810")

    answer = next(each for each in peer.received if each["t"] == "0810")
    assert (answer["11"], answer["39"], answer["70"]) == ("000777", "00", "301")


@pytest.mark.parametrize("name", NAMES)
async def test_garbage_closes_the_line_which_connects_anew(name: str):
    """In every frame and encoding."""
    peer, told = Peer(name), Told()
    async with at(peer, told) as link:
        assert await link.wait_ready(3.0)

        peer.writers[-1].write(peer.framed(b"0000garbage")[:-1] + b"\xff" * 40)
        await until(lambda: told.named("link_down"))
        await until(lambda: len(peer.writers) == 2 and link.ready)

        assert isinstance(await asked(link, sale(1)), Answered)


async def test_an_answer_with_a_wrong_mac_is_not_acted_on():
    """The outcome stays unknown, so it will be reversed; the right answer later is late."""
    peer, told = Peer("gw87-bcd"), Told()
    async with at(peer, told) as link:
        assert await link.wait_ready(3.0)
        peer.mac_of = lambda _mti, _covered: bytes(8)
        outcome = await asked(link, sale(1), within=0.15)
        peer.mac_of = peer.right_mac
        peer.writers[-1].write(peer.framed(peer.answer(peer.received[-1])))
        await until(lambda: told.late)

        assert isinstance(await asked(link, sale(2)), Answered)
        assert link.wrong_macs == 1

    assert isinstance(outcome, OutcomeUnknown)
    assert [each["mti"] for each in told.named("bad_mac")] == ["0210"]
    assert not told.named("key_requested")


async def test_three_wrong_macs_in_a_row_ask_for_a_key_exchange():
    """0800/162, once at a time; a right one in between begins the count anew."""
    peer, told = Peer("gw87-ebcdic"), Told()
    async with at(peer, told, key_request_seconds=30.0) as link:
        assert await link.wait_ready(3.0)
        wrong = [True, True, False, True, True, True, True, True, True, True]
        for stan, is_wrong in enumerate(wrong, start=1):
            peer.mac_of = lambda mti, _: None if mti[1] == "8" else bytes(8)
            if not is_wrong:
                peer.mac_of = peer.right_mac
            outcome = await asked(link, sale(stan), within=0.1)
            assert isinstance(outcome, OutcomeUnknown if is_wrong else Answered)
            if stan == 5:
                assert "162" not in peer.codes()
        await until(lambda: "162" in peer.codes())

    assert [each["in_a_row"] for each in told.named("bad_mac")] == [1, 2, 1, 2, 3, 1, 2, 3, 1]


@pytest.mark.parametrize(("name", "told_times"), [("gw87-bcd", 1), ("gw87", 0)])
async def test_a_security_violation_on_a_link_with_macs_is_told(name: str, told_times: int):
    """Response code 63 may mean that the host finds our MAC wrong."""
    peer, told = Peer(name), Told()
    async with at(peer, told) as link:
        assert await link.wait_ready(3.0)
        peer.response_code = "63"

        assert (await asked(link, sale(1))).response_code == "63"

    assert [each["mti"] for each in told.named("mac_refused")] == ["0210"] * told_times


async def test_a_missing_mac_is_a_wrong_one():
    """Leaving it out is no way around it."""
    peer, told = Peer("gw87-ebcdic"), Told()
    async with at(peer, told) as link:
        assert await link.wait_ready(3.0)
        peer.mac_of = lambda _mti, _covered: None

        assert isinstance(await asked(link, sale(1), within=0.1), OutcomeUnknown)
    assert len(told.named("bad_mac")) == 1


async def test_a_line_with_the_wrong_key_never_signs_on_and_asks_for_a_key():
    """Counted over connections; nothing else leaves before a sign-on was accepted."""
    peer, told = Peer("gw87-bcd"), Told()
    peer.mac_of = lambda _mti, _covered: bytes(8)
    async with at(peer, told, sign_on_seconds=0.1) as link:
        await until(lambda: "162" in peer.codes())

        assert not link.ready
        assert {each["t"] for each in peer.received} == {"0800"}
    assert len(told.named("key_requested")) >= 1


async def test_a_message_of_the_host_with_a_wrong_mac_is_not_answered():
    """Whoever can write to the line cannot sign us off."""
    peer, told = Peer("gw87-bcd"), Told()
    async with at(peer, told) as link:
        assert await link.wait_ready(3.0)
        peer.mac_of = lambda _mti, _covered: bytes(8)
        peer.send({"t": "0800", "7": "1123064500", "11": "000777", "70": "002"})
        await until(lambda: told.named("bad_mac"))

        assert link.ready
        assert not [each for each in peer.received if each["t"] == "0810"]


@pytest.mark.parametrize("code", ["101", "161"])
async def test_a_key_exchange_that_we_do_not_take_is_refused(code: str):
    """With 40: a host that believes we have its new key would refuse every message."""
    peer, told = Peer("gw87"), Told()
    async with at(peer, told) as link:
        assert await link.wait_ready(3.0)

        peer.send({"t": "0800", "7": "1123064500", "11": "000777", "48": "K104ABCD", "70": code})
        await until(lambda: peer.received[-1]["t"] == "0810")

        assert peer.received[-1]["39"] == "40"
        assert "48" not in peer.received[-1]
        assert [each["code"] for each in told.named("key_refused")] == [code]
