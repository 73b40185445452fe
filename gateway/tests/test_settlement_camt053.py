"""
Bank statements in camt.053: read to the cent, or held whole.
"""

import re
import time
from datetime import date
from decimal import Decimal
from typing import NamedTuple

import pytest
from counterfoil.money import currency, decimal_text
from counterfoil.settlement import camt053, hardened_xml
from counterfoil.settlement.held import FileHeld
from counterfoil.settlement.statement import Entry
from hypothesis import given, settings
from hypothesis import strategies as st

CARD = "4111111111111111"

# A bank that writes version 08 with a default namespace, as our sandbox does.
DEPOSITS = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">
  <BkToCstmrStmt>
    <GrpHdr><MsgId>STMT-20261123</MsgId><CreDtTm>2026-11-24T05:00:00Z</CreDtTm></GrpHdr>
    <Stmt>
      <Id>20261123-MERCHANT</Id>
      <ElctrncSeqNb>226</ElctrncSeqNb>
      <CreDtTm>2026-11-24T05:00:00Z</CreDtTm>
      <Acct><Id><Othr><Id>MERCHANT0000001USD</Id></Othr></Id><Ccy>USD</Ccy></Acct>
      <Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="USD">500.00</Amt>
        <CdtDbtInd>DBIT</CdtDbtInd><Dt><Dt>2026-11-23</Dt></Dt></Bal>
      <Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="USD">1435.13</Amt>
        <CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-11-23</Dt></Dt></Bal>
      <Ntry>
        <NtryRef>1</NtryRef><Amt Ccy="USD">1935.63</Amt><CdtDbtInd>CRDT</CdtDbtInd>
        <Sts><Cd>BOOK</Cd></Sts>
        <BookgDt><Dt>2026-11-23</Dt></BookgDt><ValDt><Dt>2026-11-24</Dt></ValDt>
        <AcctSvcrRef>BANK261123000001</AcctSvcrRef>
        <BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ATXN</SubFmlyCd></Fmly></Domn>
        </BkTxCd>
        <NtryDtls><TxDtls>
          <Refs><EndToEndId>CF261120000001</EndToEndId></Refs>
          <RmtInf><Ustrd>SETTLEMENT CF261120000001</Ustrd></RmtInf>
        </TxDtls></NtryDtls>
      </Ntry>
      <Ntry>
        <Amt Ccy="USD">0.50</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>
        <BookgDt><DtTm>2026-11-23T23:30:00-05:00</DtTm></BookgDt>
        <BkTxCd><Prtry><Cd>447</Cd></Prtry></BkTxCd>
        <NtryDtls><TxDtls>
          <Refs><EndToEndId>CF261119000007</EndToEndId></Refs>
          <RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>
        </TxDtls></NtryDtls>
      </Ntry>
      <Ntry>
        <Amt Ccy="USD">77.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>PDNG</Cd></Sts>
        <BookgDt><Dt>2026-11-23</Dt></BookgDt>
      </Ntry>
    </Stmt>
  </BkToCstmrStmt>
