"""
The table of response codes (DE 39) and advice codes (DE 48, tag 21): data with a date.

Networks change their rules, and sources disagree about some codes; so whoever corrects a row
here corrects `TABLE_AS_OF` too. What the columns mean stands in `response_codes.py`, the page
for readers is made from both (docs/reference/response-codes.md).

Sources: ISO 8583:1987 as hosts of that style publish it; the grouping of declines into four
categories and the limit of reattempts as processors publish Visa's Core Rules (18 April 2026);
advice codes and their limits as processors publish Mastercard's.
"""

from datetime import date

TABLE_AS_OF = date(2026, 11, 27)

TRY_OTHER = "Your card was declined. Please use another card."
ASK_BANK = "Your bank declined the payment. Please use another card or call your bank."
LATER = "The payment could not be completed. Please try again in a few minutes."
CHECK = "Some card details are not right. Please check them and try again."
SHOP = "We cannot take this payment just now. Please try another card or contact the shop."
APPROVED = "Approved."
NO_MONEY = "There is not enough money on the card. Please use another one."
EXPIRED = "The card has expired. Please check the date or use another one."
WRONG_CODE = "The security code is not right. Please check it and try again."
CONFIRM = "Your bank wants you to confirm this payment. Please try again and confirm it."

STOLEN = "The issuer wants the card kept (lost, stolen or fraud). Do not retry, do not say why."
MALFUNCTION = "A cryptographic error at the host."

# code, class, retry, category (None: not an issuer's decline), to the shopper, to the merchant.
ROWS: tuple[tuple[str, str, str, int | None, str, str], ...] = (
    ("00", "A", "never", None, APPROVED, "Approved."),
    ("01", "D", "other_card", 4, ASK_BANK, "Refer to the issuer: ask for a voice authorization."),
    ("02", "D", "other_card", 4, ASK_BANK, "Refer to the issuer, special condition."),
    (
        "03",
        "F",
        "never",
        2,
        SHOP,
        "The acquirer does not know this merchant: check the merchant id.",
    ),
    ("04", "P", "never", 1, TRY_OTHER, STOLEN),
    ("05", "D", "later", 4, ASK_BANK, "Do not honor: the issuer gives no reason."),
    ("06", "T", "soon", 4, LATER, "An error at the host. One retry after a pause."),
    ("07", "P", "never", 1, TRY_OTHER, STOLEN),
    ("08", "A", "never", None, APPROVED, "Approved."),
    (
        "10",
        "A",
        "other_card",
        None,
        TRY_OTHER,
        "Approved for a part only; this shop takes all or nothing.",
    ),
    ("11", "A", "never", None, APPROVED, "Approved."),
    ("12", "F", "never", 1, SHOP, "Invalid transaction: the host does not allow it as sent."),
    ("13", "F", "after_correction", 4, SHOP, "Invalid amount."),
    ("14", "D", "after_correction", 3, CHECK, "Invalid card number."),
    ("15", "D", "never", 1, TRY_OTHER, "No such issuer."),
    ("19", "T", "soon", 2, LATER, "Re-enter the transaction, once."),
    ("1A", "D", "after_correction", 3, CONFIRM, "The issuer wants strong customer authentication."),
    ("21", "F", "never", None, SHOP, "The host took no action."),
    ("22", "T", "soon", 4, LATER, "Suspected malfunction at the host. At most two retries."),
    ("25", "F", "never", None, SHOP, "The host does not find the original."),
    ("28", "T", "soon", 4, LATER, "The host's files are being updated."),
    (
        "30",
        "F",
        "never",
        None,
        SHOP,
        "The host could not read the message: report this to the operator.",
    ),
    ("33", "P", "never", 1, TRY_OTHER, STOLEN),
    ("34", "P", "never", 2, TRY_OTHER, STOLEN),
    ("35", "P", "never", 1, TRY_OTHER, STOLEN),
    ("36", "P", "never", 1, TRY_OTHER, STOLEN),
    ("38", "D", "after_correction", 2, CHECK, "Allowable PIN tries exceeded."),
    ("39", "D", "other_card", 2, TRY_OTHER, "No credit account behind this card."),
    ("40", "F", "never", None, SHOP, "The host does not support this function."),
    ("41", "P", "never", 1, TRY_OTHER, STOLEN),
    ("43", "P", "never", 1, TRY_OTHER, STOLEN),
    ("46", "D", "never", 1, TRY_OTHER, "The account is closed. Remove the stored card."),
    ("51", "D", "later", 2, NO_MONEY, "Insufficient funds."),
    ("52", "D", "other_card", 2, TRY_OTHER, "No checking account behind this card."),
    ("53", "D", "other_card", 2, TRY_OTHER, "No savings account behind this card."),
    ("54", "D", "after_correction", 3, EXPIRED, "Expired card."),
    ("55", "D", "after_correction", 3, CHECK, "Wrong PIN."),
    ("57", "D", "never", 1, TRY_OTHER, "This card may not be used for this kind of payment."),
    (
        "58",
        "F",
        "never",
        None,
        SHOP,
        "This terminal may not do this: check its set-up at the acquirer.",
    ),
    ("59", "D", "never", 2, ASK_BANK, "Suspected fraud."),
    ("61", "D", "later", 2, ASK_BANK, "Over the card's amount limit."),
    ("62", "D", "other_card", 2, TRY_OTHER, "Restricted card."),
    ("63", "D", "never", 2, SHOP, "Security violation."),
    ("65", "D", "later", 2, ASK_BANK, "Over the card's limit of uses."),
    ("68", "T", "soon", 4, LATER, "The answer came too late at the host."),
    ("70", "D", "after_correction", 3, CHECK, "The issuer asks for a PIN."),
    ("75", "D", "later", 2, ASK_BANK, "PIN tries exceeded."),
    ("76", "F", "never", None, SHOP, "The host finds another original than the one named."),
    ("77", "F", "never", None, SHOP, "The message does not agree with its original."),
    ("78", "D", "other_card", 2, ASK_BANK, "The card is blocked, or not yet in use."),
    ("79", "F", "never", None, SHOP, "Already reversed at the host."),
    ("80", "T", "soon", 4, LATER, "A date was wrong at the host."),
    ("81", "T", "soon", 4, LATER, MALFUNCTION),
    ("82", "D", "after_correction", 3, WRONG_CODE, "Security code or cryptogram wrong."),
    ("85", "A", "never", None, SHOP, "The card was verified only; nothing was authorized."),
    ("88", "T", "soon", 4, LATER, MALFUNCTION),
    ("90", "T", "soon", 4, LATER, "The host is changing its business day: retry after a minute."),
    ("91", "T", "soon", 2, LATER, "The issuer cannot be reached. At most two retries."),
    ("92", "T", "never", 4, SHOP, "The host finds no route for this card."),
    ("93", "D", "never", 2, TRY_OTHER, "Cannot be completed: against the law."),
    ("94", "F", "never", None, SHOP, "The host saw this trace number before."),
    ("95", "F", "never", None, SHOP, "The host's totals differ from ours."),
    ("96", "T", "soon", 2, LATER, "The host has a malfunction. At most two retries."),
    ("N7", "D", "after_correction", 3, WRONG_CODE, "Security code wrong."),
    ("R0", "D", "never", 1, TRY_OTHER, "The cardholder stopped this payment."),
    ("R1", "D", "never", 1, TRY_OTHER, "The cardholder stopped all such payments."),
    ("R3", "D", "never", 1, TRY_OTHER, "The cardholder stopped all payments to this merchant."),
)

