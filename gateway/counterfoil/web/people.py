"""
People: who works for the merchant and as what; invited, changed, ended.
"""

import re
from datetime import timedelta
from email.errors import MessageError
from uuid import UUID

import asyncpg
import structlog
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from counterfoil.api.bodies import EMAIL
from counterfoil.people.invitation import Invited, letter
from counterfoil.people.roles import IN_WORDS, Right, Role
from counterfoil.receipts.mail import NOT_TAKEN, send_at_once
from counterfoil.store.members import MemberStore
from counterfoil.web.astray import LEAVE_IT_OUT, cardless, holds_card
from counterfoil.web.interrupted import to_step_up
from counterfoil.web.just_done import lead_to
from counterfoil.web.rendering import page
from counterfoil.web.session import is_stepped_up, new_token
from counterfoil.web.visit import Page, Visit

INVITATION = timedelta(hours=72)
PENDING_MAX = 100
MAIL_SECONDS_MAX = 8.0
DONE = {
    "role": "The role was changed.",
    "ended": "They work here no more, and their browsers are signed out.",
    "invitation": "The link works no more.",
}
LAST_OWNER = "nobody else is owner. Make somebody else one first."
_EMAIL = re.compile(rf"(?=.{{6,254}}\Z){EMAIL}")

log = structlog.get_logger("web")


async def people(visit: Visit) -> Response:
    """
    Everybody, and whoever is invited; the form holds what was typed before a step-up.
    """
    role = visit.asked("role")
    typed = {"email": visit.asked("email"), "role": role if role in list(Role) else Role.CLERK}
    return await _people(visit, typed)


async def invite(visit: Visit) -> Response:
    """
    Invite somebody: by e-mail, and by the link itself, which is shown this once. To invite an
    owner one proves anew who one is.
    """
    email, chosen = visit.form.get("email", "").strip().lower(), visit.form.get("role", "")
    faults = await _faults(visit, email, chosen)
    if faults:
        return await _people(visit, {"email": email, "role": chosen}, faults)
    who, desk, now, token = visit.who, visit.desk, visit.desk.clock.now(), new_token()
    role, until = Role(chosen), now + INVITATION
    if role is Role.OWNER and not is_stepped_up(who, now):
        return to_step_up("/people", {"email": email, "role": role.value})
    merchant = who.merchant
    await desk.people.invite(
        token, merchant.merchant_id, email, role, by=who.actor, now=now, expires_at=until
    )
    invited = Invited(
        message_id=desk.desk.road.ids.new(),
        who=who.name,
        business=merchant.name,
        recipient=email,
        role=role,
        link=f"{desk.configuration.web_origin}/welcome?token={token}",
        until=until,
    )
    is_sent = await _is_sent(visit, invited)
    return page(visit, "person-invited.html", invited=invited, is_sent=is_sent)


async def _is_sent(visit: Visit, invited: Invited) -> bool:
    """
    Hand the letter to the mail server; whoever invites is told whether it took it.
    """
    mail, desk = visit.desk.configuration.mail, visit.desk
    try:
        written = letter(invited, mail.sender, desk.clock.now(), test=desk.is_test)
        await send_at_once(written, mail, seconds_max=MAIL_SECONDS_MAX)
    except (*NOT_TAKEN, ValueError, MessageError) as error:
        log.warning("invitation_not_sent", reason=type(error).__name__)
        return False
    return True


async def _faults(visit: Visit, email: str, role: str) -> dict[str, str]:
    store, merchant_id = _store(visit), visit.who.merchant.merchant_id
    pending = await store.pending(merchant_id, visit.desk.clock.now())
    roles = {row["email"]: row["role"] for row in pending}
    faults = {}
    if not _EMAIL.fullmatch(email):
        faults["email"] = "Write an e-mail address, such as ada@shop.example."
    elif holds_card(email):
        faults["email"] = LEAVE_IT_OUT
    elif email in {row["email"] for row in await store.members(merchant_id)}:
        faults["email"] = "This person works here already: change their role in the list."
    elif email in roles:
        faults["email"] = (
            f"An invitation of this address as {roles[email]} is open already: end it in the list "
            "first."
        )
    elif len(pending) >= PENDING_MAX:
        faults["email"] = f"{PENDING_MAX} invitations are open: end some of them first."
    if role not in list(Role):
        faults["role"] = "Choose what they are here."
    return faults


async def end_invitation(visit: Visit) -> Response:
    """
    End a link that was not used.
    """
    ended = await _store(visit).end_invitation(
        visit.who.merchant.merchant_id,
        _id(visit, "invitation_id"),
        by=visit.who.actor,
        now=visit.desk.clock.now(),
    )
    if not ended:
        raise HTTPException(404)
    return lead_to("/people", "invitation")


