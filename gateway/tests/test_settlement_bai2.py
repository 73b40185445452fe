"""
Bank statements in BAI2: read to the cent, or held whole.
"""

import time
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

import pytest
from counterfoil.settlement import bai2, bai2_records
from counterfoil.settlement.held import FileHeld
from counterfoil.settlement.statement import Entry
from hypothesis import given, settings
from hypothesis import strategies as st

CARD = "4111111111111111"

# A deposit, a negative one and a returned one; a continued header; an account without entries.
DEPOSITS = """\
01,021000021,MERCHANT,261124,0500,1,100,10,2/
02,MERCHANT,021000021,1,261123,2359,USD,2/
03,MERCHANT0000001USD,,010,50000,,,040,0,,/
88,015,236013,,,045,+236013,,,100,193563,1,V,261124,0900/
88,400,7550,2,S,0,0,7550/
16,142,193563,V,261124,,BANK261123000001,CF261120000001,SETTLEMENT, CF261120000001
16,455,7500,1,BANK261123000002,CF261119000007,/
88,NEGATIVE NET, SEE REPORT
88,CF26111
88,9000007 OF 11/19/
16,557,50,Z,,CF261118000003/
16,890,,,,,PLEASE CALL US
49,924252,11/
03,MERCHANT0000001JPY,JPY,010,-700,,,015,-700,,/
49,-1400,2/
98,922852,2,15/
02,,071000013,1,261124,,,/
03,12345,,010,0,,,015,5,,/
16,165,5,D,2,0,3,1,2,,/
88,DEPOSIT 77
49,10,4/
98,10,1,6/
99,922862,2,23/
"""


def held(text: str | bytes) -> FileHeld:
    """Return why a file is held; fail if it is not."""
    with pytest.raises(FileHeld) as caught:
        bai2.read(text.encode() if isinstance(text, str) else text)
    assert CARD not in str(caught.value)
    return caught.value


def changed(old: str, new: str) -> str:
    """Return the sample with one piece replaced, where it stands first."""
    assert old in DEPOSITS
    return DEPOSITS.replace(old, new, 1)


def test_a_statement_is_read_to_the_cent():
    """Groups, accounts, currencies, continuations, funds types, and text to the line's end."""
    usd, jpy, other = bai2.read(DEPOSITS.encode())

    assert (usd.account, usd.currency) == ("MERCHANT0000001USD", "USD")
    assert (usd.statement_id, usd.sequence) == ("021000021-20261123", None)
    assert (usd.opening_minor, usd.closing_minor) == (50_000, 236_013)
    assert (usd.booked_from, usd.booked_to) == (date(2026, 11, 23), date(2026, 11, 23))
    assert usd.not_booked == 1
    assert usd.entries[0] == Entry(
        amount_minor=193_563,
        booked_on=date(2026, 11, 23),
        value_on=date(2026, 11, 24),
        references=("CF261120000001", "BANK261123000001"),
        bank_reference="BANK261123000001",
        text="SETTLEMENT, CF261120000001",
        is_return=False,
        code="142",
    )
    assert usd.entries[1].amount_minor == -7500
    assert usd.entries[1].value_on == date(2026, 11, 24)
    assert usd.entries[1].text == "NEGATIVE NET, SEE REPORT CF26111 9000007 OF 11/19"
    assert "CF261119000007" in usd.entries[1].references
    assert (usd.entries[2].amount_minor, usd.entries[2].is_return) == (-50, True)
    assert usd.entries[2].references == ("CF261118000003",)
    assert (jpy.currency, jpy.opening_minor, jpy.entries) == ("JPY", -700, ())
    assert (other.currency, other.booked_to) == ("USD", date(2026, 11, 24))
    assert (other.entries[0].text, other.entries[0].amount_minor) == ("DEPOSIT 77", 5)


