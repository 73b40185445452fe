"""
Screening: a merchant's rules against fraud and mistakes, and who is not served.
"""

from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from counterfoil import ids
from counterfoil.lines import fault_of_line
from counterfoil.money import CURRENCIES, currency
from counterfoil.payments.block_list import (
    BLOCK,
    FORMS,
    REASON_CHARACTERS_MAX,
    CardInEntry,
    compared,
)
from counterfoil.people.roles import Right
from counterfoil.store.screening import Block, ScreeningStore
from counterfoil.web.astray import LEAVE_IT_OUT, holds_card
from counterfoil.web.currencies import offered
from counterfoil.web.just_done import lead_to
from counterfoil.web.rendering import page
from counterfoil.web.screening_form import (
    AVS_CHOICES,
    COUNTED,
    CVV_CHOICES,
    UNITS,
    fields_of,
    policy_of,
)
from counterfoil.web.visit import Page, Visit

KINDS = {
    "card": "The card of a payment",
    "bin": "Cards that begin with",
    "email": "An e-mail address",
    "email_domain": "All addresses of a domain",
}
DONE = {
    "rules": "The rules were changed. They hold on every gateway within ten seconds.",
    "blocked": "Whoever it is gets no payment through any more.",
    "unblocked": "Served again. The entry stays in the list of what was.",
}
CONFLICT = (
    "Somebody else has changed these rules since you opened the page. Below is what you typed; "
    "nothing of it was kept. Look at what holds now, in another window, and save again."
)


async def show_screening(visit: Visit) -> Response:
    """
    The rules that hold, and the block list.
    """
    return await _page(visit)


async def change_rules(visit: Visit) -> Response:
    """
    Write another version of the rules, unless somebody else has.
    """
    store, who = _store(visit), visit.who
    kept = await store.kept_policy(who.merchant.merchant_id)
    code = visit.form.get("currency", "")
    if code not in CURRENCIES:  # Nobody guesses what its amounts mean.
        raise HTTPException(400, "This form does not say its currency. Reload it, and save again.")
    policy, faults = policy_of(visit.form, kept.policy, currency(code))
    if faults:
        return await _page(visit, typed=visit.form, faults=faults)
    if policy == kept.policy:
        return RedirectResponse("/settings/screening", 303)
    seen = visit.form.get("version", "")
    written = seen == str(kept.version) and await store.set_policy(
        who.merchant.merchant_id,
        policy,
        after_version=kept.version,
        actor=who.actor,
        event_id=visit.desk.desk.road.ids.new(),
    )
    if not written:
        return await _page(visit, typed=visit.form, conflict=CONFLICT)
    return lead_to("/settings/screening", "rules")


async def block(visit: Visit) -> Response:
    """
    Serve a card, BIN, e-mail address or domain no more.
    """
    form, merchant_id = visit.form, visit.who.merchant.merchant_id
    kind, reason = form.get("kind", ""), form.get("reason", "").strip()
    faults: dict[str, str] = {}
    found = await _blocked(visit, kind, form.get("value", "").strip(), faults)
    most = f"Say why, in one line of up to {REASON_CHARACTERS_MAX} characters."
    if fault := fault_of_line(reason, REASON_CHARACTERS_MAX, most):
        faults["reason"] = fault
    elif holds_card(reason):
        faults["reason"] = LEAVE_IT_OUT
    if faults or found is None:
        return await _page(visit, entry=form, faults=faults)
    made = visit.desk.desk.road.ids
    entry = Block(
        block_id=made.new(),
        kind=kind,
        value=found[0],
        shown=found[1],
        reason=reason,
        actor=visit.who.actor,
    )
    if not await _store(visit).add_block(merchant_id, entry, event_id=made.new()):
        faults["value"] = f"{found[1]} is on the list already."
        return await _page(visit, entry=form, faults=faults)
    return lead_to("/settings/screening", "blocked")


async def unblock(visit: Visit) -> Response:
    """
    Serve somebody again.
    """
    try:
        block_id = ids.read(BLOCK, visit.named("block_id"))
    except ids.UnreadableId:
        raise HTTPException(404) from None
    ended = await _store(visit).end_block(
        visit.who.merchant.merchant_id,
        block_id,
        visit.who.actor,
        event_id=visit.desk.desk.road.ids.new(),
    )
    if not ended and block_id not in await _all(visit):
        raise HTTPException(404)
    return lead_to("/settings/screening", "unblocked")


async def _all(visit: Visit) -> set[UUID]:
    rows = await _store(visit).blocks(visit.who.merchant.merchant_id, ended=True)
    return {row["block_id"] for row in rows}


async def _blocked(
    visit: Visit, kind: str, text: str, faults: dict[str, str]
) -> tuple[str, str] | None:
    """
    Return what is compared and what is shown of it; a fault at its field when it is nothing.
    """
    if kind not in KINDS:
        faults["kind"] = "Choose whom."
        return None
    if kind == "card":
        found = None
        try:
            payment_id = ids.read(ids.PAYMENT, text)
            merchant_id = visit.who.merchant.merchant_id
            found = await _store(visit).card_of(merchant_id, payment_id)
        except ids.UnreadableId:
            pass
        if found is None:
            faults["value"] = "Write the id of a payment of yours with that card: pay_..."
        return found
    try:
        value = compared(kind, text)
    except CardInEntry:
        faults["value"] = LEAVE_IT_OUT
        return None
    if value is None:
        faults["value"] = f"Write {FORMS[kind]}."
        return None
    return value, value


async def _page(
    visit: Visit,
    *,
    typed: dict[str, str] | None = None,
    entry: dict[str, str] | None = None,
    faults: dict[str, str] | None = None,
    conflict: str | None = None,
) -> Response:
    merchant_id, store = visit.who.merchant.merchant_id, _store(visit)
    kept = await store.kept_policy(merchant_id)
    rows = await store.blocks(merchant_id, ended=visit.asked("ended") == "1")
    status = 422 if faults else 409 if conflict else 200
    unit = currency((typed or {}).get("currency") or (await offered(visit)).own)
    return page(
        visit,
        "screening.html",
        status=status,
        kept=kept,
        fields=typed if typed is not None else fields_of(kept.policy, unit),
        unit=unit,
        version=(typed or {}).get("version", kept.version) if faults else kept.version,
        entry=entry or {"kind": "card", "value": visit.asked("payment"), "reason": ""},
        faults=faults or {},
        conflict=conflict,
        avs=AVS_CHOICES,
        cvv=CVV_CHOICES,
        counted=COUNTED,
        units=list(UNITS),
        kinds=KINDS,
        blocks=[{**row, "written": ids.written(BLOCK, row["block_id"])} for row in rows],
        with_ended=visit.asked("ended") == "1",
        done=DONE.get(visit.done),
    )


def _store(visit: Visit) -> ScreeningStore:
    return visit.desk.desk.road.store.screening


PAGES = (
    Page(path="/settings/screening", endpoint=show_screening, right=Right.SETTINGS),
    Page(path="/settings/screening", endpoint=change_rules, right=Right.SETTINGS, method="POST"),
    Page(path="/settings/screening/blocks", endpoint=block, right=Right.SETTINGS, method="POST"),
    Page(
        path="/settings/screening/blocks/{block_id}/end",
        endpoint=unblock,
        right=Right.SETTINGS,
        method="POST",
    ),
)