</Document>
"""

# In the style of German banks: version 02, a prefix, PRCD, the status as text, two statements.
PREFIXED = """<?xml version='1.0' encoding='utf-8'?>
<!-- Kontoauszug -->
<ns2:Document xmlns:ns2="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"
              xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
              xsi:schemaLocation="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02 camt.xsd">
 <ns2:BkToCstmrStmt>
  <ns2:GrpHdr><ns2:MsgId>1</ns2:MsgId><ns2:CreDtTm>2026-11-24T05:00:00</ns2:CreDtTm></ns2:GrpHdr>
  <ns2:Stmt>
   <ns2:Id>A-1</ns2:Id><ns2:LglSeqNb>12</ns2:LglSeqNb>
   <ns2:Acct><ns2:Id><ns2:IBAN>DE89370400440532013000</ns2:IBAN></ns2:Id></ns2:Acct>
   <ns2:Bal><ns2:Tp><ns2:CdOrPrtry><ns2:Cd>PRCD</ns2:Cd></ns2:CdOrPrtry></ns2:Tp>
    <ns2:Amt Ccy="EUR">10</ns2:Amt><ns2:CdtDbtInd>CRDT</ns2:CdtDbtInd>
    <ns2:Dt><ns2:Dt>2026-11-20+01:00</ns2:Dt></ns2:Dt></ns2:Bal>
   <ns2:Bal><ns2:Tp><ns2:CdOrPrtry><ns2:Prtry>INT</ns2:Prtry></ns2:CdOrPrtry></ns2:Tp>
    <ns2:Amt Ccy="EUR">1</ns2:Amt><ns2:CdtDbtInd>CRDT</ns2:CdtDbtInd>
    <ns2:Dt><ns2:Dt>2026-11-20</ns2:Dt></ns2:Dt></ns2:Bal>
   <ns2:Bal><ns2:Tp><ns2:CdOrPrtry><ns2:Cd>CLBD</ns2:Cd></ns2:CdOrPrtry></ns2:Tp>
    <ns2:Amt Ccy="EUR">12.5</ns2:Amt><ns2:CdtDbtInd>CRDT</ns2:CdtDbtInd>
    <ns2:Dt><ns2:Dt>2026-11-23</ns2:Dt></ns2:Dt></ns2:Bal>
   <ns2:Ntry><ns2:Amt Ccy="EUR">2.500</ns2:Amt><ns2:CdtDbtInd>CRDT</ns2:CdtDbtInd>
    <ns2:RvslInd>true</ns2:RvslInd><ns2:Sts>BOOK</ns2:Sts>
    <ns2:BookgDt><ns2:Dt>2026-11-23</ns2:Dt></ns2:BookgDt>
    <ns2:NtryDtls><ns2:TxDtls>
     <ns2:Refs><ns2:AcctSvcrRef>9988776655</ns2:AcctSvcrRef>
      <ns2:EndToEndId>NOTPROVIDED</ns2:EndToEndId><ns2:TxId>TX77</ns2:TxId></ns2:Refs>
     <ns2:RmtInf><ns2:Ustrd>Gutschrift f&#252;r H&amp;ndler, Auszahlung CF2611</ns2:Ustrd>
      <ns2:Ustrd>20000001 vom 20.11.</ns2:Ustrd></ns2:RmtInf>
    </ns2:TxDtls></ns2:NtryDtls>
    <ns2:AddtlNtryInf><![CDATA[Karte 4111 1111 1111 1111]]></ns2:AddtlNtryInf></ns2:Ntry>
  </ns2:Stmt>
  <ns2:Stmt>
   <ns2:Id>A-2</ns2:Id>
   <ns2:Acct><ns2:Id><ns2:IBAN>DE89370400440532013000</ns2:IBAN></ns2:Id>
    <ns2:Ccy>EUR</ns2:Ccy></ns2:Acct>
   <ns2:Bal><ns2:Tp><ns2:CdOrPrtry><ns2:Cd>OPBD</ns2:Cd></ns2:CdOrPrtry></ns2:Tp>
    <ns2:Amt Ccy="EUR">12.50</ns2:Amt><ns2:CdtDbtInd>CRDT</ns2:CdtDbtInd>
    <ns2:Dt><ns2:Dt>2026-11-24</ns2:Dt></ns2:Dt></ns2:Bal>
   <ns2:Bal><ns2:Tp><ns2:CdOrPrtry><ns2:Cd>CLBD</ns2:Cd></ns2:CdOrPrtry></ns2:Tp>
    <ns2:Amt Ccy="EUR">12.50</ns2:Amt><ns2:CdtDbtInd>CRDT</ns2:CdtDbtInd>
    <ns2:Dt><ns2:Dt>2026-11-24</ns2:Dt></ns2:Dt></ns2:Bal>
  </ns2:Stmt>
 </ns2:BkToCstmrStmt>
