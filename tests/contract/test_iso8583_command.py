"""
`counterfoil iso8583` as operators and other programs use it: a process in a pipe.
"""

import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from installation import clean_environment

PROGRAM = [str(Path(sys.executable).with_name("counterfoil")), "iso8583"]
TABLE = Path(__file__).parents[2] / "gateway/counterfoil/network/dialects/gw87.fields.json"
SECONDS_MAX = 30
LINE_BYTES_MAX = 65_536
PAN = "4111111111111111"
ENCODINGS = ["ascii_bin", "ascii_hex", "bcd", "ebcdic"]

SALE: dict[str, Any] = {
    "mti": "0200",
    "fields": {
        "2": PAN,
        "3": "000000",
        "4": "000000004200",
        "7": "1123073318",
        "11": "000001",
        "14": "3912",
        "35": f"{PAN}=39121010000000000000",
        "37": "632707000001",
        "41": "TERM0001",
        "42": "MERCHANT0000001",
        "48": "02038370301111041001",
        "49": "840",
        "52": "0123456789ABCDEF",
        "55": "9F2608AABBCCDD11223344",
        "60": "000001",
        "90": "0200" + "000001" + "1123073318" + "00000123456" + "00000987654",
    },
}
MASKED = {
    "48": "0203***0301111041001",
    "2": f"{'*' * 12}1111",
    "14": "****",
    "35": "****",
    "52": "****",
    "55": "****",
}

# An echo test: 0800 with fields 7, 11 and 70, put together by hand.
ECHO = {"mti": "0800", "fields": {"7": "1123073318", "11": "000001", "70": "301"}}
ECHO_WIRE = {
    "ascii_bin": "30383030"  # MTI
    "8220000000000000"
    "0400000000000000"  # bitmaps: 1, 7, 11 and 70
    "31313233303733333138"
    "303030303031"
    "333031",
    "ascii_hex": "30383030"
    "38323230303030303030303030303030"
    "30343030303030303030303030303030"
    "31313233303733333138"
    "303030303031"
    "333031",
    "bcd": "08008220000000000000040000000000000011230733180000010301",
    "ebcdic": "F0F8F0F082200000000000000400000000000000F1F1F2F3F0F7F3F3F1F8F0F0F0F0F0F1F3F0F1",
}


