"""
One's authenticator app and recovery codes: set up, made anew, removed, always after a step-up.
"""

from datetime import timedelta

import asyncpg
from starlette.responses import RedirectResponse, Response

from counterfoil.people import factors
from counterfoil.vault import SealedSecret
from counterfoil.web.just_done import address_of, lead_to, let_say
from counterfoil.web.proving import factor_store
from counterfoil.web.rendering import page
from counterfoil.web.second_step import CODE_CHARACTERS_MAX
from counterfoil.web.visit import Endpoint, Page, Visit

SET_UP_FOR = timedelta(minutes=15)
NOT_THE_CODE = "This is not the code that the app shows now. Wait for the next one and type that."


async def choose(visit: Visit) -> Response:
    """
    Which second factor it shall be; whoever must have one is led here first.
    """
    must = visit.desk.configuration.second_factor_required and not visit.who.has_second_factor
    return page(visit, "me-second-factor.html", must=must)


async def authenticator_form(visit: Visit) -> Response:
    """
    The picture that an app reads, while it is being set up.
    """
    return await _authenticator(visit)


async def begin_authenticator(visit: Visit) -> Response:
    """
    Make a secret for an app, sealed at once.
    """
    who, road, now = visit.who, visit.desk.desk.road, visit.desk.clock.now()
    authenticator_id = road.ids.new()
    secret = factors.new_secret().encode()
    sealed = road.vault.seal_secret(secret, who.user_id, authenticator_id)
    await factor_store(visit).begin_authenticator(authenticator_id, who.user_id, sealed, now)
    return RedirectResponse("/me/authenticator", 303)


async def confirm_authenticator(visit: Visit) -> Response:
    """
    Take the first code: from now on the app is asked for.
    """
    who, now = visit.who, visit.desk.clock.now()
    row = await factor_store(visit).begun(who.user_id, now - SET_UP_FOR)
    if row is None:
        return RedirectResponse("/me/authenticator", 303)
    code = factors.plain(visit.form.get("code", "")[:CODE_CHARACTERS_MAX])
    secret = _opened(visit, row)
    step = factors.step_of(secret, code, now) if factors.is_app_code(code) else None
    if step is None:
        return await _authenticator(visit, fault=NOT_THE_CODE)
    if not await factor_store(visit).confirm(who, row["authenticator_id"], step, now):
        return RedirectResponse("/me/authenticator", 303)
    onward = await after_adding(visit, "authenticator")
    answer = RedirectResponse(onward, 303)
    let_say(answer, onward)
    return answer


async def after_adding(visit: Visit, done: str) -> str:
    """
    Return where one goes with a new factor: to recovery codes, if there are none.
    """
    left = await factor_store(visit).codes_left(visit.who.user_id)
    return address_of("/me", done, part="factors") if left else "/me/recovery"


async def remove_form(visit: Visit) -> Response:
    """
    Ask once more.
    """
    if await factor_store(visit).authenticator(visit.who.user_id) is None:
        return RedirectResponse("/me", 303)
    return page(
        visit,
        "me-remove.html",
        title="Remove the authenticator app?",
        words="Its codes sign in no more. You can set it up again, with a new picture.",
    )


async def remove(visit: Visit) -> Response:
    """
    Let the app count no more; its secret is gone.
    """
    await factor_store(visit).end_authenticator(visit.who, visit.desk.clock.now())
    return lead_to("/me", "authenticator-removed", part="factors")


async def recovery_form(visit: Visit) -> Response:
    """
    What recovery codes are, and how many are left.
    """
    left = await factor_store(visit).codes_left(visit.who.user_id)
    return page(visit, "me-recovery.html", codes=None, left=left)


async def make_codes(visit: Visit) -> Response:
    """
    Make new codes and show them, this once: the answer to the form, which nothing keeps.
    """
    who, codes = visit.who, factors.new_recovery_codes()
    hashes = [factors.hash_of_recovery(who.user_id, each) for each in codes]
    await factor_store(visit).replace_codes(who, hashes, visit.desk.clock.now())
    return page(visit, "me-recovery.html", status=201, codes=codes, left=len(codes))


async def _authenticator(visit: Visit, fault: str | None = None) -> Response:
    """
    Return the page; after a wrong code without the secret, which was read already.
    """
    who, now = visit.who, visit.desk.clock.now()
    row = await factor_store(visit).begun(who.user_id, now - SET_UP_FOR)
    secret = _opened(visit, row) if row and not fault else None
    issuer = "Counterfoil test" if visit.desk.is_test else "Counterfoil"
    return page(
        visit,
        "me-authenticator.html",
        status=422 if fault else 200,
        stands=await factor_store(visit).authenticator(who.user_id) is not None,
        is_begun=row is not None,
        secret=secret,
        picture=factors.picture_of(factors.address_of(secret, who.email, issuer)) if secret else "",
        fault=fault,
    )


def _opened(visit: Visit, row: asyncpg.Record) -> str:
    sealed = SealedSecret(row["key_id"], row["nonce"], row["ciphertext"])
    vault = visit.desk.desk.road.vault
    return vault.open_secret(sealed, visit.who.user_id, row["authenticator_id"]).decode()


def _page(path: str, endpoint: Endpoint, method: str = "GET") -> Page:
    return Page(
        path=path,
        endpoint=endpoint,
        method=method,
        after_step_up=True,
        before_second_factor=True,
    )


PAGES = (
    Page(path="/me/second-factor", endpoint=choose, before_second_factor=True),
    _page("/me/authenticator", authenticator_form),
    _page("/me/authenticator", begin_authenticator, "POST"),
    _page("/me/authenticator/confirm", authenticator_form),
    _page("/me/authenticator/confirm", confirm_authenticator, "POST"),
    _page("/me/authenticator/remove", remove_form),
    _page("/me/authenticator/remove", remove, "POST"),
    _page("/me/recovery", recovery_form),
    _page("/me/recovery", make_codes, "POST"),
)
