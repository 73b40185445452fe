"""
`counterfoil iso8583` as a filter: one line out for each line in, whatever comes.
"""

import json
import select
import subprocess
import sys
from pathlib import Path

import pytest
from counterfoil.cli.iso8583 import LINE_BYTES_MAX

PROGRAM = [sys.executable, "-c", "from counterfoil.cli.iso8583 import app; app()"]
CARD = "4111111111111111"
SALE = {
    "mti": "0200",
    "fields": {"2": CARD, "4": "000000004200", "48": "0203123", "55": "9F2608AABB"},
}


def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*PROGRAM, *arguments], input=stdin, capture_output=True, timeout=30)


def answers(*arguments: str, stdin: bytes) -> list[str]:
    done = run(*arguments, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode("ascii").splitlines()


@pytest.mark.parametrize("encoding", ["ascii_bin", "ebcdic"])
def test_a_message_survives_encode_and_decode(encoding: str):
    """With --clear the fields come back in full, binary ones as upper-case hex."""
    (wire,) = answers("encode", "--encoding", encoding, stdin=json.dumps(SALE).encode())
    (shown,) = answers("decode", "--encoding", encoding, "--clear", stdin=wire.encode())

    assert wire == wire.upper()
    assert json.loads(shown) == SALE


def test_decode_masks_unless_told_otherwise():
    """Neither card number, nor CVV2, nor chip data is shown."""
    (wire,) = answers("encode", stdin=json.dumps(SALE).encode())
    (shown,) = answers("decode", stdin=wire.lower().encode())

    assert json.loads(shown)["fields"] == {
        "2": "************1111",
        "4": "000000004200",
        "48": "0203***",
        "55": "****",
    }


def test_every_line_of_json_has_its_line():
    """Errors take the place of the message, and never repeat what was in the line."""
    lines = [
        json.dumps(SALE),
        "",
        "{",
        "[]",
        "[" * 50_000,
        '{"mti": "0200"}',
        '{"mti": "0200", "fields": {}, "more": 1}',
        '{"mti": 200, "fields": {}}',
        '{"mti": "0200", "fields": []}',
        '{"mti": "0200", "fields": {"4": 4200}}',
        '{"mti": "0200", "fields": {"02": "1"}}',
        '{"mti": "0200", "fields": {"129": "1"}}',
        '{"mti": "0200", "fields": {"52": "0123"}}',
        '{"mti": "0200", "fields": {"55": "no hex"}}',
        '{"mti": "0200", "fields": {"2": "4111111111111111x"}}',
        '{"mti": "0200", "fields": {"43": "\\ud800"}}',
        '{"mti": "0800", "fields": {}}',
        " " * (LINE_BYTES_MAX + 10),
        "x" * (3 * LINE_BYTES_MAX),
        '{"mti": "0800", "fields": {"70": "1"}}\r',
    ]
    got = answers("encode", stdin="\n".join(lines).encode())

    assert len(got) == len(lines)
    errors = [json.loads(line) if line.startswith("{") else None for line in got]
    fields = [error and error["field"] for error in errors]
    none = [None] * 8
    assert fields == [None, *none, "4", None, "129", "52", "55", "2", fields[15], *[None] * 4]
    assert [number for number, error in enumerate(errors) if error is None] == [0, 16, 19]
    assert not any(CARD in line for line in got[1:])
    assert got[16] == "30383030" + "00" * 8


def test_every_line_of_hex_has_its_line():
    """Bytes that are no text, odd digits, and messages that break off."""
    got = answers("decode", stdin=b"\n3\nxyz\n\xff\xfe\n3032\n  3038303000 00000000000000  ")

    assert [json.loads(line).get("field", "good") for line in got] == [None] * 5 + ["good"]
    assert json.loads(got[-1]) == {"mti": "0800", "fields": {}}


def test_an_answer_comes_before_the_next_line_is_sent():
    """The command can stand in the middle of a pipe."""
    with subprocess.Popen([*PROGRAM, "encode"], stdin=-1, stdout=-1) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        for _ in range(2):
            program.stdin.write(b'{"mti": "0800", "fields": {}}\n')
            program.stdin.flush()
            assert select.select([program.stdout], [], [], 20)[0]
            assert program.stdout.readline() == b"3038303000" + b"00" * 7 + b"\n"
        program.stdin.close()


def test_a_table_of_ones_own_replaces_the_shipped_one(tmp_path: Path):
    """--table takes the form of the shipped file; its fields are the only ones."""
    table = tmp_path / "table.json"
    table.write_text('{"3": {"kind": "an", "len": 2, "lv": 0, "name": "Two"}}')
    lines = b'{"mti": "0200", "fields": {"3": "A"}}\n{"mti": "0200", "fields": {"4": "1"}}'

    got = answers("encode", "--table", str(table), stdin=lines)

    assert got[0] == "30323030" + "2000000000000000" + "4120"
    assert json.loads(got[1])["field"] == "4"


@pytest.mark.parametrize("content", [None, "{", '{"1": {"kind": "b", "len": 8, "lv": 0}}'])
def test_a_table_that_cannot_be_used_ends_the_command_with_2(tmp_path: Path, content: str | None):
    """And a sentence on standard error says why."""
    table = tmp_path / "table.json"
    if content is not None:
        table.write_text(content)

    done = run("decode", "--table", str(table), stdin=b"00\n")

    assert done.returncode == 2
    assert done.stdout == b""
    assert str(table) in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_fault():
    """`counterfoil iso8583 decode | head -1` ends quietly."""
    with subprocess.Popen([*PROGRAM, "decode"], stdin=-1, stdout=-1, stderr=-1) as program:
        assert program.stdout is not None
        program.stdout.close()
        _, said = program.communicate(b"00\n" * 10, timeout=20)

    assert said == b""
    assert program.returncode == 0
