"""
Proving who one is: each try is counted before it is judged, and a wrong one written down.
"""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from uuid import UUID

from counterfoil.people import factors, limits
from counterfoil.people.limits import Limit
from counterfoil.store.factors import FactorStore
from counterfoil.store.sign_ins import SignInStore
from counterfoil.vault import SealedSecret
from counterfoil.web import session
from counterfoil.web.visit import Visit

NOBODYS = UUID(int=0)
STRANGER = "stranger"
LOCKED_WORDS = (
    "There were too many wrong tries. Wait half an hour, then try again. "
    "Whoever has lost the way in gets a new link from whoever runs Counterfoil."
)


class Outcome(StrEnum):
    """
    How a try ended; LOCKED: it was not looked at.
    """

    RIGHT = "right"
    WRONG = "wrong"
    LOCKED = "locked"


STATUS = {Outcome.RIGHT: 200, Outcome.WRONG: 401, Outcome.LOCKED: 429}


def sign_ins(visit: Visit) -> SignInStore:
    """
    Return where tries, sessions and resets are.
    """
    return SignInStore(visit.desk.database, visit.desk.desk.road.ids)


def factor_store(visit: Visit) -> FactorStore:
    """
    Return where second factors are.
    """
    return FactorStore(visit.desk.database, visit.desk.desk.road.ids)


async def prove(
    visit: Visit,
    user_id: UUID | None,
    email: str,
    proof: Callable[[], Awaitable[bool]],
    *,
    wrong: str = "sign_in_failed",
    by: str = STRANGER,
) -> Outcome:
    """
    Judge one try by *proof*, if tries are left; *wrong* is its name in the list of changes, *by*
    whoever is signed in, or else a stranger.
    """
    now, store = visit.desk.clock.now(), sign_ins(visit)
    address = session.address_of(visit.request)
    taken: list[Limit] = []
    tries = 0
    for limit in _limits(visit, user_id, email, address):
        made = await store.take_try(limit, now)
        if made is None:
            return Outcome.LOCKED
        tries = made
        taken.append(limit)
    if await proof():
        await store.give_back(taken)
        return Outcome.RIGHT
    locked = ["sign_in_locked"] if tries >= limits.ACCOUNT_TRIES_MAX else []
    await store.note_wrong(user_id, [wrong, *locked], address, now, by=by)
    return Outcome.WRONG


def _limits(visit: Visit, user_id: UUID | None, email: str, address: str) -> list[Limit]:
    """
    Return whose tries are counted, the account last: a locked address does not lock accounts.
    """
    vault = visit.desk.desk.road.vault

    def digest(content: bytes) -> bytes:
        return vault.keyed_digest(b"sign-in", NOBODYS, content)

    of_address = limits.of_address(address, digest)
    of_account = limits.of_account(user_id, email, digest)
    return [of_address, of_account] if of_address else [of_account]


async def is_app_code(visit: Visit, user_id: UUID, code: str) -> bool:
    """
    Return whether *code* is what the person's app shows, and use it up.
    """
    code = factors.plain(code)
    row = await factor_store(visit).authenticator(user_id) if factors.is_app_code(code) else None
    if row is None:
        return False
    sealed = SealedSecret(row["key_id"], row["nonce"], row["ciphertext"])
    vault = visit.desk.desk.road.vault
    secret = vault.open_secret(sealed, user_id, row["authenticator_id"]).decode()
    step = factors.step_of(secret, code, visit.desk.clock.now())
    return step is not None and await factor_store(visit).use_step(row["authenticator_id"], step)


async def is_second_factor(visit: Visit, user_id: UUID, code: str) -> bool:
    """
    Return whether *code* is one of the person's app or a recovery code, and use it up.
    """
    if factors.is_app_code(factors.plain(code)):
        return await is_app_code(visit, user_id, code)
    if len(factors.plain(code)) != factors.RECOVERY_CHARACTERS:
        return False
    kept = factors.hash_of_recovery(user_id, code)
    return await factor_store(visit).use_code(user_id, kept, visit.desk.clock.now())
