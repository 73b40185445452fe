"""
What somebody else has written into a payment page, or into a script of ours, does not run.
"""

from playwright.async_api import ConsoleMessage, Page, Route, expect
from running_demo import Demo
from test_paying_on_the_payment_page import order

TYPED = "4111111111111111"
OWNED = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"


def complaints_of(page: Page) -> list[str]:
    """Return the list to which the errors of *page*'s console will be added."""
    said: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            said.append(message.text)

    page.on("console", note)
    return said


async def test_one_changed_byte_of_a_script_is_refused(page: Page, demo: Demo) -> None:
    """The page goes on as one without JavaScript."""
    said = complaints_of(page)

    async def changed(route: Route) -> None:
        answer = await route.fetch()
        body = await answer.body()
        await route.fulfill(response=answer, body=body[:-2] + b" " + body[-1:])

    await page.route("**/static/pay.js*", changed)
    await order(page, demo)
    await page.locator("#card_number").press_sequentially(TYPED)

    assert await page.input_value("#card_number") == TYPED
    assert any("integrity" in each and "/static/pay.js" in each for each in said), said


async def test_one_changed_byte_of_a_style_is_refused(page: Page, demo: Demo) -> None:
    """A style can hide what is to be read, and show what is not."""

    async def changed(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, body=await answer.body() + b"h2 { display: none }")

    await page.route("**/static/pay.css*", changed)
    await order(page, demo)

    await expect(page.locator(".pay-form h2")).to_be_visible()


async def test_a_script_that_is_written_into_the_page_does_not_run(page: Page, demo: Demo) -> None:
    """Nor does one that stands in an attribute, nor a file of ours that is not listed for it."""
    said = complaints_of(page)
    foreign = f'{OWNED}<script src="/static/search.js"></script>'

    async def injected(route: Route) -> None:
        answer = await route.fetch()
        # Nobody is told: the report may come when another test looks whether there is one.
        policy = answer.headers["content-security-policy"].partition("; report-uri")[0]
        assert "report-to" not in policy
        text = (await answer.text()).replace("</main>", f"</main>{foreign}")
        headers = {**answer.headers, "content-security-policy": policy}
        await route.fulfill(response=answer, headers=headers, body=text)

    await page.route("**/c/*", injected)
    await order(page, demo)

    await expect(page.locator(".pay-button")).to_be_visible()
    assert "owned" not in await page.title()
    blocked = [each for each in said if "Content Security Policy" in each]
    assert len(blocked) >= 3, said
    # What stands there by right does its work all the same.
    await page.locator("#card_number").press_sequentially(TYPED)
    assert await page.input_value("#card_number") == "4111 1111 1111 1111"
