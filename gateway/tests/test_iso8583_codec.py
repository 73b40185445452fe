"""
The codec on known messages: golden bytes, what is filled, and what is refused.
"""

import pytest
from counterfoil.network import generic
from counterfoil.network.codec import Codec
from counterfoil.network.dialect import default_table
from counterfoil.network.encodings import ENCODINGS, EncodingName
from counterfoil.network.fields import load_table
from counterfoil.network.message import MESSAGE_BYTES_MAX, Fields, MessageError

TABLE = default_table()
CARD = "4111111111111111"

SALE: Fields = {
    2: CARD,
    3: "000000",
    4: "000000004200",
    7: "1123064500",
    11: "000123",
    22: "010",
    35: f"{CARD}=30121010000012345678",
    37: "632706000123",
    41: "TERM0001",
    48: "02031230301111041001",
    49: "840",
    52: bytes.fromhex("0123456789ABCDEF"),
    55: bytes.fromhex("9F2608AABBCCDDEEFF0011"),
    97: "C0000000000004200",
}

# The same sale in each encoding, field by field.
GOLDEN: dict[EncodingName, str] = {
    "ascii_bin": """
        30323030                                  # MTI 0200
        F220040028819200 0000000080000000         # bitmaps: 1 2 3 4 7 11 22 35 37 41 48 49 52 55 97
        3136 34313131313131313131313131313131     # 2, 16 digits
        303030303030                              # 3
        303030303030303034323030                  # 4
        31313233303634353030                      # 7
        303030313233                              # 11
        303130                                    # 22
        3337 343131313131313131313131313131313D3330313231303130303030303132333435363738  # 35
        363332373036303030313233                  # 37
        5445524D30303031                          # 41
        303230 3032303331323330333031313131303431303031  # 48, 20 characters
        383430                                    # 49
        0123456789ABCDEF                          # 52
        303131 9F2608AABBCCDDEEFF0011             # 55, 11 bytes
        4330303030303030303030303034323030        # 97
    """,
    "ascii_hex": """
        30323030                                  # MTI
        46323230303430303238383139323030          # primary bitmap as characters
        30303030303030303830303030303030          # secondary bitmap as characters
        3136 34313131313131313131313131313131     # 2
        303030303030                              # 3
        303030303030303034323030                  # 4
        31313233303634353030                      # 7
        303030313233                              # 11
        303130                                    # 22
        3337 343131313131313131313131313131313D3330313231303130303030303132333435363738  # 35
        363332373036303030313233                  # 37
        5445524D30303031                          # 41
        303230 3032303331323330333031313131303431303031  # 48
        383430                                    # 49
        30313233343536373839414243444546          # 52 as characters
        303131 9F2608AABBCCDDEEFF0011             # 55 raw: it is variable
        4330303030303030303030303034323030        # 97
    """,
    "bcd": """
        0200                                      # MTI, packed
        F220040028819200 0000000080000000         # bitmaps
        16 4111111111111111                       # 2: one length byte, eight of digits
        000000                                    # 3
        000000004200                              # 4
        1123064500                                # 7
        000123                                    # 11
        0010                                      # 22: three digits behind a zero nibble
        37 343131313131313131313131313131313D3330313231303130303030303132333435363738  # 35: ASCII
        363332373036303030313233                  # 37: ASCII
        5445524D30303031                          # 41: ASCII
        0020 3032303331323330333031313131303431303031  # 48: two length bytes
        383430                                    # 49: an, so ASCII
        0123456789ABCDEF                          # 52
        0011 9F2608AABBCCDDEEFF0011               # 55: the length counts bytes
        4330303030303030303030303034323030        # 97: ASCII
    """,
    "ebcdic": """
        F0F2F0F0                                  # MTI
        F220040028819200 0000000080000000         # bitmaps, raw
        F1F6 F4F1F1F1F1F1F1F1F1F1F1F1F1F1F1F1     # 2
        F0F0F0F0F0F0                              # 3
        F0F0F0F0F0F0F0F0F4F2F0F0                  # 4
        F1F1F2F3F0F6F4F5F0F0                      # 7
        F0F0F0F1F2F3                              # 11
        F0F1F0                                    # 22
        F3F7 F4F1F1F1F1F1F1F1F1F1F1F1F1F1F1F17EF3F0F1F2F1F0F1F0F0F0F0F0F1F2F3F4F5F6F7F8  # 35
        F6F3F2F7F0F6F0F0F0F1F2F3                  # 37
        E3C5D9D4F0F0F0F1                          # 41
        F0F2F0 F0F2F0F3F1F2F3F0F3F0F1F1F1F1F0F4F1F0F0F1  # 48
        F8F4F0                                    # 49
        0123456789ABCDEF                          # 52, raw
        F0F1F1 9F2608AABBCCDDEEFF0011             # 55, raw
        C3F0F0F0F0F0F0F0F0F0F0F0F0F4F2F0F0        # 97
    """,
}