</ns2:Document>"""


def held(text: str | bytes) -> FileHeld:
    """Return why a file is held; fail if it is not."""
    with pytest.raises(FileHeld) as caught:
        camt053.read(text.encode() if isinstance(text, str) else text)
    assert CARD not in str(caught.value)
    return caught.value


def changed(old: str, new: str, text: str = DEPOSITS) -> str:
    """Return the sample with one piece replaced, where it stands first."""
    assert old in text
    return text.replace(old, new, 1)


def test_a_statement_is_read_to_the_cent():
    """A deposit, a returned one, a pending entry that is left out, an overdrawn opening."""
    (statement,) = camt053.read(DEPOSITS.encode())

    assert (statement.account, statement.currency) == ("MERCHANT0000001USD", "USD")
    assert (statement.statement_id, statement.sequence) == ("20261123-MERCHANT", 226)
    assert (statement.opening_minor, statement.closing_minor) == (-50_000, 143_513)
    assert (statement.booked_from, statement.booked_to) == (date(2026, 11, 23), date(2026, 11, 23))
    assert statement.not_booked == 1
    assert statement.entries == (
        Entry(
            amount_minor=193_563,
            booked_on=date(2026, 11, 23),
            value_on=date(2026, 11, 24),
            references=("CF261120000001", "BANK261123000001", "1"),
            bank_reference="BANK261123000001",
            text="SETTLEMENT CF261120000001",
            is_return=False,
            code="PMNT-RCDT-ATXN",
        ),
        Entry(
            amount_minor=-50,
            booked_on=date(2026, 11, 23),
            value_on=date(2026, 11, 23),
            references=("CF261119000007",),
            bank_reference="",
            text="",
            is_return=True,
            code="447",
        ),
    )


def test_another_bank_writes_it_differently():
    """A prefix, version 02, PRCD for the opening, a reference cut in two, two statements."""
    first, second = camt053.read(PREFIXED.encode())

    assert (first.account, first.currency) == ("DE89370400440532013000", "EUR")
    assert (first.opening_minor, first.closing_minor, first.sequence) == (1000, 1250, None)
    assert (first.booked_from, first.booked_to) == (date(2026, 11, 23), date(2026, 11, 23))
    (entry,) = first.entries
    assert entry.amount_minor == 250  # RvslInd does not turn the sign of CdtDbtInd.
    assert entry.is_return
    assert entry.bank_reference == "9988776655"
    assert {"TX77", "CF261120000001"} < set(entry.references)
    assert "NOTPROVIDED" not in entry.references
    assert entry.text.startswith("Gutschrift für H&ndler, Auszahlung")
    assert entry.text.endswith("Karte **** **** **** 1111")
    assert not any("4111" in reference for reference in entry.references)
    assert (second.entries, second.closing_minor) == ((), 1250)


@pytest.mark.parametrize("version", [f"{n:02d}" for n in range(2, 14)])
def test_versions_02_to_13_are_read(version: str):
    """What differs between them is read in both forms."""
    assert camt053.read(changed("001.08", f"001.{version}").encode())


@pytest.mark.parametrize("other", ["camt.053.001.01", "camt.053.001.14", "camt.052.001.08", "x"])
def test_another_message_is_held(other: str):
    """Notifications and interim reports (054, 052) are no statements."""
    assert "no camt.053" in str(held(changed("camt.053.001.08", other)))


def test_a_file_without_a_namespace_is_read():
    """Some banks leave it out."""
    assert camt053.read(re.sub(' xmlns="[^"]*"', "", DEPOSITS).encode())


def test_elements_of_another_namespace_do_not_count():
    """Supplementary data may hold anything, even what looks like a statement."""
    foreign = '<SplmtryData xmlns="urn:bank"><Ntry><Amt>1</Amt></Ntry></SplmtryData>'
    entry = '<Ntry xmlns="urn:bank"><Amt>1</Amt></Ntry>'
    extended = changed("</Stmt>", f"{foreign}{entry}</Stmt>")

    assert camt053.read(extended.encode()) == camt053.read(DEPOSITS.encode())


def test_a_byte_order_mark_and_crlf_are_xml():
    """Both are well formed; they change nothing."""
    data = b"\xef\xbb\xbf" + DEPOSITS.replace("\n", "\r\n").encode()

    assert camt053.read(data) == camt053.read(DEPOSITS.encode())


class Booking(NamedTuple):
    """What the writer below needs to know of an entry."""

    amount: int
    status: str
    reference: str


def write(code: str, opening: int, bookings: list[Booking], prefix: str, old: bool) -> str:
    """Write a statement from the standard's words, knowing nothing of the reader."""
    closing = opening + sum(b.amount for b in bookings if b.status == "BOOK")

    def amount(minor: int) -> str:
        text = decimal_text(abs(minor), currency(code))
        sign = "DBIT" if minor < 0 else "CRDT"
        return f'<Amt Ccy="{code}">{text}</Amt><CdtDbtInd>{sign}</CdtDbtInd>'

    def balance(kind: str, minor: int) -> str:
        return (
            f"<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp>{amount(minor)}"
            "<Dt><Dt>2026-11-23</Dt></Dt></Bal>"
        )

    entries = "".join(
        f"<Ntry>{amount(b.amount)}"
        + (f"<Sts>{b.status}</Sts>" if old else f"<Sts><Cd>{b.status}</Cd></Sts>")
        + "<BookgDt><Dt>2026-11-23</Dt></BookgDt><NtryDtls><TxDtls><Refs>"
        + f"<EndToEndId>{b.reference}</EndToEndId></Refs></TxDtls></NtryDtls></Ntry>"
        for b in bookings
    )
    text = (
        "<Document><BkToCstmrStmt><Stmt><Id>1</Id><Acct><Id><Othr><Id>9</Id></Othr></Id>"
        f"<Ccy>{code}</Ccy></Acct>{balance('OPBD', opening)}{balance('CLBD', closing)}"
        f"{entries}</Stmt></BkToCstmrStmt></Document>"
    )
    namespace = f"urn:iso:std:iso:20022:tech:xsd:camt.053.001.{'04' if old else '10'}"
    if prefix:
        text = re.sub("<(/?)", rf"<\1{prefix}:", text)
    return text.replace("Document", f"Document xmlns{prefix and ':'}{prefix}='{namespace}'", 1)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(["USD", "JPY", "KWD"]),
    st.integers(-(10**12), 10**12),
    st.lists(
        st.builds(
            Booking,
            st.integers(-(10**12), 10**12),
            st.sampled_from(["BOOK", "PDNG"]),
            st.from_regex(r"CF[0-9]{12}", fullmatch=True),
        ),
        max_size=6,
    ),
    st.sampled_from(["", "ns2", "camt"]),
    st.booleans(),
)
def test_whatever_is_written_comes_back(
    code: str, opening: int, bookings: list[Booking], prefix: str, old: bool
):
    """In currencies with no, two and three decimals, with any prefix, in old and new form."""
    (statement,) = camt053.read(write(code, opening, bookings, prefix, old).encode())

    booked = [b for b in bookings if b.status == "BOOK"]
    assert (statement.currency, statement.opening_minor) == (code, opening)
    assert [(e.amount_minor, e.references[0]) for e in statement.entries] == [
        (b.amount, b.reference) for b in booked
    ]
    assert statement.not_booked == len(bookings) - len(booked)


