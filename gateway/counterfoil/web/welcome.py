"""
One-time links: of an invitation, by which a person comes for the first time, and of a reset.
"""

from collections.abc import Iterable
from uuid import UUID

from starlette.responses import RedirectResponse, Response

from counterfoil.lines import fault_of_line
from counterfoil.people.names import fault_of_name
from counterfoil.people.password_rules import USED, fault_of
from counterfoil.people.passwords import PASSWORD_CHARACTERS_MAX, PASSWORD_CHARACTERS_MIN
from counterfoil.people.person import Invitation
from counterfoil.web import session
from counterfoil.web.astray import LEAVE_IT_OUT, holds_card
from counterfoil.web.just_done import lead_to
from counterfoil.web.proving import LOCKED_WORDS, Outcome, prove, sign_ins
from counterfoil.web.rendering import page
from counterfoil.web.visit import Page, Visit

NAME_CHARACTERS_MAX = 64
TOKEN_CHARACTERS_MAX = 64
NOT_YOURS = (
    "This is not the password of this address. Whoever does not know it gets a new link from "
    "whoever runs Counterfoil."
)


async def welcome_form(visit: Visit) -> Response:
    """
    What a one-time link leads to: name and password of somebody new.
    """
    token = visit.asked("token")
    invitation = await visit.desk.people.invitation(token)
    stands = invitation is not None and invitation.stands(visit.desk.clock.now())
    return _welcome(visit, invitation if stands else None, token)


async def welcome(visit: Visit) -> Response:
    """
    Use up the link, once. Somebody new is signed in; whom we know proves it by their password, so
    that nobody who took an address first comes to what its owner is invited to, and signs in as
    always.
    """
    form, desk, now = visit.form, visit.desk, visit.desk.clock.now()
    token = form.get("token", "")
    invitation = await desk.people.invitation(token)
    if invitation is None or not invitation.stands(now):
        return _welcome(visit, None, token)
    name, password = form.get("name", "").strip(), form.get("password", "")
    own = (invitation.email, name, invitation.merchant_name)
    merchants = {invitation.merchant_id, *await desk.people.merchants_that_knew(invitation.email)}
    others = await desk.people.names_of_others(sorted(merchants), invitation.email)
    if invitation.has_password:
        known = invitation.user_name or ""
        must_change = fault_of_name(known, others) or _fault_of_line(known)
        name = name if name and must_change else known
        faults = await _unproved(visit, invitation.email, password) or _fault_of_line(name)
    else:
        faults = _faults(name, password, own)
    if not faults and (fault := fault_of_name(name, others)):
        faults = {"name": fault}
    if faults:
        return _welcome(visit, invitation, token, name=name, faults=faults)
    is_renamed = invitation.has_password and name != invitation.user_name
    kept = None if invitation.has_password else await desk.passwords.hash(password)
    place = await desk.people.accept(
        token,
        name=name,
        password_hash=kept,
        now=now,
        renamed_at=sorted(merchants) if is_renamed else (),
    )
    if place is None:
        return _welcome(visit, None, token)
    if invitation.has_password:
        return lead_to("/sign-in", "joined")
    must = desk.configuration.second_factor_required
    begun = await session.begin(
        visit.request, desk, place.user_id, place.merchant_id, is_stepped_up=must
    )
    assert begun is not None, "no half of a sign-in stands in the way"
    return session.give(RedirectResponse("/", 303), begun)


async def reset_form(visit: Visit) -> Response:
    """
    What the link of a reset leads to: a new password.
    """
    token = visit.asked("token")[:TOKEN_CHARACTERS_MAX]
    row = await sign_ins(visit).reset_of(token, visit.desk.clock.now())
    return _reset(visit, token, row)


async def reset(visit: Visit) -> Response:
    """
    Use up the link, once: the person signs in with the new password afterwards.
    """
    now, desk = visit.desk.clock.now(), visit.desk
    token = visit.form.get("token", "")[:TOKEN_CHARACTERS_MAX]
    row = await sign_ins(visit).reset_of(token, now)
    if row is None:
        return _reset(visit, token, None)
    password = visit.form.get("password", "")
    businesses = [each["name"] for each in await desk.people.merchants_of(row["user_id"])]
    fault = fault_of(password, (row["email"], row["name"], *businesses))
    if fault is None:
        fault = await used_before(visit, row["user_id"], password)
    if fault:
        return _reset(visit, token, row, {"password": fault})
    if not await sign_ins(visit).use_reset(token, await desk.passwords.hash(password), now):
        return _reset(visit, token, None)
    return session.take_away(lead_to("/sign-in", "reset"))


async def used_before(visit: Visit, user_id: UUID, password: str) -> str | None:
    """
    Return why *password* is refused if it is the person's, or one of the three before.
    """
    for kept in await sign_ins(visit).passwords(user_id):
        if await visit.desk.passwords.holds(kept, password):
            return USED
    return None


async def _unproved(visit: Visit, email: str, password: str) -> dict[str, str]:
    account = await visit.desk.people.account(email)
    kept = account.password_hash if account else None

    async def is_right() -> bool:
        return await visit.desk.passwords.holds(kept, password[:PASSWORD_CHARACTERS_MAX])

    outcome = await prove(visit, account.user_id if account else None, email, is_right)
    if outcome is Outcome.RIGHT:
        return {}
    return {"password": LOCKED_WORDS if outcome is Outcome.LOCKED else NOT_YOURS}


def _fault_of_line(name: str) -> dict[str, str]:
    most = f"Write your name, up to {NAME_CHARACTERS_MAX} characters."
    if fault := fault_of_line(name, NAME_CHARACTERS_MAX, most):
        return {"name": fault}
    return {"name": LEAVE_IT_OUT} if holds_card(name) else {}


def _faults(name: str, password: str, own: Iterable[str]) -> dict[str, str]:
    faults = _fault_of_line(name)
    if fault := fault_of(password, [each for each in own if each != name or not faults]):
        faults["password"] = fault
    return faults


def _welcome(
    visit: Visit,
    invitation: Invitation | None,
    token: str,
    *,
    name: str = "",
    faults: dict[str, str] | None = None,
) -> Response:
    return page(
        visit,
        "welcome.html",
        status=410 if invitation is None else 422 if faults else 200,
        invitation=invitation,
        token=token,
        name=name or ((invitation.user_name or "") if invitation else ""),
        faults=faults or {},
        characters_min=PASSWORD_CHARACTERS_MIN,
        characters_max=PASSWORD_CHARACTERS_MAX,
    )


def _reset(
    visit: Visit, token: str, row: object | None, faults: dict[str, str] | None = None
) -> Response:
    return page(
        visit,
        "reset.html",
        status=410 if row is None else 422 if faults else 200,
        person=row,
        token=token,
        faults=faults or {},
        characters_min=PASSWORD_CHARACTERS_MIN,
    )


PAGES = tuple(
    Page(
        path=path,
        endpoint=endpoint,
        method=method,
        open_to_all=True,
        before_second_factor=True,
    )
    for path, endpoint, method in (
        ("/welcome", welcome_form, "GET"),
        ("/welcome", welcome, "POST"),
        ("/reset", reset_form, "GET"),
        ("/reset", reset, "POST"),
    )
)