def golden(name: EncodingName) -> bytes:
    lines = [line.split("#")[0] for line in GOLDEN[name].splitlines()]
    return bytes.fromhex("".join(lines))


def codec(name: EncodingName = "ascii_bin") -> Codec:
    return Codec(TABLE, ENCODINGS[name])


def message(fields: str, bitmap: str, *, mti: str = "0200") -> bytes:
    """Return an ascii_bin message from parts that may be wrong."""
    return mti.encode() + bytes.fromhex(bitmap) + fields.encode("latin-1")


def error_of(wire: bytes, name: EncodingName = "ascii_bin") -> MessageError:
    with pytest.raises(MessageError) as caught:
        codec(name).decode(wire)
    return caught.value


@pytest.mark.parametrize("name", list(GOLDEN))
def test_a_sale_has_exactly_these_bytes(name: EncodingName):
    """The bytes in each encoding are fixed, for the generic loop and the compiled code."""
    ours = codec(name)

    for _ in ("generic", "compiled"):
        assert ours.encode("0200", SALE) == golden(name)
        assert ours.decode(golden(name)).fields == SALE
        assert ours.decode(golden(name)).mti == "0200"


@pytest.mark.parametrize("name", list(GOLDEN))
def test_every_truncation_of_a_message_is_refused(name: EncodingName):
    """Wherever a message breaks off, it is an error and never half a message."""
    ours = codec(name)
    ours.decode(golden(name))

    for end in range(len(golden(name))):
        with pytest.raises(MessageError):
            ours.decode(golden(name)[:end])


@pytest.mark.parametrize("name", list(GOLDEN))
def test_bytes_behind_the_last_field_are_refused(name: EncodingName):
    """A message ends where its bitmap says."""
    ours = codec(name)
    ours.decode(golden(name))

    with pytest.raises(MessageError, match="follow the last field") as caught:
        ours.decode(golden(name) + b"\x00")
    assert caught.value.field is None


