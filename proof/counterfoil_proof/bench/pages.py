"""
How long a merchant's pages take to answer, with much stored: the bar is a tenth of a second.

What pages read besides payments (batches, deposits, open findings, changes, payment pages of a
link, saved cards, deliveries of a webhook, days) is laid too, as years of a busy shop leave it.
Then somebody signs in and asks for each page that links lead to, for each kind of search, and for
filters that nearly nothing passes.
"""

import asyncio
import html
import re
import ssl
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlencode, urlsplit

import asyncpg
import httpx2
import msgspec
from counterfoil.ids import PAYMENT, written
from counterfoil.web.application import PAGES
from counterfoil.web.filters import STANDING
from counterfoil.web.payment_page import TOKEN_CHARACTERS

from counterfoil_proof.bench.installation import BEHIND, BenchFailed, Installation
from counterfoil_proof.demo import sandbox

CALLS = 15
SEE_OTHER = 303
PAGES_MAX = 250
SECONDS_MAX = 60.0
LAY_SECONDS_MAX = 900.0
SLOW_MS = 100.0
PACE_SECONDS = 0.01  # Between two calls: a person does not hammer, and others are there too.
EXPORTS = (".csv", ".pdf", ".json", ".svg")

BATCHES = 20_000
DEPOSITS = 2_000
FINDINGS = 500
CHANGES = 100_000
CHECKOUTS = 100_000
DELIVERIES = 100_000
SAVED_CARDS = 100_000
DAYS = 1_000

LINK_PATH = f"/l/{'l' * TOKEN_CHARACTERS}"  # Of the link that is laid.
ORDER = {"amount_minor": 1800, "currency": "USD"}

_LINK = re.compile(r"(?:href|data-live)=\"([^\"]+)\"")
_TOKEN = re.compile(r"name=\"csrf\" value=\"([^\"]+)\"")
_NAME = re.compile(r"\\\{\w+\\\}")

# Rows for pages, $1 the merchant, $2 how many. Batches are numbered after all others.
_LAID: dict[str, tuple[int, str]] = {
    "batches": (
        BATCHES,
        """
        INSERT INTO batches
        SELECT (jsonb_populate_record(one.row, jsonb_build_object('batch_number', 900000 - n,
            'state', 'closed', 'opened_at', now() - n * interval '1 hour',
            'closing_at', now() - n * interval '1 hour',
            'closed_at', now() - n * interval '1 hour'))).*
        FROM generate_series(1, $2::integer) AS n, (SELECT b AS row FROM batches AS b
            WHERE merchant_id = $1 ORDER BY batch_number LIMIT 1) AS one
        """,
    ),
    "deposits": (
        DEPOSITS,
        """
        INSERT INTO deposits (merchant_id, acquirer, reference, currency, business_date,
            value_date, gross_minor, refunds_minor, interchange_minor, scheme_minor, markup_minor,
            adjustments_minor, net_minor, paid_minor, parts, state, updated_at)
        SELECT $1, acquirer, 'LAID' || n, 'USD', current_date - n - 2, current_date - n - 1,
            100000, 0, 1500, 300, 200, 0, 98000, 98000, 1, 'funded', now() - n * interval '1 day'
        FROM generate_series(1, $2::integer) AS n,
            (SELECT acquirer FROM terminals WHERE merchant_id = $1 LIMIT 1) AS t
        """,
    ),
    "findings": (
        FINDINGS,
        """
        INSERT INTO findings (merchant_id, finding_id, kind, subject, currency, amount_minor,
            next_step, state, opened_at)
        SELECT $1, md5('finding' || n)::uuid, 'unexplained_credit', 'laid ' || n, 'USD', n,
            'Ask the bank what it is for.', 'open', now() - n * interval '1 hour'
        FROM generate_series(1, $2::integer) AS n
        """,
    ),
    "people_events": (
        CHANGES,
        """
        INSERT INTO people_events (event_id, merchant_id, at, actor, what, about)
        SELECT ('01700000-' || lpad(to_hex(n / 65536), 4, '0') || '-7000-8000-'
                || lpad(to_hex(n), 12, '0'))::uuid,
            $1, now() - (100000 - n) * interval '1 minute', 'demo', 'signed_in', 'laid'
        FROM generate_series(1, $2::integer) AS n
        """,
    ),
    "payment_links": (
        1,
        """
        INSERT INTO payment_links (merchant_id, link_id, token_hash, description, currency,
            amount_minor, created_at, created_by)
        SELECT $1, md5('link' || n)::uuid, sha256(repeat('l', 43)::bytea), 'Laid', 'USD', 1800,
            now(), 'demo'
        FROM generate_series(1, $2::integer) AS n
        """,
    ),
    "checkouts": (
        CHECKOUTS,
        """
        INSERT INTO checkouts (merchant_id, checkout_id, token_hash, link_id, amount_minor,
            currency, capture, state, tries, payment_id, created_at, updated_at, expires_at)
        SELECT $1, ('01700000-' || lpad(to_hex(n / 65536), 4, '0') || '-7000-8000-'
                || lpad(to_hex(n), 12, '0'))::uuid,
            sha256(n::text::bytea), md5('link1')::uuid, 1800, 'USD', 'automatic',
            CASE WHEN n % 5000 = 0 THEN 'paid' ELSE 'expired' END, 1,
            CASE WHEN n % 5000 = 0 THEN p.payment_id END, now() - interval '9 days',
            now() - interval '9 days', now() - interval '8 days'
        FROM generate_series(1, $2::integer) AS n,
            (SELECT payment_id FROM payments WHERE merchant_id = $1 LIMIT 1) AS p
        """,
    ),
    "saved_cards": (
        SAVED_CARDS,
        """
        INSERT INTO saved_cards (merchant_id, card_id, card_token, brand, last_four, expiry_month,
            expiry_year, customer_email, customer_name, created_at, created_by)
        SELECT $1, md5('saved' || n)::uuid, token, 'visa', '4242', 12, 2040,
            'buyer' || n || '@counterfoil.example', 'Buyer ' || n, now(), 'demo'
        FROM generate_series(1, $2::integer) AS n,
            (SELECT token FROM vault_cards WHERE merchant_id = $1 LIMIT 1) AS v
        """,
    ),
    "webhook_endpoints": (
        1,
        """
        INSERT INTO webhook_endpoints (merchant_id, endpoint_id, url, state, secret_key_id,
            secret_nonce, secret_sealed, created_at, updated_at)
        SELECT $1, md5('endpoint' || n)::uuid, 'https://counterfoil.example/laid', 'disabled',
            'none', decode(repeat('00', 12), 'hex'), '', now(), now()
        FROM generate_series(1, $2::integer) AS n
        """,
    ),
    "webhook_deliveries": (
        DELIVERIES,
        """
        INSERT INTO webhook_deliveries (merchant_id, delivery_id, endpoint_id, number, type,
            state, tries, attempts, next_try_at, created_at, ended_at)
        SELECT $1, md5('delivery' || n)::uuid, md5('endpoint1')::uuid, n, 'payment.captured',
            CASE WHEN n % 5000 = 0 THEN 'gave_up' ELSE 'delivered' END, 1, 1, now(), now(), now()
        FROM generate_series(1, $2::integer) AS n
        """,
    ),
    "daily_totals": (
        DAYS,
        """
        INSERT INTO daily_totals (merchant_id, day, currency, gross_minor, refunds_minor, approved,
            declined, stopped)
        SELECT $1, current_date - n, 'USD', 1800 * n, n, n, 2, 1
        FROM generate_series(1, $2::integer) AS n ON CONFLICT DO NOTHING
        """,
    ),
}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """
    One page: milliseconds of the first call, and of those that came after.
    """

    path: str
    status: int
    first_ms: float
    median_ms: float
    slowest_ms: float
    kilobytes: float


