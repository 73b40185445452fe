"""
Sign in by a passkey alone: the device proves that it is there, and by finger, face or PIN whose it
is. Both factors in one; no password and no name is typed.

Nothing is kept of whoever asks: the challenge is made of a cookie that ends, and of a key of ours.
Only one that was signed rightly is noted, so that it counts once.
"""

import json
import secrets
from typing import Any

import asyncpg
import webauthn
from starlette.responses import JSONResponse, Response

from counterfoil.people.limits import Limit
from counterfoil.web import passkeys, session
from counterfoil.web.forms import local_path
from counterfoil.web.passkeys import CHALLENGE_FOR, UNREADABLE
from counterfoil.web.proving import (
    LOCKED_WORDS,
    NOBODYS,
    STATUS,
    Outcome,
    factor_store,
    prove,
    sign_ins,
)
from counterfoil.web.signing_in import end_the_one_before
from counterfoil.web.visit import Page, Visit

COOKIE = "__Host-counterfoil-asked"
COOKIE_CHARACTERS_MAX = 80
NAME_CHARACTERS_MAX = 64
WRONG = "passkey_failed"
NOT_TAKEN = "This passkey signs nobody in here. Sign in by password, or try another one."
TOO_LATE = "This took too long. Try again."


async def options(visit: Visit) -> Response:
    """
    What any passkey of this site is to sign.
    """
    until = visit.desk.clock.now() + CHALLENGE_FOR
    cookie = f"{secrets.token_urlsafe(session.TOKEN_BYTES)}.{int(until.timestamp())}"
    response = Response(
        passkeys.to_sign_by_any(visit, _challenge(visit, cookie)), media_type="application/json"
    )
    response.set_cookie(COOKIE, cookie, path="/", secure=True, httponly=True, samesite="strict")
    return response


async def sign_in(visit: Visit) -> Response:
    """
    Sign in whoever the passkey belongs to, for whom they worked last.
    """
    asked = _asked(visit)
    if asked is None:
        return JSONResponse({"words": TOO_LATE}, 401)
    signed, credential_id = visit.form.get("credential", ""), b""
    try:
        said = json.loads(signed)
        credential_id = webauthn.base64url_to_bytes(said["id"])
    except (*UNREADABLE, RecursionError):
        said = {}
    row = await factor_store(visit).passkey_of_anybody(credential_id)
    name = webauthn.helpers.bytes_to_base64url(credential_id)[:NAME_CHARACTERS_MAX]

    async def is_right() -> bool:
        if row is None or not _names(said, row):
            return False
        if not await passkeys.is_signed_alone(visit, row, _challenge(visit, asked), signed):
            return False
        once = Limit(f"asked:{asked[:40]}", 1, CHALLENGE_FOR * 2, CHALLENGE_FOR * 2)
        return await sign_ins(visit).take_try(once, visit.desk.clock.now()) is not None

    user_id = row["user_id"] if row else None
    outcome = await prove(visit, user_id, name, is_right, wrong=WRONG)
    merchant_id = None
    if outcome is Outcome.RIGHT and user_id:
        merchant_id = await visit.desk.people.merchant_to_open(user_id)
    if merchant_id is None or user_id is None:
        words = LOCKED_WORDS if outcome is Outcome.LOCKED else NOT_TAKEN
        return JSONResponse({"words": words}, max(STATUS[outcome], 401))
    begun = await session.begin(visit.request, visit.desk, user_id, merchant_id)
    assert begun is not None, "no half of a sign-in stands in the way"
    await end_the_one_before(visit)
    response = JSONResponse({"next": local_path(visit.form.get("next", ""), "/")})
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return session.give(response, begun)


def _asked(visit: Visit) -> str | None:
    """
    Return what the browser's cookie says, while that counts.
    """
    cookie = visit.request.cookies.get(COOKIE, "")[:COOKIE_CHARACTERS_MAX]
    _, _, until = cookie.partition(".")
    if not (cookie.isascii() and until.isdigit()):
        return None
    left = int(until) - visit.desk.clock.now().timestamp()
    return cookie if 0 < left <= CHALLENGE_FOR.total_seconds() else None


def _challenge(visit: Visit, cookie: str) -> bytes:
    vault = visit.desk.desk.road.vault
    return vault.keyed_digest(b"passkey challenge", NOBODYS, cookie.encode())


def _names(said: dict[str, Any], row: asyncpg.Record) -> bool:
    """
    Return whether the passkey names the person whose it is, if it names one.
    """
    try:
        handle = said["response"].get("userHandle")
        return not handle or webauthn.base64url_to_bytes(handle) == row["user_id"].bytes
    except (*UNREADABLE, AttributeError):
        return False


PAGES = tuple(
    Page(
        path=path,
        endpoint=endpoint,
        method="POST",
        open_to_all=True,
        before_second_factor=True,
        by_script=True,
    )
    for path, endpoint in (
        ("/sign-in/passkey/alone/options", options),
        ("/sign-in/passkey/alone", sign_in),
    )
)
