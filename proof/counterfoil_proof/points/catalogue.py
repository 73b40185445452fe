"""
What must have a point, read from the product: writing queries, messages, calls, journal states.

A step that is added to the product appears here by itself. Either some scenario passes its
points, or it stands in EXCUSED with a reason; anything else fails
`tests/simulation/test_some_real_deaths.py`. The reasons are told by `counterfoil crash-points`
and stand in docs/internals/crash-points.md, each with the test that has the step instead.
"""

import ast
import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from counterfoil.api.operations import OPERATIONS
from counterfoil.store.queries import query
from counterfoil_client.commands import State

BEFORE_AND_AFTER = ("before", "after")
BY_HAND = "a person's command: one transaction, and who typed it sees it fail and types it again"
RESTORED = "a step of a restore, before anything is taken; who typed it types it again"
TERMINAL = "a step of a clerk's page; test_terminal.py kills the process before each of them"
PERSONS = "a step of a person's page that moves no money: who clicked sees it fail and clicks again"
CHECKOUT = "a step of a payment page; test_payment_pages.py and test_checkouts.py end it at each"
LOOK = "what was seen of payment pages is looked at again: no money and no payment depend on it"
KEYS = "a step of a change of keys by hand, which goes on where it stopped"

EXCUSED = {
    "query add_merchant": BY_HAND,
    "query add_terminal": BY_HAND,
    "query add_key": BY_HAND,
    "query revoke_key": BY_HAND,
    "query set_merchant": BY_HAND,
    "query add_bank_account": BY_HAND,
    "query add_screening_policy": BY_HAND,
    "query add_block": BY_HAND,
    "query end_block": BY_HAND,
    "query change_business": BY_HAND,
    "query replay_range": BY_HAND,
    "query resolve_finding": BY_HAND,
    "query put_file_aside": BY_HAND,
    "query retry_batch": BY_HAND,
    "query end_refused_refund": BY_HAND,
    "query found_installation": "the last step of a new database's first migration; "
    "test_migration_deaths.py dies before and after it",
    "query add_vault_key": "the first start of a new installation, before any payment",
    "query batch_message_not_sent": "the link is lost between a claim and its write, within one "
    "turn of the event loop; test_close.py has it",
    "query owe_again": "for a host that does not find the original of a reversal and approves it "
    "later: our sandbox's host remembers the reversal instead; test_late_answers.py has it",
    "query expire": "a hold lapses after days of the clock; the simulation lives through them",
    "query forget_deliveries": "rows that ended long ago; what is not removed now is removed later",
    "query move_batch_past_host": RESTORED,
    "query keep_approval": RESTORED,
    "query begin_quarantine": RESTORED,
    "query lift_quarantine": RESTORED,
    "query waive_comparison": RESTORED,
    "query move_stans": RESTORED,
    "query note_comparison": RESTORED,
    "query open_restored_findings": RESTORED,
    "query quarantine_restored": RESTORED,
    "query resolve_restored_finding": RESTORED,
    "query ask_terminal_sale": TERMINAL,
    "query note_terminal_approval": TERMINAL,
    "query settle_terminal_sale": TERMINAL,
    "query answer_terminal_question": PERSONS,
    "query keep_saved_card": TERMINAL,
    "query forget_saved_card": BY_HAND,
    "query accept_invitation": PERSONS,
    "query add_invitation": PERSONS,
    "query begin_session": PERSONS,
    "query change_role": PERSONS,
    "query end_invitation": PERSONS,
    "query end_member": PERSONS,
    "query end_session": PERSONS,
    "query note_change": PERSONS,
    "query renew_session": PERSONS,
    "query touch_session": PERSONS,
    "query take_try": PERSONS,
    "query give_tries_back": PERSONS,
    "query note_wrong_try": PERSONS,
    "query begin_half_sign_in": PERSONS,
    "query set_session_challenge": PERSONS,
    "query take_session_challenge": PERSONS,
    "query set_half_challenge": PERSONS,
    "query take_half_challenge": PERSONS,
    "query add_reset": PERSONS,
    "query use_reset": PERSONS,
    "query change_password": PERSONS,
    "query change_name": PERSONS,
    "query end_own_sessions": PERSONS,
    "query begin_authenticator": PERSONS,
    "query confirm_authenticator": PERSONS,
    "query use_step": PERSONS,
    "query end_authenticator": PERSONS,
    "query add_passkey": PERSONS,
    "query use_passkey": PERSONS,
    "query end_passkey": PERSONS,
    "query replace_recovery_codes": PERSONS,
    "query use_recovery_code": PERSONS,
    "query add_link": PERSONS,
    "query end_link": PERSONS,
    "query give_unproved": PERSONS,
    "query send_receipt_again": PERSONS,
    "query set_return_origins": PERSONS,
    "query begin_checkout_try": CHECKOUT,
    "query end_checkout": CHECKOUT,
    "query expire_checkouts": CHECKOUT,
    "query forget_checkout_declines": CHECKOUT,
    "query forget_checkouts": CHECKOUT,
    "query forget_shopper_card": CHECKOUT,
    "query keep_shopper_card": CHECKOUT,
    "query open_checkout": CHECKOUT,
    "query settle_checkout_try": CHECKOUT,
    "reply createCheckout": CHECKOUT,
    "reply expireCheckout": CHECKOUT,
    "query begin_page_look": LOOK,
    "query end_page_look": LOOK,
    "query page_look_failed": LOOK,
    "query count_page_report": LOOK,
    "query see_to_page_differences": LOOK,
    "query see_to_page_report": LOOK,
    "query add_next_card_key": KEYS,
    "query retire_card_key": KEYS,
    "query seal_anew": KEYS,
    "link write 0810": "the answer to an echo that our sandbox's host never asks for",
}