# What one brand says otherwise: brand, then as above.
BRAND_ROWS: tuple[tuple[str, str, str, str, int | None, str, str], ...] = (
    (
        "mastercard", "65", "D", "after_correction", 3, CONFIRM,
        "The issuer wants strong customer authentication (elsewhere: over the limit of uses).",
    ),
    (
        "mastercard", "70", "D", "other_card", 4, ASK_BANK,
        "Contact the issuer (elsewhere: the issuer asks for a PIN).",
    ),
)  # fmt: skip

# Technical codes after which the gateway may ask again by itself, if it is configured to:
# code, seconds to wait, how often at most. 90 wants a longer pause than a payment has.
AGAIN_ROWS: tuple[tuple[str, float, int], ...] = (
    ("06", 1.0, 1),
    ("19", 1.0, 1),
    ("22", 1.0, 2),  # As 96.
    ("90", 30.0, 1),
    ("91", 1.0, 2),
    ("96", 1.0, 2),
)

# Advice codes: code, whether another try is forbidden, hours to wait before one, in words.
ADVICE_ROWS: tuple[tuple[str, bool, int, str], ...] = (
    ("01", False, 0, "New account data is known: update the card, then try again."),
    ("02", False, 72, "Cannot be approved at this time: try again later."),
    ("03", True, 0, "Do not try again with this card."),
    ("04", False, 0, "The requirements of the token are not met: correct and try again."),
    ("21", True, 0, "The cardholder has cancelled this agreement: do not try again."),
    ("24", False, 1, "Try again after one hour."),
    ("25", False, 24, "Try again after 24 hours."),
    ("26", False, 48, "Try again after 2 days."),
    ("27", False, 96, "Try again after 4 days."),
    ("28", False, 144, "Try again after 6 days."),
    ("29", False, 192, "Try again after 8 days."),
    ("30", False, 240, "Try again after 10 days."),
    ("40", False, 0, "A prepaid card that cannot be reloaded."),
    ("41", False, 0, "A virtual card for one use only."),
    ("42", True, 0, "The issuer's sanctions score forbids it: do not try again."),
    ("43", False, 0, "A virtual card for several uses."),
)

# How often one card may be tried at one merchant for one amount and currency, the first try
# included: brand, tries, days. A decline of category 1, or an advice that forbids it, ends it.
LIMIT_ROWS: tuple[tuple[str, int, int], ...] = (
    ("visa", 21, 30),  # Twenty reattempts; older pages and some processors say fifteen.
    ("mastercard", 10, 1),
    ("mastercard", 35, 30),
)
