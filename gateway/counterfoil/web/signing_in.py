"""
Sign in and out, and the one-time link by which a person comes for the first time.
"""

from starlette.responses import RedirectResponse, Response

from counterfoil.people.passwords import PASSWORD_CHARACTERS_MAX, PASSWORD_CHARACTERS_MIN
from counterfoil.web import session
from counterfoil.web.forms import local_path
from counterfoil.web.rendering import page
from counterfoil.web.visit import Page, Visit

NAME_CHARACTERS_MAX = 64
EMAIL_CHARACTERS_MAX = 254


async def sign_in_form(visit: Visit) -> Response:
    """
    The form.
    """
    return _form(visit, local_path(visit.asked("next"), "/"))


async def sign_in(visit: Visit) -> Response:
    """
    Sign in by e-mail address and password; the cookie is a new one, whatever there was before.
    """
    form, desk = visit.form, visit.desk
    onward = local_path(form.get("next", ""), "/")
    email = form.get("email", "").strip()[:EMAIL_CHARACTERS_MAX]
    password = form.get("password", "")[:PASSWORD_CHARACTERS_MAX]
    account = await desk.people.account(email)
    right = await desk.passwords.holds(account.password_hash if account else None, password)
    places = await desk.people.merchants_of(account.user_id) if account and right else []
    if account is None or not places:
        return _form(visit, onward, email=email, wrong=True)
    token = await session.begin(visit.request, desk, account.user_id, places[0]["merchant_id"])
    return session.give(RedirectResponse(onward, 303), token)


async def sign_out(visit: Visit) -> Response:
    """
    Sign this browser out.
    """
    now = visit.desk.clock.now()
    await visit.desk.people.end_session(
        visit.who.session_id, now, why="signed out", by=visit.who.actor
    )
    return session.take_away(RedirectResponse("/sign-in", 303))


async def welcome_form(visit: Visit) -> Response:
    """
    What a one-time link leads to: name and password of somebody new.
    """
    token = visit.asked("token")
    invitation = await visit.desk.people.invitation(token)
    stands = invitation is not None and invitation.stands(visit.desk.clock.now())
    return page(
        visit,
        "welcome.html",
        status=200 if stands else 410,
        invitation=invitation if stands else None,
        token=token,
        name=(invitation.user_name or "") if invitation else "",
        faults={},
        characters_min=PASSWORD_CHARACTERS_MIN,
    )


async def welcome(visit: Visit) -> Response:
    """
    Use up the link, once, and sign in.
    """
    form, desk, now = visit.form, visit.desk, visit.desk.clock.now()
    token = form.get("token", "")
    invitation = await desk.people.invitation(token)
    if invitation is None or not invitation.stands(now):
        return page(visit, "welcome.html", status=410, invitation=None)
    name, password = form.get("name", "").strip(), form.get("password", "")
    faults = {} if invitation.has_password else _faults(name, password)
    if faults:
        return page(
            visit,
            "welcome.html",
            status=422,
            invitation=invitation,
            token=token,
            name=name,
            faults=faults,
            characters_min=PASSWORD_CHARACTERS_MIN,
        )
    kept = None if invitation.has_password else await desk.passwords.hash(password)
    place = await desk.people.accept(
        token, name=invitation.user_name or name, password_hash=kept, now=now
    )
    if place is None:
        return page(visit, "welcome.html", status=410, invitation=None)
    begun = await session.begin(visit.request, desk, place.user_id, place.merchant_id)
    return session.give(RedirectResponse("/", 303), begun)


def _faults(name: str, password: str) -> dict[str, str]:
    faults = {}
    if not (name.isprintable() and 1 <= len(name) <= NAME_CHARACTERS_MAX):
        faults["name"] = f"Write your name, up to {NAME_CHARACTERS_MAX} characters."
    if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
        faults["password"] = (
            f"Choose {PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} characters: "
            "four words that nobody puts together are easy to keep."
        )
    return faults


def _form(visit: Visit, onward: str, *, email: str = "", wrong: bool = False) -> Response:
    status = 401 if wrong else 200
    return page(visit, "sign-in.html", status=status, next=onward, email=email, wrong=wrong)


PAGES = (
    Page(path="/sign-in", endpoint=sign_in_form, open_to_all=True),
    Page(path="/sign-in", endpoint=sign_in, method="POST", open_to_all=True),
    Page(path="/sign-out", endpoint=sign_out, method="POST"),
    Page(path="/welcome", endpoint=welcome_form, open_to_all=True),
    Page(path="/welcome", endpoint=welcome, method="POST", open_to_all=True),
)
