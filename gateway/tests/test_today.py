"""
Today's page: figures, countdown, chart, last payments; and that looking by itself keeps nobody in.
"""

import re
from datetime import timedelta

import pytest
from counterfoil.money import currency
from counterfoil.people.roles import Role
from counterfoil.web.charts import HEIGHT, chart_of, nice
from counterfoil.web.words import left_text
from hypothesis import given
from hypothesis import strategies as st
from payment_stage import START, Stage
from scripted_link import says
from web_stage import Site, words


@pytest.fixture
async def site(stage: Stage) -> Site:
    """The pages of the stage's merchant."""
    return await Site.of(stage)


async def test_the_day_is_told_in_figures(stage: Stage, site: Site) -> None:
    """Taken, refunded, net, approved."""
    await stage.paid(order_number="One", amount_minor=123_456)
    stage.link.script.append(says("05"))
    await stage.take(order_number="Two")
    browser = await site.signed_in()

    said = words(await browser.get("/today"))

    assert "Taken today 1,234.56 USD" in said
    assert "Net today 1,234.56 USD" in said
    assert "Approved today 50.0 % 1 of 2" in said
    assert "22 h 30 min" in said
    assert "Paid" in said
    assert "Declined" in said


async def test_a_merchant_without_payments_sees_what_to_expect(site: Site) -> None:
    """No chart of nothing."""
    browser = await site.signed_in()

    answer = await browser.get("/today")

    assert "Nothing in the last 30 days" in words(answer)
    assert "chart" not in answer.text.partition("<main")[2]


async def test_the_chart_has_a_table_with_every_day(stage: Stage, site: Site) -> None:
    """Thirty rows, whatever happened on them."""
    await stage.paid()
    browser = await site.signed_in()

    text = (await browser.get("/today")).text

    assert text.count('<th scope="row">') == 30 + 1  # One more is the payment itself.
    assert 'role="img"' in text
    assert "style=" not in text


async def test_several_currencies_are_a_card_each_and_the_chosen_one_is_drawn(
    stage: Stage, site: Site
) -> None:
    """That with most payments, if none is; the part that is fetched again keeps to it."""
    for code, number in (("USD", 1), ("EUR", 2), ("JPY", 3)):
        for each in range(number):
            await stage.paid(currency=currency(code), order_number=f"{code} {each}")
    browser = await site.signed_in()

    for asked, charted in (("", "JPY"), ("?currency=EUR", "EUR"), ("?currency=ZZZ", "JPY")):
        answer = await browser.get(f"/today{asked}")
        live = re.search(r'data-live="([^"]*)"', answer.text)
        assert live
        assert live[1] == f"/today/live?currency={charted}"
        for shown in (answer, await browser.get(live[1])):
            assert re.findall(r'id="in-(\w{3})"', shown.text) == ["JPY", "EUR", "USD"]
            assert re.findall(r"on each of 30 days in (\w{3})", shown.text) == [charted]
            assert f'href="/today?currency={charted}#chart" aria-current="true"' in shown.text
            assert "EUR Taken today 84.00 EUR Refunded today 0.00 EUR" in words(shown)


async def test_what_a_customer_wrote_is_shown_and_not_run(stage: Stage, site: Site) -> None:
    """The order number, on the page and in its part that is fetched again."""
    await stage.paid(order_number="<script>alert(1)</script>")
    browser = await site.signed_in()

    for path in ("/today", "/today/live"):
        text = (await browser.get(path)).text
        assert "&lt;script&gt;alert(1)" in text
        assert "<script>alert" not in text


async def test_a_clerk_does_not_see_the_day(site: Site) -> None:
    """A bookkeeper does."""
    clerk, bookkeeper = await site.signed_in(Role.CLERK), await site.signed_in(Role.BOOKKEEPER)

    assert (await clerk.get("/today")).status_code == 403
    assert (await clerk.get("/today/live")).status_code == 403
    assert (await bookkeeper.get("/today")).status_code == 200


async def test_a_page_that_looks_by_itself_keeps_nobody_signed_in(site: Site) -> None:
    """Fifteen minutes after the person's last own step it is over."""
    browser = await site.signed_in()
    await browser.get("/today")
    for _ in range(14):
        site.stage.clock.move(60)
        assert (await browser.get("/today/live")).status_code == 200
    site.stage.clock.move(61)

    answer = await browser.get("/today/live")

    assert answer.headers["location"].startswith("/sign-in")


@given(st.lists(st.tuples(st.integers(-(10**12), 10**14), st.integers(0, 10**14)), max_size=40))
def test_no_bar_leaves_the_plane(days: list[tuple[int, int]]) -> None:
    """What is more than nothing is seen, and nothing is higher than the top."""
    chart = chart_of(days)

    for bars, column in ((chart.gross, 0), (chart.refunds, 1)):
        for bar, pair in zip(bars, days, strict=True):
            assert 0 <= bar.y <= HEIGHT
            assert bar.y + bar.height == HEIGHT
            assert (bar.height > 0) == (pair[column] > 0)
            assert 0 <= bar.x < bar.x + bar.width <= chart.width


@given(st.integers(0, 10**15))
def test_the_top_of_the_axis_is_a_number_that_people_like(minor: int) -> None:
    """A one, a two or a five with zeros; never below the highest bar, never ten times as high."""
    top = nice(minor)

    assert str(top).rstrip("0") in ("1", "2", "5")
    assert minor <= top <= max(minor * 10, 100)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (-5, "0 s"), (59.9, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min")],
)
def test_how_long_it_is_until_a_moment(seconds: float, text: str) -> None:
    """As the script says it."""
    assert left_text(START + timedelta(seconds=seconds), START) == text
