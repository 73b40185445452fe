"""
A gateway in a hundred lines: it keeps the contract's promises about keys, and nothing else.

Tests ask it as a peer, in memory or over TLS, and look into its books afterwards.
"""

import json
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

Reply = tuple[int, dict[str, Any]]


class Gateway:
    """
    Payments by key, with acknowledgment, reversal and fence.
    """

    def __init__(self) -> None:
        self.by_key: dict[str, dict[str, Any]] = {}
        self.bodies: dict[str, Any] = {}
        self.fenced: set[str] = set()
        self.moves: dict[str, str] = {}
        self.feed: list[dict[str, Any]] = []
        self.checkouts: dict[str, dict[str, Any]] = {}
        self.declines = False
        self.networks_down = 0  # So many sales are answered 503 not_sent.
        self.slow_looks = 0  # So many answers say "processing" first.
        self._guard = threading.RLock()

    def handle(self, method: str, path: str, body: bytes | None, key: str | None) -> Reply:
        with self._guard:
            parts = path.partition("?")[0].strip("/").split("/")[1:]
            document = json.loads(body) if body else {}
            match (method, parts):
                case ("POST", ["payments" | "credits" | "verifications" as call]):
                    return self._pay(key or "", {**document, "call": call})
                case ("GET", ["unclaimed"]):
                    return 200, {"data": self._unclaimed(), "next_cursor": None}
                case ("GET", ["events"]):
                    return 200, self._events(path)
                case ("GET", ["payments"]):
                    return 200, {"data": list(self.by_key.values()), "next_cursor": None}
                case ("POST", ["checkouts"]):
                    return self._checkout(key or "", document)
                case ("GET", ["checkouts", checkout_id]):
                    return 200, self.checkouts[checkout_id]
                case ("POST", ["checkouts", checkout_id, "expire"]):
                    if self.checkouts[checkout_id]["state"] == "paid":
                        return 409, problem(409, "checkout_not_open")
                    self.checkouts[checkout_id]["state"] = "expired"
                    return 200, self.checkouts[checkout_id]
                case ("POST", ["resolve"]):
                    return self._resolve(document["idempotency_key"])
                case ("GET", ["payments", payment_id]):
                    return self._look(payment_id)
                case ("POST", ["payments", payment_id, "acknowledge"]):
                    return self._acknowledge(payment_id)
                case ("POST", ["payments", payment_id, "refuse"]):
                    return 200, self._become(self._find(payment_id), "reversing")
                case ("POST", ["payments", payment_id, move]):
                    return self._move(payment_id, move, key or "", document)
        return 404, problem(404, "not_found")

    def expire(self) -> None:
        """
        Nobody acknowledged in time: every approval is reversed.
        """
        for payment in self.by_key.values():
            if payment["state"] in ("approved", "processing"):
                self._become(payment, "reversed")

    def charged_keys(self) -> set[str]:
        return {key for key, payment in self.by_key.items() if payment["charged"]}

    def standing_keys(self) -> set[str]:
        """
        Whose money moved, to us or (a credit) from us.
        """
        stands = ("captured", "authorized")
        return {key for key, payment in self.by_key.items() if payment["state"] in stands}

    def _events(self, path: str) -> dict[str, Any]:
        asked = {name: int(values[0]) for name, values in parse_qs(urlsplit(path).query).items()}
        page = [each for each in self.feed if each["number"] > asked["after"]][: asked["limit"]]
        return {"data": page, "next_after": page[-1]["number"] if page else asked["after"]}

    def _unclaimed(self) -> list[dict[str, Any]]:
        waiting = [each for each in self.by_key.values() if each["state"] == "approved"]
        return [
            {"status": "waiting", "seconds_left": 120.0, "reversed_at": None, "payment": each}
            for each in waiting
        ]

    def _checkout(self, key: str, body: dict[str, Any]) -> Reply:
        if body.get("return_url") == "https://evil.example/":
            return 400, problem(400, "return_url_refused")
        known = {each["key"]: each for each in self.checkouts.values()}
        if key in known:
            return 200, known[key]
        name = f"chk_{len(self.checkouts):032x}"
        made = {"id": name, "state": "open", "url": f"https://pay.example/c/{name}", "key": key}
        self.checkouts[name] = {**body, **made, "return_secret": "rsec_x"}
        return 201, self.checkouts[name]

    def _pay(self, key: str, body: dict[str, Any]) -> Reply:
        if key in self.fenced:
            return 409, problem(409, "key_fenced")
        if self.bodies.setdefault(key, body) != body:
            return 422, problem(422, "idempotency_key_reused")
        repeated = key in self.by_key
        payment = self.by_key.setdefault(key, new_payment(key, body, len(self.by_key)))
        if self.networks_down and payment["state"] in ("processing", "not_sent"):
            self.networks_down -= 1
            self._become(payment, "not_sent")
            return 503, problem(503, "not_sent", retryable=True)
        if payment["state"] in ("processing", "not_sent"):
            self._become(payment, "processing")
            return self._look(payment["id"], repeated=repeated)
        return 200, payment

    def _look(self, payment_id: str, *, repeated: bool = True) -> Reply:
        payment = self._find(payment_id)
        if payment is None:
            return 404, problem(404, "not_found")
        if payment["state"] == "processing" and self.slow_looks:
            self.slow_looks -= 1
            return 202, payment
        if payment["state"] == "processing":
            verified = payment["kind"] == "verification"
            good = "verified" if verified else "approved"
            self._become(payment, "declined" if self.declines else good)
        return (200 if repeated else 201), payment

    def _acknowledge(self, payment_id: str) -> Reply:
        payment = self._find(payment_id)
        if payment["state"] == "approved":
            payment["confirmation_number"] = f"{len(self.by_key):012d}"
            held = payment["kind"] == "authorization"
            self._become(payment, "authorized" if held else "captured")
        if payment["confirmation_number"] and payment["state"] in ("captured", "authorized"):
            return 200, payment
        return 409, {**problem(409, "reversed"), "payment": payment}

    def _resolve(self, key: str) -> Reply:
        payment = self.by_key.get(key) or self._find(self.moves.get(key, ""))
        if payment is None:
            self.fenced.add(key)
            return 200, {"object": "resolution", "status": "never_seen", "payment": None}
        if payment["state"] == "processing":
            self._look(payment["id"])
        return 200, {"object": "resolution", "status": "seen", "payment": payment}

    def _move(self, payment_id: str, move: str, key: str, body: dict[str, Any]) -> Reply:
        payment = self._find(payment_id)
        if key in self.fenced:
            return 409, problem(409, "key_fenced")
        if key in self.moves:
            return 200, payment
        if payment["state"] not in ("captured", "authorized"):
            return 409, {
                **problem(409, "state_conflict"),
                "state": payment["state"],
                "possible": ["get"],
            }
        self.moves[key] = payment_id
        amount = body.get("amount_minor", payment["amount_minor"])
        payment["movements"].append(new_movement(key, move, amount, payment["currency"]))
        if move in ("refund", "undo"):
            payment["refunded_minor"] += amount
        elif move == "void" and "amount_minor" in body:
            payment["released_minor"] += amount
        elif move == "void":
            self._become(payment, "voiding")
        else:
            self._become(payment, "captured")
        return 201, payment

    def _find(self, payment_id: str) -> Any:
        return next((p for p in self.by_key.values() if p["id"] == payment_id), None)

    def _become(self, payment: dict[str, Any], state: str) -> dict[str, Any]:
        undecided = state in ("processing", "approved")
        payment["state"] = state
        pays = state in ("captured", "authorized") and payment["kind"] != "credit"
        payment["charged"] = None if undecided else pays
        payment["decline"] = (
            {"response_code": "51", "shopper_message": "No.", "retryable": True, "retry": "later"}
            if state == "declined"
            else None
        )
        return payment


