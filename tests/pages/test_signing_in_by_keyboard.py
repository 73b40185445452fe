"""
Signing in with an authenticator app and with a passkey, by keyboard alone.
"""

import re
import time

import pyotp
import pytest
from barriers import nobody_is_kept_out
from playwright.async_api import Page, expect
from running_demo import Demo, Watch

TABS_MAX = 300  # Past every session of those who signed in before.
STEP_SECONDS = 30
SUGGESTED = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


def at(path: str) -> re.Pattern[str]:
    """Return what the address of *path* is, and of no page that only leads there."""
    return re.compile(rf":\d+{path}$")


async def press(page: Page, name: str) -> None:
    """Go to the button or link called *name* by Tab, and press Enter."""
    target = page.get_by_role("button", name=name, exact=True).or_(
        page.get_by_role("link", name=name, exact=True)
    )
    await expect(target.first).to_be_visible()
    for _ in range(TABS_MAX):
        if await target.first.evaluate("each => each === document.activeElement"):
            await page.keyboard.press("Enter")
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {name}")


async def type_into(page: Page, label: str, text: str) -> None:
    """Go to the field with *label* by Tab, and type."""
    field = page.get_by_label(label, exact=True)
    for _ in range(TABS_MAX):
        if await field.evaluate("each => each === document.activeElement"):
            await page.keyboard.type(text)
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {label}")


def fresh_code(secret: str, used: set[int]) -> str:
    """Return a code whose step was not used: the one of now, or the next, which counts as well."""
    step = int(time.time()) // STEP_SECONDS
    while step in used:
        step += 1
    used.add(step)
    return pyotp.TOTP(secret).generate_otp(step)


async def by_password(page: Page, demo: Demo) -> None:
    """Sign in by address and password."""
    email, password = demo.owner
    await page.goto(f"{demo.web}/sign-in?next=/me")
    await expect(page.get_by_label("E-mail address")).to_be_focused()
    await page.keyboard.type(email)
    await type_into(page, "Password", password)
    await page.keyboard.press("Enter")


async def out(page: Page) -> None:
    """Sign out, at a desk: on a telephone the button is folded into the menu."""
    await page.set_viewport_size({"width": 1280, "height": 800})
    await press(page, "Sign out")
    await page.wait_for_url(at("/sign-in"))
    await page.set_viewport_size({"width": 360, "height": 800})


async def remove(page: Page, demo: Demo, name: str) -> None:
    """Remove a factor again, as the demo is everybody's."""
    await page.goto(f"{demo.web}/me")
    await press(page, f"Remove {name}")
    await press(page, "Remove it")
    await expect(page.get_by_role("status")).to_contain_text("removed")


@pytest.mark.timeout(600)
async def test_an_app_and_a_passkey_sign_in_by_keyboard(page: Page, demo: Demo, watch: Watch):
    """Set up, signed out, in again: by a code, by a passkey; each page fits a small telephone."""
    tools = await page.context.new_cdp_session(page)
    await tools.send("WebAuthn.enable")
    await tools.send("WebAuthn.addVirtualAuthenticator", {"options": SUGGESTED})
    _, password = demo.owner
    used: set[int] = set()
    await page.set_viewport_size({"width": 360, "height": 800})
    await by_password(page, demo)
    await page.wait_for_url(at("/me"))

    await press(page, "Set up an authenticator app")
    await page.wait_for_url(re.compile("/step-up"))
    await nobody_is_kept_out(page)
    await type_into(page, "Password", password)
    await page.keyboard.press("Enter")
    await page.wait_for_url(at("/me/authenticator"))
    await press(page, "Show the picture")
    await expect(page.locator("img.qr")).to_be_visible()
    await nobody_is_kept_out(page)
    assert await page.locator("img.qr").evaluate("each => each.naturalWidth") > 0
    secret = await page.locator("code.secret").text_content()
    assert secret
    await type_into(page, "Code", fresh_code(secret, used))
    await page.keyboard.press("Enter")
    await page.wait_for_url(at("/me/recovery"))
    await press(page, "Show my codes")
    await expect(page.locator(".codes li")).to_have_count(10)
    await nobody_is_kept_out(page)

    await page.goto(f"{demo.web}/me/passkeys/new")
    await nobody_is_kept_out(page)
    await type_into(page, "What shall it be called?", "the laptop")
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile("done=passkey"))
    await expect(page.get_by_text("the laptop").first).to_be_visible()
    await out(page)

    await by_password(page, demo)
    await page.wait_for_url(re.compile("/sign-in/second"))
    await nobody_is_kept_out(page)
    await page.goto(f"{demo.web}/payments")
    await expect(page).to_have_url(re.compile(r"/sign-in\?next=/payments"))
    await page.goto(f"{demo.web}/sign-in/second?next=/me")
    await type_into(page, "Code", fresh_code(secret, used))
    await page.keyboard.press("Enter")
    await page.wait_for_url(at("/me"))
    await out(page)

    await by_password(page, demo)
    await page.wait_for_url(re.compile("/sign-in/second"))
    await press(page, "Use a passkey")
    await page.wait_for_url(at("/me"))

    await out(page)
    await page.goto(f"{demo.web}/sign-in?next=/me")
    await nobody_is_kept_out(page)
    await press(page, "Use a passkey")
    await page.wait_for_url(at("/me"))

    await page.goto(f"{demo.web}/step-up?next=/me/password")
    await nobody_is_kept_out(page)
    await press(page, "Use a passkey")
    await page.wait_for_url(at("/me/password"))
    await nobody_is_kept_out(page)
    await remove(page, demo, "the authenticator app")
    await remove(page, demo, "the passkey the laptop")


async def test_a_passkey_whose_name_is_refused_says_so_at_its_field(signed_in: Page, demo: Demo):
    """Before a finger is asked for; the field has the focus, and is right again when it is."""
    page = await signed_in.context.new_page()
    await page.set_viewport_size({"width": 360, "height": 800})
    await page.goto(f"{demo.web}/me/passkeys/new")
    if "/step-up" in page.url:
        await type_into(page, "Password", demo.owner[1])
        await page.keyboard.press("Enter")
        await page.wait_for_url(at("/me/passkeys/new"))
    await type_into(page, "What shall it be called?", "4242 4242 4242 4242")
    await page.keyboard.press("Enter")

    name = page.locator("#name")
    await expect(name).to_have_attribute("aria-invalid", "true")
    await expect(name).to_have_accessible_description(
        re.compile("Such as: laptop.*A card's number stands here: leave it out.")
    )
    await expect(name).to_be_focused()
    await expect(page.locator(".field .fault")).to_be_visible()
    await nobody_is_kept_out(page)

    await name.fill("the laptop")
    await page.keyboard.press("Enter")
    await expect(name).not_to_have_attribute("aria-invalid", "true")
    await expect(name).to_have_accessible_description("Such as: laptop in the office.")
    await page.close()
