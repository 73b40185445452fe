"""
Frames: where a message begins and ends, however the bytes arrive.
"""

import contextlib

import pytest
from counterfoil.network.framing import Deframer, Form, Framing, FramingError
from counterfoil.network.message import MESSAGE_BYTES_MAX
from hypothesis import given, settings
from hypothesis import strategies as st

FORMS: list[Form] = ["bin2", "bin2_zeros", "vml", "bin4", "ascii4", "bcd2", "hex4", "stx_etx"]
TPDU, ANSWERED = bytes.fromhex("6000870001"), bytes.fromhex("6000010087")
LONGEST = MESSAGE_BYTES_MAX + 10  # More than any frame below may hold.


@pytest.mark.parametrize(
    ("framing", "wire"),
    [
        (Framing(), "0008 3032303020202020"),
        (Framing(counts_itself=True), "000A 3032303020202020"),
        (Framing("bin2_zeros"), "0008 0000 3032303020202020"),
        (Framing("vml"), "0008 0000 3032303020202020"),
        (Framing("bin4"), "00000008 3032303020202020"),
        (Framing("ascii4"), "30303038 3032303020202020"),
        (Framing("bcd2"), "0008 3032303020202020"),
        (Framing("hex4"), "30303038 3032303020202020"),
        (Framing("bin2", header=TPDU), "000D 6000870001 3032303020202020"),
        (Framing("bcd2", header=TPDU), "0013 6000870001 3032303020202020"),
        (Framing("bin2", trailer=b"\x03"), "0009 3032303020202020 03"),
        (Framing("ascii4", header=b"ISO"), "30303131 49534F 3032303020202020"),
        (Framing("stx_etx"), "02 3032303020202020 03 01"),
    ],
)
def test_a_frame_has_exactly_these_bytes(framing: Framing, wire: str):
    """Every form in protocols 1.2: what jPOS calls Post, CS, VAP, Raw, ASCII, BCD, HEX, NAC,
    NCC and BASE24 TCP; and STX, ETX and the exclusive or of what stands behind STX.
    """
    assert framing.frame(b"0200    ") == bytes.fromhex(wire)


@pytest.mark.parametrize(
    ("form", "spelled"),
    [
        ("bin2", "012C"),
        ("bin4", "0000012C"),
        ("bcd2", "0300"),
        ("ascii4", "30333030"),
        ("hex4", "30313243"),
        ("vml", "012C0000"),
    ],
)
def test_a_length_of_three_hundred_is_spelled(form: Form, spelled: str):
    """Big-endian, packed, in digits, in hex characters."""
    assert Framing(form).frame(b"x" * 300) == bytes.fromhex(spelled) + b"x" * 300


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from(FORMS),
    st.booleans(),
    st.binary(max_size=5),
    st.binary(max_size=5),
    st.binary(max_size=2),
    st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    st.lists(st.integers(1, 20), min_size=1),
)
def test_split_and_merged_segments_give_the_same_messages(
    form: Form,
    counts_itself: bool,
    header: bytes,
    answer_header: bytes,
    trailer: bytes,
    messages: list[bytes],
    steps: list[int],
):
    """TCP keeps no boundaries; the frames do, in every form."""
    ours = Framing(form, counts_itself, header, trailer, answer_header)
    hosts = Framing(form, counts_itself, answer_header, trailer)
    if form == "stx_etx":  # Text only: a dialect that could send an ETX is refused at load.
        ours, hosts = Framing(form, header=b"OURS"), Framing(form, header=b"HOST")
        ours = Framing(form, header=ours.header, answer_header=hosts.header)
        messages = [message.hex().encode() for message in messages]
    stream = b"".join(hosts.frame(message) for message in messages)
    deframer = Deframer(ours)
    got: list[bytes] = []

    at = index = 0
    while at < len(stream):
        step = steps[index % len(steps)]
        got += deframer.feed(stream[at : at + step])
        at, index = at + step, index + 1

    assert got == messages


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(FORMS),
    st.booleans(),
    st.sampled_from([b"", TPDU]),
    st.sampled_from([b"", b"\x03"]),
    st.lists(st.binary(max_size=300) | st.sampled_from([b"\x02", b"\0" * 9, b"0000"]), max_size=8),
)
def test_any_garbage_gives_messages_or_a_framing_error(
    form: Form, counts_itself: bool, header: bytes, trailer: bytes, chunks: list[bytes]
):
    """Nothing else is raised, nothing hangs, and no more is kept than one frame can hold."""
    deframer = Deframer(Framing(form, counts_itself, header, trailer))
    total = 0

    try:
        for chunk in chunks:
            total += sum(len(message) for message in deframer.feed(chunk))
            assert len(deframer._rest) <= LONGEST
    except FramingError:
        pass
    assert total <= sum(map(len, chunks))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FORMS), st.data())
