"""
What needs somebody: told oldest first, with what to do, and seen to by who may.
"""

import hashlib
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from counterfoil import ids
from counterfoil.payments.acknowledge import acknowledge
from counterfoil.payments.lifecycle import State
from counterfoil.payments.refusals import Refused
from counterfoil.people.roles import Role
from counterfoil.settlement.explained import FindingKind
from counterfoil.web import application
from counterfoil.web.attention_words import ENDS, TITLES
from counterfoil.web.counts import KEPT_SECONDS
from counterfoil.web.visit import Visit
from payment_stage import ACTOR, SESSION, Stage
from web_stage import Site, WindowlessBrowser, words

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
async def site(stage: Stage) -> Site:
    """The pages of the stage's merchant."""
    return await Site.of(stage)


async def finding(stage: Stage, kind: str = "missing_there", **columns: Any) -> UUID:
    """Open a finding, a minute after the one before."""
    finding_id = uuid4()
    stage.clock.move(60)
    await stage.sql(
        "INSERT INTO findings (merchant_id, finding_id, kind, subject, currency, amount_minor, "
        "movement_id, next_step, state, opened_at) VALUES ($1, $2, $3, $4, 'USD', 4200, $5, $6, "
        "'open', $7)",
        stage.merchant.merchant_id,
        finding_id,
        kind,
        columns.get("subject", f"subject {finding_id.hex}"),
        columns.get("movement_id"),
        columns.get("next_step", "Ask the acquirer."),
        stage.clock.now(),
    )
    return finding_id


async def held_file(stage: Stage, name: str = "report.csv") -> bytes:
    digest = hashlib.sha256(uuid4().bytes).digest()
    stage.clock.move(60)
    await stage.sql(
        "INSERT INTO incoming_files (digest, kind, name, merchant_id, state, reason, content, "
        "received_at, changed_at) VALUES ($1, 'report', $2, $3, 'held', 'Record 2: it is cut.', "
        "'', $4, $4)",
        digest,
        name,
        stage.merchant.merchant_id,
        stage.clock.now(),
    )
    return digest


async def stopped_batch(stage: Stage) -> str:
    """Let the merchant's batch need a person, and return its name in addresses."""
    stage.clock.move(60)
    await stage.paid()
    await stage.sql(
        "UPDATE batches SET state = 'needs_a_person', frozen_at = $2, closing_at = $2 "
        "WHERE merchant_id = $1",
        stage.merchant.merchant_id,
        stage.clock.now(),
    )
    await stage.sql(
        "INSERT INTO batch_events (merchant_id, event_id, acquirer, terminal_id, currency, "
        "batch_number, at, from_state, to_state, cause, actor, note) VALUES ($1, $2, $3, "
        "'TERM0001', 'USD', 1, $4, 'totalling', 'needs_a_person', 'not_agreed', 'worker', "
        "'The acquirer has 1 item less.')",
        stage.merchant.merchant_id,
        uuid4(),
        stage.acquirer,
        stage.clock.now(),
    )
    return f"{stage.acquirer}.TERM0001.USD.000001"


async def send(browser: WindowlessBrowser, path: str, **form: str) -> Any:
    await browser.get("/attention")
    return await browser.send(f"/attention/{path}", form)


async def test_nothing_to_do_is_said_so(site: Site) -> None:
    """And the menu has no number."""
    browser = await site.signed_in()

    answer = await browser.get("/attention")

    assert "Nothing waits for you" in words(answer)
    assert 'class="count" data-waiting hidden>0<' in answer.text


async def test_everything_that_waits_is_told_the_oldest_first(stage: Stage, site: Site) -> None:
    """With what to do."""
    await finding(stage, "missing_there", next_step="Wait for the next report.")
    await held_file(stage)
    await stopped_batch(stage)
    await finding(stage, "not_paid")
    browser = await site.signed_in()

    said = words(await browser.get("/attention"))

    places = [
        said.index(each)
        for each in (
            "The acquirer's report leaves an item out",
            "A file could not be read",
            "A batch does not agree with the acquirer",
            "A deposit has not come",
        )
    ]
    assert places == sorted(places)
    for words_of_it in ("Wait for the next report.", "Record 2: it is cut.",
                        "The acquirer has 1 item less."):  # fmt: skip
        assert words_of_it in said


