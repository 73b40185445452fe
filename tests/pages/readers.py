"""
A card reader that types as a keyboard does, at its own pace however busy the machine is.
"""

import asyncio
import time

from playwright.async_api import Page

READER_MS = 8
ENTER_CODE = 13


async def reads(
    page: Page, text: str, milliseconds: float = READER_MS, *, ends: bool = False
) -> None:
    """
    Type *text* with so many milliseconds between two keys, and return when that time has passed.
    The reader *ends* with Enter, or does not.

    Each key says itself when it was pressed: the browser tells a reader from a hand by that.
    """
    session = await page.context.new_cdp_session(page)
    begun = time.time()
    sent = []
    keys = [(sign, sign, ord(sign.upper()) if sign.isalnum() else 0) for sign in text]
    if ends:
        keys.append(("Enter", "\r", ENTER_CODE))
    for place, (name, written, code) in enumerate(keys):
        at = begun + place * milliseconds / 1000
        key = {"key": name, "windowsVirtualKeyCode": code, "timestamp": at}
        down = {**key, "type": "keyDown", "text": written}
        for event in (down, {**key, "type": "keyUp"}):
            sending = session.send("Input.dispatchKeyEvent", event)
            sent.append(asyncio.ensure_future(sending))
        await asyncio.sleep(max(0.0, at + milliseconds / 1000 - time.time()))
    await asyncio.gather(*sent)
    await session.detach()
