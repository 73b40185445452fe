"""
Messages: what a request says, and its answer, which echoes what must be.

How they look on the wire is the dialect's. MTIs that the host knows stand in `ECHOED`, each with
the fields that its answer repeats.
"""

from dataclasses import dataclass
from typing import NamedTuple

from counterfoil_rail.dialects import GW87, Dialect, Fields, UnreadableError

SIGN_ON, SIGN_OFF, CUTOVER, ECHO_TEST = "001", "002", "201", "301"  # DE 70

_PAYMENT = ("2", "3", "4", "7", "11", "12", "13", "32", "33", "37", "41", "42", "49")
_NETWORK = ("7", "11", "33", "70")
_CLOSE = ("7", "11", "32", "33", "41", "42", "50", "60")
ECHOED = {
    "0100": _PAYMENT,
    "0200": _PAYMENT,
    "0220": (*_PAYMENT, "90"),
    "0400": (*_PAYMENT, "90", "95"),
    "0420": (*_PAYMENT, "90", "95"),
    "0320": (*_PAYMENT, "60", "71", "72", "90"),
    "0500": _CLOSE,
    "0520": _CLOSE,
    "0800": _NETWORK,
}
_REPEATABLE = {f"{function[:3]}1" for function in ECHOED}
_END_OF_DAY = {"0320", "0500", "0520"}
NETWORK_ANSWER = "0810"
APPROVAL_CODE_LENGTH = 6  # DE 38: what an issuer says by voice may be shorter.
ORIGINAL_AMOUNT = "0057"  # DE 54: of an unnamed account, the amount that was asked.


class Key(NamedTuple):
    """
    What tells one request from all others; the MTI's repeat digit is cleared.
    """

    terminal_id: str
    sent_at: str
    stan: str
    mti: str


@dataclass(frozen=True, slots=True)
class Request:
    """
    One message as it came: `mti` as sent, `function` with its repeat digit cleared.
    """

    mti: str
    function: str
    fields: Fields
    key: Key

    def __repr__(self) -> str:
        """
        Say which message this is, and nothing of its card.
        """
        return f"<{self.mti} {self.key.terminal_id} {self.key.sent_at} {self.key.stan}>"

    @property
    def amount_minor(self) -> int:
        """
        DE 4, in minor units of the currency of DE 49.
        """
        return int(self.fields["4"])

    @property
    def is_refund(self) -> bool:
        """
        Tell whether DE 3 says that money goes back to the cardholder.
        """
        return self.fields["3"].startswith("20")

    @property
    def is_forced(self) -> bool:
        """
        Tell whether this takes money that the issuer approved by voice: a capture of nothing.
        """
        return self.function == "0220" and not self.is_refund and "90" not in self.fields

    @property
    def is_reversal(self) -> bool:
        """
        Tell whether this undoes an earlier message.
        """
        return self.function in {"0400", "0420"}

    @property
    def is_end_of_day(self) -> bool:
        """
        Tell whether this closes a batch or uploads one of its items.
        """
        return self.function in _END_OF_DAY

    def original(self) -> Key:
        """
        Return the key of the message that DE 90 names, on the same terminal.
        """
        named = self.fields["90"]
        return Key(self.key.terminal_id, named[10:20], named[4:10], clear_repeat(named[:4]))


class Answer(NamedTuple):
    """
    What the host says to a request, beside what it echoes. `further` are fields that only
    an answer to a close has; `approved_minor` is what an issuer approves when that is less
    than was asked; `note` is for the log only.
    """

    response_code: str
    approval_code: str | None = None
    settlement_date: str | None = None
    verification: str | None = None
    network_transaction_id: str | None = None
    approved_minor: int | None = None
    note: str = ""
    further: Fields | None = None


def read(message: bytes, dialect: Dialect = GW87) -> Request:
    """
    Read one message.

    Raises:
        UnreadableError: Its MTI is not one the host knows, or its fields cannot be told apart.
        WrongMacError: Its MAC is missing or wrong.
    """
    mti = dialect.mti(message)
    function = clear_repeat(mti)
    if function not in ECHOED and mti != NETWORK_ANSWER:
        raise UnreadableError("unknown_mti")
    fields = dialect.decode(message)
    key = Key(fields.get("41", ""), fields.get("7", ""), fields.get("11", ""), function)
    return Request(mti, function, fields, key)


def answer_fields(request: Request, answer: Answer) -> Fields:
    """
    Return the answer to *request*: its echoed fields and what *answer* adds.
    """
    asked = request.fields
    fields = {number: asked[number] for number in ECHOED[request.function] if number in asked}
    fields["t"] = answer_mti(request.function)
    fields["39"] = answer.response_code
    if answer.approval_code:
        fields["38"] = answer.approval_code.ljust(APPROVAL_CODE_LENGTH)
    if answer.settlement_date:
        fields["15"] = answer.settlement_date
    if answer.verification:
        fields["44"] = answer.verification
    if answer.network_transaction_id:
        fields["48"] = write_private({"20": answer.network_transaction_id})
    if answer.approved_minor is not None:
        fields["4"] = f"{answer.approved_minor:012d}"
        fields["54"] = f"{ORIGINAL_AMOUNT}{asked['49']}D{asked['4']}"
    if answer.further:
        fields |= answer.further
    return fields


def clear_repeat(mti: str) -> str:
    """
    Return the MTI of the first sending: 0420 for 0421.
    """
    return f"{mti[:3]}0" if mti in _REPEATABLE else mti


def answer_mti(function: str) -> str:
    """
    Return the MTI that answers *function*: 0210 for 0200, 0430 for 0420.
    """
    return f"{function[:2]}{int(function[2]) + 1}0"


def read_private(text: str) -> dict[str, str]:
    """
    Read the tags of DE 48: tag 2, length 2, value.

    Raises:
        ValueError: A length is no number or points beyond the end.
    """
    tags = {}
    position = 0
    while position < len(text):
        length = text[position + 2 : position + 4]
        end = position + 4 + int(length)
        if not length.isdigit() or end > len(text):
            raise ValueError("DE 48 ends inside a tag")
        tags[text[position : position + 2]] = text[position + 4 : end]
        position = end
    return tags


def write_private(tags: dict[str, str]) -> str:
    """
    Write the tags of DE 48.
    """
    return "".join(f"{tag}{len(value):02d}{value}" for tag, value in tags.items())