async def test_the_menu_counts_what_waits_and_looks_seldom(stage: Stage, site: Site) -> None:
    """On every page; a few seconds old at the most."""
    browser = await site.signed_in()
    await browser.get("/today")
    await finding(stage)
    await stage.take()
    stage.clock.move(KEPT_SECONDS)

    for path in ("/today", "/payments", "/no-such-page"):
        answer = await browser.get(path)
        counted = 'class="count" data-waiting>2<' in answer.text
        assert counted == (answer.status_code == 200), path


@pytest.mark.parametrize("path", ["/today/live", "/attention/live"])
async def test_what_is_fetched_again_tells_the_menu_what_waits(
    stage: Stage, site: Site, path: str
) -> None:
    """Also that nothing does any more; the menu of an open page needs no reload."""
    browser = await site.signed_in()
    told = [(await browser.get(path)).headers["Counterfoil-Waiting"]]
    found = await finding(stage)
    stage.clock.move(KEPT_SECONDS)
    told.append((await browser.get(path)).headers["Counterfoil-Waiting"])
    await send(browser, f"findings/{ids.written(ids.FINDING, found)}/resolve", note="Cleared up.")
    told.append((await browser.get(path)).headers["Counterfoil-Waiting"])

    assert told == ["0", "1", "0"]