@pytest.mark.parametrize("name", list(GOLDEN))
def test_short_values_are_filled_by_kind(name: EncodingName):
    """Digits are right-justified with zeros, text left-justified with blanks."""
    short: Fields = {4: "4200", 22: "10", 37: "R1", 41: "T1", 43: "", 49: "US"}
    ours = codec(name)

    for _ in ("generic", "compiled"):
        fields = ours.decode(ours.encode("0200", short)).fields
        assert fields == {
            4: "000000004200",
            22: "010",
            37: "R1          ",
            41: "T1      ",
            43: " " * 40,
            49: "US ",
        }


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        (2, "4" * 20, "longer than 19"),
        (2, "4111x", "digits only"),
        (2, "٤١١١", "digits only"),
        (2, b"4111", "given as text"),
        (3, "0000000", "longer than 6"),
        (4, "-4200", "digits only"),
        (4, "", "shorter than 12"),
        (4, "42.00", "digits only"),
        (28, "D123", "shorter than 9"),
        (28, "E00000042", "C or D"),
        (28, "C0000004x", "C or D"),
        (35, "4111 3012", "track characters"),
        (37, "RRN-1", "letters and digits"),
        (37, " R1", "letters and digits"),
        (34, "AB ", "letters and digits"),
        (41, "TERM\x000", "printable"),
        (41, "TERMÄ", "printable"),
        (43, "x" * 41, "longer than 40"),
        (48, "x" * 1000, "longer than 999"),
        (48, b"x", "given as text"),
        (52, "0123456789ABCDEF", "given as bytes"),
        (52, b"1234567", "shorter than 8"),
        (52, b"123456789", "longer than 8"),
        (55, b"x" * 256, "longer than 255"),
        (64, bytearray(8), "given as bytes"),
        (4, 4200, "given as text"),
        (1, "x", "not used"),
        (65, b"x", "not used"),
        (0, "x", "not in the field table"),
        (129, "x", "not in the field table"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(field: int, value: object, says: str):
    """An encode error names the field and the rule; a good message before changes nothing."""
    ours = codec()
    if field in TABLE and field != 65:
        good: dict[str, str | bytes] = {"n": "1", "x": "C00000001", "b": b"8 bytes!"}
        ours.encode("0200", {field: good.get(TABLE[field].kind, "1")})

    with pytest.raises(MessageError, match=says) as caught:
        ours.encode("0200", {field: value})  # type: ignore[dict-item]
    assert caught.value.field == field


@pytest.mark.parametrize("mti", ["", "200", "02000", "02x0", "٠٢٠٠", None, 200])
def test_an_mti_that_is_not_four_digits_is_refused(mti: object):
    """Also when the shape of the message is already compiled."""
    ours = codec()
    ours.encode("0200", {3: "0"})

    with pytest.raises(MessageError, match="MTI"):
        ours.encode(mti, {3: "0"})  # type: ignore[arg-type]


def test_field_numbers_must_be_integers():
    """The JSON of a message has strings; they do not get this far."""
    with pytest.raises(MessageError, match="integers"):
        codec().encode("0200", {"3": "0"})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("wire", "field", "says"),
    [
        (b"", None, "ends before"),
        (b"02x0" + bytes(8), None, "MTI"),
        (message("", "80" + "00" * 7), None, "ends before"),
        (message("0000", "20" + "00" * 7), 3, "ends inside field 3"),
        (message("00000x", "20" + "00" * 7), 3, "digits only"),
        (message("00000²", "20" + "00" * 7), 3, "digits only"),
        (message("x6", "40" + "00" * 7), 2, "not a number"),
        (message("+6411111", "40" + "00" * 7), 2, "not a number"),
        (message(" 6411111", "40" + "00" * 7), 2, "not a number"),
        (message("20" + "4" * 20, "40" + "00" * 7), 2, "longer than 19"),
        (message("0441x1", "40" + "00" * 7), 2, "digits only"),
        (message("TERM\x7f001", "0000000000800000"), 41, "printable"),
        (message("RRN-12345678", "0000000008000000"), 37, "letters and digits"),
        (message(" RRN12345678", "0000000008000000"), 37, "letters and digits"),
        (message("X00000042", "0000001000000000"), 28, "C or D"),
        (message("04411x", "0000000020000000"), 35, "track characters"),
        (message("", "8000000000000000" + "8000000000000000"), 65, "not used"),
    ],
)
def test_a_message_with_a_fault_names_the_field(wire: bytes, field: int | None, says: str):
    """Decode errors say where and why, so that the host's people can be told."""
    error = error_of(wire)

    assert error.field == field
    assert says in str(error)


def test_an_empty_secondary_bitmap_is_accepted():
    """Some hosts always send both bitmaps."""
    wire = message("000000", "A0" + "00" * 7 + "00" * 8)
    ours = codec()

    for _ in ("generic", "compiled"):
        assert ours.decode(wire).fields == {3: "000000"}


def test_blanks_that_fill_an_approval_code_are_content_and_kept():
    """A fixed an field may be short; decode gives its full width."""
    wire = message("A1    ", "0000000004000000")
    ours = codec()

    for _ in ("generic", "compiled"):
        assert ours.decode(wire).fields == {38: "A1    "}


def test_lower_case_hex_in_a_bitmap_is_refused():
    """The convention says upper case, and a bitmap has one spelling."""
    assert "upper-case" in str(error_of(b"0200" + b"a000000000000000", "ascii_hex"))


def test_an_odd_packed_count_begins_with_a_zero_nibble():
    """A digit where the padding belongs would be dropped silently."""
    wire = bytes.fromhex("0200" + "0000040000000000" + "1010")
    ours = codec("bcd")
    ours.decode(bytes.fromhex("0200" + "0000040000000000" + "0010"))

    with pytest.raises(MessageError, match="zero nibble") as caught:
        ours.decode(wire)
    assert caught.value.field == 22


PADS = """{
    "3": {"kind": "n", "len": 3, "lv": 0, "pad": "right_f"},
    "4": {"kind": "n", "len": 3, "lv": 0, "pad": "right_0"},
    "5": {"kind": "n", "len": 3, "lv": 0},
    "6": {"kind": "n", "len": 4, "lv": 0, "pad": "right_f"},
    "32": {"kind": "n", "len": 11, "lv": 2, "pad": "right_f"},
    "33": {"kind": "n", "len": 11, "lv": 2, "pad": "right_0"},
    "100": {"kind": "n", "len": 11, "lv": 2}
}"""