@settings(max_examples=100, deadline=None)
@given(st.from_regex(r"[0-9]{1,9}(\.[0-9]{0,5})?", fullmatch=True), st.sampled_from([0, 2, 3]))
def test_decimals_become_minor_units_exactly(text: str, exponent: int):
    """As the decimal module reckons; more decimals than the currency has are held."""
    code = {0: "JPY", 2: "USD", 3: "KWD"}[exponent]
    minor = Decimal(text).scaleb(exponent)
    file = write(code, 0, [], "", False)
    file = re.sub(r'(Ccy="...">)[0-9.]+', rf"\g<1>{text}", file)

    if minor == int(minor):
        assert camt053.read(file.encode())[0].opening_minor == int(minor)
    else:
        assert "more decimals than" in str(held(file))


@pytest.mark.parametrize(
    "text", ["", "-5.00", "+5.00", "5,00", ".5", "5e2", "1 000", "٥", "1_0", "NaN"]
)
def test_what_is_no_plain_decimal_is_held(text: str):
    """Signs are said by CdtDbtInd, and digits are ASCII."""
    assert "no decimal number" in str(held(changed(">500.00<", f">{text}<")))


@pytest.mark.parametrize("sample", [DEPOSITS, PREFIXED])
def test_a_statement_cut_off_anywhere_is_held(sample: str):
    """At every byte; only blank lines behind the last element are no loss."""
    whole = sample.encode()

    for end in range(len(whole.rstrip())):
        held(whole[:end])


