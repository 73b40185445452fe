"""
Field 48's private data, and what of a message may be shown.
"""

import pytest
from counterfoil.network.masking import masked
from counterfoil.network.message import MessageError
from counterfoil.network.tlv import TAGS, decode_tlv, encode_tlv
from hypothesis import given, settings
from hypothesis import strategies as st

CARD = "4111111111111111"


def test_private_data_is_tag_length_value():
    """Two characters, two digits, the value; in the order given."""
    text = encode_tlv({"03": "1", "02": "123", "11": "order 1001"})

    assert text == "03011" + "0203123" + "1110order 1001"
    assert list(decode_tlv(text).items()) == [("03", "1"), ("02", "123"), ("11", "order 1001")]


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[0-9A-Z]{2}", fullmatch=True),
        st.text([chr(code) for code in range(0x20, 0x7F)], max_size=99),
        max_size=8,
    )
)
def test_private_data_survives_the_round_trip(items: dict[str, str]):
    """What was put in comes out."""
    assert decode_tlv(encode_tlv(items)) == items


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_private_data_or_a_message_error(text: str):
    """Whatever a host puts into field 48, it raises nothing else."""
    try:
        items = decode_tlv(text)
    except MessageError:
        return
    assert len("".join(f"{tag}00{value}" for tag, value in items.items())) == len(text)


@pytest.mark.parametrize(
    "text", ["0", "02", "020", "0203", "020312", "02x3123", "+2031x3", "0201102011", "0 011"]
)
def test_text_that_is_no_private_data_is_refused(text: str):
    """Broken lengths, broken tags, and a tag twice."""
    with pytest.raises(MessageError, match="Field 48"):
        decode_tlv(text)


@pytest.mark.parametrize("items", [{"2": "1"}, {"002": "1"}, {"02": "x" * 100}, {"02": "ä"}])
def test_private_data_that_cannot_be_written_is_refused(items: dict[str, str]):
    """Without showing the value."""
    with pytest.raises(MessageError) as caught:
        encode_tlv(items)
    assert "xx" not in str(caught.value)


def test_f40_card_data_is_masked():
    """Numbers keep their last four; tracks, expiry, PIN block and chip data keep nothing."""
    shown = masked(
        {
            2: CARD,
            4: "000000004200",
            14: "3012",
            34: CARD,
            35: f"{CARD}=3012",
            36: CARD,
            45: f"B{CARD}^NAME^3012",
            52: b"12345678",
            55: b"\x5a\x08\x41\x11\x11\x11\x11\x11\x11\x11",
            64: b"\x00\x01\x02\x03\x04\x05\x06\xff",
            102: "DE001234567890",
            103: "123",
        }
    )

    assert shown == {
        2: "************1111",
        4: "000000004200",
        14: "****",
        34: "************1111",
        35: "****",
        36: "****",
        45: "****",
        52: "****",
        55: "****",
        64: "00010203040506FF",
        102: "**********7890",
        103: "***",
    }


def test_secret_and_unknown_tags_of_field_48_are_masked():
    """CVV2, CAVV, cryptogram, key block, and whatever we have no name for."""
    secret = dict.fromkeys(("02", "05", "13", "K1", "ZZ"), "123")
    shown = masked({48: encode_tlv(secret | {"11": "1001"})})[48]

    assert decode_tlv(shown) == dict.fromkeys(secret, "***") | {"11": "1001"}
    assert {tag for tag, meaning in TAGS.items() if meaning.secret} == {"02", "05", "13", "K1"}


def test_a_hidden_value_is_hidden_whatever_it_holds():
    """A shown value that cannot be printed hides all of the field; a hidden one is stars."""
    assert masked({48: "0203a\x00b" + "11041001"}) == {48: "0203***" + "11041001"}
    assert masked({48: "0203123" + "1103a\x00b"}) == {48: "****"}


@pytest.mark.parametrize("text", ["0203", "hello", CARD, "02031230203123"])
def test_a_field_48_of_another_form_is_masked_whole(text: str):
    """What we cannot read we do not show."""
    assert masked({48: text}) == {48: "****"}


def test_card_fields_of_a_strange_table_are_masked_too():
    """With a table of one's own a card number may be binary."""
    assert masked({2: b"\x41\x11", 48: b"\x01", 102: b"\x01"}) == {
        2: "****",
        48: "****",
        102: "****",
    }