def test_the_style_of_a_large_bank_is_read():
    """Zero-filled figures, 80 columns, empty funds types, text in a record of its own."""
    (statement,) = bai2.read(
        b"01,042000013,ABCCORP ,261123,0506,1,80,,2/                                      \r\n"
        b"02,042000013,091000022,1,261120,2359,,2/                                        \r\n"
        b"03,273101322728,,010,00000000000000,,,015,00000173137444,,/                     \r\n"
        b"88,100,00000173137444,00002,,400,00000000000000,,/                              \r\n"
        b"16,347,0000000024524,,I-GEN107032800003445,/                                    \r\n"
        b"88,INTEREST EARNED                                                              \r\n"
        b"16,351,0000173112920,S,00000173112920,00000000000000,00000000000000/            \r\n"
        b"88,I-GEN107032800001754,/                                                       \r\n"
        b"88,REPO SWEEP PURCHASE @ 5.1%                                                   \r\n"
        b"88,3 OR MORE DAY FLOAT: 0.00/                                                   \r\n"
        b"49,0000000519412332,000009/                                                     \r\n"
        b"98,0000000519412332,00001,000011/                                               \r\n"
        b"99,0000000519412332,00001,000013/                                               \r\n"
    )

    assert [entry.amount_minor for entry in statement.entries] == [24_524, 173_112_920]
    assert statement.entries[0].text == "INTEREST EARNED"
    assert statement.entries[1].bank_reference == "I-GEN107032800001754"
    assert statement.entries[1].text == "REPO SWEEP PURCHASE @ 5.1% 3 OR MORE DAY FLOAT: 0.00"


def test_line_ends_and_blocks_are_tolerated():
    """LF, CRLF, padding, blank records to the end of the block, or records of fixed length."""
    original = bai2.read(DEPOSITS.encode())
    lines = DEPOSITS.splitlines()
    fixed = [line.ljust(100) for line in lines] + [" " * 100] * 7

    assert bai2.read("\r\n".join(lines).encode()) == original
    assert bai2.read(DEPOSITS.removesuffix("\n").encode()) == original
    assert bai2.read("\n".join(fixed).encode()) == original
    assert bai2.read("".join(fixed).encode()) == original


@pytest.mark.parametrize(
    ("code", "sign", "is_return"),
    [
        ("100", 1, False),
        ("142", 1, False),
        ("165", 1, False),
        ("257", 1, True),
        ("399", 1, False),
        ("400", -1, False),
        ("447", -1, False),
        ("455", -1, False),
        ("555", -1, True),
        ("557", -1, True),
        ("699", -1, False),
        ("920", 1, False),
        ("960", -1, False),
    ],
)
def test_the_type_code_says_credit_or_debit(code: str, sign: int, is_return: bool):
    """100 to 399 credit, 400 to 699 debit, 920 and 960 likewise; returns are known by code."""
    (statement,) = bai2.read(write([Account("1", "", 10, [Detail(code, 7, sign)])]).encode())

    (entry,) = statement.entries
    assert (entry.amount_minor, entry.is_return, entry.code) == (7 * sign, is_return, code)


class Detail(NamedTuple):
    """What the writer below needs to know of a 16."""

    code: str
    amount: int
    sign: int
    funds: str = "Z"
    reference: str = ""
    text: str = ""


class Account(NamedTuple):
    """What the writer below needs to know of an account."""

    number: str
    currency: str
    opening: int
    details: list[Detail]


def write(accounts: Iterable[Account], width: int = 200) -> str:
    """Write a file with one group from the specification, continuing lines at *width*."""
    records = ["01,BANK,ME,261124,0500,1,,,2/", "02,ME,BANK,1,261123,,EUR,2/"]
    group_total = number_of_accounts = 0
    for account in accounts:
        closing = account.opening + sum(d.sign * d.amount for d in account.details)
        total = account.opening + closing + sum(d.amount for d in account.details)
        body = [
            f"03,{account.number},{account.currency},010,{account.opening},,/",
            f"88,015,{closing},,/",
        ]
        for detail in account.details:
            text = detail.text
            head = f"16,{detail.code},{detail.amount},{detail.funds},B,{detail.reference},"
            body.append(head + text[:width] + ("" if text else "/"))
            body += [f"88,{text[at : at + width]}" for at in range(width, len(text), width)]
        body.append(f"49,{total},{len(body) + 1}/")
        records += body
        group_total += total
        number_of_accounts += 1
    records.append(f"98,{group_total},{number_of_accounts},{len(records)}/")
    records.append(f"99,{group_total},1,{len(records) + 1}/")
    return "".join(record + "\n" for record in records)