def test_the_filler_of_packed_digits_is_data_of_each_field():
    """Left or right, zero or F, for an odd count only; and the compiled code knows it."""
    ours = Codec(load_table(PADS), ENCODINGS["bcd"])
    fields: Fields = {3: "123", 4: "123", 5: "123", 6: "1234", 32: "12345", 33: "12345", 100: "1"}
    wire = bytes.fromhex(
        "0200 BC00000180000000 0000000010000000"
        "123F 1230 0123 1234"  # 3, 4, 5, 6
        "05 12345F  05 123450  01 01"  # 32, 33, 100
    )

    for _ in ("generic", "compiled"):
        assert ours.encode("0200", fields) == wire
        assert ours.decode(wire).fields == fields
    assert ours._encoders[tuple(fields)]("0200", fields) == wire
    assert ours._decoders[wire[2:18]](wire) == fields


@pytest.mark.parametrize(
    ("bitmap", "content", "field", "says"),
    [
        ("2000000000000000", "1230", 3, "F nibble"),
        ("2000000000000000", "12AF", 3, "digits only"),
        ("1000000000000000", "123F", 4, "end with a zero nibble"),
        ("0800000000000000", "1230", 5, "begin with a zero nibble"),
        ("0000000100000000", "05 123450", 32, "F nibble"),
        ("0000000080000000", "05 12345F", 33, "end with a zero nibble"),
    ],
)
def test_a_wrong_filler_is_refused(bitmap: str, content: str, field: int, says: str):
    """A digit where the filler belongs would be dropped silently."""
    ours = Codec(load_table(PADS), ENCODINGS["bcd"])
    value: Fields = {field: "123"}
    ours.decode(ours.encode("0200", value))

    with pytest.raises(MessageError, match=says) as caught:
        ours.decode(bytes.fromhex("0200" + bitmap + content))
    assert caught.value.field == field


def test_a_field_that_the_table_lacks_is_refused_in_both_directions():
    """A bit for an unknown field cannot be skipped: nobody knows how long it is."""
    ours = Codec(load_table('{"3": {"kind": "n", "len": 6, "lv": 0}}'), ENCODINGS["ascii_bin"])

    with pytest.raises(MessageError, match="Field 4 is not in the field table"):
        ours.decode(message("000000000000000000", "30" + "00" * 7))
    with pytest.raises(MessageError, match="Field 4 is not in the field table"):
        ours.encode("0200", {4: "1"})


def test_a_message_longer_than_4096_bytes_is_refused_in_both_directions():
    """The limit holds for what we send as well as for what we read."""
    many: Fields = dict.fromkeys((46, 47, 48, 56, 57), "x" * 999)
    ours = codec()

    with pytest.raises(MessageError, match=f"longer than {MESSAGE_BYTES_MAX}"):
        ours.encode("0200", many)
    with pytest.raises(MessageError, match=f"longer than {MESSAGE_BYTES_MAX}"):
        ours.decode(bytes(MESSAGE_BYTES_MAX + 1))
    ours.encode("0200", dict.fromkeys(many, "x"))
    with pytest.raises(MessageError, match=f"longer than {MESSAGE_BYTES_MAX}"):
        ours.encode("0200", many)


def test_the_number_of_compiled_variants_is_bounded():
    """A peer that sends every bitmap there is costs time, but no memory."""
    ours = Codec(TABLE, ENCODINGS["ascii_bin"], variants_max=4)

    for number in range(66, 96):
        fields: Fields = {number: "1"} if TABLE[number].kind == "n" else {}
        for _ in range(3):
            assert ours.decode(ours.encode("0800", fields)).fields.keys() == fields.keys()
    assert len(ours._decoders) == len(ours._encoders) == 4


def test_a_message_that_is_wrong_is_never_compiled():
    """Only a message that decoded well earns a compiled function."""
    ours = codec()

    with pytest.raises(MessageError):
        ours.decode(message("00000x", "20" + "00" * 7))
    assert not ours._decoders


@pytest.mark.parametrize("number", [2, 14, 34, 35, 36, 45, 48, 52, 55])
def test_an_error_never_shows_card_data(number: int):
    """Sentence, attributes and what the exception carries along are free of the value."""
    secret = CARD + "\x01"
    value: str | bytes = secret.encode() * 20 if TABLE[number].kind == "b" else secret

    for attempt in (codec().encode, lambda mti, f: generic.encode(mti, f, codec().profile)):
        with pytest.raises(MessageError) as caught:
            attempt("0200", {number: value})
        error = caught.value
        assert error.field == number
        assert CARD not in f"{error!r} {error} {vars(error)}"
        assert error.__cause__ is None
        assert error.__context__ is None


def test_a_message_does_not_show_its_values():
    """The repr of a message lands in logs sooner or later."""
    shown = repr(codec().decode(golden("ascii_bin")))

    assert "0200" in shown
    assert CARD not in shown
