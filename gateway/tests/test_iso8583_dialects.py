"""
Dialects: what an acquirer wants is a file, checked as a whole before the first message.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from counterfoil.config import Acquirer, ConfigurationRefused, load
from counterfoil.dialects import dialect_of, environment_name
from counterfoil.keyfile import KeyFileRefused
from counterfoil.network.dialect import default_table, load_dialect
from counterfoil.network.fields import TableError
from counterfoil.network.mac_codec import MacCodec
from counterfoil.network.masking import masked
from counterfoil.network.message import Fields
from counterfoil.network.tlv import TAGS, encode_tlv, load_tags

KEY = "0123456789ABCDEFFEDCBA9876543210"
SHIPPED = ["gw87", "gw87-bcd", "gw87-ebcdic", "gw87-hex"]
SALE: Fields = {2: "4111111111111111", 4: "000000004200", 41: "TERM0001"}
PROFILE: dict[str, Any] = {
    "name": "acme",
    "fields": "gw87.fields.json",
    "match": [41, 11, 7],
    "match_network_management": [11, 7],
    "echo": [4, 11],
}


def written(folder: Path, **members: Any) -> str:
    """Write a profile with *members* and return its path."""
    path = folder / "acme.json"
    path.write_text(json.dumps(PROFILE | members))
    return str(path)


def acquirer(dialect: str, **more: Any) -> Acquirer:
    return Acquirer("acme", "test", "127.0.0.1", 8583, "1", "2", dialect=dialect, **more)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_dialect_round_trips_a_sale(name: str):
    """Each is complete: its table, its encoding, its frame."""
    dialect = load_dialect(name)

    assert dialect.profile.name == name
    assert dialect.codec.decode(dialect.codec.encode("0200", SALE)).fields == SALE
    assert len(dialect.framing.frame(b"0200")) > 4


def test_an_operators_own_dialect_is_a_file(tmp_path: Path):
    """With a table of its own, or the shipped one with a few rows changed."""
    rows = {"2": {"kind": "n", "len": 19, "lv": 2, "pad": "right_f"}, "127": None}
    dialect = load_dialect(written(tmp_path, encoding="bcd", rows=rows))

    assert dialect.table[2].pad == "right_f"
    assert 127 not in dialect.table
    assert set(default_table()) - set(dialect.table) == {127}
    (tmp_path / "own.json").write_text('{"11": {"kind": "n", "len": 6, "lv": 0}}')
    own = written(tmp_path, fields="own.json", match=[11], match_network_management=[11], echo=[])
    assert list(load_dialect(own).table) == [11]


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"encoding": "utf-8"}, "encoding"),
        ({"encoding": "ebcdic", "code_page": "utf-8"}, "Code page 'utf-8'"),
        ({"fields": "absent.json"}, "there is no file absent.json"),
        ({"colour": "red"}, "colour"),
        ({"match": [41, 129]}, r"table lacks: \[129\]"),
        ({"rows": {"41": None}}, r"table lacks: \[41\]"),
        ({"rows": {"3": {"kind": "q", "len": 6, "lv": 0}}}, "Field 3"),
        ({"rows": {"41": {"kind": "ans", "len": 8, "lv": 0, "pad": "right_f"}}}, "Field 41: pad"),
        ({"rows": {"3": {"kind": "n", "len": 6, "lv": 0, "pad": "middle"}}}, "Field 3"),
        ({"framing": {"form": "bin3"}}, "bin3"),
        ({"framing": {"header": {"kind": "tpdu", "to": "87", "from": "0001"}}}, "framing.header"),
        ({"framing": {"header": {"kind": "text", "text": "ä"}}}, "framing.header"),
        ({"framing": {"header": {"kind": "text", "text": "ISO\n"}}}, "framing.header"),
        ({"framing": {"header": {"kind": "bytes", "hex": "0"}}}, "framing.header"),
        ({"framing": {"header": {"kind": "bytes", "hex": "00" * 65}}}, "framing.header"),
        ({"framing": {"header": {"kind": "soap"}}}, "soap"),
        ({"framing": {"trailer": "00" * 9}}, "framing.trailer"),
        ({"framing": {"form": "stx_etx"}}, "only the encoding ascii_hex"),
        ({"framing": {"form": "stx_etx"}, "encoding": "ascii_hex"}, r"take out \[55\]"),
        (
            {
                "framing": {"form": "stx_etx", "header": {"kind": "bytes", "hex": "0103"}},
                "encoding": "ascii_hex",
                "rows": {"55": None},
            },
            "ETX in its header",
        ),
        (
            {"framing": {"form": "stx_etx", "counts_itself": True}, "encoding": "ascii_hex"},
            "neither a length",
        ),
        ({"mac": {"algorithm": "md5"}}, "md5"),
        ({"mac": {"algorithm": "retail", "key": KEY}}, "key"),
        ({"mac": {"algorithm": "retail", "failures_max": 0}}, "failures_max"),
        ({"mac": {"algorithm": "retail"}, "rows": {"128": None}}, "field 128 is not fixed binary"),
        (
            {
                "mac": {"algorithm": "retail"},
                "rows": {"64": {"kind": "ans", "len": 16, "lv": 0}},
            },
            "field 64 is not fixed binary",
        ),
        ({"tags": {"02": {"name": "Not the CVV2"}}}, r"redefines tags .*02"),
        ({"tags": {"2": {"name": "Too short"}}}, "two letters or digits"),
    ],
)
def test_a_dialect_that_contradicts_itself_is_refused_with_what_to_change(
    tmp_path: Path, members: dict[str, Any], says: str
):
    """At the start, in words, and not in the middle of a payment."""
    with pytest.raises(TableError, match=says):
        load_dialect(written(tmp_path, **members))


@pytest.mark.parametrize("raw", ["", "[", "[]", "{}", "[" * 50_000, " " * 200_000])
def test_a_file_that_is_no_dialect_is_refused(tmp_path: Path, raw: str):
    """Whatever it holds."""
    path = tmp_path / "acme.json"
    path.write_text(raw)

    with pytest.raises(TableError, match="acme"):
        load_dialect(str(path))


def test_a_wrong_dialect_stops_the_start(tmp_path: Path):
    """The configuration names acquirer and dialect."""
    (tmp_path / "counterfoil.toml").write_text(
        '[[acquirer]]\nname = "acme"\nmode = "test"\nhost = "h"\nport = 1\n'
        'institution_id = "1"\nforwarding_id = "2"\ndialect = "gw99"\n'
    )

    with pytest.raises(ConfigurationRefused, match="acquirer 'acme': There is no dialect \"gw99\""):
        load(tmp_path / "counterfoil.toml", {})


def test_the_key_of_the_mac_comes_from_a_file(tmp_path: Path):
    """Which only its owner reads."""
    path = tmp_path / "mac.key"
    path.write_text(f"{KEY} 08D7B4\n")
    path.chmod(0o600)
    asked = acquirer("gw87-bcd", mac_key_file=str(path))

    dialect = dialect_of(asked, {})
    assert isinstance(dialect.codec, MacCodec)
    assert KEY not in f"{dialect!r} {asked!r} {dialect.codec.__dict__}"
    path.chmod(0o640)
    with pytest.raises(KeyFileRefused, match="chmod 600"):
        dialect_of(asked, {})
    path.unlink()
    with pytest.raises(KeyFileRefused, match="cannot be read"):
        dialect_of(asked, {})


def test_the_key_of_the_mac_comes_from_the_environment():
    """Named after the acquirer."""
    asked = acquirer("gw87-bcd")

    assert environment_name(asked) == "COUNTERFOIL_MAC_KEY_ACME"
    assert isinstance(dialect_of(asked, {"COUNTERFOIL_MAC_KEY_ACME": KEY}).codec, MacCodec)


def test_a_dialect_has_a_digest_that_changes_with_any_row(tmp_path: Path):
    """The log names it, so that one can see later what was spoken."""
    digests = {load_dialect(name).digest for name in SHIPPED}
    before = load_dialect(written(tmp_path)).digest

    assert len(digests) == len(SHIPPED)
    assert load_dialect(written(tmp_path)).digest == before
    assert load_dialect(written(tmp_path, rows={"127": None})).digest != before


@pytest.mark.parametrize(
    ("asked", "environment", "says"),
    [
        (acquirer("gw87-bcd"), {}, "has a MAC .* set mac_key_file, or COUNTERFOIL_MAC_KEY_ACME"),
        (acquirer("gw87"), {"COUNTERFOIL_MAC_KEY_ACME": KEY}, "has no MAC: remove its key"),
        (acquirer("gw87-bcd", mac_key_file="k"), {"COUNTERFOIL_MAC_KEY_ACME": KEY}, "both set"),
        (acquirer("gw87-bcd"), {"COUNTERFOIL_MAC_KEY_ACME": KEY[:-2]}, "16 bytes"),
        (acquirer("gw99"), {}, 'no dialect "gw99"'),
    ],
)
def test_a_key_that_is_missing_or_too_much_stops_the_start(
    asked: Acquirer, environment: dict[str, str], says: str
):
    """A link without the MAC that was agreed on would be refused by the host, or worse, not."""
    with pytest.raises(ConfigurationRefused, match=says) as caught:
        dialect_of(asked, environment)
    assert KEY[:8] not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_the_tags_of_field_48_are_data_and_a_dialect_may_add_some(tmp_path: Path):
    """What is added is shown unless it is secret; without the dialect it is hidden."""
    tags = {"31": {"name": "Loyalty"}, "32": {"name": "Passphrase", "secret": True}}
    dialect = load_dialect(written(tmp_path, tags=tags))
    private: Fields = {48: encode_tlv({"11": "1001", "31": "gold", "32": "word"})}

    assert masked(private, dialect.tags) == {48: "11041001" + "3104gold" + "3204****"}
    assert masked(private) == {48: "11041001" + "3104****" + "3204****"}


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"1": {"name": "x"}}', b'{"01": {"title": "x"}}'])
def test_a_table_of_tags_that_cannot_be_used_is_refused(raw: bytes):
    """As a table of fields is."""
    with pytest.raises(TableError):
        load_tags(raw)


def test_the_secrets_among_the_shipped_tags_are_marked():
    """Security code, cardholder authentication value, cryptogram, key block."""
    assert {tag for tag, each in TAGS.items() if each.secret} == {"02", "05", "13", "K1"}
