"""
Message authentication: published vectors, where the MAC stands, and keys that nobody sees.
"""

import pytest
from counterfoil.network.codec import Codec
from counterfoil.network.dialect import default_table
from counterfoil.network.encodings import ENCODINGS, EncodingName
from counterfoil.network.mac import (
    Algorithm,
    MacKey,
    MacKeyError,
    aes_mac,
    read_key,
    retail_mac,
)
from counterfoil.network.mac_codec import MacCodec, WrongMac
from counterfoil.network.message import Fields, MessageError
from hypothesis import given, settings
from hypothesis import strategies as st

TABLE = default_table()
CARD = "4111111111111111"
RETAIL = "0123456789ABCDEFFEDCBA9876543210"
AES = "2b7e151628aed2a6abf7158809cf4f3c"
SALE: Fields = {2: CARD, 3: "000000", 4: "000000004200", 11: "000123", 41: "TERM0001"}
REVERSAL: Fields = SALE | {90: "0" * 42}

# RFC 4493, section 4: the message of examples 1 to 4 is this, cut to 0, 16, 40 and 64 bytes.
RFC_MESSAGE = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710"
)


def key(algorithm: Algorithm = "retail") -> MacKey:
    return read_key(algorithm, RETAIL if algorithm == "retail" else AES)


def codec(
    encoding: EncodingName = "ascii_bin",
    algorithm: Algorithm = "retail",
    exempt: tuple[str, ...] = (),
) -> MacCodec:
    return MacCodec(Codec(TABLE, ENCODINGS[encoding]), key(algorithm), exempt=exempt)


@pytest.mark.parametrize(
    ("key_hex", "data", "expected"),
    [
        # ISO/IEC 9797-1, annex with DES, algorithm 3 and padding 1: two data strings.
        (RETAIL, b"Now is the time for all ", "A1C72E74EA3FA9B6"),
        (RETAIL, b"Now is the time for it", "2E2B1428CC78254F"),
        # The vector that Bouncy Castle tests its ISO 9797 algorithm 3 with.
        ("7CA110454A1A6E570131D9619DC1376E", b"Hello World !!!!", "F09B856213BAB83B"),
    ],
)
def test_the_retail_mac_has_the_published_values(key_hex: str, data: bytes, expected: str):
    """Known answers, whole blocks and not."""
    assert retail_mac(bytes.fromhex(key_hex), data).hex().upper() == expected


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (0, "bb1d6929e9593728"),
        (16, "070a16b46b4d4144"),
        (40, "dfa66747de9ae630"),
        (64, "51f0bebf7e3b9d92"),
    ],
)
def test_the_aes_mac_is_the_first_half_of_the_published_values(length: int, expected: str):
    """RFC 4493, section 4."""
    assert aes_mac(bytes.fromhex(AES), RFC_MESSAGE[:length]).hex() == expected


@pytest.mark.parametrize("algorithm", ["retail", "aes_cmac"])
@pytest.mark.parametrize("encoding", list(ENCODINGS))
@pytest.mark.parametrize(("fields", "number"), [(SALE, 64), (REVERSAL, 128)])
def test_the_last_field_is_the_mac_of_everything_before_it(
    algorithm: Algorithm, encoding: EncodingName, fields: Fields, number: int
):
    """Field 64, or 128 behind a second bitmap; covered from the MTI on, its own bit set."""
    ours = codec(encoding, algorithm)
    plain = Codec(TABLE, ENCODINGS[encoding])
    placed = plain.encode("0200", fields | {number: bytes(8)})
    width = 16 if encoding == "ascii_hex" else 8

    for _ in ("generic", "compiled"):
        wire = ours.encode("0200", fields)
        assert wire[:-width] == placed[:-width]
        expected = key(algorithm).mac(wire[:-width])
        assert plain.decode(wire).fields == fields | {number: expected}
        assert ours.decode(wire).fields == fields | {number: expected}


@settings(max_examples=150, deadline=None)
@given(data=st.data(), encoding=st.sampled_from(list(ENCODINGS)))
def test_no_changed_byte_gets_past_the_mac(data: st.DataObject, encoding: EncodingName):
    """Whatever byte is changed, the message is refused."""
    ours = codec(encoding)
    wire = bytearray(ours.encode("0200", SALE))
    at = data.draw(st.integers(0, len(wire) - 1))
    wire[at] ^= data.draw(st.integers(1, 255))

    with pytest.raises((MessageError, WrongMac)):
        ours.decode(bytes(wire))


