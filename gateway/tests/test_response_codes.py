"""
What an acquirer's answer means: the dated table, its approvals, and what may be tried again.
"""

from datetime import date, timedelta

import pytest
from counterfoil.network import response_codes
from counterfoil.network.response_codes import (
    APPROVALS,
    PARTIAL_APPROVAL,
    Class,
    Limit,
    Retry,
    advice,
    ask_again,
    counts_as_decline,
    forbids_another,
    meaning,
    network_limits,
)

# Protocols 1.6, class by class.
APPROVING = ("00", "08", "11")
NEITHER = ("10", "85")  # A part only; a verification only.
PICK_UP = ("04", "07", "33", "34", "35", "36", "41", "43")
ISSUER = (
    "63",
    "01", "02", "05", "14", "15", "38", "39", "46", "51", "52", "53", "54", "55", "57", "59",
    "61", "62", "65", "70", "75", "78", "82", "93", "N7", "1A", "R0", "R1", "R3",
)  # fmt: skip
REQUEST = ("03", "12", "13", "21", "25", "30", "40", "58", "76", "77", "79", "94", "95")
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


@pytest.mark.parametrize(
    ("codes", "kind"),
    [
        (PICK_UP, Class.PICK_UP),
        (ISSUER, Class.DECLINED),
        (REQUEST, Class.FAULTY),
        (TECHNICAL, Class.TECHNICAL),
    ],
)
def test_every_code_says_whose_no_it_is(codes: tuple[str, ...], kind: Class) -> None:
    """Protocols 1.6, the column "class"."""
    assert {meaning(code).kind for code in codes} == {kind}


@pytest.mark.parametrize("code", [*TECHNICAL, "13", "30", "58", "94"])
def test_an_outage_and_our_own_fault_are_no_declines(code: str) -> None:
    """Nobody is refused because a host was down."""
    assert not counts_as_decline(code, "visa")


@pytest.mark.parametrize("code", [*PICK_UP, *ISSUER, "ZZ", "12"])
def test_what_the_issuer_says_counts(code: str) -> None:
    """And what must never be tried again."""
    assert counts_as_decline(code, "visa")


@pytest.mark.parametrize(
    ("code", "seconds", "times"),
    [("91", 1.0, 2), ("96", 1.0, 2), ("06", 1.0, 1), ("19", 1.0, 1), ("90", 30.0, 1)],
)
def test_a_technical_no_may_be_asked_again(code: str, seconds: float, times: int) -> None:
    """After a pause, so often, and no other code at all."""
    rule = ask_again(code, "visa", None)

    assert rule is not None
    assert (rule.after_seconds, rule.tries_max) == (seconds, times)


@pytest.mark.parametrize(
    "code", [each for each in EVERY if each not in ("91", "96", "06", "19", "22", "90")]
)
def test_nothing_else_is_ever_asked_again(code: str) -> None:
    """Least of all a decline."""
    assert ask_again(code, "visa", None) is None


# Protocols 1.6: what may be done after each code, and the category where the page has one. Of two
# that it offers, the milder, because the hard one forbids the card for a month.
NEXT = {
    Retry.NEVER: {"03": 2, "04": 1, "07": 1, "12": 1, "15": 1, "21": None, "25": None, "30": None,
                  "33": 1, "34": 2, "35": 1, "36": 1, "40": None, "41": 1, "43": 1, "46": 1,
                  "57": 1, "58": None, "59": 2, "63": 2, "76": None, "77": None, "79": None,
                  "92": 4, "93": 2, "94": None, "95": None, "R0": 1, "R1": 1, "R3": 1},
    Retry.SOON: {"06": 4, "19": 2, "22": 4, "28": 4, "68": 4, "80": 4, "81": 4, "88": 4, "90": 4,
                 "91": 2, "96": 2},
    Retry.LATER: {"05": 4, "51": 2, "61": 2, "65": 2, "75": 2},
    Retry.AFTER_CORRECTION: {"13": 4, "14": 3, "1A": 3, "38": 2, "54": 3, "55": 3, "70": 3,
                             "82": 3, "N7": 3},
    Retry.OTHER_CARD: {"01": 4, "02": 4, "39": 2, "52": 2, "53": 2, "62": 2, "78": 2},
}  # fmt: skip


def test_every_code_says_what_may_be_done_next() -> None:
    """Each row of the table, retry and category: nothing is left to whoever edits it."""
    said = {
        retry: {
            each.code: each.category
            for each in response_codes.codes()
            if each.retry is retry and each.kind is not Class.APPROVED
        }
        for retry in Retry
    }

    assert said == NEXT


def test_where_the_network_gives_advice_nothing_is_asked_again() -> None:
    """No advice is no permission either."""
    assert ask_again("91", "mastercard", None) is None
    assert ask_again("91", "visa", "02") is None


def test_one_brands_own_meaning_goes_first() -> None:
    """65 is another thing at Mastercard."""
    assert meaning("65", "mastercard").retry is Retry.AFTER_CORRECTION
    assert meaning("65", "visa").retry is Retry.LATER
    assert meaning("65").retry is Retry.LATER


@pytest.mark.parametrize(
    ("code", "advised", "forbidden"),
    [("41", None, True), ("46", "02", True), ("05", None, False), ("05", "03", True),
     ("05", "21", True), ("05", "24", False), ("05", "99", False)],
)  # fmt: skip
def test_category_one_and_some_advice_forbid_another_try(
    code: str, advised: str | None, forbidden: bool
) -> None:
    """Mastercard's 03 and 21; category 1 whatever the advice."""
    assert forbids_another(code, "mastercard", advised) is forbidden


def test_an_advice_says_when() -> None:
    """24: after an hour."""
    said = advice("24")

    assert said is not None
    assert said.after == timedelta(hours=1)
    assert advice("99") is None
    assert advice(None) is None


def test_the_networks_limits() -> None:
    """As of 2026: twenty reattempts in thirty days; ten tries a day and 35 in thirty."""
    assert network_limits("visa") == (Limit(21, timedelta(days=30)),)
    assert network_limits("mastercard") == (
        Limit(10, timedelta(days=1)),
        Limit(35, timedelta(days=30)),
    )
    assert network_limits("amex") == ()
