"""
What an acquirer's answer means: the dated table, its approvals, and what may be tried again.
"""

from datetime import date

import pytest
from counterfoil.network import response_codes
from counterfoil.network.response_codes import APPROVALS, PARTIAL_APPROVAL, Retry, meaning

# Protocols 1.6, class by class.
APPROVING = ("00", "08", "11")
NEITHER = ("10", "85")  # A part only; a verification only.
PICK_UP = ("04", "07", "33", "34", "35", "36", "41", "43")
ISSUER = (
    "01", "02", "05", "14", "15", "38", "39", "46", "51", "52", "53", "54", "55", "57", "59",
    "61", "62", "65", "70", "75", "78", "82", "93", "N7", "1A", "R0", "R1", "R3",
)  # fmt: skip
REQUEST = ("03", "12", "13", "21", "25", "30", "40", "58", "63", "76", "77", "79", "94", "95")
TECHNICAL = ("06", "19", "22", "28", "68", "80", "81", "88", "90", "91", "92", "96")
EVERY = APPROVING + NEITHER + PICK_UP + ISSUER + REQUEST + TECHNICAL

UNKNOWN = meaning("ZZ")


@pytest.mark.parametrize("code", EVERY)
def test_every_code_of_the_standard_is_in_the_table(code: str) -> None:
    """Words for the shopper and words for the merchant, and not those of an unknown code."""
    said = meaning(code)

    assert said is not UNKNOWN
    assert said.merchant != UNKNOWN.merchant
    assert said.shopper.endswith(".")
    assert said.merchant.endswith(".")


@pytest.mark.parametrize("code", EVERY)
def test_only_approvals_approve(code: str) -> None:
    """What the words say and what the money does is the same."""
    assert meaning(code).approves is (code in APPROVING)
    assert (code in APPROVALS) is (code in APPROVING)


def test_a_partial_approval_is_no_approval() -> None:
    """This version takes all or nothing."""
    assert PARTIAL_APPROVAL == "10"
    assert PARTIAL_APPROVAL not in APPROVALS


@pytest.mark.parametrize("code", ["ZZ", "", "0", "000", "A0"])
def test_an_unknown_code_is_a_decline_that_is_not_tried_again(code: str) -> None:
    """A host's own code never becomes an approval, and never a storm of retries."""
    said = meaning(code)

    assert not said.approves
    assert said.retry is Retry.NEVER


@pytest.mark.parametrize("code", [*PICK_UP, "59"])
def test_a_stolen_card_is_not_called_so_in_front_of_the_shopper(code: str) -> None:
    """Never retried, and the reason not shown to the payer."""
    said = meaning(code)

    assert said.retry is Retry.NEVER
    for word in ("stolen", "lost", "fraud", "pick", "police"):
        assert word not in said.shopper.lower()


@pytest.mark.parametrize("code", ["15", "46", "93", "R0", "R1", "R3"])
def test_what_can_never_work_is_never_tried_again(code: str) -> None:
    """Card networks fine merchants who do."""
    assert meaning(code).retry is Retry.NEVER


@pytest.mark.parametrize("code", ["19", "91", "96", "90", "06"])
def test_a_technical_fault_may_be_tried_again_soon(code: str) -> None:
    """A new payment, after a pause."""
    assert meaning(code).retry is Retry.SOON


@pytest.mark.parametrize(("code", "word"), [("54", "expired"), ("82", "code"), ("N7", "code")])
def test_what_the_shopper_can_correct_is_said(code: str, word: str) -> None:
    """The date, the security code."""
    assert word in meaning(code).shopper
    assert meaning(code).retry is Retry.AFTER_CORRECTION


def test_no_text_is_meant_for_machines() -> None:
    """A shopper sees no code, no abbreviation of ours and no bare word."""
    for code in EVERY:
        said = meaning(code).shopper
        assert " " in said or said == "Approved."
        assert "DE 39" not in said
        assert code not in said.split()


def test_a_reversal_ends_by_what_says_that_nothing_is_booked() -> None:
    """Protocols 1.7: accepted, no action, already reversed; 25 only after the late window."""
    assert {"00", "21", "79"} == response_codes.REVERSAL_FINISHED
    assert response_codes.REVERSAL_ORIGINAL_UNKNOWN == "25"


def test_an_advice_ends_or_is_tried_again_never_both() -> None:
    """Accepted or already there; a technical fault is tried again; the rest is refused."""
    assert {"00", "94"} == response_codes.ADVICE_ACCEPTED
    assert not response_codes.ADVICE_ACCEPTED & response_codes.ADVICE_TRY_AGAIN
    assert set(TECHNICAL) - {"80", "81", "88"} == response_codes.ADVICE_TRY_AGAIN


def test_the_table_says_when_it_was_true() -> None:
    """Networks change their rules; a reader sees how old these are."""
    assert date(2026, 1, 1) <= response_codes.TABLE_AS_OF <= date.today()  # noqa: DTZ011