def details() -> st.SearchStrategy[Detail]:
    codes = st.integers(100, 399).map(lambda n: (str(n), 1)) | st.integers(400, 699).map(
        lambda n: (str(n), -1)
    )
    text = st.from_regex(r"[A-Z][A-Z,/.#]{0,30}[A-Z] CF[0-9]{12} [A-Z]{0,30}[A-Z]", fullmatch=True)
    funds = ["", "0", "1", "2", "Z", "S,1,2,3", "V,261124,", "V,261124,0900", "D,1,0,5"]
    return st.builds(
        lambda code, *rest: Detail(code[0], rest[0], code[1], *rest[1:]),
        codes,
        st.integers(0, 10**12),
        st.sampled_from(funds),
        st.from_regex(r"[A-Z0-9]{0,12}", fullmatch=True),
        st.just("") | text,
    )


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.builds(
            Account,
            st.from_regex(r"[0-9]{3,12}", fullmatch=True),
            st.sampled_from(["", "USD", "JPY"]),
            st.integers(-(10**12), 10**12),
            st.lists(details(), max_size=4),
        ),
        max_size=4,
        unique_by=lambda account: account.number,
    ),
    st.integers(5, 60),
)
def test_whatever_is_written_comes_back(accounts: list[Account], width: int):
    """Any amounts, any funds types; and a reference is found though its line was cut in two."""
    statements = bai2.read(write(accounts, width).encode())

    assert [s.account for s in statements] == [a.number for a in accounts]
    for statement, account in zip(statements, accounts, strict=True):
        assert statement.currency == (account.currency or "EUR")
        assert statement.opening_minor == account.opening
        assert [e.amount_minor for e in statement.entries] == [
            d.sign * d.amount for d in account.details
        ]
        for entry, detail in zip(statement.entries, account.details, strict=True):
            wanted = [word for word in detail.text.split() if word.startswith("CF2")]
            assert set(wanted) <= set(entry.references)
            if detail.reference:
                assert entry.references[0] == detail.reference


def test_a_statement_cut_off_anywhere_is_held():
    """At every byte; only the last line end is no loss."""
    whole = DEPOSITS.encode()

    for end in range(len(whole) - 1):
        held(whole[:end])


# By line of the sample and place in it.
SEEN_WHEN_CHANGED = {
    *[(2, 2), (17, 2)],  # The bank's own number: it is part of the statement's name.
    *[(2, 4), (17, 4)],  # As-of date.
    *[(3, 1), (14, 1), (18, 1)],  # Account number.
    *[(6, 1), (7, 1), (11, 1), (12, 1), (19, 1)],  # Type code, among credits or among debits.
    (6, 4),  # Value date.
    (7, 3),  # Funds type, and with it the value date.
    *[(6, 6), (6, 7), (6, 9), (7, 4), (7, 5), (11, 5)],  # References.
    *[(9, 1), (10, 1), (20, 1)],  # Texts.
    (19, 4),  # The number of distributions: what follows them moves.
}
NOT_LOOKED_AT = {
    *[(1, 1), (1, 3), (1, 4), (1, 5)],  # Sender, date, time and id of the file.
    *[(1, 6), (1, 7)],  # Record length and block size: the lines have ends.
    *[(2, 5), (2, 7)],  # As-of time; modifier 2 or 4, both final.
    *[(3, 7), (4, 5), (4, 9), (5, 1)],  # Type code of a summary other than 010 and 015.
    *[(4, 11), (5, 3)],  # Item count of a summary.
    *[(4, 13), (4, 14), (5, 5), (5, 6), (5, 7)],  # Availability of a summary.
    *[(19, place) for place in (5, 6, 7, 8)],  # Availability of a detail.
}
CONTROLS = {
    *[(13, 1), (13, 2), (15, 1), (15, 2), (21, 1), (21, 2)],
    *[(16, 1), (16, 2), (16, 3), (22, 1), (22, 2), (22, 3)],
    *[(23, 1), (23, 2), (23, 3)],
}