@settings(max_examples=200, deadline=None)
@given(wire=st.binary(max_size=200), encoding=st.sampled_from(list(ENCODINGS)))
def test_arbitrary_bytes_never_get_past_the_mac(wire: bytes, encoding: EncodingName):
    """And raise nothing but these two."""
    head = codec(encoding).encode("0800", {11: "000001"})[: 2 if encoding == "bcd" else 4]

    for raw in (wire, head + wire):
        with pytest.raises((MessageError, WrongMac)):
            codec(encoding).decode(raw)


def test_a_message_without_a_mac_is_refused():
    """Leaving it out is no way around it."""
    wire = Codec(TABLE, ENCODINGS["ascii_bin"]).encode("0210", SALE)

    with pytest.raises(WrongMac, match="does not end with a MAC") as caught:
        codec().decode(wire)
    assert caught.value.mti == "0210"


def test_the_mac_of_the_first_bitmap_does_not_cover_a_second_one():
    """With fields above 64, a right MAC in 64 proves nothing about them."""
    wire = Codec(TABLE, ENCODINGS["ascii_bin"]).encode("0210", REVERSAL | {64: bytes(8)})

    with pytest.raises(WrongMac, match="does not end with a MAC"):
        codec().decode(wire)


def test_exempt_message_types_carry_no_mac():
    """Some hosts want none in network management."""
    ours = codec(exempt=("0800", "0810"))
    wire = ours.encode("0800", {11: "000001"})

    assert ours.decode(wire).fields == {11: "000001"}
    assert 64 in ours.decode(ours.encode("0200", SALE)).fields


@pytest.mark.parametrize("number", [64, 128])
def test_a_mac_is_made_here_and_nowhere_else(number: int):
    """Whoever brings one is told."""
    with pytest.raises(MessageError, match=f"Field {number} is for the MAC"):
        codec().encode("0200", SALE | {number: bytes(8)})


def test_another_key_makes_another_mac():
    """The point of it."""
    other = MacCodec(
        Codec(TABLE, ENCODINGS["ascii_bin"]), read_key("retail", "7CA110454A1A6E570131D9619DC1376E")
    )

    with pytest.raises(WrongMac, match="field 64 is wrong"):
        other.decode(codec().encode("0200", SALE))


def test_a_key_is_not_shown():
    """Only its check value is: that is what check values are for."""
    shown = f"{key()!r} {key()} {codec().__dict__}"

    assert "08D7B4" in shown
    assert RETAIL[:8] not in shown.upper()
    assert repr(bytes.fromhex(RETAIL))[2:8] not in shown


@pytest.mark.parametrize(
    ("algorithm", "text", "says"),
    [
        ("retail", "", "hex"),
        ("retail", "xyz", "not hex"),
        ("retail", "A B C", "check value"),
        ("retail", "00" * 200, "hex"),
        ("retail", RETAIL[:16], "16 bytes"),
        ("retail", RETAIL + "0011223344556677", "16 bytes"),
        ("retail", RETAIL[:16] * 2, "single DES"),
        ("retail", "0123456789ABCDEF" + "0023456789ABCDEE", "single DES"),
        ("retail", f"{RETAIL} 08D7B5", "check value"),
        ("aes_cmac", AES[:-2], "16, 24 or 32"),
        ("aes_cmac", f"{AES} 08D7B4", "check value"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_without_showing_it(
    algorithm: Algorithm, text: str, says: str
):
    """Wrong sizes, equal halves (parity is no difference), another check value."""
    with pytest.raises(MacKeyError, match=says) as caught:
        read_key(algorithm, text)
    assert caught.value.__cause__ is None
    for word in text.split():
        assert len(word) < 8 or word not in f"{caught.value!r}"


def test_a_key_may_bring_its_check_value():
    """So that a slip of the pen is found before the first message is refused."""
    assert read_key("retail", f"{RETAIL} 08d7b4\n").raw == bytes.fromhex(RETAIL)
    assert read_key("aes_cmac", f"{AES} {key('aes_cmac').check_value}").algorithm == "aes_cmac"
