"""
Write the pages of the reference that the code knows best: problems, response codes, events,
scripts.

    .venv/bin/python docs/make_reference.py

What a program should do about a problem, and when an event is told, stands here; everything else
is the gateway's own tables. tests/contract/test_docs_are_current.py fails when a page is stale,
and when a problem has no advice or an event no words.
"""

from pathlib import Path

from counterfoil.api.operations import OPERATIONS, Operation
from counterfoil.api.problems import KINDS
from counterfoil.checkouts.inventory import Listed, inventory
from counterfoil.events.types import ALL_TYPES
from counterfoil.network.response_codes import TABLE_AS_OF, Again, ask_again, codes
from counterfoil.network.response_table import ADVICE_ROWS, BRAND_ROWS, LIMIT_ROWS

HERE = Path(__file__).parent / "reference"
MADE = "<!-- Made by docs/make_reference.py: change that, or the code. -->\n"

ADVICE = {
    "body_malformed": "Send a JSON object in UTF-8.",
    "field_unknown": "Leave `param` out, or correct its spelling.",
    "field_doubled": "Send each field once.",
    "field_missing": "Add `param`.",
    "field_wrong_type": "Send `param` as `detail` says: amounts are integers, not texts.",
    "field_out_of_range": "Correct `param` as `detail` says.",
    "currency_unknown": "Use three capital letters of ISO 4217.",
    "card_number_misplaced": "Send the number in `card.number` only: every other field is stored.",
    "card_number_invalid": "Have the shopper correct the number; nothing was asked of the issuer.",
    "card_expired": "Have the shopper correct the date, or take another card.",
    "email_invalid": "Send a bare address, or leave it out: then no receipt goes to the customer.",
    "idempotency_key_missing": "Send the header, with a new value for each payment or movement.",
    "idempotency_key_invalid": "Use 1 to 255 printable ASCII characters without spaces.",
    "query_invalid": "Correct `param` of the query.",
    "key_missing": "Send `Authorization: Bearer sk_...`.",
    "key_unknown": "Copy the key again, or have the operator make a new one.",
    "key_revoked": "Have the operator make a new key.",
    "key_expired": "Have the operator make a new key.",
    "key_of_other_mode": "Use a key of this gateway's mode, or the other gateway's address.",
    "credits_not_allowed": "Refund the payment instead, or have the operator allow credits.",
    "return_url_refused": "Use an https address on one of the merchant's return origins.",
    "webhook_url_refused": "Use a public https address; a private one is not called.",
    "feed_behind": "The gateway is being restored: ask again later with the same number.",
    "checkout_not_open": "Read the checkout: it is paid, or being paid; refund its payment.",
    "webhook_endpoint_disabled": "Enable the endpoint first, then replay; nothing was changed.",
    "webhook_endpoints_full": "Delete an endpoint that is not needed.",
    "not_found": "Check the path, or the id; another merchant's ids are not found either.",
    "method_not_allowed": "Use a method that the header `Allow` names.",
    "body_timeout": "Send it again under the same key; look at your connection.",
    "merchant_without_terminal": "Have the operator add a terminal; nothing was sent.",
    "state_conflict": "Look at `state` and at `possible`, which names the calls that are.",
    "payment_reversed": "Tell the shopper that nothing was charged. This never changes again.",
    "key_fenced": "Charge anew, under a new key: this one never charged and never will.",
    "body_too_large": "Send less; the limit is the setting `[api] body_bytes_max`.",
    "media_type_unsupported": "Send `Content-Type: application/json`.",
    "idempotency_key_reused": "Use a new key; the first request under this one stands as it was.",
    "amount_too_large": "Send at most what `detail` names; nothing was done.",
    "capture_too_late": "Authorize again: the issuer does not hold the money any more.",
    "internal_error": "Send it again under the same key; tell the operator `request_id`.",
    "not_sent": "Nothing was charged. Send it again under the same key after `Retry-After`.",
    "busy": "Nothing was begun. Send it again under the same key after `Retry-After`.",
    "stopping": "Nothing was begun. Send it again under the same key, on a new connection.",
    "disk_nearly_full": "Nothing was sent. Make room on the gateway's disk, then send it again.",
    "clock_off": "Nothing was sent. Set the machines' clocks right, then send it again.",
    "quarantined": "Nothing was done. The operator compares with the acquirer first; ask again.",
    "database_away": "It may or may not have happened: send it again under the same key.",
    "outcome_pending": "It may have happened: send it again under the same key.",
}

