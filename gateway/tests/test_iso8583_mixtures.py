"""
Whatever a dialect's file may say together: it is refused at load, or every message survives it.
"""

import json
import tempfile
from pathlib import Path
from typing import Any, get_args

import msgspec
from counterfoil.network.dialect import Dialect, load_dialect
from counterfoil.network.encodings import EncodingName
from counterfoil.network.fields import TableError
from counterfoil.network.framing import Deframer, FramingError, LengthForm
from counterfoil.network.mac import read_key
from counterfoil.network.mac_codec import WrongMac
from counterfoil.network.message import Message, MessageError
from counterfoil.network.tlv import encode_tlv
from hypothesis import event, given, settings
from hypothesis import strategies as st

KEYS = {
    "retail": "0123456789ABCDEFFEDCBA9876543210",
    "aes_cmac": "2B7E151628AED2A6ABF7158809CF4F3C",
}
MESSAGES = [
    Message("0800", {7: "1123101500", 11: "000001", 33: "987654", 70: "001"}),
    Message(
        "0200",
        {
            2: "378282246310005",
            4: "000000004200",
            22: "010",
            41: "TERM0001",
            48: encode_tlv({"02": "1234", "11": "order 1001"}),
            52: bytes(range(8)),
        },
    ),
    Message("0420", {2: "4111111111111111", 39: "17", 60: "000001", 90: "0" * 42}),
    Message("0500", {33: "98765", 76: "0000000003", 97: "D0000000000004200"}),
]

hexes = st.binary(max_size=8).map(bytes.hex)
texts = st.text("".join(map(chr, range(0x20, 0x7F))), min_size=1, max_size=12)
headers = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {"kind": st.just("tpdu"), "to": st.just("0087"), "from": st.just("0001")}
    ),
    st.fixed_dictionaries({"kind": st.just("text"), "text": texts}, optional={"answer": texts}),
    st.fixed_dictionaries({"kind": st.just("bytes"), "hex": hexes}, optional={"answer": hexes}),
)
framings = st.fixed_dictionaries(
    {"form": st.sampled_from([*get_args(LengthForm), "stx_etx"]), "header": headers},
    optional={"counts_itself": st.booleans(), "trailer": st.sampled_from(["", "03", "0d0a"])},
)
macs = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {"algorithm": st.sampled_from(list(KEYS))},
        optional={"exempt": st.just(["0800", "0810"])},
    ),
)
rows = st.sampled_from(
    [{}, {"55": None}, {"2": {"kind": "n", "len": 19, "lv": 2, "pad": "right_f"}}]
)
pages = st.sampled_from(["cp037", "cp500", "cp1140"])
members = st.fixed_dictionaries(
    {
        "encoding": st.sampled_from(get_args(EncodingName)),
        "framing": framings,
        "mac": macs,
        "rows": rows,
        "code_page": pages,
    }
)


def loaded(said: dict[str, Any]) -> Dialect | None:
    """Load a dialect that says this; None if it is refused."""
    profile = {
        "name": "acme",
        "fields": "gw87.fields.json",
        "match": [41, 11, 7],
        "match_network_management": [11, 7],
        "echo": [4, 11],
    }
    algorithm = said["mac"] and said["mac"]["algorithm"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "acme.json"
        path.write_text(json.dumps(profile | said))
        try:
            key = read_key(algorithm, KEYS[algorithm]) if algorithm else None
            return load_dialect(str(path), mac_key=key)
        except TableError:
            return None


@settings(max_examples=300, deadline=None)
@given(said=members, data=st.data())
def test_any_mixture_is_refused_at_load_or_carries_every_message(
    said: dict[str, Any], data: st.DataObject
):
    """Encoding, frame, header, trailer, MAC and code page are data, in any mixture."""
    dialect = loaded(said)
    event("refused" if dialect is None else "loaded")
    if dialect is None:
        return
    host = msgspec.structs.replace(dialect.framing, header=dialect.framing.expected_header)
    stream = b"".join(host.frame(dialect.codec.encode(m.mti, m.fields)) for m in MESSAGES)
    deframer, at = Deframer(dialect.framing), data.draw(st.integers(0, len(stream)))

    got = [*deframer.feed(stream[:at]), *deframer.feed(stream[at:])]

    assert [_without_mac(dialect.codec.decode(wire)) for wire in got] == MESSAGES


@settings(max_examples=300, deadline=None)
@given(said=members, data=st.data())
def test_damage_in_any_mixture_is_an_error_and_nothing_else(
    said: dict[str, Any], data: st.DataObject
):
    """Bytes of the host may be anything: a frame's fault, a message's, a MAC's, or a message."""
    dialect = loaded(said)
    if dialect is None:
        return
    host = msgspec.structs.replace(dialect.framing, header=dialect.framing.expected_header)
    chosen = data.draw(st.sampled_from(MESSAGES))
    wire = bytearray(host.frame(dialect.codec.encode(chosen.mti, chosen.fields)) * 2)
    for _ in range(data.draw(st.integers(1, 3))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))

    try:
        for message in Deframer(dialect.framing).feed(bytes(wire)):
            dialect.codec.decode(message)
    except (FramingError, MessageError, WrongMac):
        event("refused")


def _without_mac(message: Message) -> Message:
    kept = {number: value for number, value in message.fields.items() if number not in (64, 128)}
    return Message(message.mti, kept)
