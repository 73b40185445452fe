"""
The pages on a stage: a browser without a window, which keeps cookies and sends forms as one does.
"""

import re
from datetime import timedelta
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import httpx2
from api_stage import CHECKOUT_ORIGIN as CHECKOUT_ORIGIN
from api_stage import Api
from argon2 import PasswordHasher
from counterfoil.checkouts.inventory import not_as_listed
from counterfoil.config import Configuration
from counterfoil.people.passwords import Passwords
from counterfoil.people.roles import Role
from counterfoil.store.people import PeopleStore
from counterfoil.web.application import application
from counterfoil.web.desk import WebDesk
from payment_stage import Stage

CHECKOUT_PORT = 8445
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # Nobody guesses in a test.
PASSWORD = "four words nobody puts together"
ORIGIN = "https://localhost:8444"
_CSRF = re.compile(r'name="csrf" value="([0-9a-f]{64})"')
# An id or a token, whole: 32 or 64 signs of hexadecimal, a UUID, or 43 of base 64.
_RANDOM = re.compile(
    r"(?<![A-Za-z0-9-])(?=[0-9]*[A-Za-z_-])"
    r"(?:[0-9a-f]{32}|[0-9a-f]{64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[\w-]{43})(?![\w-])"
)


class Site:
    """
    Both origins of one web process, on the road of a stage.
    """

    def __init__(self, stage: Stage, api: Api, configuration: Configuration) -> None:
        assert not not_as_listed(), "scripts or styles have changed: run `make inventory`"
        self.stage = stage
        self.desk = WebDesk(
            desk=api.desk,
            configuration=configuration,
            database=stage.database,
            merchants=stage.merchants,
            people=PeopleStore(stage.database, stage.road.ids),
            passwords=Passwords(CHEAP),
        )
        self.app = application(self.desk, checkout_port=CHECKOUT_PORT)

    @classmethod
    async def of(cls, stage: Stage, **settings: Any) -> "Site":
        """Return the site of the stage's merchant."""
        return cls(stage, await Api.of(stage), Configuration(**settings))

    async def link(self, email: str, role: Role, merchant_id: UUID | None = None) -> str:
        """Return the path of a one-time link to the stage's merchant, or another."""
        now, token = self.stage.clock.now(), f"token-{uuid4().hex}"
        await self.desk.people.invite(
            token,
            merchant_id or self.stage.merchant.merchant_id,
            email,
            role,
            by="cli:test",
            now=now,
            expires_at=now + timedelta(hours=1),
        )
        return f"/welcome?token={token}"

    def browser(self, origin: str = ORIGIN, address: str = "127.0.0.1") -> "WindowlessBrowser":
        """Return a browser in which nobody is signed in."""
        return WindowlessBrowser(self.app, origin, address)

    def address_of(self, role: Role = Role.OWNER) -> str:
        """Return the e-mail address of who signs in as *role*."""
        return f"{role}-{self.stage.merchant.merchant_id.hex[-12:]}@shop.example"

    async def signed_in(self, role: Role = Role.OWNER) -> "WindowlessBrowser":
        """Return a browser in which somebody of *role* has come by a one-time link."""
        browser = self.browser()
        email = self.address_of(role)
        link = await self.link(email, role)
        others = await self.desk.people.names_of_others([self.stage.merchant.merchant_id], email)
        name = f"{role.title()} Byron" if "Ada Byron" in others else "Ada Byron"
        form = {"token": link.partition("=")[2], "name": name, "password": PASSWORD}
        answer = await browser.send("/welcome", form)
        assert answer.status_code == 303, answer.text
        if answer.headers["location"] != "/":  # Somebody whom we know already.
            answer = await browser.send("/sign-in", {"email": email, "password": PASSWORD})
            assert answer.status_code == 303, answer.text
        return browser


class WindowlessBrowser:
    """
    Follows no redirect by itself, so that a test sees where one leads.
    """

    def __init__(self, app: Any, origin: str, address: str) -> None:
        self.origin = origin
        self.client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app, client=(address, 40000)), base_url=origin
        )
        self.csrf = ""

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        """Open a page; the token of its forms is noted."""
        answer = await self.client.get(path, headers=headers)
        if found := _CSRF.search(answer.text):
            self.csrf = found.group(1)
        return answer

    async def send(self, path: str, form: dict[str, str], **headers: str) -> httpx2.Response:
        """Send a form from a page of ours, with its token."""
        said = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin", **headers}
        return await self.client.post(path, data={"csrf": self.csrf, **form}, headers=said)


def words(answer: httpx2.Response) -> str:
    """Return what a page says, without its marks."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


def without_tokens(text: str) -> str:
    """
    Return *text* without ids and tokens, in which any few digits may stand by chance.
    """
    return _RANDOM.sub("", text)
