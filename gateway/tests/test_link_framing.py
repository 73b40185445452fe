"""
Frames: where a message begins and ends, however the bytes arrive.
"""

import pytest
from counterfoil.network.framing import Deframer, Framing, FramingError, LengthForm
from hypothesis import given, settings
from hypothesis import strategies as st

FORMS: list[LengthForm] = ["bin2", "bin4", "ascii4", "bcd2", "hex4"]


def test_the_default_frame_is_two_bytes_of_length():
    """Big-endian, counting what follows."""
    assert Framing().frame(b"x" * 300) == b"\x01\x2c" + b"x" * 300


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(FORMS),
    st.booleans(),
    st.binary(max_size=5),
    st.binary(max_size=2),
    st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    st.lists(st.integers(1, 20), min_size=1),
)
def test_split_and_merged_segments_give_the_same_messages(
    length: LengthForm,
    counts_itself: bool,
    header: bytes,
    trailer: bytes,
    messages: list[bytes],
    steps: list[int],
):
    """TCP keeps no boundaries; the frames do, in every form."""
    framing = Framing(length, counts_itself, header, trailer)
    stream = b"".join(framing.frame(message) for message in messages)
    deframer = Deframer(framing)
    got: list[bytes] = []

    at = index = 0
    while at < len(stream):
        step = steps[index % len(steps)]
        got += deframer.feed(stream[at : at + step])
        at, index = at + step, index + 1

    assert got == messages


def test_a_length_of_zero_is_a_keep_alive():
    """Ignored, also between messages."""
    stream = b"\0\0" + Framing().frame(b"a") + b"\0\0\0\0" + Framing().frame(b"b") + b"\0"

    assert list(Deframer(Framing()).feed(stream)) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("framing", "stream"),
    [
        (Framing(), b"\x10\x01"),
        (Framing("ascii4"), b"4097"),
        (Framing("ascii4"), b"-001"),
        (Framing("ascii4"), b"00x1"),
        (Framing("bcd2"), b"\x0a\x00"),
        (Framing("hex4"), b"00G1"),
        (Framing(counts_itself=True), b"\x00\x01"),
        (Framing(header=b"HDR"), b"\x00\x04HDXa"),
        (Framing(header=b"HDR"), b"\x00\x02HD"),
        (Framing(trailer=b"\x03"), b"\x00\x02a\x04"),
    ],
)
def test_bytes_that_are_no_frame_are_refused(framing: Framing, stream: bytes):
    """After them nothing can be read; messages in front of them were whole."""
    deframer = Deframer(framing)
    got = []

    with pytest.raises(FramingError):
        got += list(deframer.feed(stream))
    frames = Deframer(framing).feed(framing.frame(b"good") + stream)
    assert next(frames) == b"good"
    with pytest.raises(FramingError):
        next(frames)
    assert got == []
