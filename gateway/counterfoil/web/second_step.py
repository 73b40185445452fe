"""
The second factor at sign-in. Whoever stands here has shown a password: that opens nothing else.
"""

from urllib.parse import quote

from starlette.responses import JSONResponse, RedirectResponse, Response

from counterfoil.people.person import Half
from counterfoil.web import passkeys, session
from counterfoil.web.forms import local_path
from counterfoil.web.proving import (
    LOCKED_WORDS,
    STATUS,
    Outcome,
    is_second_factor,
    prove,
    sign_ins,
)
from counterfoil.web.rendering import page
from counterfoil.web.signing_in import end_the_one_before
from counterfoil.web.visit import Endpoint, Page, Visit

CODE_CHARACTERS_MAX = 64
LAPSED = "This took too long: sign in again with your password."
NOT_SIGNED = "This passkey was not taken. Try again, or type a code."
WRONG = "second_factor_failed"


async def second_form(visit: Visit) -> Response:
    """
    Ask for a code or a passkey.
    """
    half = await _half(visit)
    onward = local_path(visit.asked("next"), "/")
    return _form(visit, half, onward) if half else _anew(onward)


async def second(visit: Visit) -> Response:
    """
    Sign in by a code of the app or a recovery code; the cookie is a new one.
    """
    half, onward = await _half(visit), local_path(visit.form.get("next", ""), "/")
    if half is None:
        return _anew(onward)
    code = visit.form.get("code", "")[:CODE_CHARACTERS_MAX]

    async def is_right() -> bool:
        return await is_second_factor(visit, half.user_id, code)

    outcome = await prove(visit, half.user_id, half.email, is_right, wrong=WRONG)
    if outcome is not Outcome.RIGHT:
        return _form(visit, half, onward, outcome)
    token = await _begin(visit, half)
    return session.give(RedirectResponse(onward, 303), token) if token else _anew(onward)


async def passkey_options(visit: Visit) -> Response:
    """
    What a passkey is to sign.
    """
    half, token = await _half(visit), session.half_token_of(visit.request)
    if half is None or token is None:
        return JSONResponse({"words": LAPSED}, 401)
    challenge, options = await passkeys.to_sign(visit, half.user_id)
    until = visit.desk.clock.now() + passkeys.CHALLENGE_FOR
    await sign_ins(visit).ask_half(token, challenge, until)
    return Response(options, media_type="application/json")


async def passkey(visit: Visit) -> Response:
    """
    Sign in by what a passkey signed.
    """
    half, token = await _half(visit), session.half_token_of(visit.request)
    if half is None or token is None:
        return JSONResponse({"words": LAPSED}, 401)

    async def is_right() -> bool:
        challenge = await sign_ins(visit).asked_of_half(token, visit.desk.clock.now())
        signed = visit.form.get("credential", "")
        return await passkeys.is_signed(visit, half.user_id, challenge, signed)

    outcome = await prove(visit, half.user_id, half.email, is_right, wrong=WRONG)
    begun = await _begin(visit, half) if outcome is Outcome.RIGHT else None
    if begun is None:
        words = LOCKED_WORDS if outcome is Outcome.LOCKED else NOT_SIGNED
        return JSONResponse({"words": words}, max(STATUS[outcome], 401))
    onward = local_path(visit.form.get("next", ""), "/")
    return session.give(JSONResponse({"next": onward}), begun)


async def _begin(visit: Visit, half: Half) -> str | None:
    merchant_id = await visit.desk.people.merchant_to_open(half.user_id)
    if merchant_id is None:
        return None
    begun = await session.begin(
        visit.request,
        visit.desk,
        half.user_id,
        merchant_id,
        half_token=session.half_token_of(visit.request),
    )
    if begun:
        await end_the_one_before(visit)
    return begun


async def _half(visit: Visit) -> Half | None:
    token = session.half_token_of(visit.request)
    return await sign_ins(visit).half(token, visit.desk.clock.now()) if token else None


def _anew(onward: str) -> Response:
    return RedirectResponse(f"/sign-in?next={quote(onward)}", 303)


def _form(visit: Visit, half: Half, onward: str, outcome: Outcome = Outcome.RIGHT) -> Response:
    return page(
        visit,
        "second-step.html",
        status=STATUS[outcome],
        half=half,
        next=onward,
        outcome=outcome,
        locked_words=LOCKED_WORDS,
    )


def _open(path: str, endpoint: Endpoint, method: str = "GET") -> Page:
    return Page(
        path=path,
        endpoint=endpoint,
        method=method,
        open_to_all=True,
        before_second_factor=True,
    )


PAGES = (
    _open("/sign-in/second", second_form),
    _open("/sign-in/second", second, "POST"),
    _open("/sign-in/passkey/options", passkey_options, "POST"),
    _open("/sign-in/passkey", passkey, "POST"),
)