PROBLEMS = f"""\
{MADE}
# Problems

An error is an RFC 9457 problem: `Content-Type: application/problem+json`, and in the body `type`,
`title`, `status`, `detail` (a sentence for the developer), `code`, `param` (the field, header or
parameter, or null), `retryable` and `request_id`. Go by `code`. Texts never repeat the value that
was wrong: it may be part of a card number.

`retryable` means that the *same* request, under the same key, may be sent again and may succeed. A
decline is no problem: it is a payment in the state `declined`.

`state_conflict`, `amount_too_large`, `capture_too_late` and `payment_reversed` also carry `state`,
`possible` (the calls that the payment allows now) and `payment`.

| code | status | again? | title | what to do |
|---|---|---|---|---|
"""

CALLS = """
## Which call answers what

| call | done | problems |
|---|---|---|
"""

EVENTS = f"""\
{MADE}
# Events

The types of events in the [feed](../guides/webhooks-and-events.md): a closed list. A new version
may add types; ignore those that you do not know, and go by `state` and the amounts.

| type | told when |
|---|---|
"""

WORDS = {
    "payment.not_sent": "no byte left for the acquirer; the key may be tried again",
    "payment.declined": "the issuer said no, or your own rules did: then its `cause` is `screened`",
    "payment.approved": "the issuer said yes; it waits to be acknowledged",
    "payment.authorized": "an authorization was acknowledged: the money is held",
    "payment.captured": "a sale was acknowledged, or an authorization captured, whole or in part",
    "payment.refunded": "a refund was asked for, whole or in part",
    "payment.released": "a part was voided, or the rest of a hold lapsed; what was taken stands",
    "payment.void_begun": "it was voided: not charged, and the acquirer is being told",
    "payment.voided": "the acquirer has taken the void",
    "payment.reversal_begun": "unclaimed, refused, or of unknown outcome: not charged, for good",
    "payment.reversed": "the acquirer has taken the reversal",
    "payment.expired": "the hold has lapsed",
    "payment.verified": "the issuer says that the card is good; nothing is held",
    "payment.unanswered": "nobody answered a verification; nothing is held, nothing is owed",
    "payment.changed": "something that has no type of its own: see `cause`",
    "capture.accepted": "the acquirer has taken a capture",
    "capture.refused": "the acquirer has refused a capture: the money is held again, or lapsed",
    "capture.postponed": "it went into a later batch, or counts again",
    "capture.batched": "its batch was closed, and both sides agree",
    "capture.settled": "its line in the acquirer's report matched",
    "capture.funded": "the deposit that pays for it is in the bank",
    "capture.done": "nothing more will happen to it",
    "capture.undone": "a void took it out of its batch",
    "capture.failed": "it will not be paid",
    "refund.accepted": "the acquirer has taken a refund",
    "refund.refused": "the acquirer has refused a refund",
    "refund.asked_again": "a person had a refused refund, which stands for a void, asked again",
    "refund.returned_outside": "a refused refund went back otherwise: cash, a bank transfer",
    "refund.owed": "the host's batch was closed: a refund stands in for a void or reversal",
    "refund.postponed": "it went into a later batch",
    "refund.batched": "its batch was closed, and both sides agree",
    "refund.settled": "its line in the acquirer's report matched",
    "refund.funded": "it was taken off a deposit that is in the bank",
    "refund.done": "nothing more will happen to it",
    "refund.undone": "it was taken out of its batch",
    "refund.failed": "it will not be paid out",
    "release.refused": "the acquirer would not let go of the rest of a hold",
    "release.accepted": "the acquirer has let go of the rest of a hold",
    "void.accepted": "the acquirer has taken a partial void",
    "void.refused": "the acquirer has refused a partial void",
    "void.postponed": "it waits again",
    "void.batched": "its batch was closed",
    "void.settled": "its line in the acquirer's report matched",
    "void.funded": "the deposit that contains it is in the bank",
    "void.done": "the acquirer has taken it",
    "void.undone": "it does not count",
    "void.failed": "it came too late: a refund is owed instead",
    "movement.changed": "something that has no type of its own: see `cause`",
    "batch.opened": "a new batch takes captures and refunds",
    "batch.close_begun": "it takes no more; what is in flight is waited for",
    "batch.totalled": "its items are fixed, and the totals go to the acquirer",
    "batch.upload_begun": "the totals differ: every item goes to the acquirer",
    "batch.closed": "both sides' totals agree",
    "batch.held": "they do not: a person must look",
    "checkout.paid": "a payment page was paid, and its payment confirmed: ship",
    "checkout.expired": "its time was over, or you ended it: nobody will pay it any more",
    "checkout.cancelled": "the shopper has turned back: nobody will pay it any more",
    "checkout.changed": "something that has no type of its own: see `cause`",
    "batch.changed": "something that has no type of its own: see `cause`",
    "deposit.announced": "the acquirer's report says what will be paid",
    "deposit.partly_paid": "a part of it is in the bank",
    "deposit.funded": "all of it is in the bank",
    "deposit.overpaid": "more than that is in the bank",
    "deposit.returned": "the bank has sent it back",
    "deposit.unannounced": "money came that no report announces",
    "endpoint.enabled": "a webhook endpoint was added, or enabled again",
    "endpoint.disabled": "by you, or because it is gone (410) or has failed for days",
    "endpoint.deleted": "it ended for good",
    "endpoint.rotated": "it has a new secret",
    "endpoint.changed": "its address, description or filter was changed",
    "feed.resumed": "a backup was restored: what the numbers before it told is lost; ask anew",
    "deposit.changed": "something that has no type of its own: see `cause`",
}

