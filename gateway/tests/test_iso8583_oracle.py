"""
The codec on messages that nobody thought of.

Random tables and fields in all four encodings, arbitrary bytes, and pyiso8583 as an
independent witness wherever it can express the encoding.
"""

import string
from typing import Any

import iso8583
import pytest
from counterfoil.network import generic
from counterfoil.network.codec import Codec
from counterfoil.network.content import TRACK
from counterfoil.network.dialect import default_table
from counterfoil.network.encodings import CODE_PAGE, ENCODINGS, EncodingName, encoding_named
from counterfoil.network.fields import FieldSpec, FieldTable, Pad
from counterfoil.network.message import Fields, Message, MessageError
from hypothesis import given, settings
from hypothesis import strategies as st

TABLE = default_table()
PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F))
ALPHABETS = {
    "n": string.digits,
    "an": string.ascii_letters + string.digits,
    "ans": PRINTABLE,
    "z": TRACK,
}
CODECS = {name: Codec(TABLE, encoding) for name, encoding in ENCODINGS.items()}

numbers = st.integers(2, 128).filter(lambda number: number != 65)
names = st.sampled_from(list(ENCODINGS))
mtis = st.from_regex(r"0[1-8][0-4][0-1]", fullmatch=True)


@st.composite
def specs(draw: st.DrawFn) -> FieldSpec:
    """Draw any row that a table may have."""
    kind = draw(st.sampled_from(["n", "an", "ans", "z", "x", "b"]))
    digits = draw(st.integers(0, 3))
    longest = min(40, 10**digits - 1) if digits else 40
    pad: Pad = draw(st.sampled_from(["left_0", "right_0", "right_f"])) if kind == "n" else "left_0"
    return FieldSpec(kind, draw(st.integers(2, longest)), digits, pad=pad)


tables = st.dictionaries(numbers, specs(), min_size=1, max_size=12)


@st.composite
def values(draw: st.DrawFn, spec: FieldSpec) -> str | bytes:
    """Draw a value of full width for a field."""
    shortest = spec.length if spec.fixed else (2 if spec.kind == "x" else 0)
    length = draw(
        st.integers(shortest, min(spec.length, 60)) if not spec.fixed else st.just(shortest)
    )
    if spec.kind == "b":
        return draw(st.binary(min_size=length, max_size=length))
    if spec.kind == "x":
        digits = draw(st.text(string.digits, min_size=length - 1, max_size=length - 1))
        return draw(st.sampled_from("CD")) + digits
    text = draw(st.text(ALPHABETS[spec.kind], min_size=length, max_size=length))
    if spec.fixed and spec.kind == "an":
        blanks = draw(st.integers(0, length))
        return text[: length - blanks] + " " * blanks
    return text


@st.composite
def messages(draw: st.DrawFn, table: FieldTable) -> Fields:
    """Draw fields of *table*, in any order."""
    chosen = draw(st.lists(st.sampled_from(sorted(set(table) - {65})), unique=True, max_size=12))
    return {number: draw(values(table[number])) for number in chosen}


def witness(table: FieldTable, name: EncodingName, code_page: str = CODE_PAGE) -> dict[str, Any]:
    """Return the spec with which pyiso8583 speaks *name*."""
    encoding = encoding_named(name, code_page=code_page)
    fixed = {"len_enc": "ascii", "len_type": 0}
    bitmap = (
        {"data_enc": "ascii", "max_len": 16}
        if encoding.hexadecimal
        else {"data_enc": "b", "max_len": 8}
    )
    mti = (
        {"data_enc": "b", "max_len": 2}
        if encoding.packed
        else {"data_enc": encoding.charset, "max_len": 4}
    )
    spec: dict[str, Any] = {
        "h": fixed | {"data_enc": "ascii", "max_len": 0},
        "t": fixed | mti,
        "p": fixed | bitmap,
        "1": fixed | bitmap,
    }
    for number, row in table.items():
        width = (
            {1: 1, 2: 1, 3: 2}.get(row.length_digits, 0) if encoding.packed else row.length_digits
        )
        field: dict[str, Any] = {
            "data_enc": "b" if row.kind == "b" else encoding.charset,
            "len_enc": "bcd" if encoding.packed else encoding.charset,
            "len_type": width,
            "max_len": row.length,
        }
        if row.kind == "n" and encoding.packed:
            side, digit = row.pad.split("_")
            field |= {"data_enc": "b", "len_count": "nibbles", f"{side}_pad": digit.upper()}
        if row.kind == "b" and row.fixed and encoding.hexadecimal:
            field |= {"data_enc": "ascii", "max_len": 2 * row.length}
        spec[str(number)] = field
    return spec


def for_witness(mti: str, fields: Fields) -> dict[str, str]:
    return {"t": mti} | {
        str(number): value.hex().upper() if isinstance(value, bytes) else value
        for number, value in fields.items()
    }