async def person(visit: Visit) -> Response:
    """
    One person: their role, and the end of their work here.
    """
    return await _person(visit)


async def change_role(visit: Visit) -> Response:
    """
    Give a person another role, after a step-up.
    """
    chosen = visit.form.get("role", "")
    if chosen not in list(Role):
        return await _person(visit, {"role": "Choose one of these."})
    if not is_stepped_up(visit.who, visit.desk.clock.now()):
        return to_step_up(f"/people/{_id(visit, 'user_id').hex}", {"role": chosen})
    changed = await _store(visit).change_role(
        visit.who.merchant.merchant_id,
        _id(visit, "user_id"),
        Role(chosen),
        by=visit.who.actor,
        now=visit.desk.clock.now(),
    )
    if not changed:
        return await _person(visit, {"role": await _why_not(visit, chosen)})
    return lead_to("/people", "role")


async def _why_not(visit: Visit, chosen: str) -> str:
    found = await _member(visit)
    if found["role"] == chosen:
        return f"Nothing changed: they are {chosen} already."
    if await _is_last_owner(visit, found):
        return f"Nothing changed: {LAST_OWNER}"
    return "Nothing changed: somebody else was changing it in this moment. Try again."


async def end_form(visit: Visit) -> Response:
    """
    Ask once more: who works here no more comes back by a new invitation only.
    """
    found = await _member(visit)
    if await _is_last_owner(visit, found):
        return RedirectResponse(f"/people/{found['user_id'].hex}", 303)
    return page(visit, "person-end.html", person=found)


async def end_member(visit: Visit) -> Response:
    """
    End a person's work here, after a step-up.
    """
    if not is_stepped_up(visit.who, visit.desk.clock.now()):
        return to_step_up(f"/people/{_id(visit, 'user_id').hex}/end", {})
    ended = await _store(visit).end_member(
        visit.who.merchant.merchant_id,
        _id(visit, "user_id"),
        by=visit.who.actor,
        now=visit.desk.clock.now(),
    )
    if not ended:
        return await _person(visit, {"end": f"Nothing changed: {LAST_OWNER}"})
    return lead_to("/people", "ended")


async def _people(
    visit: Visit, typed: dict[str, str], faults: dict[str, str] | None = None
) -> Response:
    store, merchant_id = _store(visit), visit.who.merchant.merchant_id
    return page(
        visit,
        "people.html",
        status=422 if faults else 200,
        members=await store.members(merchant_id),
        pending=await store.pending(merchant_id, visit.desk.clock.now()),
        roles=IN_WORDS,
        typed={name: cardless(text) for name, text in typed.items()},
        faults=faults or {},
        done=DONE.get(visit.done),
    )


async def _person(visit: Visit, faults: dict[str, str] | None = None) -> Response:
    found = await _member(visit)
    chosen = visit.asked("role")
    return page(
        visit,
        "person.html",
        status=409 if faults else 200,
        person=found,
        roles=IN_WORDS,
        chosen=chosen if chosen in list(Role) else found["role"],
        faults=faults or {},
        is_last_owner=await _is_last_owner(visit, found),
    )


async def _member(visit: Visit) -> asyncpg.Record:
    found = await _store(visit).member(visit.who.merchant.merchant_id, _id(visit, "user_id"))
    if found is None:
        raise HTTPException(404)
    return found


async def _is_last_owner(visit: Visit, member: asyncpg.Record) -> bool:
    members = await _store(visit).members(visit.who.merchant.merchant_id)
    owners = [each["user_id"] for each in members if each["role"] == Role.OWNER]
    return owners == [member["user_id"]]


def _store(visit: Visit) -> MemberStore:
    return MemberStore(visit.desk.database, visit.desk.desk.road.ids)


def _id(visit: Visit, name: str) -> UUID:
    try:
        return UUID(hex=visit.named(name))
    except ValueError:
        raise HTTPException(404) from None


PAGES = (
    Page(path="/people", endpoint=people, right=Right.PEOPLE),
    Page(path="/people/invitations", endpoint=invite, method="POST", right=Right.PEOPLE),
    Page(
        path="/people/invitations/{invitation_id}/end",
        endpoint=end_invitation,
        method="POST",
        right=Right.PEOPLE,
    ),
    Page(path="/people/{user_id}", endpoint=person, right=Right.PEOPLE),
    Page(path="/people/{user_id}/end", endpoint=end_form, right=Right.PEOPLE),
    Page(path="/people/{user_id}/role", endpoint=change_role, method="POST", right=Right.PEOPLE),
    Page(path="/people/{user_id}/end", endpoint=end_member, method="POST", right=Right.PEOPLE),
)