def run(*words: str, stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end."""
    return subprocess.run(
        [*PROGRAM, *words],
        input=stdin,
        capture_output=True,
        timeout=SECONDS_MAX,
        env=clean_environment(),
    )


def piped(*words: str, lines: list[bytes]) -> list[str]:
    """Send *lines* through the command; there is one answer for each."""
    done = run(*words, "--table", str(TABLE), stdin=b"".join(line + b"\n" for line in lines))
    assert (done.returncode, done.stderr) == (0, b"")
    answers = done.stdout.decode("ascii").splitlines()
    assert len(answers) == len(lines)
    return answers


def as_line(message: dict[str, Any]) -> bytes:
    """Return *message* as one line of JSON."""
    return json.dumps(message).encode()


@pytest.fixture(scope="module", params=ENCODINGS)
def encoding(request: pytest.FixtureRequest) -> str:
    """Each way to encode a message."""
    return str(request.param)


@pytest.fixture(scope="module")
def wires(encoding: str) -> list[str]:
    """The echo test and the sale, encoded."""
    return piped("encode", "--encoding", encoding, lines=[as_line(ECHO), as_line(SALE)])


def test_a_message_is_on_the_wire_as_by_hand(encoding: str, wires: list[str]):
    """Bit by bit, in upper-case hex."""
    assert wires[0] == ECHO_WIRE[encoding]


def test_a_message_comes_back_as_it_went(encoding: str, wires: list[str]):
    """Text as text, binary fields as upper-case hex, however the hex was written."""
    lines = [wires[1].encode(), wires[1].lower().encode()]

    upper, lower = piped("decode", "--encoding", encoding, "--clear", lines=lines)

    assert json.loads(lower) == json.loads(upper) == SALE


def test_card_data_is_masked_and_a_bad_line_has_its_answer(encoding: str, wires: list[str]):
    """
    Number, expiry, track, PIN block, chip data and security code are not shown.

    A line that cannot be decoded gives what is wrong, and in which field if it is one; never
    its content. The next one is answered as if nothing had been.
    """
    wire = wires[1]
    bad = [
        b"",
        b"   ",
        b"not hex",
        b"0",
        b"\xff\xfe",
        wire[:-2].encode(),
        (wire + "00").encode(),
        wire[:40].encode(),
        b"F" * 64,
        b"00" * 5000,
        b"0" * (LINE_BYTES_MAX + 1),
    ]

    *errors, shown = piped("decode", "--encoding", encoding, lines=[*bad, wire.encode()])

    for error in errors:
        assert json.loads(error).keys() == {"error", "field"}
        assert "1111111" not in error
    assert json.loads(shown)["fields"] == {**SALE["fields"], **MASKED}
    assert PAN not in shown


def test_an_error_names_the_field():
    """As a string, like the names of the fields; null when it is about the whole line."""
    wrong: list[tuple[str, Any]] = [
        ("2", f"{PAN}x"),
        ("3", "00000a"),
        ("4", 4200),
        ("11", "0000001"),
        ("52", "0123"),
        ("55", "no hex"),
        ("43", "é"),
        ("129", "1"),
        ("1", "1"),
        ("65", "1"),
    ]
    lines = [as_line({"mti": "0200", "fields": {name: value}}) for name, value in wrong]

    answers = piped("encode", "--encoding", "ascii_bin", lines=lines)

    for (name, _), answer in zip(wrong, answers, strict=True):
        said = json.loads(answer)
        assert said["field"] == name
        assert said["error"]
        assert PAN not in answer


def test_a_line_that_cannot_be_encoded_gives_an_error():
    """Each of them, and the good one after them gets its wire."""
    bad = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"mti": "0200"}',
        b'{"mti": 200, "fields": {}}',
        b'{"mti": "02000", "fields": {}}',
        b'{"mti": "0200", "fields": []}',
        b'{"mti": "0200", "fields": {"two": "1"}}',
        b'{"mti": "0200", "fields": {"02": "1"}}',
        b'{"mti": "0200", "fields": {}, "length": 4}',
        b'{"mti": "0200", "fields": {"43": "\xff"}}',
        b"[" * 60_000,
        b'"' + b"x" * LINE_BYTES_MAX + b'"',
    ]

    *errors, good = piped("encode", "--encoding", "bcd", lines=[*bad, as_line(ECHO)])

    for error in errors:
        assert json.loads(error).keys() == {"error", "field"}
        assert json.loads(error)["field"] is None
    assert good == ECHO_WIRE["bcd"]


def test_a_line_ending_of_windows_and_a_missing_last_one_do_no_harm():
    """Whatever wrote the lines."""
    content = as_line(ECHO) + b"\r\n" + as_line(ECHO)

    done = run("encode", "--encoding", "bcd", "--table", str(TABLE), stdin=content)

    assert done.stdout.decode().splitlines() == [ECHO_WIRE["bcd"]] * 2


def test_each_line_is_answered_before_the_next_is_sent():
    """So that another program can talk with it."""
    words = [*PROGRAM, "encode", "--encoding", "bcd", "--table", str(TABLE)]
    with subprocess.Popen(words, stdin=-1, stdout=-1, env=clean_environment()) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        for _ in range(3):
            program.stdin.write(as_line(ECHO) + b"\n")
            program.stdin.flush()
            assert select.select([program.stdout], [], [], SECONDS_MAX)[0]
            assert program.stdout.readline().decode().strip() == ECHO_WIRE["bcd"]
        program.stdin.close()
        assert program.wait(SECONDS_MAX) == 0


def test_many_lines_keep_their_order():
    """Ten thousand of them, in one go."""
    messages = [
        {"mti": "0800", "fields": {"7": "1123073318", "11": f"{stan:06d}", "70": "301"}}
        for stan in range(10_000)
    ]

    wires = piped("encode", "--encoding", "bcd", lines=[as_line(each) for each in messages])
    back = piped("decode", "--encoding", "bcd", lines=[wire.encode() for wire in wires])

    assert [json.loads(line) for line in back] == messages


def test_a_table_of_ones_own_is_used(tmp_path: Path):
    """In the form of the shipped one; a field that it does not have is an error."""
    table = tmp_path / "own.json"
    table.write_text(
        '{"5": {"kind": "n", "len": 3, "lv": 0, "name": "Five"},'
        ' "6": {"kind": "b", "len": 9, "lv": 3, "name": "Six"}}'
    )
    words = ("encode", "--encoding", "ascii_bin", "--table", str(table))
    lines = [
        as_line({"mti": "0100", "fields": {"5": "7", "6": "ff00"}}),
        as_line({"mti": "0100", "fields": {"4": "000000004200"}}),
    ]

    done = run(*words, stdin=b"\n".join(lines))

    good, bad = done.stdout.decode().splitlines()
    assert good == "303130300C00000000000000303037303032FF00"
    assert json.loads(bad)["field"] == "4"


@pytest.mark.parametrize(
    "words",
    [
        ("decode", "--encoding", "utf-8"),
        ("decode", "--encoding", "bcd", "--table", "/nowhere.json"),
        ("decode", "--encoding", "bcd", "--table", "/dev/null"),
        ("encode", "--encoding", "bcd", "--clear"),
        ("translate",),
    ],
)
def test_what_was_not_meant_ends_the_command_at_once(words: tuple[str, ...]):
    """With exit code 2 and words on standard error; standard output stays for answers."""
    done = run(*words, stdin=b"00\n")

    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr
    assert b"Traceback" not in done.stderr


def test_a_dialect_brings_its_encoding_and_its_rows():
    """The shipped BCD dialect fills an odd card number with F on the right."""
    line = json.dumps({"mti": "0800", "fields": {"2": "411111111111111", "70": "301"}}).encode()

    wire = run("encode", "--dialect", "gw87-bcd", stdin=line + b"\n").stdout.strip()

    assert wire == b"0800C000000000000000040000000000000015411111111111111F0301"
    shown = run("decode", "--dialect", "gw87-bcd", stdin=wire + b"\n").stdout
    assert json.loads(shown)["fields"] == {"2": "*" * 11 + "1111", "70": "301"}


def test_a_dialect_that_does_not_exist_ends_the_command():
    """With a sentence, and the exit code for what cannot be used."""
    ended = run("decode", "--dialect", "gw99", stdin=b"")

    assert ended.returncode == 2
    assert b'There is no dialect "gw99"' in ended.stderr
