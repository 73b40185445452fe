"""
The field table and the dialect: what is refused before the first message.
"""

import json

import pytest
from counterfoil.network.dialect import default_table, load_dialect
from counterfoil.network.encodings import encoding_named
from counterfoil.network.fields import TABLE_BYTES_MAX, TableError, load_table


def table_of(**row: object) -> str:
    return json.dumps({"2": {"kind": "n", "len": 19, "lv": 2, "name": "PAN"} | row})


def test_the_shipped_table_has_every_field_from_2_to_128_but_field_1():
    """GW87 describes 127 numbers; the first bit is not a field."""
    table = default_table()

    assert list(table) == list(range(2, 129))
    assert (table[2].kind, table[2].length, table[2].length_digits) == ("n", 19, 2)
    assert table[55].kind == "b"


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "at least one field"),
        (" " * (TABLE_BYTES_MAX + 1), "larger than"),
        (b"\xff", "not JSON"),
        ('{"1": {"kind": "b", "len": 8, "lv": 0}}', 'Field "1"'),
        ('{"129": {"kind": "b", "len": 8, "lv": 0}}', 'Field "129"'),
        ('{"02": {"kind": "n", "len": 8, "lv": 0}}', 'Field "02"'),
        ('{"²": {"kind": "n", "len": 8, "lv": 0}}', "not a number"),
        ('{"2": 3}', "Field 2"),
        ('{"2": {"kind": "n", "len": 8}}', "Field 2"),
        (table_of(kind="q"), "Field 2"),
        (table_of(len="19"), "Field 2"),
        (table_of(lenght=19), "Field 2"),
        (table_of(lv=4), "lv must be from 0 to 3"),
        (table_of(lv=-1), "lv must be from 0 to 3"),
        (table_of(len=0), "len must be from 1 to 99"),
        (table_of(len=100), "len must be from 1 to 99"),
        (table_of(lv=0, len=4097), "len must be from 1 to 4096"),
        (table_of(kind="x", lv=0, len=1), "len must be from 2"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_what_to_change(raw: str | bytes, says: str):
    """A mistake in a table shows when it is loaded, and names the field."""
    with pytest.raises(TableError, match=says):
        load_table(raw)


def test_the_dialect_is_data_that_agrees_with_itself():
    """The profile names its encoding, its framing, and fields that its table has."""
    dialect = load_dialect("gw87")

    assert dialect.profile.encoding == "ascii_bin"
    assert dialect.profile.match == (41, 11, 7)
    assert dialect.table == default_table()


def test_a_dialect_that_is_not_there_is_named():
    """An operator's typing error in the configuration is answered in words."""
    with pytest.raises(TableError, match='no dialect "gw88"'):
        load_dialect("gw88")


def test_the_code_page_is_data_and_is_checked():
    """Any single-byte code page that carries printable ASCII will do, no other."""
    assert encoding_named("ebcdic", code_page="cp500").charset == "cp500"

    for code_page in ("utf-8", "utf-16", "no-such-page", "rot13", "hex"):
        with pytest.raises(ValueError, match="code"):
            encoding_named("ebcdic", code_page=code_page)