SEEN_WHEN_CHANGED = {
    "Id",
    "ElctrncSeqNb",
    "Dt",
    "DtTm",
    "NtryRef",
    "AcctSvcrRef",
    "EndToEndId",
    "Ustrd",
    "Cd",  # The bank's own code of a booking; a Cd of the standard has no digits.
}
NOT_LOOKED_AT = {"MsgId", "CreDtTm"}


def test_a_changed_digit_is_held_or_seen():
    """
    Any digit of the statement changed to any other holds the file (amounts, and dates that do
    not exist) or is read as it stands (names, references, dates), for the matching to see.
    """
    pending = 'Ccy="USD">77.00'
    original = camt053.read(DEPOSITS.encode())
    outcomes: dict[str, set[str]] = {"seen": set(), "held": set(), "unseen": set()}
    for found in re.finditer(r"<([A-Za-z]+)[^<>]*>([^<>]*[0-9][^<>]*)</", DEPOSITS):
        if found[0].find(pending) >= 0:
            continue  # Not booked: it is not read.
        for at in (i for i in range(*found.span(2)) if DEPOSITS[i].isdigit()):
            for digit in "0123456789".replace(DEPOSITS[at], ""):
                try:
                    read = camt053.read((DEPOSITS[:at] + digit + DEPOSITS[at + 1 :]).encode())
                except FileHeld:
                    outcomes["held"].add(found[1])
                else:
                    outcomes["unseen" if read == original else "seen"].add(found[1])

    assert outcomes["held"] - outcomes["seen"] == {"Amt"}
    assert outcomes["unseen"] - {"DtTm", "Cd", "Dt"} == NOT_LOOKED_AT
    assert outcomes["seen"] == SEEN_WHEN_CHANGED


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"01,BANK,MERCHANT,261123,0500,1,,,2/\n",
        DEPOSITS.encode("utf-16"),
        DEPOSITS.encode("utf-16-le"),
        DEPOSITS.encode("utf-16-be"),
        DEPOSITS.encode("utf-32"),
        DEPOSITS.replace("UTF-8", "UTF-16").encode("utf-16-le"),
        DEPOSITS.replace("UTF-8", "ISO-8859-1").encode("latin-1"),
        DEPOSITS.replace("SETTLEMENT", "GUTSCHRIFT FÜR").encode("latin-1"),
        DEPOSITS.replace("UTF-8", "UTF-7").encode(),
        DEPOSITS.replace("UTF-8", "EBCDIC-CP-US").encode("cp037"),
        DEPOSITS.replace("SETTLEMENT", "SETT\0LEMENT").encode(),
        DEPOSITS.encode() + DEPOSITS.encode(),
        DEPOSITS.encode() + b"x",
        b" " + DEPOSITS.encode(),
        DEPOSITS.replace("SETTLEMENT", "A & B").encode(),
        DEPOSITS.replace("SETTLEMENT", "&unknown;").encode(),
        DEPOSITS.replace("SETTLEMENT", "&#0;").encode(),
        DEPOSITS.replace("<NtryDtls>", "<x:NtryDtls>").encode(),
    ],
)
def test_other_encodings_and_what_is_no_xml_are_held(data: bytes):
    """UTF-8 it must be, whatever the file declares, and well formed to its end."""
    held(data)