class Pages(msgspec.Struct, frozen=True, kw_only=True):
    """
    All pages. `slow` names those whose median is over the bar.
    """

    pages: list[Asked]
    slowest_median_ms: float
    slowest_first_ms: float
    slow: list[str]


async def lay(installation: Installation) -> None:
    """
    Lay what pages read besides payments; nothing where it lies already.
    """
    connection = await installation.connect()
    try:
        merchant = await connection.fetchval("SELECT merchant_id FROM payments LIMIT 1")
        if await connection.fetchval("SELECT 1 FROM payment_links LIMIT 1"):
            return
        await connection.execute("SET session_replication_role = replica")
        for count, text in _LAID.values():
            await connection.execute(text, merchant, count, timeout=LAY_SECONDS_MAX)
        await connection.execute("VACUUM ANALYZE", timeout=LAY_SECONDS_MAX)
    finally:
        await connection.close()


async def measure(installation: Installation) -> Pages:
    """
    Sign in and ask for every page, one call after the other, when what was before is done.

    Raises:
        BenchFailed: Nobody could sign in.
    """
    await sandbox.ensure_owner(installation.box, installation.configuration)
    async with installation.running("gateway", "web", *BEHIND), _signed_in(installation) as site:
        await installation.at_rest()
        found = await _walk(site)
        for path in await _searches(installation):
            if path not in found:
                found.append(path)
        found += await _shoppers(installation, site)
        asked = [await _ask(site, path) for path in found]
    asked.sort(key=lambda each: -each.median_ms)
    return Pages(
        pages=asked,
        slowest_median_ms=asked[0].median_ms,
        slowest_first_ms=max(each.first_ms for each in asked),
        slow=[each.path for each in asked if each.median_ms > SLOW_MS],
    )


