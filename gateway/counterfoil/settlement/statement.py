"""
A bank statement as the rest of the gateway knows it, whatever format the bank sends.

`camt053` and `bai2` read their bytes into these types; matching a deposit looks at nothing
else. A statement counts only if its opening balance and its entries give its closing one.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date

import msgspec

from counterfoil.settlement.held import FileHeld, has_card_number, without_card_numbers

STATEMENT_BYTES_MAX = 16 * 1024 * 1024
TEXT_CHARACTERS_MAX = 100_000  # Of one entry; a remittance may run over many lines.
SUM_MINOR_MAX = 10**18 - 1  # What a bigint column holds, with room.
REFERENCE_CHARACTERS_MIN = 6  # Shorter words of a text are words, not references.
REFERENCE_CHARACTERS_MAX = 35  # ISO 20022, Max35Text.
NOT_PROVIDED = "NOTPROVIDED"  # ISO 20022's "there is no end-to-end reference".

_WORD = re.compile(r"[A-Za-z0-9]+")
_HYPHENATED = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)+")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """
    One booking on the account: a credit is positive, a debit negative, in minor units.

    `references` are the identifiers the bank gave and the words of its text that look like
    one, each once, so that a deposit is found by equality; `bank_reference` is the bank's
    own. `text` is for people. `is_return`: money that came before goes back. `code` is the
    bank's kind of booking (camt: domain-family-subfamily; BAI2: the type code).
    """

    amount_minor: int
    booked_on: date
    value_on: date
    references: tuple[str, ...]
    bank_reference: str
    text: str
    is_return: bool
    code: str


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a bank says happened on one account, from `booked_from` to `booked_to`.

    `statement_id` names the statement within its account; `sequence` is the bank's running
    number if it gives one. `not_booked` counts the entries left out because they are only
    announced (camt: pending) or move no money.
    """

    account: str
    currency: str
    statement_id: str
    sequence: int | None
    opening_minor: int
    closing_minor: int
    booked_from: date
    booked_to: date
    entries: tuple[Entry, ...]
    not_booked: int = 0


def balanced(statement: Statement, record: int) -> Statement:
    """
    Return *statement*, whose closing balance stands in *record*, if it adds up.

    Raises:
        FileHeld: Opening balance and entries do not give the closing balance.
    """
    closing = statement.opening_minor + sum(entry.amount_minor for entry in statement.entries)
    if closing != statement.closing_minor:
        raise FileHeld(
            "the opening balance and the entries do not give the closing balance (minor units)",
            expected=closing,
            found=statement.closing_minor,
            record=record,
        )
    if max(abs(closing), abs(statement.opening_minor)) > SUM_MINOR_MAX:
        raise FileHeld("a balance is larger than can be booked", record=record)
    if statement.booked_from > statement.booked_to:
        raise FileHeld(
            "a statement closes before it opens",
            expected=f"{statement.booked_from} or later",
            found=statement.booked_to,
            record=record,
        )
    return statement


def distinct(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """
    Return *statements* if no account has the same statement twice.

    Raises:
        FileHeld: One has.
    """
    by_name: dict[tuple[str, str], Statement] = {}
    for statement in statements:
        if by_name.setdefault((statement.account, statement.statement_id), statement) is not (
            statement
        ):
            raise FileHeld("the same statement stands in the file twice")
    return tuple(by_name.values())


def text_of(lines: Sequence[str], record: int) -> str:
    """
    Return the text of the entry in *record* for people to read, without card numbers.

    Raises:
        FileHeld: It is longer than an entry's text may be.
    """
    text = " ".join(filter(None, lines))
    if len(text) > TEXT_CHARACTERS_MAX:
        raise FileHeld(
            "the text of an entry is too long",
            expected=f"up to {TEXT_CHARACTERS_MAX} characters",
            found=len(text),
            record=record,
        )
    return without_card_numbers(text)


def references_of(identifiers: Iterable[str], texts: Sequence[str]) -> tuple[str, ...]:
    """
    Return what an entry may be found by, each once: *identifiers*, then words of *texts*.

    *texts* are the lines of one text; a word that a line's end cuts in two is put together
    again. A word of free text that looks like a card number is left out.
    """
    given = [name for name in identifiers if name and name != NOT_PROVIDED]
    words = [word for text in [*texts, *_over_line_ends(texts)] for word in _words(text)]
    return tuple(dict.fromkeys([*given, *words]))


def _over_line_ends(texts: Sequence[str]) -> Iterator[str]:
    """
    Yield each line's last word with what follows it, should the line's end have cut a word.
    """
    lines = [words for text in texts if (words := text.split())]
    for number, line in enumerate(lines):
        word = line[-1]
        for following in lines[number + 1 :]:
            word += following[0]
            yield word
            if len(following) > 1 or len(word) > REFERENCE_CHARACTERS_MAX:
                break


def _words(text: str) -> list[str]:
    """
    Return the words of *text* that may be a reference: of some length, with a digit.
    """
    return [
        word
        for word in [*_WORD.findall(text), *_HYPHENATED.findall(text)]
        if REFERENCE_CHARACTERS_MIN <= len(word) <= REFERENCE_CHARACTERS_MAX
        and any(map(str.isdigit, word))
        and not has_card_number(word)
    ]
