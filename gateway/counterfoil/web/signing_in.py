"""
Sign in by e-mail address and password, and out.
"""

from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from counterfoil.people.passwords import PASSWORD_CHARACTERS_MAX
from counterfoil.people.person import Account
from counterfoil.web import session
from counterfoil.web.forms import local_path
from counterfoil.web.lost import words_on_the_way
from counterfoil.web.proving import STATUS, Outcome, prove, sign_ins
from counterfoil.web.rendering import page
from counterfoil.web.visit import Page, Visit

EMAIL_CHARACTERS_MAX = 254
SAID = {"reset": "Your new password holds. Sign in with it.", "joined": "You belong to it now."}


async def sign_in_form(visit: Visit) -> Response:
    """
    The form.
    """
    return _form(visit, local_path(visit.asked("next"), "/"))


async def sign_in(visit: Visit) -> Response:
    """
    Sign in by password; whoever has a second factor is asked for it before anything opens.
    """
    form, desk = visit.form, visit.desk
    onward = local_path(form.get("next", ""), "/")
    email = form.get("email", "").strip()[:EMAIL_CHARACTERS_MAX]
    password = form.get("password", "")[:PASSWORD_CHARACTERS_MAX]
    account = await desk.people.account(email)

    async def is_right() -> bool:
        kept = account.password_hash if account else None
        right = await desk.passwords.holds(kept, password)
        if not right or account is None:
            return False
        return await desk.people.merchant_to_open(account.user_id) is not None

    outcome = await prove(visit, account.user_id if account else None, email, is_right)
    if outcome is not Outcome.RIGHT:
        return _form(visit, onward, email=email, outcome=outcome)
    assert account is not None, "nobody's password is right"
    return await _let_in(visit, account, onward)


async def _let_in(visit: Visit, account: Account, onward: str) -> Response:
    desk, now = visit.desk, visit.desk.clock.now()
    if account.has_second_factor:
        token = session.new_token()
        await sign_ins(visit).begin_half(token, account.user_id, now, now + session.HALF_FOR)
        response = RedirectResponse(f"/sign-in/second?next={quote(onward)}", 303)
        return session.give_half(response, token)
    merchant_id = await desk.people.merchant_to_open(account.user_id)
    if merchant_id is None:  # Their work has ended this very moment.
        return _form(visit, onward, email=account.email, outcome=Outcome.WRONG)
    # Who is led to set a second factor up has proved just now who they are.
    must = desk.configuration.second_factor_required
    begun = await session.begin(
        visit.request, desk, account.user_id, merchant_id, is_stepped_up=must
    )
    assert begun is not None, "no half of a sign-in stands in the way"
    await end_the_one_before(visit)
    return session.give(RedirectResponse(onward, 303), begun)


async def end_the_one_before(visit: Visit) -> None:
    """
    Sign out what this browser was signed in to before.
    """
    if visit.guest:
        now, who = visit.desk.clock.now(), visit.guest
        await visit.desk.people.end_session(who.session_id, now, why="signed in anew", by=who.actor)


async def sign_out(visit: Visit) -> Response:
    """
    Sign this browser out.
    """
    now = visit.desk.clock.now()
    await visit.desk.people.end_session(
        visit.who.session_id, now, why="signed out", by=visit.who.actor
    )
    return session.take_away(RedirectResponse("/sign-in", 303))


def _form(
    visit: Visit, onward: str, *, email: str = "", outcome: Outcome = Outcome.RIGHT
) -> Response:
    said = SAID.get(visit.done)
    lost = words_on_the_way(onward)
    return page(
        visit,
        "sign-in.html",
        status=STATUS[outcome],
        next=onward,
        email=email,
        outcome=outcome,
        said=said,
        lost=lost,
    )


PAGES = (
    Page(path="/sign-in", endpoint=sign_in_form, open_to_all=True, before_second_factor=True),
    Page(
        path="/sign-in",
        endpoint=sign_in,
        method="POST",
        open_to_all=True,
        before_second_factor=True,
    ),
    Page(path="/sign-out", endpoint=sign_out, method="POST", before_second_factor=True),
)
