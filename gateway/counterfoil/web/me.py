"""
Oneself: name, password, signed-in browsers, and for whom one works.
"""

from typing import Any
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from counterfoil import ids
from counterfoil.lines import fault_of_line
from counterfoil.people.names import fault_of_name
from counterfoil.people.password_rules import fault_of
from counterfoil.people.passwords import PASSWORD_CHARACTERS_MIN
from counterfoil.web import browsers, session
from counterfoil.web.astray import LEAVE_IT_OUT, holds_card
from counterfoil.web.just_done import lead_to
from counterfoil.web.proving import factor_store, sign_ins
from counterfoil.web.rendering import page
from counterfoil.web.visit import Page, Visit
from counterfoil.web.welcome import NAME_CHARACTERS_MAX, used_before

ALL_OTHERS = "others"
DONE = {
    "name": "Your name is changed.",
    "password": "Your password is changed. Every other browser is signed out.",
    "authenticator": "Your authenticator app is asked for from now on.",
    "authenticator-removed": "The authenticator app is removed.",
    "passkey": "The passkey is added.",
    "passkey-removed": "The passkey is removed.",
    "session": "Signed out.",
}


async def show(visit: Visit) -> Response:
    """
    The page about oneself.
    """
    return await _me(visit)


async def change_name(visit: Visit) -> Response:
    """
    Take another name.
    """
    name = visit.form.get("name", "").strip()
    most = f"Write your name, up to {NAME_CHARACTERS_MAX} characters."
    if fault := fault_of_line(name, NAME_CHARACTERS_MAX, most):
        return await _me(visit, name=name, faults={"name": fault})
    if holds_card(name):
        return await _me(visit, name=name, faults={"name": LEAVE_IT_OUT})
    people, who = visit.desk.people, visit.who
    merchants = await people.merchants_that_knew(who.email)
    if fault := fault_of_name(name, await people.names_of_others(merchants, who.email)):
        return await _me(visit, name=name, faults={"name": fault})
    await sign_ins(visit).change_name(who, name, merchants, visit.desk.clock.now())
    return lead_to("/me", "name")


async def password_form(visit: Visit) -> Response:
    """
    Ask for a new password.
    """
    return _password(visit, None)


async def change_password(visit: Visit) -> Response:
    """
    Take a new password; every other browser of the person is signed out with it.
    """
    who, desk, password = visit.who, visit.desk, visit.form.get("password", "")
    businesses = [each["name"] for each in await desk.people.merchants_of(who.user_id)]
    fault = fault_of(password, (who.email, who.name, *businesses))
    if fault is None:
        fault = await used_before(visit, who.user_id, password)
    if fault:
        return _password(visit, fault)
    kept = await desk.passwords.hash(password)
    await sign_ins(visit).change_password(who, kept, desk.clock.now())
    return lead_to("/me", "password")


async def end_sessions(visit: Visit) -> Response:
    """
    Sign out one other browser, or all others.
    """
    said = visit.form.get("session", "")
    chosen = None if said == ALL_OTHERS else _id(ids.SESSION, said)
    await sign_ins(visit).end_sessions(visit.who, chosen, visit.desk.clock.now())
    return lead_to("/me", "session", part="sessions")


async def choose_merchant(visit: Visit) -> Response:
    """
    Go on for another merchant of the person; the cookie is renewed.
    """
    merchant_id, token = _id(ids.MERCHANT, visit.form.get("merchant", "")), session.new_token()
    chosen = await visit.desk.people.renew(
        visit.who.session_id,
        token,
        merchant_id,
        what="merchant_chosen",
        now=visit.desk.clock.now(),
    )
    if not chosen:
        raise HTTPException(404)
    return session.give(RedirectResponse("/", 303), token)


async def _me(
    visit: Visit, *, name: str | None = None, faults: dict[str, str] | None = None
) -> Response:
    who, store = visit.who, factor_store(visit)
    return page(
        visit,
        "me.html",
        status=422 if faults else 200,
        name=who.name if name is None else name,
        faults=faults or {},
        authenticator=await store.authenticator(who.user_id),
        passkeys=await store.passkeys(who.user_id),
        codes_left=await store.codes_left(who.user_id),
        sessions=await _sessions(visit),
        merchants=await visit.desk.people.merchants_of(who.user_id),
        done=DONE.get(visit.done),
    )


async def _sessions(visit: Visit) -> list[dict[str, Any]]:
    now = visit.desk.clock.now()
    rows = await sign_ins(visit).sessions(visit.who.user_id, now, now - session.ABSOLUTE)
    return [
        {
            **row,
            "id": ids.written(ids.SESSION, row["session_id"]),
            "browser": browsers.in_words(row["browser"]),
            "is_this": row["session_id"] == visit.who.session_id,
        }
        for row in rows
    ]


def _password(visit: Visit, fault: str | None) -> Response:
    return page(
        visit,
        "me-password.html",
        status=422 if fault else 200,
        faults={"password": fault} if fault else {},
        characters_min=PASSWORD_CHARACTERS_MIN,
    )


def _id(prefix: str, text: str) -> UUID:
    try:
        return ids.read(prefix, text)
    except ids.UnreadableId:
        raise HTTPException(404) from None


PAGES = (
    Page(path="/me", endpoint=show),
    Page(path="/me/name", endpoint=change_name, method="POST"),
    Page(path="/me/password", endpoint=password_form, after_step_up=True),
    Page(path="/me/password", endpoint=change_password, method="POST", after_step_up=True),
    Page(path="/me/sessions", endpoint=end_sessions, method="POST"),
    Page(path="/me/merchant", endpoint=choose_merchant, method="POST"),
)
