"""
What the shop's tests share: a shop over a scripted gateway.

The gateway here is a real HTTPS server that speaks the API's contract from a script. It is
not the real gateway, whose stories with the shop are told in the tests of the whole road.
"""

import datetime
import ipaddress
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from counterfoil_shop import app as shop_app
from counterfoil_shop import loopback
from counterfoil_shop.books import Purchase
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

KEY = "sk_test_shop"
CONFIRMATION = "123456789012"
RRN = "632706000123"
Json = dict[str, Any]


@dataclass
class ScriptedGateway:
    """
    A gateway that does what its script says: approve, decline, refuse or drop.
    """

    script: str = "approve"
    payments: dict[str, Json] = field(default_factory=dict)  # By idempotency key.
    checkouts: dict[str, Json] = field(default_factory=dict)  # By idempotency key.
    sales: int = 0
    answering: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    authority: Path = Path()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/payments", self.pay, methods=["POST"]),
                Route("/v1/payments", self.listing, methods=["GET"]),
                Route("/v1/payments/{id}", self.get, methods=["GET"]),
                Route("/v1/payments/{id}/acknowledge", self.acknowledge, methods=["POST"]),
                Route("/v1/checkouts", self.open_checkout, methods=["POST"]),
                Route("/v1/checkouts/{id}", self.checkout, methods=["GET"]),
                Route("/v1/resolve", self.resolve, methods=["POST"]),
            ]
        )

    def pay(self, request: Request) -> Response:
        import anyio.from_thread

        body: Json = anyio.from_thread.run(request.json)
        key = request.headers["idempotency-key"]
        if self.script == "refuse":
            return problem(422, "card_expired", "card.expiry_month")
        if self.script == "busy":
            return problem(429, "rate_limited", None)
        if key not in self.payments:
            self.sales += 1
            self.payments[key] = sold(len(self.payments), key, body, self.script)
        assert self.answering.wait(30)
        return JSONResponse(self.payments[key], status_code=201)

    async def acknowledge(self, request: Request) -> Response:
        payment = self.of_id(request.path_params["id"])
        payment |= {"state": "captured", "charged": True, "confirmation_number": CONFIRMATION}
        return JSONResponse(payment)

    async def open_checkout(self, request: Request) -> Response:
        body, key = await request.json(), request.headers["idempotency-key"]
        if self.script == "refuse":
            return problem(400, "return_url_refused", "return_url")
        if self.script == "broken":
            return Response("no", status_code=502)
        name = f"chk_{len(self.checkouts):032x}"
        made = {
            "id": name,
            "state": "open",
            "payment": None,
            "url": f"https://pay.example/c/{name}",
        }
        self.checkouts.setdefault(key, {**body, **made, "return_secret": f"rsec_{name}"})
        return JSONResponse(self.checkouts[key], status_code=201)

    async def checkout(self, request: Request) -> Response:
        found = {each["id"]: each for each in self.checkouts.values()}
        return JSONResponse(found[request.path_params["id"]])

    def pay_on_page(self) -> Json:
        """Somebody pays the only checkout with a card that the shop never sees."""
        ((key, checkout),) = self.checkouts.items()
        body = {**checkout, "card": {"number": "5555555555554444"}}
        payment = sold(len(self.payments), key, body, "approve") | {
            "state": "captured",
            "charged": True,
            "confirmation_number": CONFIRMATION,
            "card": {"brand": "mastercard", "last4": "4444"},
        }
        self.payments[f"page {key}"] = payment
        checkout |= {"state": "paid", "payment": payment["id"]}
        return checkout

    async def resolve(self, request: Request) -> Response:
        payment = self.payments.get((await request.json())["idempotency_key"])
        status = "seen" if payment else "never_seen"
        return JSONResponse({"object": "resolution", "status": status, "payment": payment})

    async def get(self, request: Request) -> Response:
        return JSONResponse(self.of_id(request.path_params["id"]))

    async def listing(self, request: Request) -> Response:
        data = list(reversed(self.payments.values()))
        return JSONResponse({"object": "list", "data": data, "next_cursor": None})

    def of_id(self, payment_id: str) -> Json:
        return next(each for each in self.payments.values() if each["id"] == payment_id)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A self-signed certificate for 127.0.0.1, with its key beside it.
    """
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "scripted gateway")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "cert.pem"


@pytest.fixture(scope="session")
def listening(authority: Path) -> Iterator[ScriptedGateway]:
    scripted = ScriptedGateway(authority=authority)
    with loopback.listen("127.0.0.1", 0) as listener:
        scripted.url = f"https://127.0.0.1:{loopback.port_of(listener)}"
        config = uvicorn.Config(
            scripted.app(),
            log_config=None,
            ssl_certfile=authority,
            ssl_keyfile=authority.with_name("key.pem"),
            ssl_version=ssl.PROTOCOL_TLS_SERVER,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield scripted
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture
def gateway(listening: ScriptedGateway) -> Iterator[ScriptedGateway]:
    """
    The scripted gateway, approving, without a past.
    """
    listening.script = "approve"
    listening.payments = {}
    listening.checkouts = {}
    listening.sales = 0
    listening.answering.set()
    yield listening
    listening.answering.set()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "shop"


@pytest.fixture
def open_shop(gateway: ScriptedGateway, folder: Path) -> Callable[[], TestClient]:
    """
    Makes the shop over the scripted gateway; entering it opens it, leaving it closes it.
    """

    def opened() -> TestClient:
        shop = shop_app.build(folder, gateway=gateway.url, key=KEY, authority=gateway.authority)
        return TestClient(shop, base_url="http://127.0.0.1:8080", raise_server_exceptions=False)

    return opened


@pytest.fixture
def browser(open_shop: Callable[[], TestClient]) -> Iterator[TestClient]:
    with open_shop() as browser:
        yield browser


@pytest.fixture
def filled_form() -> Callable[..., dict[str, str]]:
    """
    Gets the checkout page as a browser does, and fills it in.
    """

    def fill(browser: TestClient, **typed: str) -> dict[str, str]:
        page = browser.get("/checkout", params={"product": "letter-set", "quantity": "1"}).text
        hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page)
        shopper = {
            "name": "Ada Lovelace",
            "email": "ada@example.com",
            "card_number": "4242 4242 4242 4242",
            "card_expiry": "12/30",
            "card_cvv": "123",
            "postal_code": "12345",
        }
        return dict(hidden) | shopper | typed

    return fill


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """
    Waits until something is so, for a few seconds at most.
    """

    def wait(holds: Callable[[], bool]) -> None:
        give_up = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < give_up, "it did not come about in time"
            time.sleep(0.05)

    return wait


def sold(number: int, key: str, body: Json, script: str) -> Json:
    declined = script == "decline"
    words = {
        "response_code": "51",
        "shopper_message": "Your bank says there is not enough money. Try another card.",
        "merchant_message": "Insufficient funds.",
        "retryable": True,
        "retry": "later",
    }
    return {
        "id": f"pay_{number:032x}",
        "object": "payment",
        "mode": "test",
        "kind": "sale",
        "state": "declined" if declined else "approved",
        "charged": False if declined else None,
        "amount_minor": body["amount_minor"],
        "currency": body["currency"],
        "captured_minor": 0,
        "refunded_minor": 0,
        "order": body.get("order"),
        "card": {"brand": "visa", "last4": body["card"]["number"][-4:]},
        "rrn": RRN,
        "approval_code": None if declined else "123456",
        "response_code": "51" if declined else "00",
        "decline": words if declined else None,
        "confirmation_number": None,
        "movements": [],
        "states": [],
        "idempotency_key": key,
    }


def problem(status: int, code: str, param: str | None) -> Response:
    body = {
        "type": f"https://counterfoil.example/problems/{code}",
        "title": code,
        "status": status,
        "detail": code,
        "code": code,
        "param": param,
        "retryable": False,
        "request_id": "req_1",
    }
    return JSONResponse(body, status_code=status, media_type="application/problem+json")


@pytest.fixture
def purchase() -> Purchase:
    return Purchase(
        form_token="f" * 32,
        product="letter-set",
        quantity=1,
        amount_minor=4200,
        currency="USD",
        customer_name="Ada Lovelace",
        customer_email="ada@example.com",
        postal_code="12345",
        card_brand="visa",
        card_last4="4242",
    )