def new_payment(key: str, body: dict[str, Any], count: int) -> dict[str, Any]:
    return {
        "id": f"pay_{count:032x}",
        "object": "payment",
        "kind": kind_of(body),
        "state": "processing",
        "charged": None,
        "amount_minor": body.get("amount_minor", 0),
        "authorized_minor": body.get("amount_minor", 0),
        "currency": body["currency"],
        "order": body.get("order"),
        "card": {"brand": "visa", "last4": body["card"]["number"][-4:]},
        "rrn": f"{count:012d}",
        "captured_minor": 0,
        "released_minor": 0,
        "refunded_minor": 0,
        "confirmation_number": None,
        "movements": [],
        "idempotency_key": key,
        "created_at": "2026-11-23T08:00:00.123Z",
        "a_field_of_tomorrow": {"x": 1},
    }


def kind_of(body: dict[str, Any]) -> str:
    if body["call"] != "payments":
        return {"credits": "credit", "verifications": "verification"}[body["call"]]
    if "voice_approval_code" in body:
        return "forced"
    return "sale" if body["capture"] == "automatic" else "authorization"


def new_movement(key: str, kind: str, amount_minor: int, currency: str) -> dict[str, Any]:
    return {
        "id": f"mov_{len(key):032x}",
        "kind": kind,
        "state": "pending",
        "amount_minor": amount_minor,
        "currency": currency,
        "idempotency_key": key,
    }


def problem(status: int, code: str, *, retryable: bool = False) -> dict[str, Any]:
    return {
        "type": f"https://counterfoil.example/problems/{code}",
        "title": code.replace("_", " "),
        "status": status,
        "detail": f"{code} happened",
        "code": code,
        "param": None,
        "retryable": retryable,
        "request_id": "req_1",
    }