@settings(max_examples=150, deadline=None)
@given(data=st.data(), name=names, table=tables, mti=mtis)
def test_what_is_encoded_is_decoded_for_any_table(
    data: st.DataObject, name: EncodingName, table: FieldTable, mti: str
):
    """Round trip and agreement with pyiso8583, by the generic loop and by compiled code."""
    fields = data.draw(messages(table))
    ours = Codec(table, ENCODINGS[name])
    expected, _ = iso8583.encode(for_witness(mti, fields), witness(table, name))

    for _ in ("generic", "compiled"):
        wire = ours.encode(mti, fields)
        assert wire == bytes(expected)
        assert ours.decode(wire) == Message(mti, fields)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), page=st.sampled_from(["cp500", "cp1140", "cp273", "cp1026"]), mti=mtis)
def test_other_code_pages_are_read_and_written_alike(data: st.DataObject, page: str, mti: str):
    """International, with the euro, German and Turkish EBCDIC: the witness agrees."""
    fields = data.draw(messages(TABLE))
    ours = Codec(TABLE, encoding_named("ebcdic", code_page=page))
    expected, _ = iso8583.encode(for_witness(mti, fields), witness(TABLE, "ebcdic", page))

    for _ in ("generic", "compiled"):
        assert ours.encode(mti, fields) == bytes(expected)
        assert ours.decode(bytes(expected)) == Message(mti, fields)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), name=names, table=tables)
def test_compiled_and_generic_code_agree_on_damage_for_any_table(
    data: st.DataObject, name: EncodingName, table: FieldTable
):
    """Also where the fillers of packed digits stand on the other side."""
    ours = Codec(table, ENCODINGS[name])
    wire = bytearray(ours.encode("0200", data.draw(messages(table))))
    ours.decode(bytes(wire))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(wire) - 1))
        wire[at] = data.draw(st.integers(0, 255))

    assert outcome(ours.decode, bytes(wire)) == outcome(
        lambda raw: generic.decode(raw, ours.profile), bytes(wire)
    )


@settings(max_examples=100, deadline=None)
@given(data=st.data(), name=names, mti=mtis)
def test_what_pyiso8583_writes_we_read_with_the_shipped_table(
    data: st.DataObject, name: EncodingName, mti: str
):
    """The witness's bytes for GW87 mean to us what they mean to it."""
    fields = data.draw(messages(TABLE))
    wire, _ = iso8583.encode(for_witness(mti, fields), witness(TABLE, name))

    assert CODECS[name].decode(bytes(wire)) == Message(mti, fields)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), name=names)
def test_compiled_and_generic_code_agree_on_damaged_messages(
    data: st.DataObject, name: EncodingName
):
    """Whatever happens to a message, both give the same answer or the same error."""
    ours = CODECS[name]
    wire = bytearray(ours.encode("0200", data.draw(messages(TABLE))))
    ours.decode(bytes(wire))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(wire) - 1))
        wire[at] = data.draw(st.integers(0, 255))

    assert outcome(ours.decode, bytes(wire)) == outcome(
        lambda raw: generic.decode(raw, ours.profile), bytes(wire)
    )


@settings(max_examples=100, deadline=None)
@given(data=st.data(), name=names)
def test_compiled_and_generic_code_agree_on_any_values(data: st.DataObject, name: EncodingName):
    """Values of any type and content are encoded alike, or refused alike."""
    ours = CODECS[name]
    good = data.draw(messages(TABLE))
    ours.encode("0200", good)
    anything = st.one_of(st.text(max_size=45), st.binary(max_size=20), st.integers(0, 9))
    number = data.draw(st.sampled_from([*good, 4]))
    fields: Any = good | {number: data.draw(anything)}

    assert outcome(lambda f: ours.encode("0200", f), fields) == outcome(
        lambda f: generic.encode("0200", f, ours.profile), fields
    )


@settings(max_examples=300, deadline=None)
@given(name=names, wire=st.binary(max_size=200), mti=mtis)
def test_arbitrary_bytes_give_a_message_or_a_message_error(
    name: EncodingName, wire: bytes, mti: str
):
    """Nothing that arrives can raise anything else."""
    head = bytes.fromhex(mti) if name == "bcd" else mti.encode(ENCODINGS[name].charset)

    for raw in (wire, head + wire):
        try:
            message = CODECS[name].decode(raw)
        except MessageError:
            continue
        assert CODECS[name].decode(CODECS[name].encode(message.mti, message.fields)) == message


def outcome(call: Any, argument: Any) -> Any:
    """Return what *call* gives, or the error it raises."""
    try:
        return call(argument)
    except MessageError as error:
        return error.field, str(error)


@pytest.mark.parametrize("name", list(ENCODINGS))
def test_the_witness_reads_what_we_write(name: EncodingName):
    """And the other way round: pyiso8583 gets the fields we meant."""
    fields: Fields = {2: "4" * 19, 4: "000000004200", 22: "010", 43: "A" * 40, 70: "001"}

    decoded, _ = iso8583.decode(CODECS[name].encode("0200", fields), witness(TABLE, name))

    assert {key: decoded[key] for key in ("2", "4", "22", "43", "70")} == {
        str(number): value for number, value in fields.items()
    }
