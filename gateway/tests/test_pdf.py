"""
A page as a PDF: made elsewhere, of nothing but itself, and within limits.
"""

import asyncio
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from counterfoil.web import pdf, pdf_printer
from starlette.exceptions import HTTPException

PAGE = "<!doctype html><html lang=en><title>A receipt</title><p>4096 1234 5678</p></html>"


@pytest.fixture
def pango() -> None:
    """Pango of the system: without it these tests skip, and fail under CI."""
    try:
        import weasyprint  # noqa: F401  # Loads it.
    except OSError:
        missing = f"Pango is missing: sudo {pdf.INSTALL}"
        if os.environ.get("CI") in ("1", "true"):
            pytest.fail(missing)
        pytest.skip(missing)


@pytest.mark.usefixtures("pango")
async def test_a_page_becomes_a_pdf_while_the_loop_goes_on() -> None:
    """Other requests are answered meanwhile."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    counting = asyncio.create_task(count())
    made = await pdf.pdf_of(PAGE)
    counting.cancel()

    assert made.startswith(b"%PDF-")
    assert made.rstrip().endswith(b"%%EOF")
    assert turns > 1


@pytest.mark.usefixtures("pango")
async def test_a_pdf_fetches_nothing(tmp_path: Path) -> None:
    """Neither over the network nor from the disk, whatever somebody smuggled into a page."""
    asked: list[str] = []

    class Asked(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # The library's name.
            asked.append(self.path)

    server = HTTPServer(("127.0.0.1", 0), Asked)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    secret = tmp_path / "secret.txt"
    secret.write_text("the key to everything")
    away = f"http://127.0.0.1:{server.server_port}"
    smuggled = (
        f'<img src="{away}/picture"><link rel=stylesheet href="{away}/style">'
        f'<link rel=attachment href="file://{secret}"><img src="file://{secret}">'
        f"<style>@import url({away}/import); p {{ background: url({away}/ground) }}</style>"
    )

    made = await pdf.pdf_of(PAGE.replace("<p>", f"{smuggled}<p>"))
    server.shutdown()

    assert made.startswith(b"%PDF-")
    assert asked == []
    assert b"EmbeddedFile" not in made


async def test_where_pango_is_missing_it_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setattr(pdf, "MISSING", 0)  # As if the child had said so.

    with pytest.raises(HTTPException, match=r"Pango is missing.*libpango") as refused:
        await pdf.pdf_of(PAGE)

    assert refused.value.status_code == 503


async def test_a_pdf_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child with it."""
    monkeypatch.setattr(pdf, "SECONDS_MAX", 0.01)

    with pytest.raises(HTTPException, match="too long"):
        await pdf.pdf_of(PAGE)

    assert pdf._waiting == 0


async def test_no_more_wait_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a page taken that is too long."""
    monkeypatch.setattr(pdf, "WAITING_MAX", 0)
    with pytest.raises(HTTPException, match="Try again"):
        await pdf.pdf_of(PAGE)

    monkeypatch.setattr(pdf, "HTML_BYTES_MAX", 10)
    with pytest.raises(HTTPException, match="too long for a PDF"):
        await pdf.pdf_of(PAGE)


def test_the_child_says_by_its_exit_code_that_a_library_is_missing(tmp_path: Path) -> None:
    """Not by a traceback."""
    (tmp_path / "weasyprint.py").write_text('raise OSError("cannot load library")')
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from counterfoil.web.pdf_printer import main; sys.exit(main())"
    )

    child = subprocess.run([sys.executable, "-c", code], input=b"", check=False, timeout=60)

    assert child.returncode == pdf_printer.MISSING