def test_a_changed_digit_is_held_or_seen():
    """
    Any digit changed to any other holds the file, is seen in what is read, or stands in one of
    the few fields that say nothing about what was booked.
    """
    original = bai2.read(DEPOSITS.encode())
    outcomes: dict[str, set[tuple[int, int]]] = {"seen": set(), "held": set(), "unseen": set()}
    for at, line, place in digit_places():
        for digit in "0123456789".replace(DEPOSITS[at], ""):
            try:
                read = bai2.read((DEPOSITS[:at] + digit + DEPOSITS[at + 1 :]).encode())
            except FileHeld:
                outcomes["held"].add((line, place))
            else:
                outcomes["unseen" if read == original else "seen"].add((line, place))

    assert outcomes["seen"] == SEEN_WHEN_CHANGED
    assert outcomes["unseen"] == NOT_LOOKED_AT
    assert outcomes["held"] - outcomes["seen"] - outcomes["unseen"] >= CONTROLS


def digit_places() -> list[tuple[int, int, int]]:
    """Return where in the sample a digit stands, in which line and which field of it."""
    places, at = [], 0
    for number, line in enumerate(DEPOSITS.splitlines(), start=1):
        for place, field in enumerate(line.split(",")):
            places += [(at + i, number, place) for i, c in enumerate(field) if c.isdigit()]
            at += len(field) + 1
    return places


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b" ",
        b"<?xml version='1.0'?>",
        DEPOSITS.encode("utf-16"),
        DEPOSITS.encode("utf-16-le"),
        b"\xef\xbb\xbf" + DEPOSITS.encode(),
        DEPOSITS.encode("cp037"),
        DEPOSITS.replace("PLEASE", "BITTE FÜR").encode("latin-1"),
        DEPOSITS.replace("PLEASE", "BITTE FÜR").encode(),
        DEPOSITS.replace("PLEASE", "PLE\0ASE").encode(),
        DEPOSITS.replace("PLEASE", "PLE\tASE").encode(),
        DEPOSITS.replace("PLEASE", "PLE\rASE").encode(),
        DEPOSITS.replace("\n", "\r").encode(),
        DEPOSITS.encode() * 2,
        b"\n" + DEPOSITS.encode(),
        DEPOSITS.replace("\n", "\n\n").encode(),
    ],
)
def test_other_encodings_and_what_is_no_bai2_are_held(data: bytes):
    """Printable ASCII, one file, nothing around it."""
    held(data)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (",10,2/", ",10,3/", "Record 1: another version of BAI: expected 2, found 3"),
        (",1,261123", ",4,261123", "Record 2: a group is no update: expected 1, found 4"),
        ("USD,2/", "USD,3/", "Record 2: a group is no final report"),
        ("USD,2/", "ZZZ,2/", "Record 3: the currency is not on the list"),
        (",1,261123", ",1,261131", "Record 2: a date does not exist: found 261131"),
        ("USD,,010,", "USD,,011,", "Record 3: an account has no opening ledger balance (010)"),
        ("88,015,", "88,016,", "Record 3: an account has no closing ledger balance (015)"),
        ("USD,,010,50000", "USD,,010,", "Record 13: the control total of the record 49"),
        ("040,0,", "010,0,", "Record 3: an account has two balances 010"),
        ("03,MERCHANT0000001USD", "03,", "Record 3: the account number is not well formed"),
        ("50000", "500.00", "Record 3: a balance is not well formed"),
        ("193563,V", "-193563,V", "Record 6: an amount is not well formed"),
        ("193563,V", "+,V", "Record 6: an amount is not well formed"),
        ("193563,V", "193563,X", "Record 6: a funds type is not well formed"),
        ("V,261124,,BANK", "V,,,BANK", "Record 6: a value date is not well formed"),
        ("16,557", "16,757", "Record 11: a type code is neither credit nor debit: found 757"),
        ("49,924252", "49,680677", "the control total of the record 49 does not agree"),
        ("924252,11", "924252,12", "the number of records of the record 49 does not agree"),
        ("98,922852,2", "98,922852,3", "the number of members of the record 98 does not agree"),
        ("98,922852", "98,4111111111111111", "found ************1111"),
        ("922862,2,23", "922862,2,24", "expected 23, found 24"),
        ("924252,11/", "924252,11,1/", "Record 13: a record has too many fields"),
        ("924252,11/", "924252,11", "Record 13: a record is not closed with a slash"),
        ("CF261118000003/", "CF261118000003", "Record 11: a record is not closed with a slash"),
        ("16,557", "17,557", "Record 11: a line is no record of BAI2"),
        ("16,557", "49,557", "Record 12: a record is out of place: expected 03, found 16"),
        ("16,557", "03,557", "expected 49 before the next 03, found 03"),
        ("98,922852", "16,922852", "Record 17: a record is out of place: expected 98 before"),
        ("01,0210", "88,0210", "Record 1: a continuation continues nothing"),
        ("01,0210", "02,0210", "Record 1: the file is not whole: expected 01, found 02"),
        ("99,922862", "98,922862", "Record 23: the file is not whole: expected 99, found 98"),
    ],
)
def test_the_sentence_says_what_and_where(old: str, new: str, sentence: str):
    """A person finds the record by its line."""
    assert sentence in str(held(changed(old, new)))