BILLION_LAUGHS = "<!DOCTYPE Document [<!ENTITY a0 'ha'>" + "".join(
    f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("doctype", "text"),
    [
        (BILLION_LAUGHS + "]>", "&a9;"),
        (f"<!DOCTYPE Document [<!ENTITY a '{'x' * 50_000}'>]>", "&a;" * 50_000),
        ("<!DOCTYPE Document [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>", "&a;"),
        ("<!DOCTYPE Document [<!ENTITY % a SYSTEM 'http://127.0.0.1/a.dtd'> %a;]>", "x"),
        ("<!DOCTYPE Document SYSTEM 'http://127.0.0.1/a.dtd'>", "x"),
        ("<!DOCTYPE Document>", "x"),
        ("<!DOCTYPE Document [<!ATTLIST Amt Ccy CDATA 'USD'>]>", "x"),
    ],
)
def test_a_document_type_is_refused_before_it_is_read(doctype: str, text: str):
    """No entity grows, no file is opened, no host is asked, and it takes no time."""
    bomb = changed("?>\n", f"?>\n{doctype}\n").replace("SETTLEMENT", text)

    begun = time.process_time()
    fault = held(bomb)

    assert "document type" in str(fault)
    assert time.process_time() - begun < 1


def test_the_parser_itself_refuses_a_document_type(monkeypatch: pytest.MonkeyPatch):
    """Should the look before it ever miss one."""
    monkeypatch.setattr(hardened_xml, "_check_bytes", lambda content, bytes_max: None)

    assert "document type" in str(held(changed("?>\n", "?>\n<!DOCTYPE Document>\n")))
    assert "document type" in str(held(changed("?>\n", f"?>\n{BILLION_LAUGHS}]>\n")))


def test_nesting_elements_texts_and_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch):
    """Each by a limit of its own, and quickly."""
    begun = time.process_time()
    assert "too deep" in str(held(changed("SETTLEMENT", "<a>" * 50_000)))
    assert "too many elements" in str(held(changed("SETTLEMENT", "<a/>" * 500_000)))
    assert "a text is too long" in str(held(changed("SETTLEMENT", "x" * 5000)))
    assert "a text is too long" in str(held(changed("SETTLEMENT", "x<!---->" * 5000)))
    lines = f"{'x' * 4000}</Ustrd><Ustrd>" * 30
    assert "the text of an entry is too long" in str(held(changed("SETTLEMENT", lines)))
    assert "too large" in str(held(b"x" * (16 * 1024 * 1024 + 1)))
    held(changed("<Stmt>", "<Stmt " + " ".join(f"a{n}='1'" for n in range(50_000)) + ">x<"))
    monkeypatch.setattr(camt053, "ENTRIES_MAX", 2)
    assert "too many entries" in str(held(DEPOSITS))
    assert time.process_time() - begun < 6


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("1935.63", "1935.64", "Record 12: the opening balance and the entries do not give"),
        (">500.00<", ">4111111111111111<", "expected -**************7587, found 143513."),
        ("OPBD", "ITBD", "Record 5: a statement has no opening (OPBD or PRCD) balance."),
        ("CLBD", "CLAV", "Record 5: a statement has no closing (CLBD) balance."),
        ("OPBD", "CLBD", "Record 12: a statement has two CLBD balances."),
        ('Ccy="USD">1935.63', 'Ccy="EUR">1935.63', "account's currency: expected USD, found EUR"),
        ('Ccy="USD">500', 'Ccy="EUR">500', "not in the account's currency"),
        ('Amt Ccy="USD">500', "Amt>500", "expected USD, found nothing"),
        ("<Ccy>USD", "<Ccy>XTS", "the account's currency is not on the list of ISO 4217"),
        ("1935.63", "1935.630001", "Record 15: an amount is no decimal number"),
        ("1935.63", "1935.63001", "Record 15: an amount has more decimals than USD"),
        ("DBIT", "C", "CdtDbtInd is neither CRDT nor DBIT"),
        ("<Cd>BOOK", "<Cd>DONE", "an entry is neither booked nor pending: found DONE"),
        ("<Sts><Cd>BOOK</Cd></Sts>", "", "Ntry has no Sts"),
        ("<BookgDt><Dt>2026-11-23</Dt></BookgDt>", "", "Ntry has no BookgDt"),
        ("<Dt>2026-11-24", "<Dt>2026-02-30", "ValDt holds no date that exists"),
        ("<Dt>2026-11-24", "<Dt>2026-11-24T25", "ValDt holds no date that exists"),
        ("<Id>20261123-MERCHANT</Id>", "", "Stmt has no Id"),
        ("<Id>20261123-MERCHANT</Id>", "<Id/>", "Id is empty"),
        ("<Id>MERCHANT0000001USD</Id>", "<Id> </Id>", "Id is empty"),
        (">226<", ">x<", "ElctrncSeqNb is no number"),
        ("<NtryRef>1</NtryRef>", "<RvslInd>maybe</RvslInd>", "RvslInd is neither true nor false"),
        ("<NtryRef>1</NtryRef>", "<Amt Ccy='USD'>1</Amt>", "Record 15: Amt stands twice in Ntry"),
        ("<ElctrncSeqNb>", "<Id>2</Id><ElctrncSeqNb>", "Id stands twice in Stmt"),
        ("<Ccy>USD</Ccy>", "<Ccy>USD</Ccy><Ccy>USD</Ccy>", "Ccy stands twice in Acct"),
        ("BkToCstmrStmt", "BkToCstmrAcctRpt", "not well-formed"),
    ],
)
def test_the_sentence_says_what_and_where(old: str, new: str, sentence: str):
    """A person finds the element by its line."""
    assert sentence in str(held(changed(old, new)))


