"""
One's passkeys: made by the browser, named, removed, always after a step-up.
"""

import asyncpg
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from counterfoil import ids
from counterfoil.lines import fault_of_line
from counterfoil.store.factors import PASSKEYS_MAX
from counterfoil.web import passkeys
from counterfoil.web.astray import LEAVE_IT_OUT, holds_card
from counterfoil.web.just_done import lead_to, let_say
from counterfoil.web.me_factors import after_adding
from counterfoil.web.proving import factor_store, sign_ins
from counterfoil.web.rendering import page
from counterfoil.web.visit import Endpoint, Page, Visit

NAME_CHARACTERS_MAX = 64
NOT_MADE = "This passkey was not taken. Reload the page and try again."
KNOWN = f"This passkey is known already, or there are {PASSKEYS_MAX} of them: remove one first."


async def new_form(visit: Visit) -> Response:
    """
    Name a passkey, and let the browser make it.
    """
    return page(visit, "me-passkey.html", name=visit.asked("name"))


async def options(visit: Visit) -> Response:
    """
    What the browser needs to make one; not before its name is right, so that no finger is asked for
    in vain.
    """
    if "name" in visit.form and (fault := _fault_of_name(visit)):
        return _at_name(fault)
    challenge, asked = await passkeys.to_make(visit, visit.who)
    until = visit.desk.clock.now() + passkeys.CHALLENGE_FOR
    await sign_ins(visit).ask_session(visit.who.session_id, challenge, until)
    return Response(asked, media_type="application/json")


async def add(visit: Visit) -> Response:
    """
    Keep what the browser has made.
    """
    who, now = visit.who, visit.desk.clock.now()
    if fault := _fault_of_name(visit):
        return _at_name(fault)
    challenge = await sign_ins(visit).asked_of_session(who.session_id, now)
    signed = visit.form.get("credential", "")
    made = passkeys.made(visit, challenge, signed, _name(visit)) if challenge else None
    if made is None:
        return JSONResponse({"words": NOT_MADE}, 422)
    if not await factor_store(visit).add_passkey(who, made, now):
        return JSONResponse({"words": KNOWN}, 409)
    onward = await after_adding(visit, "passkey")
    answer = JSONResponse({"next": onward})
    let_say(answer, onward)
    return answer


def _name(visit: Visit) -> str:
    return visit.form.get("name", "").strip()


def _fault_of_name(visit: Visit) -> str | None:
    name = _name(visit)
    most = f"Name it, in up to {NAME_CHARACTERS_MAX} characters."
    if fault := fault_of_line(name, NAME_CHARACTERS_MAX, most):
        return fault
    return LEAVE_IT_OUT if holds_card(name) else None


def _at_name(fault: str) -> Response:
    return JSONResponse({"words": fault, "field": "name"}, 422)


async def remove_form(visit: Visit) -> Response:
    """
    Ask once more.
    """
    row = await _one(visit)
    return page(
        visit,
        "me-remove.html",
        title=f"Remove the passkey {row['name']}?",
        words="It signs in no more. Delete it on your device as well.",
    )


async def remove(visit: Visit) -> Response:
    """
    Let a passkey count no more.
    """
    row = await _one(visit)
    await factor_store(visit).end_passkey(visit.who, row["passkey_id"], visit.desk.clock.now())
    return lead_to("/me", "passkey-removed", part="factors")


async def _one(visit: Visit) -> asyncpg.Record:
    try:
        passkey_id = ids.read(ids.PASSKEY, visit.named("passkey_id"))
    except ids.UnreadableId:
        raise HTTPException(404) from None
    known = await factor_store(visit).passkeys(visit.who.user_id)
    found = [each for each in known if each["passkey_id"] == passkey_id]
    if not found:
        raise HTTPException(404)
    return found[0]


def _page(path: str, endpoint: Endpoint, method: str = "GET", *, by_script: bool = False) -> Page:
    return Page(
        path=path,
        endpoint=endpoint,
        method=method,
        after_step_up=True,
        before_second_factor=True,
        by_script=by_script,
    )


PAGES = (
    _page("/me/passkeys/new", new_form),
    _page("/me/passkeys/new", add, "POST", by_script=True),
    _page("/me/passkeys/options", options, "POST", by_script=True),
    _page("/me/passkeys/{passkey_id}/remove", remove_form),
    _page("/me/passkeys/{passkey_id}/remove", remove, "POST"),
)