@asynccontextmanager
async def _signed_in(installation: Installation) -> AsyncIterator[httpx2.AsyncClient]:
    box = installation.box
    trust = ssl.create_default_context(cafile=box.authority_path)
    async with httpx2.AsyncClient(
        base_url=box.web_url, verify=trust, timeout=SECONDS_MAX, headers={"Origin": box.web_url}
    ) as site:
        email, password = box.sign_in_path.read_text("utf-8").split()
        form = {"email": email, "password": password}
        answer = await site.post("/sign-in", data=form)
        if answer.status_code != SEE_OTHER:
            raise BenchFailed(f"signing in was answered {answer.status_code}")
        token = _TOKEN.search((await site.get("/step-up")).text)
        assert token is not None, "the form of a step-up bears its token"
        form = {"password": password, "csrf": token[1], "next": "/me"}
        answer = await site.post("/step-up", data=form)
        if answer.status_code != SEE_OTHER:
            raise BenchFailed(f"the step-up was answered {answer.status_code}")
        yield site


async def _walk(site: httpx2.AsyncClient) -> list[str]:
    """
    Return one address of each page that links lead to, and each way a page's list is turned.
    """
    patterns = {
        each.path: re.compile(_NAME.sub("[^/]+", re.escape(each.path)))
        for each in PAGES
        if each.method == "GET" and not each.path.endswith(EXPORTS)
    }
    seen: set[tuple[str, ...]] = set()
    found: list[str] = []
    waiting = ["/today", "/payments", "/batches", "/deposits", "/reports", "/terminal"]
    while waiting and len(found) < PAGES_MAX:
        path = waiting.pop(0)
        answer = await site.get(path)
        for each in (path, *map(html.unescape, _LINK.findall(answer.text))):
            parts = urlsplit(each)
            if parts.netloc or each == "/":
                continue
            for route, pattern in patterns.items():
                if pattern.fullmatch(parts.path):
                    names = sorted(word.partition("=")[0] for word in parts.query.split("&"))
                    kind = (route, *names)
                    if kind not in seen:
                        seen.add(kind)
                        address = each.partition("#")[0]
                        found.append(address)
                        waiting.append(address)
                    break
    return found


async def _searches(installation: Installation) -> list[str]:
    """
    Return addresses that no link has: each kind of words, and filters that hardly anything passes.
    """
    connection: asyncpg.Connection[asyncpg.Record] = await installation.connect()
    try:
        oldest = await connection.fetchrow(
            "SELECT * FROM payments WHERE confirmation_number IS NOT NULL "
            "ORDER BY payment_id LIMIT 1"
        )
        newest = await connection.fetchrow(
            "SELECT * FROM payments WHERE state = 'captured' ORDER BY payment_id DESC LIMIT 1"
        )
    finally:
        await connection.close()
    assert oldest is not None, "payments were laid"
    assert newest is not None, "payments were made"
    paths = []
    for payment in (oldest, newest):
        words = [
            str(payment[name])
            for name in ("order_number", "confirmation_number", "approval_code", "rrn")
        ]
        words += [payment["card_last_four"], payment["customer_email"] or "nobody@nowhere.example"]
        words.append(f"{payment['amount_minor'] / 100:.2f}")
        paths += [f"/payments?{urlencode({'q': each})}" for each in words]
        name = written(PAYMENT, payment["payment_id"])
        paths += [f"/payments/{name}", f"/payments/{name}/live", f"/payments/{name}/receipt"]
        paths.append(f"/terminal/refund/{name}")
    paths += [f"/payments?standing={each}" for each in STANDING]
    paths += [
        "/payments?q=918273.64",
        "/payments?kind=credit",
        "/payments?card=amex",
        "/payments?currency=JPY",
        "/payments?standing=refunded&card=amex",
        "/payments?from=2001-01-01&to=2001-02-01",
        f"/payments?{urlencode({'standing': 'declined', 'q': newest['card_last_four']})}",
        f"/payments?{urlencode({'before': written('pay', oldest['payment_id'])})}",
        "/terminal/cards?q=buyer777",
        "/terminal/cards?q=nobody",
        "/audit?what=payment_link_ended",
    ]
    return paths


async def _shoppers(installation: Installation, site: httpx2.AsyncClient) -> list[str]:
    """
    Return the addresses of a link and of a payment page, which is opened for it.
    """
    headers = {"Authorization": f"Bearer {installation.key()}", "Idempotency-Key": "pages"}
    answer = await site.post(
        f"{installation.box.gateway_url}/v1/checkouts", json=ORDER, headers=headers
    )
    if answer.status_code not in (200, 201):
        raise BenchFailed(f"no payment page was opened: {answer.text}")
    return [f"{installation.configuration.checkout_origin}{LINK_PATH}", answer.json()["url"]]


async def _ask(site: httpx2.AsyncClient, path: str) -> Asked:
    took, size, status = [], 0, 0
    for _ in range(CALLS + 1):
        began = time.perf_counter()
        answer = await site.get(path)
        took.append((time.perf_counter() - began) * 1000)
        size, status = len(answer.content), answer.status_code
        await asyncio.sleep(PACE_SECONDS)
    parts = urlsplit(path)
    return Asked(
        path=f"{parts.path}?{parts.query}" if parts.query else parts.path,
        status=status,
        first_ms=round(took[0], 1),
        median_ms=round(statistics.median(took[1:]), 1),
        slowest_ms=round(max(took[1:]), 1),
        kilobytes=round(size / 1000, 1),
    )