def test_a_statement_that_does_not_add_up_is_held():
    """Though every control total agrees: opening and entries must give the closing balance."""
    text = write([Account("1", "", 10, [Detail("142", 7, 1)])])
    wrong = text.replace("16,142,", "16,455,")

    assert "do not give the closing balance" in str(held(wrong))


def test_an_account_twice_for_a_day_is_held():
    """Nobody knows which of the two would count."""
    account = Account("1", "", 0, [])

    assert "in the file twice" in str(held(write([account, account])))


def test_a_card_number_in_a_text_is_hidden():
    """And is no reference."""
    text = f"CARD {CARD} CF261120000001"
    (statement,) = bai2.read(
        write([Account("1", "", 0, [Detail("142", 7, 1, text=text)])]).encode()
    )

    assert statement.entries[0].text == "CARD ************1111 CF261120000001"
    assert statement.entries[0].references == ("B", "CF261120000001")


def test_a_file_is_bounded(monkeypatch: pytest.MonkeyPatch):
    """In bytes, in records, and in what one amount may be spread over."""
    assert "too large" in str(held(b"0" * (16 * 1024 * 1024 + 1)))
    spread = write([Account("1", "", 0, [Detail("142", 7, 1, "D,999999999")])])
    assert "too many distributions" in str(held(spread))
    long = write([Account("1", "", 0, [Detail("142", 7, 1, text="1 " * 60_000)])])
    assert "the text of an entry is too long" in str(held(long))
    monkeypatch.setattr(bai2_records, "RECORDS_MAX", 20)
    assert "the number of records: expected 1 to 20, found 23" in str(held(DEPOSITS))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_damaged_bytes_are_held_or_read_never_anything_else(data: st.DataObject):
    """No other exception comes out, and what is read adds up."""
    whole = bytearray(DEPOSITS.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        new = data.draw(
            st.binary(max_size=3) | st.text("0123456789,/+-\n", max_size=4).map(str.encode)
        )
        whole[at : at + data.draw(st.integers(0, 3))] = new
    try:
        statements = bai2.read(bytes(whole))
    except FileHeld:
        return
    assert all(
        each.opening_minor + sum(e.amount_minor for e in each.entries) == each.closing_minor
        for each in statements
    )


def test_twenty_thousand_details_are_read_in_seconds():
    """More than any merchant has in a day."""
    data = write([Account("1", "", 0, [Detail("142", 7, 1, text="DEPOSIT")] * 20_000)]).encode()

    begun = time.process_time()
    (statement,) = bai2.read(data)

    assert statement.closing_minor == 140_000
    assert time.process_time() - begun < 3
