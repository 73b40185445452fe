"""
Prove anew who one is, before what is dangerous: by password, code or passkey. The cookie is a new
one afterwards.
"""

from starlette.responses import JSONResponse, RedirectResponse, Response

from counterfoil.people.passwords import PASSWORD_CHARACTERS_MAX
from counterfoil.web import interrupted, passkeys, session
from counterfoil.web.forms import local_path
from counterfoil.web.proving import (
    LOCKED_WORDS,
    STATUS,
    Outcome,
    factor_store,
    is_app_code,
    prove,
    sign_ins,
)
from counterfoil.web.rendering import page
from counterfoil.web.second_step import CODE_CHARACTERS_MAX, NOT_SIGNED
from counterfoil.web.visit import Page, Visit

WRONG = "step_up_failed"
STEPPED_UP = "stepped_up"


async def step_up_form(visit: Visit) -> Response:
    """
    Ask for the password, a code or a passkey.
    """
    return await _form(visit, local_path(visit.asked("next"), "/"))


async def step_up(visit: Visit) -> Response:
    """
    Take a password or a code, whichever was filled in, and go on.
    """
    who, onward = visit.who, local_path(visit.form.get("next", ""), "/")
    password = visit.form.get("password", "")[:PASSWORD_CHARACTERS_MAX]
    code = visit.form.get("code", "")[:CODE_CHARACTERS_MAX]

    async def is_right() -> bool:
        if code:
            return await is_app_code(visit, who.user_id, code)
        account = await visit.desk.people.account(who.email)
        kept = account.password_hash if account else None
        return await visit.desk.passwords.holds(kept, password)

    outcome = await prove(visit, who.user_id, who.email, is_right, wrong=WRONG, by=who.actor)
    if outcome is not Outcome.RIGHT:
        return await _form(visit, onward, outcome, field="code" if code else "password")
    return await _renewed(visit, RedirectResponse(onward, 303), onward)


async def passkey_options(visit: Visit) -> Response:
    """
    What a passkey is to sign.
    """
    challenge, options = await passkeys.to_sign(visit, visit.who.user_id)
    until = visit.desk.clock.now() + passkeys.CHALLENGE_FOR
    await sign_ins(visit).ask_session(visit.who.session_id, challenge, until)
    return Response(options, media_type="application/json")


async def passkey(visit: Visit) -> Response:
    """
    Take what a passkey signed, and go on.
    """
    who = visit.who

    async def is_right() -> bool:
        now, signed = visit.desk.clock.now(), visit.form.get("credential", "")
        challenge = await sign_ins(visit).asked_of_session(who.session_id, now)
        return await passkeys.is_signed(visit, who.user_id, challenge, signed)

    outcome = await prove(visit, who.user_id, who.email, is_right, wrong=WRONG, by=who.actor)
    if outcome is not Outcome.RIGHT:
        words = LOCKED_WORDS if outcome is Outcome.LOCKED else NOT_SIGNED
        return JSONResponse({"words": words}, STATUS[outcome])
    onward = local_path(visit.form.get("next", ""), "/")
    return await _renewed(visit, JSONResponse({"next": onward}), onward)


async def _renewed(visit: Visit, response: Response, onward: str) -> Response:
    """
    Give the browser a new cookie with *response*, which leads *onward*.
    """
    who, now, token = visit.who, visit.desk.clock.now(), session.new_token()
    stands = await visit.desk.people.renew(
        who.session_id,
        token,
        who.merchant.merchant_id,
        what=STEPPED_UP,
        now=now,
        stepped_up_at=now,
    )
    if not stands:
        return RedirectResponse("/sign-in", 303)
    interrupted.let_say(response, onward)
    return session.give(response, token)


async def _form(
    visit: Visit, onward: str, outcome: Outcome = Outcome.RIGHT, field: str = "password"
) -> Response:
    store, user_id = factor_store(visit), visit.who.user_id
    return page(
        visit,
        "step-up.html",
        status=STATUS[outcome],
        next=onward,
        outcome=outcome,
        field_of=field,
        locked_words=LOCKED_WORDS,
        has_authenticator=await store.authenticator(user_id) is not None,
        has_passkey=bool(await store.passkeys(user_id)),
    )


PAGES = (
    Page(path="/step-up", endpoint=step_up_form, before_second_factor=True),
    Page(path="/step-up", endpoint=step_up, method="POST", before_second_factor=True),
    Page(path="/step-up/passkey/options", endpoint=passkey_options, method="POST", by_script=True),
    Page(path="/step-up/passkey", endpoint=passkey, method="POST", by_script=True),
)