CODES = f"""\
{MADE}
# Response codes

What the acquirer's answer (field 39) becomes: whether it approves, what a decline says to the
shopper and to the merchant, and whether a new payment with the same card makes sense
(`decline.retry`). Networks change their rules: this table is as of {TABLE_AS_OF:%Y-%m-%d}.

| `retry` | means |
|---|---|
| `never` | not with this card; repeating it costs fees |
| `soon` | a fault on the way: once or twice, after a pause |
| `later` | the same card may work another day |
| `after_correction` | when the shopper has corrected the number, date or code |
| `other_card` | with another card |

`decline.retryable` is false for `never` and `other_card`. A code that is not listed is a decline
that is not to be retried. The words never tell a shopper that a card is reported lost or stolen.

10 approves a part of the amount, which is taken or given back as the merchant's setting says; 85
says that a card is good and nothing about an amount. 68 (too late at the host) and 94 (seen there
before) leave open whether anybody approved: such a payment is reversed, not declined.

- **Class**: A approved, D the issuer's no, P keep the card, F a fault of the request, T a fault on
  the way. Only D, P and category 1 ever count against a card: an outage is no decline.
- **Category** is the network's grouping of declines: 1 never again, 2 later, 3 after correction, 4
  any other. After category 1 the gateway refuses the same card, amount and currency for 30 days.
- **Again**: after how many seconds, and how often, the gateway may ask again by itself, if
  [`technical_retries_max`](configuration.md#routing) allows it.

| code | class | retry | category | again | to the shopper | to the merchant |
|---|---|---|---|---|---|---|
"""

BRANDS = """
## What one brand says otherwise

| brand | code | class | retry | category | to the shopper | to the merchant |
|---|---|---|---|---|---|---|
"""