_COMMENT = re.compile(r"--[^\n]*")
_WRITES = re.compile(
    r"\bINSERT\s+INTO\b|\bDELETE\s+FROM\b|\bTRUNCATE\b|\bMERGE\s+INTO\b"
    r"|(?<!\bFOR )(?<!\bKEY )(?<!\bDO )\bUPDATE\s+[a-z_]",
    re.IGNORECASE,
)
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_VERB = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|MERGE)\b")
_INNERMOST = re.compile(r"\([^()]*\)")
_MTI = re.compile(r"0[1-8][012][0-9]?")  # Or its first three digits: the last one says "again".
_SENT_FROM = ("payments", "settlement", "network")
_ANSWERS = ("0110", "0210")  # What we expect, and never send.
_REPEATED = ("02", "03", "04", "05")  # Classes whose messages are sent again under their number.


@cache
def queries() -> tuple[str, ...]:
    """
    Return the names of all named queries of the store.
    """
    texts = (path.read_text("utf-8") for path in _below("store", ".sql"))
    return tuple(sorted(name for text in texts for name in _NAME.findall(text)))


@cache
def writes(name: str) -> bool:
    """
    Whether the named query changes anything; read from its text.
    """
    return _WRITES.search(_COMMENT.sub("", query(name))) is not None


@cache
def tells(name: str) -> bool:
    """
    Whether the named query says by its rows if it changed anything.
    """
    text, found = _COMMENT.sub("", query(name)).upper(), 1
    while found:  # What is left when all that stands in brackets is gone is the main statement.
        text, found = _INNERMOST.subn(" ", text)
    main = _VERB.search(text)
    return "RETURNING" in text or (main is not None and main.group() == "SELECT")


@cache
def messages() -> tuple[str, ...]:
    """
    Return the MTIs that the gateway sends, as its source spells them.
    """
    spelled = {
        node.value
        for folder in _SENT_FROM
        for path in _below(folder, ".py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    found = {each.ljust(4, "0") for each in spelled if _MTI.fullmatch(each)}.difference(_ANSWERS)
    again = {
        f"{each[:3]}1" for each in found if each[:2] in _REPEATED and each[2:] in ("20", "00")
    } - {"0201"}
    return tuple(sorted(found | again))


def operations(*, reading: bool = False) -> tuple[str, ...]:
    """
    Return the calls of the API that change something; with *reading* the others.
    """
    return tuple(each.name for each in OPERATIONS if (each.method == "GET") == reading)


def needed() -> set[str]:
    """
    Return every step that some scenario must pass, before and after.
    """
    names = {f"query {name}" for name in queries() if writes(name)}
    names |= {f"link write {mti}" for mti in messages()}
    names |= {f"reply {name}" for name in operations()}
    names |= {f"journal {state}" for state in State}
    names |= {"mail send", "webhook send", "shop book"}
    return names


def not_passed(passed: set[str]) -> set[str]:
    """
    Return the points that are needed, that nothing excuses and that *passed* lacks.
    """
    names = needed() - EXCUSED.keys()
    return {f"{name} {when}" for name in names for when in BEFORE_AND_AFTER} - passed


def excuses() -> dict[str, list[str]]:
    """
    Return what is excused, by its reason.
    """
    by_reason: dict[str, list[str]] = {}
    for name, reason in EXCUSED.items():
        by_reason.setdefault(reason, []).append(name)
    return by_reason


def outdated_excuses(passed: set[str]) -> set[str]:
    """
    Return excuses for what is passed after all, or is not there any more.
    """
    idle = {name for name in EXCUSED if f"{name} after" in passed}
    return idle | (EXCUSED.keys() - needed())


@cache
def operation(method: str, path: str) -> str | None:
    """
    Return the name of the call that *method* and *path* make.
    """
    bare = path.partition("?")[0]
    for each in OPERATIONS:
        if each.method == method and _pattern(each.path).fullmatch(bare):
            return each.name
    return None


@cache
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)))


def _below(folder: str, suffix: str) -> list[Traversable]:
    found: list[Traversable] = []
    waiting = [files("counterfoil").joinpath(folder)]
    while waiting:
        for path in waiting.pop().iterdir():
            if path.is_dir():
                waiting.append(path)
            elif path.name.endswith(suffix):
                found.append(path)
    return sorted(found, key=str)