def test_a_damaged_stream_gives_the_messages_before_the_damage(form: Form, data: st.DataObject):
    """What was whole before the fault is handed on."""
    framing = Framing(form, header=b"HDR")
    frames = [framing.frame(b"message %d" % number) for number in range(4)]
    stream = bytearray(b"".join(frames))
    at = data.draw(st.integers(0, len(stream) - 1))
    stream[at] ^= data.draw(st.integers(1, 255))
    got: list[bytes] = []

    with contextlib.suppress(FramingError):
        got.extend(Deframer(framing).feed(bytes(stream)))
    whole = at // len(frames[0])
    assert got[:whole] == [b"message %d" % number for number in range(whole)]


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_frame_is_a_keep_alive(form: Form):
    """A length of zero, also one that counts itself, also with nothing but the header."""
    for framing in (Framing(form), Framing(form, header=b"HDR")):
        empty = framing.frame(b"")
        stream = empty + framing.frame(b"a") + empty * 2 + framing.frame(b"b") + empty
        assert list(Deframer(framing).feed(stream)) == [b"a", b"b"]
    counting = Framing(form, counts_itself=form != "stx_etx")
    zero = Framing(form).frame(b"")
    assert list(Deframer(counting).feed(zero + counting.frame(b"a") + zero)) == [b"a"]


@pytest.mark.parametrize("form", FORMS)
def test_the_longest_message_passes_and_a_longer_one_does_not(form: Form):
    """4 KiB, whatever stands around them."""
    framing = Framing(form, header=b"HDR")
    longest, longer = b"x" * MESSAGE_BYTES_MAX, b"x" * (MESSAGE_BYTES_MAX + 1)

    assert list(Deframer(framing).feed(framing.frame(longest))) == [longest]
    with pytest.raises(FramingError):
        list(Deframer(framing).feed(framing.frame(longer)))


def test_a_frame_that_never_ends_is_refused_and_not_kept():
    """Byte by byte, without an ETX, in no more time than it takes to look at each once."""
    deframer = Deframer(Framing("stx_etx"))

    def trickle() -> None:
        for byte in b"\x02" + b"x" * 100_000:
            list(deframer.feed(bytes((byte,))))

    with pytest.raises(FramingError, match="no ETX"):
        trickle()
    assert len(deframer._rest) <= LONGEST


@pytest.mark.parametrize(
    ("framing", "stream"),
    [
        (Framing(), b"\x10\x01"),
        (Framing("bin4"), b"\xff\xff\xff\xff"),
        (Framing("ascii4"), b"4097"),
        (Framing("ascii4"), b"-001"),
        (Framing("ascii4"), b"00x1"),
        (Framing("ascii4"), b" 001"),
        (Framing("bcd2"), b"\x0a\x00"),
        (Framing("hex4"), b"00G1"),
        (Framing("hex4"), b"0x1F"),
        (Framing("hex4"), b"1_F0"),
        (Framing("bin2_zeros"), b"\x00\x01\x00\x01a"),
        (Framing(counts_itself=True), b"\x00\x01"),
        (Framing(header=b"HDR"), b"\x00\x04HDXa"),
        (Framing(header=b"HDR"), b"\x00\x02HD"),
        (Framing(header=TPDU, answer_header=ANSWERED), b"\x00\x06" + TPDU + b"a"),
        (Framing(trailer=b"\x03"), b"\x00\x02a\x04"),
        (Framing("stx_etx"), b"a"),
        (Framing("stx_etx"), b"\x02a\x03\x00"),
        (Framing("stx_etx", header=b"HDR"), b"\x02a\x03\x62"),
    ],
)
def test_bytes_that_are_no_frame_are_refused(framing: Framing, stream: bytes):
    """After them nothing can be read; messages in front of them were whole."""
    deframer = Deframer(framing)
    got = []
    hosts = Framing(
        framing.form, framing.counts_itself, framing.expected_header, framing.trailer
    ).frame(b"good")

    with pytest.raises(FramingError):
        got += list(deframer.feed(stream))
    frames = Deframer(framing).feed(hosts + stream)
    assert next(frames) == b"good"
    with pytest.raises(FramingError):
        next(frames)
    assert got == []


def test_the_reserved_bytes_of_a_visa_length_are_not_looked_at():
    """Visa's 4-byte header has flags of its own there."""
    assert list(Deframer(Framing("vml")).feed(b"\x00\x01\x02\x00a")) == [b"a"]


def test_the_addresses_of_a_tpdu_are_swapped_in_answers():
    """What we send goes to 0087 from 0001; what comes goes the other way."""
    framing = Framing("bin2", header=TPDU, answer_header=ANSWERED)

    assert framing.frame(b"a") == b"\x00\x06" + TPDU + b"a"
    assert list(Deframer(framing).feed(b"\x00\x06" + ANSWERED + b"a")) == [b"a"]