ADVICES = """
## Advice codes

Mastercard's answers carry an advice (field 48, tag 21): `decline.advice_code`. Where a network
gives advice the gateway never asks again by itself, and no advice means no retry either.

| code | another try | in words |
|---|---|---|
"""

LIMITS = """
## How often a card may be tried

For one card, amount and currency at one merchant, the first try included. What is above is refused
before anything is sent: the payment is `declined` with the cause `screened`.

| brand | tries | in |
|---|---|---|
"""


SCRIPTS = f"""\
{MADE}
# Scripts and styles

Every file that a page may load, and why. The hash of each (SHA-384) stands in
`gateway/counterfoil/checkouts/inventory.json`, in every tag that loads it, and in what
`counterfoil pages inventory` prints; see [guarding payment pages](../operating/payment-pages.md).
Nothing comes from another site.

## Payment pages

| file | why |
|---|---|
"""

OTHER_SCRIPTS = """
## The merchants' pages

| file | why |
|---|---|
"""


def pages() -> dict[Path, str]:
    """
    Return every generated page with its content.
    """
    return {
        HERE / "problems.md": problems(),
        HERE / "response-codes.md": response_codes(),
        HERE / "events.md": events(),
        HERE / "scripts.md": scripts(),
    }


def problems() -> str:
    """
    Return the page of all problem codes.
    """
    rows = [
        f"| `{code}` | {kind.status} | {'yes' if kind.retryable else 'no'} | {kind.title} "
        f"| {ADVICE[code]} |\n"
        for code, kind in KINDS.items()
    ]
    calls = [
        f"| `{each.method} {each.path}` | {_statuses(set(each.answers))} "
        f"| {_statuses(_problem_statuses(each))} |\n"
        for each in OPERATIONS
    ]
    return PROBLEMS + "".join(rows) + CALLS + "".join(calls)


def events() -> str:
    """
    Return the page of all types of events.
    """
    return EVENTS + "".join(f"| `{each}` | {WORDS[each]} |\n" for each in ALL_TYPES)


def scripts() -> str:
    """
    Return the page of everything that a page loads.
    """
    listed = list(inventory().values())
    ours = [_listed(each) for each in listed if each.on_payment_pages]
    others = [_listed(each) for each in listed if not each.on_payment_pages]
    return SCRIPTS + "".join(ours) + OTHER_SCRIPTS + "".join(others)


def _listed(each: Listed) -> str:
    return f"| `{each.file}` | {each.why} |\n"


def response_codes() -> str:
    """
    Return the page of all response codes.
    """
    rows = [
        f"| {each.code} | {each.kind} | {'' if each.approves else f'`{each.retry}`'} "
        f"| {each.category or ''} | {_again(ask_again(each.code, '', None))} "
        f"| {each.shopper} | {each.merchant} |\n"
        for each in codes()
    ]
    brands = [
        f"| {brand} | {code} | {kind} | `{retry}` | {category or ''} | {shopper} | {merchant} |\n"
        for brand, code, kind, retry, category, shopper, merchant in BRAND_ROWS
    ]
    advices = [
        f"| {code} | {'never' if forbids else f'after {hours} h' if hours else ''} | {words} |\n"
        for code, forbids, hours, words in ADVICE_ROWS
    ]
    limits = [
        f"| {brand} | {tries} | {days} {'day' if days == 1 else 'days'} |\n"
        for brand, tries, days in LIMIT_ROWS
    ]
    parts = (CODES, *rows, BRANDS, *brands, ADVICES, *advices, LIMITS, *limits)
    return "".join(parts)


def _again(rule: Again | None) -> str:
    return f"{rule.after_seconds:g} s, {rule.tries_max}x" if rule else ""


def _problem_statuses(operation: Operation) -> set[int]:
    return {KINDS[code].status for code in operation.problems}


def _statuses(statuses: set[int]) -> str:
    return " ".join(str(each) for each in sorted(statuses))


def main() -> None:
    """
    Write all pages.
    """
    for path, content in pages().items():
        path.write_text(content, "utf-8")


if __name__ == "__main__":
    main()
