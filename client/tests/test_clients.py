"""
Both clients over real TLS, against a peer that keeps the contract and can misbehave.
"""

import asyncio
import contextlib
import logging
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from counterfoil_client import (
    AsyncClient,
    Card,
    Client,
    ConfigurationError,
    GatewayUnavailable,
    InvalidAmount,
    InvalidRequest,
    Limits,
    NotSent,
    OutcomeUnknown,
    Payment,
    RequestRefused,
    __version__,
    connections,
)
from https_peer import STALL_SECONDS, Peer
from scripted_gateway import Gateway

KEY = "sk_test_0123456789"
Sell = Callable[..., Payment]


@pytest.fixture(params=["threads", "tasks"])
def sell(request: pytest.FixtureRequest, peer: Peer, journal: Path, hasty: Limits) -> Sell:
    """
    A sale by either client, each in a client of its own.
    """

    def by_thread(card: Card, **more: object) -> Payment:
        with Client(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
            return client.sale("42.00", "USD", card, order="1001", **more)  # type: ignore[arg-type]

    async def by_task(card: Card, **more: object) -> Payment:
        async with AsyncClient(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
            return await client.sale("42.00", "USD", card, order="1001", **more)  # type: ignore[arg-type]

    if request.param == "threads":
        return by_thread
    return lambda card, **more: asyncio.run(by_task(card, **more))


def test_a_sale_returns_with_its_confirmation_number(sell: Sell, peer: Peer, card: Card) -> None:
    """
    Sent, approved, acknowledged.
    """
    payment = sell(card)

    assert payment.paid
    assert payment.confirmation_number == "000000000001"
    assert (payment.order, payment.amount_minor) == ("1001", 4200)
    assert peer.steps() == ["pay", "acknowledge"]


def test_the_acknowledgment_goes_over_the_sales_own_connection(
    sell: Sell, peer: Peer, card: Card
) -> None:
    """
    One session carries both.
    """
    sell(card)

    sale, acknowledgment = peer.seen
    assert sale.connection == acknowledgment.connection


def test_a_request_says_who_it_is(sell: Sell, peer: Peer, card: Card) -> None:
    """
    User-Agent with version, the secret key, and an idempotency key of our own.
    """
    sell(card)

    headers = peer.seen[0].headers
    assert headers["User-Agent"].startswith(f"counterfoil-client/{__version__} ")
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Idempotency-Key"].startswith("cf_")


@pytest.mark.parametrize("act", ["die_before", "die_after", "down", "busy", "page", "stall"])
@pytest.mark.parametrize("step", ["pay", "acknowledge"])
def test_whatever_happens_to_one_try_the_next_one_goes_under_the_same_key(
    sell: Sell, peer: Peer, card: Card, step: str, act: str
) -> None:
    """
    One charge, one number.
    """
    peer.script[step].append(act)

    payment = sell(card)

    assert payment.paid
    assert len({each.key for each in peer.seen if each.step == "pay"}) == 1
    assert len(peer.gateway.by_key) == 1


def test_a_gateway_that_is_not_there_charged_nothing(
    tmp_path: Path, card: Card, peer: Peer, hasty: Limits
) -> None:
    """
    Refused connections: NotSent.
    """
    with (
        Client("https://127.0.0.1:1", KEY, ca=peer.ca, journal=tmp_path / "j", limits=hasty) as it,
        pytest.raises(NotSent),
    ):
        it.sale(4200, "USD", card)


def test_a_gateway_that_dies_each_time_leaves_the_outcome_unknown(
    sell: Sell, peer: Peer, card: Card
) -> None:
    """
    And the exception carries the key, not the card.
    """
    peer.script["pay"].extend(["die_after"] * 9)
    peer.script["resolve"].extend(["die_before"] * 9)

    with pytest.raises(OutcomeUnknown) as unknown:
        sell(card)

    assert unknown.value.idempotency_key in peer.gateway.by_key
    assert card.number not in repr(unknown.value)
    assert unknown.value.__cause__ is None


@pytest.mark.parametrize("answered", [False, True])
def test_recover_finishes_what_an_unknown_outcome_left(
    peer: Peer, journal: Path, hasty: Limits, card: Card, answered: bool
) -> None:
    """
    In the same process, too: paid if the gateway had it, fenced if it had not.
    """
    peer.script["pay"].extend(["die_after" if answered else "die_before"] * 4)
    peer.script["resolve"].extend(["die_before"] * 4)
    with Client(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
        with pytest.raises(OutcomeUnknown) as unknown:
            client.sale(4200, "USD", card, order="1001")

        (found,) = client.recover()

        assert found.outcome == ("paid" if answered else "never_sent")
        assert found.idempotency_key == unknown.value.idempotency_key
        assert found.order == "1001"
        assert client.recover() == []


async def test_the_async_client_recovers_too(
    peer: Peer, journal: Path, hasty: Limits, card: Card
) -> None:
    """
    The same core.
    """
    peer.script["acknowledge"].extend(["die_before"] * 4)
    async with AsyncClient(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
        with pytest.raises(OutcomeUnknown):
            await client.sale(4200, "USD", card)

        (found,) = await client.recover()
        resolution = await client.resolve(found.idempotency_key)

    assert found.outcome == "paid"
    assert resolution.payment == found.payment


SELLS = """
import sys
from pathlib import Path
from counterfoil_client import Card, Client
url, key, ca, journal = sys.argv[1:]
card = Card(number="4111111111111111", expiry_month=12, expiry_year=2031, cvv="927")
Client(url, key, ca=Path(ca), journal=Path(journal)).sale(4200, "USD", card, order="1001")
"""


def test_f01_a_killed_shop_hears_what_became_of_its_sale(
    peer: Peer, journal: Path, hasty: Limits
) -> None:
    """
    A real process, killed while the gateway was at it: recovery agrees with the gateway.
    """
    recovered_after_a_kill("pay", peer, journal, hasty)


def test_f02_a_shop_killed_at_its_acknowledgment_hears_that_it_is_paid(
    peer: Peer, journal: Path, hasty: Limits
) -> None:
    """
    A real process, killed when its acknowledgment had arrived and the number was on its way back.
    """
    recovered_after_a_kill("acknowledge", peer, journal, hasty)


def recovered_after_a_kill(step: str, peer: Peer, journal: Path, hasty: Limits) -> None:
    """Kill a shop when *step* has arrived and is not answered; its next life is told the end."""
    peer.script[step].append("stall")
    arguments = [peer.url, KEY, str(peer.ca), str(journal)]
    shop = subprocess.Popen([sys.executable, "-c", SELLS, *arguments])
    peer.arrived.wait(10)
    while step not in peer.steps():
        time.sleep(0.01)
    shop.kill()
    shop.wait()
    time.sleep(STALL_SECONDS + 0.1)

    with Client(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
        (found,) = client.recover()

    assert found.outcome == "paid"
    assert found.order == "1001"
    assert peer.gateway.charged_keys() == {found.idempotency_key}


async def test_a_cancelled_sale_is_let_go_and_recovered(
    peer: Peer, journal: Path, hasty: Limits, card: Card
) -> None:
    """
    Cancelled while the gateway was at it: the key is free for recovery at once.
    """
    peer.script["pay"].append("stall")
    async with AsyncClient(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
        sale = asyncio.create_task(client.sale(4200, "USD", card))
        await asyncio.to_thread(peer.arrived.wait, 5)
        sale.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sale
        await asyncio.sleep(STALL_SECONDS + 0.1)

        (found,) = await client.recover()

    assert found.outcome in ("paid", "never_sent")
    assert (found.outcome == "paid") == bool(peer.gateway.charged_keys())


def test_neither_card_number_nor_cvv_is_on_disk_or_in_the_logs(
    sell: Sell, peer: Peer, journal: Path, card: Card, caplog: pytest.LogCaptureFixture
) -> None:
    """
    A byte scan of every file below the journal's folder, after success and failure.
    """
    caplog.set_level(logging.DEBUG)
    sell(card, customer_email="ada@example.com")
    peer.script["pay"].extend(["die_before"] * 9)
    peer.script["resolve"].extend(["die_before"] * 9)
    with pytest.raises(OutcomeUnknown):
        sell(card)

    files = [each for each in journal.parent.rglob("*") if each.is_file()]
    written = b"".join(each.read_bytes() for each in files)
    assert b"1001" in written
    for secret in (card.number, f'"{card.cvv}"', KEY):
        assert secret.encode() not in written
        assert secret not in caplog.text


def test_a_card_number_where_it_would_be_written_down_is_refused(
    peer: Peer, journal: Path, card: Card
) -> None:
    """
    In the order, the description, the e-mail or the key.
    """
    with Client(peer.url, KEY, ca=peer.ca, journal=journal) as client:
        for texts in ({"order": "4111 1111 1111 1111"}, {"idempotency_key": card.number}):
            with pytest.raises(InvalidRequest) as refused:
                client.sale(4200, "USD", card, **texts)  # type: ignore[arg-type]
            assert card.number not in str(refused.value)
    assert peer.seen == []


def test_an_authorization_is_captured_voided_and_refunded_under_keys(
    peer: Peer, journal: Path, hasty: Limits, card: Card
) -> None:
    """
    Movements are journalled and repeated like sales, and need no acknowledgment.
    """
    with Client(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
        held = client.authorize(4200, "USD", card)
        peer.script["capture"].append("die_after")
        captured = client.capture(held)
        refunded = client.refund(captured, "10.00", idempotency_key="refund-1")
        again = client.refund(captured, "10.00", idempotency_key="refund-1")
        voided = client.void(client.sale(100, "USD", card).id)
        with pytest.raises(RequestRefused) as conflict:
            client.refund(voided)

    assert (held.state, captured.state) == ("authorized", "captured")
    assert held.paid
    assert refunded.refunded_minor == again.refunded_minor == 1000
    assert voided.state == "voiding"
    assert not voided.paid
    assert conflict.value.code == "state_conflict"
    assert (conflict.value.state, conflict.value.possible) == ("voiding", ("get",))


def test_every_kind_of_payment_and_of_undoing_by_a_thread(
    peer: Peer, journal: Path, hasty: Limits, card: Card
) -> None:
    """
    One client, all calls; amounts go out as they were meant, under keys of their own.
    """
    with Client(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
        forced = client.forced_sale("42.00", "USD", card, "H7K2P9")
        credit = client.credit("10.00", "USD", card, order="1001")
        asked = client.verify("USD", card)
        part = client.void(forced, "2.00")
        undone = client.undo(forced, "1.50", idempotency_key="undo-1")
        again = client.undo(forced, "1.50", idempotency_key="undo-1")
        waiting = client.unclaimed()

    assert (forced.paid, forced.kind, credit.credited, asked.verified) == (
        True,
        "forced",
        True,
        True,
    )
    assert part.released_minor == 200
    assert undone.refunded_minor == again.refunded_minor == 150
    assert [each.kind for each in undone.movements] == ["void", "undo"]
    assert waiting.data == ()
    assert len({each.key for each in peer.seen if each.key}) == 5


async def test_every_kind_of_payment_and_of_undoing_by_a_task(
    peer: Peer, journal: Path, hasty: Limits, card: Card
) -> None:
    """
    The same core under the other driver.
    """
    async with AsyncClient(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
        forced = await client.forced_sale("42.00", "USD", card, "H7K2P9")
        credit = await client.credit("10.00", "USD", card, order="1001")
        asked = await client.verify("USD", card)
        part = await client.void(forced, 200)
        undone = await client.undo(forced, 150)
        waiting = await client.unclaimed(limit=10)

    assert (forced.paid, credit.credited, asked.verified) == (True, True, True)
    assert (part.released_minor, undone.refunded_minor) == (200, 150)
    assert waiting.data == ()


def test_unclaimed_approvals_are_seen_with_the_time_that_is_left(
    peer: Peer, journal: Path, hasty: Limits, card: Card
) -> None:
    """
    Of a shop that died before it acknowledged.
    """
    peer.script["acknowledge"].extend(["die_before"] * 4)
    with Client(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
        with pytest.raises(OutcomeUnknown):
            client.sale(4200, "USD", card)

        (found,) = client.unclaimed().data

    assert (found.status, found.seconds_left) == ("waiting", 120.0)
    assert found.payment.awaits_acknowledgment


def test_reading_needs_no_journal_and_says_when_there_is_no_answer(
    peer: Peer, journal: Path, hasty: Limits, card: Card
) -> None:
    """
    Both are repeated, and then GatewayUnavailable.
    """
    with Client(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
        paid = client.sale(4200, "USD", card)
        peer.script["get"].append("die_before")
        assert client.get(paid.id) == paid
        assert client.list(limit=10, state="captured").data == (paid,)
        with pytest.raises(RequestRefused, match="not_found"):
            client.get("pay_nobodys")
        peer.script["list"].extend(["die_before"] * 9)
        with pytest.raises(GatewayUnavailable):
            client.list()


def test_a_decimal_refund_of_an_id_needs_its_currency(peer: Peer, journal: Path) -> None:
    """
    "42.00" is 4200 of USD and nothing of JPY.
    """
    with Client(peer.url, KEY, ca=peer.ca, journal=journal) as client:
        with pytest.raises(InvalidAmount):
            client.refund("pay_1", "10.00")
        with pytest.raises(InvalidRequest):
            client.get("../keys")
    assert peer.seen == []


def test_many_threads_share_a_client_and_each_pair_its_connection(
    peer: Peer, journal: Path, hasty: Limits, card: Card
) -> None:
    """
    Twelve sales on at most four connections; no acknowledgment strays.
    """
    with Client(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
        threads = [
            threading.Thread(target=client.sale, args=(4200, "USD", card)) for _ in range(12)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    check_pairs(peer, 12)


async def test_many_tasks_share_a_client_and_each_pair_its_connection(
    peer: Peer, journal: Path, hasty: Limits, card: Card
) -> None:
    """
    The same with tasks.
    """
    async with AsyncClient(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
        await asyncio.gather(*(client.sale(4200, "USD", card) for _ in range(12)))

    check_pairs(peer, 12)


def check_pairs(peer: Peer, count: int) -> None:
    assert len(peer.gateway.charged_keys()) == count
    assert len({each.connection for each in peer.seen}) <= 4
    for connection in {each.connection for each in peer.seen}:
        steps = [each.step for each in peer.seen if each.connection == connection]
        assert steps == ["pay", "acknowledge"] * (len(steps) // 2)


def test_f12_two_threads_with_one_key_make_one_payment(
    peer: Peer, journal: Path, hasty: Limits, card: Card
) -> None:
    """
    A double click: the second waits for the first, and gets its outcome.
    """
    payments: list[Payment] = []
    with Client(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:

        def sell() -> None:
            payments.append(client.sale(4200, "USD", card, idempotency_key="order-1001"))

        threads = [threading.Thread(target=sell) for _ in range(3)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    assert len(payments) == 3
    assert len(set(payments)) == 1
    assert peer.steps() == ["pay", "acknowledge"]


def test_who_finds_no_connection_free_has_sent_nothing(
    peer: Peer, journal: Path, card: Card
) -> None:
    """
    The pool is bounded, and so is the waiting.
    """
    tight = Limits(connections_max=1, lease_seconds=0.05)
    peer.script["pay"].append("stall")
    with Client(peer.url, KEY, ca=peer.ca, journal=journal, limits=tight) as client:
        first = threading.Thread(target=client.sale, args=(4200, "USD", card))
        first.start()
        peer.arrived.wait(5)

        with pytest.raises(NotSent, match="in use"):
            client.sale(4200, "USD", card)
        with pytest.raises(OutcomeUnknown):
            client.sale(4200, "USD", card, idempotency_key="may-have-been-sent-before")
        first.join()


def test_a_certificate_of_another_authority_is_not_trusted(
    peer: Peer, journal: Path, hasty: Limits, card: Card
) -> None:
    """
    Without ca, the system's authorities count; nothing was sent, nothing is tried again.
    """
    with (
        Client(peer.url, KEY, journal=journal, limits=hasty) as client,
        pytest.raises(NotSent, match=r"(?i)certificate"),
    ):
        client.sale(4200, "USD", card)
    assert peer.seen == []


def test_a_certificate_for_another_name_is_not_trusted(
    peer: Peer, journal: Path, hasty: Limits, card: Card
) -> None:
    """
    The name is checked, too.
    """
    url = peer.url.replace("127.0.0.1", "localhost")
    with (
        Client(url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client,
        pytest.raises(NotSent, match=r"(?i)hostname mismatch"),
    ):
        client.sale(4200, "USD", card)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("http://127.0.0.1:1", KEY),
        ("127.0.0.1", KEY),
        ("https://", KEY),
        ("https://user:pass@host", KEY),
        ("https://host", "secret-of-somebody"),
        ("https://host", "sk_test_with space"),
    ],
)
def test_a_client_that_would_be_unsafe_is_not_made(url: str, key: str, tmp_path: Path) -> None:
    """
    Only https, only and no message repeats the key.
    """
    with pytest.raises(ConfigurationError) as refused:
        Client(url, key, journal=tmp_path / "journal.db")

    assert key not in str(refused.value)


def test_the_environment_cannot_redirect_or_weaken_a_client(
    peer: Peer, journal: Path, card: Card, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    No proxy, no other authority, no key log.
    """
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))

    with Client(peer.url, KEY, ca=peer.ca, journal=journal) as client:
        assert client.sale(4200, "USD", card).paid

    assert not (tmp_path / "keys.log").exists()


def test_a_closed_client_says_so(peer: Peer, journal: Path, card: Card) -> None:
    """
    And closing twice is harmless.
    """
    client = Client(peer.url, KEY, ca=peer.ca, journal=journal)
    client.close()
    client.close()

    with pytest.raises(ConfigurationError, match="closed"):
        client.sale(4200, "USD", card)


def test_an_outcome_is_told_again_when_the_shop_failed_while_it_had_it(
    peer: Peer, journal: Path, card: Card
) -> None:
    """
    Leaving by an exception is no goodbye.
    """
    client = Client(peer.url, KEY, ca=peer.ca, journal=journal)
    with contextlib.suppress(ZeroDivisionError), client:
        paid = client.sale(4200, "USD", card)
        raise ZeroDivisionError

    with Client(peer.url, KEY, ca=peer.ca, journal=journal) as client:
        (found,) = client.recover()
    with Client(peer.url, KEY, ca=peer.ca, journal=journal) as client:
        assert client.recover() == []

    assert found.payment == paid
    assert not found.was_open


def test_a_dead_connection_is_replaced_and_an_idle_one_reused(
    peer: Peer, journal: Path, hasty: Limits, card: Card
) -> None:
    """
    One TCP connection for two sales in a row; another after it died.
    """
    with Client(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
        client.sale(1, "USD", card)
        client.sale(2, "USD", card)
        assert len({each.connection for each in peer.seen}) == 1
        peer.script["acknowledge"].append("die_after")
        client.sale(3, "USD", card)

    assert len({each.connection for each in peer.seen}) == 2


def test_tls_is_1_2_or_newer_and_verified(peer: Peer, journal: Path) -> None:
    """
    For both kinds of trust.
    """
    for ca in (None, peer.ca):
        trust = connections.access("https://host", KEY, ca, Limits()).trust
        assert trust.minimum_version >= ssl.TLSVersion.TLSv1_2
        assert trust.verify_mode is ssl.CERT_REQUIRED
        assert trust.check_hostname
    assert httpx2.URL(peer.url).scheme == "https"


def event(number: int) -> dict[str, object]:
    told = {"id": f"evt_{number}", "type": "payment.captured", "cause": "told", "actor": "test"}
    return {**told, "number": number, "at": "2026-11-24T04:10:05Z", "mode": "test"}


def test_the_feed_is_read_to_its_end_page_by_page(
    peer: Peer, gateway: Gateway, journal: Path, hasty: Limits
) -> None:
    """
    From the number after the one that is known; each event once, in order.
    """
    gateway.feed.extend(event(number) for number in range(1, 8))
    with Client(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
        found = [each.number for each in client.events(after=2, limit=2)]

    assert found == [3, 4, 5, 6, 7]


def test_a_reader_that_waits_gets_what_comes_later(
    peer: Peer, gateway: Gateway, journal: Path, hasty: Limits
) -> None:
    """
    The iterator does not end while it was told to wait.
    """
    gateway.feed.append(event(1))
    with Client(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
        reading = client.events(wait_seconds=1)
        first = next(reading)
        threading.Timer(0.1, lambda: gateway.feed.append(event(2))).start()
        second = next(reading)

    assert (first.number, second.number) == (1, 2)


async def test_the_feed_is_read_by_a_task(
    peer: Peer, gateway: Gateway, journal: Path, hasty: Limits
) -> None:
    """
    The same under the other driver.
    """
    gateway.feed.extend(event(number) for number in range(1, 4))
    async with AsyncClient(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
        found = [each.number async for each in client.events(limit=2)]

    assert found == [1, 2, 3]


def test_a_payment_page_is_opened_once_for_each_key(
    peer: Peer, gateway: Gateway, journal: Path, hasty: Limits
) -> None:
    """
    Also when its answer is lost; it is read and ended by its id, or as it is.
    """
    peer.script["checkouts"].append("die_after")
    with Client(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
        made = client.create_checkout("42.00", "USD", order="1001", idempotency_key="order-1")
        again = client.create_checkout("42.00", "USD", order="1001", idempotency_key="order-1")
        read = client.get_checkout(made.id)
        ended = client.expire_checkout(made)

    assert (made, again, read) == (made, made, made)
    assert (made.state, made.amount_minor, made.return_secret) == ("open", 4200, "rsec_x")
    assert len(gateway.checkouts) == 1
    assert (made.paid, made.ended, ended.ended) == (False, False, True)


async def test_a_payment_page_is_opened_by_a_task(
    peer: Peer, gateway: Gateway, journal: Path, hasty: Limits
) -> None:
    """
    The same under the other driver; what is refused is told with its code.
    """
    async with AsyncClient(peer.url, KEY, ca=peer.ca, journal=journal, limits=hasty) as client:
        made = await client.create_checkout(4200, "USD", capture="manual", expires_in_seconds=60)
        gateway.checkouts[made.id]["state"] = "paid"
        assert (await client.get_checkout(made)).paid
        with pytest.raises(RequestRefused) as told:
            await client.expire_checkout(made.id)
        with pytest.raises(RequestRefused) as elsewhere:
            await client.create_checkout(4200, "USD", return_url="https://evil.example/")
        with pytest.raises(InvalidRequest, match="chk_"):
            await client.get_checkout("chk_/../payments")

    assert told.value.code == "checkout_not_open"
    assert elsewhere.value.code == "return_url_refused"
