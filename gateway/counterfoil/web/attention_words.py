"""
What waits for a person, in words.
"""

from counterfoil.checkouts.reports import INTEGRITY, KINDS, OTHER, OTHER_PAGE, OWN_FILE, TERMINAL
from counterfoil.people.roles import Right

TITLES = {
    "batch": "A batch does not agree with the acquirer",
    "file": "A file could not be read",
    "report": "A browser stopped something foreign on a page",
    "pages": "The payment pages are not as they should be",
    "missing_there": "The acquirer's report leaves an item out",
    "missing_here": "The acquirer settles something that is not here",
    "amount_differs": "An amount differs",
    "duplicate": "Something is settled twice",
    "batch_missing": "A batch is on no report",
    "returned": "A deposit went back",
    "refund_refused": "The acquirer refused to give money back",
    "approval_denied": "The acquirer denies what it had approved",
    "without_report": "Money came without a report",
    "not_paid": "A deposit has not come",
    "statement_missing": "A bank statement is missing",
    "restored_host_only": "After a restore: only the acquirer knows this",
    "restored_missing_there": "After a restore: the acquirer does not know this",
    "restored_state_differs": "After a restore: this stands otherwise at the acquirer",
    "restored_unclaimed": "After a restore: nobody claimed this",
}
WHAT_TO_DO = {
    "batch": "Compare both sides' totals on the batch's page with somebody at the acquirer.",
    "file": "Ask whoever sent it for a right one; it is read by itself when it comes.",
    "pages": (
        "Take no cards on payment pages until it is clear. Whoever runs this installation finds "
        "what differs in `counterfoil pages look`, and ends this with `counterfoil pages seen-to`."
    ),
    "report": (
        "The browser stopped it. Often it is an extension in the browser of whoever looked. If it "
        "happened once, note that you have seen it. If it happens again, somebody may have changed "
        "the page: take cards in another way until whoever runs Counterfoil for you has looked."
    ),
    "changed": (
        "What this page loads is not as it should be: somebody may have changed it to read cards. "
        "Until it is clear, take cards in another way, and tell whoever runs Counterfoil for you."
    ),
}
PAGES_IN_WORDS = {
    "/c/{token}": "Payment page",
    "/l/{token}": "Page of a payment link",
    TERMINAL: "Your terminal",
    OTHER_PAGE: "A page of your own",
}
CARD_PAGES = frozenset(("/c/{token}", "/l/{token}", TERMINAL))  # Where cards are typed.
# What did not happen, by the first word of the directive; {where}: whose it was, {to}: to whom.
_STOPPED = {
    "script": "a script {where} was not run",
    "integrity": "a script {where} was not run",
    "require": "a script that writes into the page was stopped",
    "trusted": "a script that writes into the page was stopped",
    "style": "a style {where} was not used",
    "img": "a picture {where} was not loaded",
    "media": "a sound or film {where} was not loaded",
    "font": "a typeface {where} was not loaded",
    "connect": "nothing was sent {to}",
    "form": "a form was not sent {to}",
    "frame": "a frame {where} was not shown",
}
_WITHIN = frozenset(("inline", "eval", "wasm-eval", "self", "data", "blob", "javascript"))
FILES = {
    "report": "The acquirer's report",
    "statement": "A bank statement",
    "unknown": "A file",
}
DONE = {
    "acknowledge": "Claimed: the payment counts.",
    "refuse": "Refused: the card is not charged.",
    "retry": "The acquirer is asked again.",
    "resolve-batch": "The batch is closed by hand.",
    "aside": "The file is put aside. It is kept, and waits for nobody.",
    "resolve": "That is cleared up.",
    "looked-into": "It is noted that somebody has looked into it.",
    "again": "The refund is asked for again, in the open batch.",
    "returned": "It is noted that the money went back in another way.",
}
# How something that waits is ended: button, what to say in the note, and who may.
ENDS = {
    ("batch", "retry"): ("Ask the acquirer again", "", Right.CLOSE_BATCH),
    ("batch", "resolve"): (
        "Close it by hand",
        "What was agreed with the acquirer, and with whom",
        Right.CLOSE_BATCH,
    ),
    ("file", "aside"): ("Put it aside", "Why nobody waits for it any more", Right.CLOSE_BATCH),
    ("finding", "resolve"): (
        "It is cleared up",
        "What was agreed, and with whom",
        Right.CLOSE_BATCH,
    ),
    ("report", "looked-into"): ("It was looked into", "What it was, and who looked", Right.KEYS),
    ("refund", "again"): ("Ask for the refund again", "Why, and who decided it", Right.REFUND),
    ("refund", "returned"): (
        "It went back in another way",
        "How, and who gave it back",
        Right.REFUND,
    ),
}


def advice(page: str, directive: str, refused: str) -> str:
    """
    Return what to do about what a browser stopped: where cards are typed, a file that is not as
    listed is no extension's doing.
    """
    is_of_file = directive == INTEGRITY or refused == OWN_FILE
    return WHAT_TO_DO["changed" if is_of_file and page in CARD_PAGES else "report"]


def stopped(page: str, directive: str, refused: str) -> str:
    """
    Return what a browser stopped on which page, as whoever runs a shop understands it.
    """
    words = _STOPPED.get(directive.partition("-")[0], "something {where} was stopped")
    if refused == OWN_FILE:
        where, to = "of ours, changed or not meant for it,", "to a page of ours"
    elif refused in _WITHIN:
        where, to = "written into it", "away"
    elif refused in KINDS or refused == OTHER:
        where, to = "that is not ours", "elsewhere"
    else:
        host = refused.partition("://")[2]
        where, to = f"from {host}", f"to {host}"
    return f"{PAGES_IN_WORDS[page]}: {words.format(where=where, to=to)}"
