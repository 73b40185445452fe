"""
A page as a PDF: made by a child process, so that the pages' own loop is free meanwhile.

WeasyPrint is pure Python and holds its thread for a second or for many, and a thread cannot be
ended. The child can: it has a time, and fetches nothing (see `pdf_printer`). It needs Pango of the
system; where that is missing the answer says so, and the pages are printed by the browser instead.
"""

import asyncio
import contextlib
import os
import sys
from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.responses import Response

from counterfoil.web.pdf_printer import MISSING

AT_ONCE_MAX = 2
WAITING_MAX = 8
SECONDS_MAX = 30.0
HTML_BYTES_MAX = 4 * 1024 * 1024
INSTALL = (
    "apt-get install --no-install-recommends libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
)
WITHOUT_PANGO = (
    "This server cannot make PDFs: Pango is missing. Whoever runs it installs it with "
    f"“{INSTALL}”. Until then, print the page: browsers can save that as a PDF too."
)

_at_once = asyncio.Semaphore(AT_ONCE_MAX)
_waiting = 0


async def pdf_of(html: str) -> bytes:
    """
    Return *html* as a PDF. It may link to nothing: styles and pictures stand in it.

    Raises:
        HTTPException: 503, with words for a page: Pango is missing, too many at once, too slow.
    """
    global _waiting  # Of this process, as the children are.
    page = html.encode()
    if len(page) > HTML_BYTES_MAX:
        raise HTTPException(503, "This page is too long for a PDF. Print it from the browser.")
    if _waiting >= WAITING_MAX:
        raise HTTPException(503, "Many PDFs are being made just now. Try again in a moment.")
    _waiting += 1
    try:
        async with _at_once:
            return await _printed(page)
    finally:
        _waiting -= 1


def as_file(pdf: bytes, name: str, *, at: datetime | None = None) -> Response:
    """
    Return the answer that shows *pdf* in the browser and keeps it under *name* (plain ASCII).
    """
    day = f"-{at:%Y-%m-%d}" if at else ""
    headers = {"Content-Disposition": f'inline; filename="{name}{day}.pdf"'}
    return Response(pdf, media_type="application/pdf", headers=headers)


async def _printed(page: bytes) -> bytes:
    # Environment: nothing of ours, which may hold secrets. `-I`: nor what lies in the folder.
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-m", "counterfoil.web.pdf_printer"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"LC_ALL": "C.UTF-8", "PATH": os.defpath, "HOME": "/nonexistent"},
    )
    try:
        async with asyncio.timeout(SECONDS_MAX):
            pdf, _ = await child.communicate(page)
    except TimeoutError:
        raise HTTPException(
            503, "This took too long as a PDF. Print it from the browser."
        ) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
    if child.returncode == MISSING:
        raise HTTPException(503, WITHOUT_PANGO)
    if child.returncode != 0 or not pdf.startswith(b"%PDF-"):
        raise HTTPException(503, "This could not be made a PDF. Print it from the browser.")
    return pdf