async def test_the_menu_is_told_the_number_of_attention_whatever_else_is_counted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The header speaks of that entry alone."""

    async def counted(_: Visit) -> dict[str, int]:
        return {"/attention": 3, "/batches": 9}

    browser = await site.signed_in()
    monkeypatch.setattr(application, "counts_of", counted)

    assert (await browser.get("/today/live")).headers["Counterfoil-Waiting"] == "3"


async def test_an_approval_is_claimed_or_refused_from_the_list(stage: Stage, site: Site) -> None:
    """And the list says how long there is."""
    one, other = await stage.take(order_number="one"), await stage.take(order_number="two")
    browser = await site.signed_in(Role.MANAGER)
    said = words(await browser.get("/attention"))

    for payment, what in ((one, "acknowledge"), (other, "refuse")):
        path = f"/payments/{ids.written(ids.PAYMENT, payment.payment_id)}/{what}"
        answer = await browser.send(path, {"back": "attention"})
        assert answer.headers["location"] == f"/attention?done={what}"

    assert "Reversed in 3 min 0 s" in said
    assert (await stage.read(one)).state is State.CAPTURED
    assert (await stage.read(other)).state is State.REVERSING
    assert "claimed by nobody" not in words(await browser.get("/attention"))


async def test_what_was_reversed_unclaimed_is_told_for_a_week(stage: Stage, site: Site) -> None:
    """Though nobody can do anything about it."""
    payment = await stage.take(order_number="gone")
    stage.clock.move(181)
    with pytest.raises(Refused):
        await acknowledge(
            stage.merchant, payment.payment_id, session_id=SESSION, actor=ACTOR, road=stage.road
        )
    browser = await site.signed_in()

    assert "because nobody claimed it" in words(await browser.get("/attention"))

    stage.clock.move(timedelta(days=7).total_seconds())
    later = await site.signed_in(Role.MANAGER)
    assert "because nobody claimed it" not in words(await later.get("/attention"))


async def test_a_finding_is_cleared_up_with_a_note(stage: Stage, site: Site) -> None:
    """Who did it stands beside the note, and on the audit page."""
    name = ids.written(ids.FINDING, await finding(stage))
    browser = await site.signed_in()

    without = await send(browser, f"findings/{name}/resolve", note=" ")
    done = await send(browser, f"findings/{name}/resolve", note="The next report has it.")
    again = await send(browser, f"findings/{name}/resolve", note="The next report has it.")

    assert (without.status_code, done.status_code, again.status_code) == (400, 303, 409)
    [row] = await stage.sql(
        "SELECT state, resolution FROM findings WHERE merchant_id = $1", stage.merchant.merchant_id
    )
    assert tuple(row) == ("resolved", "The next report has it. (Ada Byron)")
    noted = await stage.sql(
        "SELECT about FROM people_events WHERE merchant_id = $1 AND what = 'finding_resolved'",
        stage.merchant.merchant_id,
    )
    assert [row["about"] for row in noted] == [name]


async def test_a_file_is_put_aside_and_a_batch_goes_on_or_ends(stage: Stage, site: Site) -> None:
    """By a person, whose name stays."""
    digest, batch = await held_file(stage), await stopped_batch(stage)
    browser = await site.signed_in(Role.MANAGER)

    aside = await send(browser, f"files/{digest.hex()}/aside", note="Sent anew.")
    retried = await send(browser, f"batches/{batch}/retry", note="")
    not_now = await send(browser, f"batches/{batch}/resolve", note="They have it.")
    await stage.sql(
        "UPDATE batches SET state = 'needs_a_person' WHERE merchant_id = $1",
        stage.merchant.merchant_id,
    )
    ended = await send(browser, f"batches/{batch}/resolve", note="They have it.")

    assert [each.status_code for each in (aside, retried, not_now, ended)] == [303, 303, 409, 303]
    [file] = await stage.sql("SELECT aside_by FROM incoming_files WHERE digest = $1", digest)
    assert file["aside_by"].startswith("user:")
    rows = await stage.sql(
        "SELECT cause, actor FROM batch_events WHERE merchant_id = $1 AND actor LIKE 'user:%' "
        "ORDER BY cause",
        stage.merchant.merchant_id,
    )
    assert [row["cause"] for row in rows] == ["by_hand", "retried"]
    assert "Nothing waits for you" in words(await browser.get("/attention"))


async def test_a_refused_refund_is_not_cleared_up_with_a_note_alone(
    stage: Stage, site: Site
) -> None:
    """The cardholder is owed it: it is asked again, or it went back in another way."""
    payment = await stage.paid()
    [movement] = await stage.road.store.movements(payment)
    name = ids.written(
        ids.FINDING, await finding(stage, "refund_refused", movement_id=movement.movement_id)
    )
    browser = await site.signed_in()

    page = await browser.get("/attention")
    resolved = await send(browser, f"findings/{name}/resolve", note="done")
    again = await send(browser, f"findings/{name}/again", note="They said so.")

    assert f"/attention/findings/{name}/again" in page.text
    assert f"/attention/findings/{name}/returned" in page.text
    assert f"/attention/findings/{name}/resolve" not in page.text
    assert resolved.status_code == 409
    assert again.status_code == 409  # This movement was never refused.


async def test_who_may_not_is_offered_nothing_and_does_nothing(stage: Stage, site: Site) -> None:
    """A bookkeeper reads what waits."""
    name = ids.written(ids.FINDING, await finding(stage))
    await stage.take()
    bookkeeper = await site.signed_in(Role.BOOKKEEPER)

    page = await bookkeeper.get("/attention")

    assert "leaves an item out" in words(page)
    assert "<form" not in page.text.partition("<main")[2]
    assert (await send(bookkeeper, f"findings/{name}/resolve", note="x")).status_code == 403
    assert (await (await site.signed_in(Role.CLERK)).get("/attention")).status_code == 403


async def test_another_merchants_troubles_are_not_there(stage: Stage, site: Site) -> None:
    """To be read, or seen to."""
    other = await Stage.set_up(stage.database)
    name, digest = ids.written(ids.FINDING, await finding(other)), await held_file(other)
    batch = await stopped_batch(other)
    browser = await site.signed_in()

    assert "Nothing waits for you" in words(await browser.get("/attention"))
    for path in (
        f"findings/{name}/resolve", f"findings/{name}/again", f"findings/{name}/returned",
        f"files/{digest.hex()}/aside", f"batches/{batch}/retry", f"batches/{batch}/resolve",
        "findings/x/resolve", "files/zz/aside", "batches/x/retry",
    ):  # fmt: skip
        assert (await send(browser, path, note="mine")).status_code == 404, path


async def test_what_others_wrote_is_shown_and_not_run(stage: Stage, site: Site) -> None:
    """A file's name, a finding's subject, an order."""
    await finding(stage, subject=SCRIPT)
    await held_file(stage, SCRIPT)
    await stage.take(order_number=SCRIPT)
    browser = await site.signed_in()

    for path in ("/attention", "/attention/live"):
        text = (await browser.get(path)).text
        assert "<script>alert" not in text
        assert text.count("&lt;script&gt;alert(1)") >= 3


def test_every_kind_of_finding_has_a_title_and_every_end_a_form() -> None:
    """Nothing is told as "something"."""
    kinds = set(FindingKind.__args__)  # type: ignore[attr-defined]

    assert kinds | {"batch", "file", "pages", "report"} == set(TITLES)
    assert {kind for kind, _ in ENDS} == {"batch", "file", "finding", "refund", "report"}