def test_a_balance_twice_and_a_statement_twice_are_held():
    """Nobody knows which of the two would count."""
    balance = re.findall(r"<Bal>.*?</Bal>", DEPOSITS, re.DOTALL)[1]
    assert "two CLBD balances" in str(held(changed(balance, balance * 2)))
    statement = re.findall(r"<Stmt>.*?</Stmt>", DEPOSITS, re.DOTALL)[0]
    assert "in the file twice" in str(held(changed(statement, statement * 2)))
    assert "the number of statements" in str(held(changed(statement, "")))
    dated = changed("<Dt><Dt>2026-11-23</Dt></Dt>", "<Dt><Dt>2026-11-24</Dt></Dt>")
    assert "closes before it opens" in str(held(dated))


def test_a_payment_split_over_several_transactions_is_one_entry_with_all_references():
    """A batch booking: one amount, two deposits."""
    second = "<TxDtls><Refs><EndToEndId>CF261120000002</EndToEndId></Refs></TxDtls></NtryDtls>"
    (statement,) = camt053.read(changed("</NtryDtls>", second).encode())

    assert {"CF261120000001", "CF261120000002"} <= set(statement.entries[0].references)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_damaged_bytes_are_held_or_read_never_anything_else(data: st.DataObject):
    """No other exception comes out."""
    whole = bytearray(data.draw(st.sampled_from([DEPOSITS, PREFIXED])).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        statements = camt053.read(bytes(whole))
    except FileHeld:
        return
    assert all(
        each.opening_minor + sum(e.amount_minor for e in each.entries) == each.closing_minor
        for each in statements
    )


def test_five_thousand_entries_are_read_in_seconds():
    """A month of a large merchant."""
    bookings = [Booking(n, "BOOK", f"CF26112{n:07d}") for n in range(5_000)]
    data = write("USD", 0, bookings, "ns2", False).encode()

    begun = time.process_time()
    (statement,) = camt053.read(data)

    assert len(statement.entries) == 5_000
    assert time.process_time() - begun < 5
