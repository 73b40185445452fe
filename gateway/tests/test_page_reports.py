"""
What browsers refused on a page: counted, stripped, bounded, and told to its merchant.
"""

import asyncio
import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec
import pytest
from checkout_stage import PageStage
from counterfoil.checkouts.reports import (
    BODY_BYTES_MAX,
    DIRECTIVES,
    KINDS,
    MINUTE_SECONDS,
    PAGE_MINUTE_MAX,
    REPORTS_MAX,
    Refusal,
    Unreadable,
    read,
    refused,
)
from counterfoil.ids import MERCHANT, Ids, written
from counterfoil.people.roles import Role
from counterfoil.store import page_reports
from counterfoil.web.attention_words import PAGES_IN_WORDS, WHAT_TO_DO, advice, stopped
from hypothesis import given
from hypothesis import strategies as st
from payment_stage import Stage
from web_stage import CHECKOUT_ORIGIN, ORIGIN, Site, WindowlessBrowser, without_tokens, words

CARD = "4111111111111111"
OLD, NEW = "application/csp-report", "application/reports+json"


def old(address: str, **said: Any) -> bytes:
    """A report as `report-uri` sends it."""
    body = {
        "document-uri": address,
        "referrer": "",
        "violated-directive": "script-src-elem",
        "effective-directive": "script-src-elem",
        "original-policy": "default-src 'none'",
        "blocked-uri": "inline",
        "status-code": 200,
        "script-sample": f"send('{CARD}')",
        **said,
    }
    return msgspec.json.encode({"csp-report": body})


def new(address: str, kind: str = "csp-violation", **said: Any) -> bytes:
    """A report as `report-to` sends it."""
    body = {
        "documentURL": address,
        "effectiveDirective": "script-src-elem",
        "blockedURL": "inline",
        "sample": CARD,
        **said,
    }
    report = {"age": 3, "type": kind, "url": address, "user_agent": "M", "body": body}
    return msgspec.json.encode([report])


@pytest.fixture
async def site(stage: Stage) -> Site:
    """Both origins."""
    return await Site.of(stage)


@pytest.fixture
async def address(stage: Stage) -> str:
    """The whole address of a payment page, with what a browser may add to it."""
    pages = PageStage(stage)
    path = pages.checkouts.url(await pages.opened()).rpartition("/")[2]
    return f"{CHECKOUT_ORIGIN}/c/{path}?note={CARD}#top"


async def send(site: Site, body: bytes, kind: str = OLD, **headers: str) -> httpx2.Response:
    """Send it as a browser does."""
    return await site.browser(CHECKOUT_ORIGIN).client.post(
        "/reports", content=body, headers={"Content-Type": kind, **headers}
    )


async def rows(stage: Stage) -> list[dict[str, Any]]:
    found = await stage.sql("SELECT * FROM page_reports ORDER BY refused")
    return [dict(row) for row in found if row["merchant_id"] == stage.merchant.merchant_id]


async def test_both_forms_are_counted_in_one_group(stage: Stage, site: Site, address: str) -> None:
    """By page, directive and what was refused; first and last."""
    answer = await send(site, old(address))
    stage.clock.move(5)
    await send(site, new(address), NEW)

    assert answer.status_code == 204
    [row] = await rows(stage)
    assert (row["page"], row["directive"], row["refused"]) == (
        "/c/{token}",
        "script-src-elem",
        "inline",
    )
    assert row["times"] == 2
    assert (row["last_at"] - row["first_at"]).total_seconds() == 5


async def test_nothing_of_a_card_or_of_the_pages_address_is_kept(
    stage: Stage, site: Site, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither in the table nor in the log."""
    for blocked in (
        f"https://{CARD}.evil.example/x?card={CARD}",
        f"https://evil.example/{CARD}",
        f"wss://a.b.c.{CARD[:4]}.example:4443/",
        CARD,
        f"data:text/html,{CARD}",
    ):
        await send(site, old(address, **{"blocked-uri": blocked, "source-file": f"x{CARD}"}))
        await send(site, new(address, blockedURL=blocked, effectiveDirective=CARD), NEW)

    kept = str(await rows(stage))
    said = capsys.readouterr()
    token = address.partition("/c/")[2].partition("?")[0]
    for text in (kept, said.out + said.err):
        assert "4111" not in without_tokens(text)
        assert token not in text
    assert {row["refused"] for row in await rows(stage)} == {
        "https://evil.example",
        "wss://....example:4443",
        "data",
        "other",
    }
    assert "page_report" in said.out


@given(st.text(alphabet="/:.?#@[]-4111111aZ%\x00é ", max_size=80))
def test_whatever_is_refused_four_digits_in_a_row_are_never_kept(text: str) -> None:
    """But a port's, and an address's own."""
    kept = refused(f"https://{text}", origins=(CHECKOUT_ORIGIN,))

    assert len(kept) <= 120
    assert "41111" not in kept


@pytest.mark.parametrize(
    ("blocked", "kept"),
    [
        ("https://shop.evil.co.uk/a.js?b=c", "https://evil.co.uk"),
        ("https://cdn.evil.example/a.js", "https://evil.example"),
        ("https://203.0.113.7/a.js", "https://203.0.113.7"),
        ("https://[2001:db8:4111:1111:1111:1111::]/a.js", "https://2001:db8::/32"),
        (f"https://[4111:1111:1111:1111::]:4443/{CARD}", "https://4111:1111::/32:4443"),
        (f"https://[fe80::1%25{CARD}]/", "https://fe80::/32"),
        (f"https://[fe80::1%{'a' * 200}]/", "https://fe80::/32"),
        ("http://localhost:8445/static/search.js", "http://localhost:8445"),
        (f"{CHECKOUT_ORIGIN}/static/search.js", "a file of this site"),
        ("blob", "blob"),
        ("blob:https://x/1-2", "blob"),
        ("eval", "eval"),
        ("trusted-types-sink", "trusted-types-sink"),
        ("", "other"),
        ("https://[", "other"),
        ("ftp://x/", "other"),
    ],
)
def test_what_was_refused_is_told_by_its_kind_or_by_whose_it_is(blocked: str, kept: str) -> None:
    """So that a person knows where to look."""
    assert refused(blocked, origins=(CHECKOUT_ORIGIN,)) == kept


async def test_a_report_of_no_page_of_ours_is_nobodys(
    stage: Stage, site: Site, address: str
) -> None:
    """Neither a made-up one, nor one of another page, nor of a shopper's own extension."""
    for each in (f"{CHECKOUT_ORIGIN}/c/{'A' * 43}", f"{CHECKOUT_ORIGIN}/", "https://[", ""):
        assert (await send(site, old(each))).status_code == 204
    for scheme in ("chrome-extension", "moz-extension"):
        await send(site, old(address, **{"source-file": f"{scheme}://abc/x.js"}))
        await send(site, new(address, blockedURL=scheme), NEW)

    assert await rows(stage) == []
    counted = stage.road.measures.reports.children
    assert (counted["stranger",], counted["extension",]) == (4, 4)


@pytest.mark.parametrize(
    ("body", "kind", "headers", "status"),
    [
        (b"x" * (BODY_BYTES_MAX + 1), OLD, {}, 413),
        (b"{}", "text/html", {}, 415),
        (b"{}", OLD, {"Sec-Fetch-Site": "cross-site"}, 403),
        (b"{}", OLD, {}, 400),
        (b"[1]", NEW, {}, 400),
        (b"[]", NEW, {}, 400),
        (b'{"csp-report": 1}', OLD, {}, 400),
        (b"\xff", OLD, {}, 400),
        (b"[" * 20_000, NEW, {}, 400),
    ],
)
async def test_what_is_no_report_is_refused(
    stage: Stage, site: Site, body: bytes, kind: str, headers: dict[str, str], status: int
) -> None:
    """Before anything is looked up."""
    assert (await send(site, body, kind, **headers)).status_code == status
    assert await rows(stage) == []


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_or_refused(body: bytes) -> None:
    """Nothing breaks."""
    for each in (body, b'{"csp-report": ' + body + b"}", b'[{"body": ' + body + b"}]"):
        try:
            read(each, origins=(CHECKOUT_ORIGIN,))
        except Unreadable:
            continue


async def test_so_many_are_counted_within_a_minute(stage: Stage, site: Site, address: str) -> None:
    """And anew in the next one."""
    for _ in range(PAGE_MINUTE_MAX + 5):
        await send(site, old(address))

    assert [row["times"] for row in await rows(stage)] == [PAGE_MINUTE_MAX]
    assert stage.road.measures.reports.children["dropped",] == 5
    stage.clock.move(MINUTE_SECONDS)
    await send(site, old(address))
    assert [row["times"] for row in await rows(stage)] == [PAGE_MINUTE_MAX + 1]


async def test_one_body_of_many_counts_as_many(stage: Stage, site: Site, address: str) -> None:
    """And no more of it are read than a body may hold."""
    [report] = msgspec.json.decode(new(address))

    for _ in range(2):
        await send(site, msgspec.json.encode([report] * (PAGE_MINUTE_MAX - 5)), NEW)

    assert [row["times"] for row in await rows(stage)] == [PAGE_MINUTE_MAX - 5]
    long = read(msgspec.json.encode([report] * (REPORTS_MAX + 7)), origins=(CHECKOUT_ORIGIN,))
    assert long.reports.total() == REPORTS_MAX


async def test_a_script_without_its_hash_is_reported_too(
    stage: Stage, site: Site, address: str
) -> None:
    """By the integrity policy, in a form of its own."""
    said = {"blockedURL": f"https://evil.example/{CARD}.js", "destination": "script"}
    await send(site, new(address, "integrity-violation", **said), NEW)

    [row] = await rows(stage)
    assert (row["directive"], row["refused"]) == ("integrity", "https://evil.example")


async def test_so_many_groups_of_a_merchant_are_kept(
    stage: Stage, site: Site, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What belongs to one that there is counts all the same."""
    monkeypatch.setattr(page_reports, "OPEN_MAX", 2)
    for host in ("one.example", "two.example", "three.example", "one.example"):
        await send(site, old(address, **{"blocked-uri": f"https://{host}/"}))

    found = {row["refused"]: row["times"] for row in await rows(stage)}
    assert found == {"https://one.example": 2, "https://two.example": 1}


async def test_it_waits_for_a_person_until_somebody_notes_what_it_was(
    stage: Stage, site: Site, address: str
) -> None:
    """An owner or a developer; it is in the menu's number and on the audit page."""
    await send(site, old(address))
    owner, manager = await site.signed_in(), await site.signed_in(Role.MANAGER)
    shown = await owner.get("/attention")
    path = shown.text.partition('action="/attention/reports/')[2].partition('"')[0]

    async def note(browser: WindowlessBrowser) -> int:
        await browser.get("/attention")
        form = {"note": "A proxy of the shopper."}
        return (await browser.send(f"/attention/reports/{path}", form)).status_code

    assert "Payment page: a script written into it was not run, once." in words(shown)
    assert "For whoever runs Counterfoil: script-src-elem: inline" in words(shown)
    assert '<span class="count" data-waiting>1<' in shown.text
    assert await note(manager) == 403
    assert await note(owner) == 303
    assert await note(owner) == 404
    assert "Nothing waits for you" in words(await owner.get("/attention"))
    assert "A proxy of the shopper." in words(await owner.get("/audit"))


async def test_what_comes_again_says_that_it_was_seen_before(
    stage: Stage, site: Site, address: str
) -> None:
    """How often, when it was last looked into, and what was noted; of the same thing only."""
    owner = await site.signed_in()

    async def noted(note: str) -> None:
        shown = await owner.get("/attention")
        path = shown.text.partition('action="/attention/reports/')[2].partition('"')[0]
        await owner.send(f"/attention/reports/{path}", {"note": note})

    await send(site, old(address))
    await noted("A proxy of the shopper.")
    await send(site, old(address))
    await send(site, old(address))
    stage.clock.move(60)
    await noted("<b>Again</b> the proxy.")
    await send(site, old(address, **{"blocked-uri": "https://evil.example/"}))

    assert "Seen before" not in words(await owner.get("/attention"))
    await send(site, old(address))
    shown = await owner.get("/attention")
    assert "written into it was not run, once." in words(shown)
    assert "Seen before: 3 times, last looked into" in words(shown)
    assert '<q dir="auto">&lt;b&gt;Again&lt;/b&gt; the proxy.</q>' in shown.text
    assert shown.text.count("Seen before") == 1


async def test_an_operator_is_told_that_it_was_seen_before(
    stage: Stage, parameters: dict[str, str], tmp_path: Path
) -> None:
    """As the page tells it: of the same merchant's same thing only."""
    refusal = Refusal(page="/c", directive="script-src-elem", refused="inline")
    seen, other = stage.merchant.merchant_id, await Stage.set_up(stage.database)
    store = page_reports.PageReportStore(stage.database, Ids(stage.clock))
    for note, times in (("A proxy.", 2), ("Again the proxy.", 1)):
        await store.count(seen, refusal, times, stage.clock.now())
        [row] = await store.open(seen)
        await store.see_to(seen, row["report_id"], stage.clock.now(), note, actor="user:ada")
        stage.clock.move(60)
    for merchant_id in (seen, other.merchant.merchant_id):
        await store.count(merchant_id, refusal, 1, stage.clock.now())

    listed = json.loads(await run_reports(parameters, tmp_path, "--json"))
    table = await run_reports(parameters, tmp_path)

    before = {each["merchant_id"]: each["before"] for each in listed}
    assert before[written(MERCHANT, other.merchant.merchant_id)] is None
    found = before[written(MERCHANT, seen)]
    assert (found["times"], found["note"]) == (3, "Again the proxy.")
    assert datetime.fromisoformat(found["seen_to_at"]) == stage.clock.now() - timedelta(seconds=60)
    assert sum(line.endswith("Again the proxy.") for line in table.splitlines()) == 1
    assert table.splitlines()[0].endswith("seen before  looked into       note")


async def run_reports(parameters: dict[str, str], folder: Path, *said: str) -> str:
    """Run the command as an operator does, and return what it says."""
    who = f"{quote(parameters['user'])}:{quote(parameters['password'])}"
    host = quote(parameters["host"], safe="")
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "counterfoil.cli.main", "pages", "reports", *said],
        env={
            **{name: value for name, value in os.environ.items() if "COUNTERFOIL" not in name},
            "DATABASE_URL": f"postgresql://{who}@/{parameters['database']}?host={host}",
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


async def test_what_another_merchant_has_seen_is_not_told(stage: Stage, site: Site) -> None:
    """The same thing on another's page is new there."""
    owner = await site.signed_in()
    await of_merchants(owner, old(f"{ORIGIN}/terminal"))
    [row] = await rows(stage)
    await owner.get("/attention")
    path = f"/attention/reports/rpt_{row['report_id'].hex}/looked-into"
    assert (await owner.send(path, {"note": "Ours."})).status_code == 303

    other = await (await Site.of(await Stage.set_up(stage.database))).signed_in()
    await of_merchants(other, old(f"{ORIGIN}/terminal"))

    shown = words(await other.get("/attention"))
    assert "Your terminal: a script written into it was not run, once." in shown
    assert "Seen before" not in shown


async def test_another_merchant_neither_sees_nor_ends_it(
    stage: Stage, site: Site, address: str
) -> None:
    """By its id."""
    await send(site, old(address))
    [row] = await rows(stage)
    other = await Site.of(await Stage.set_up(stage.database))
    browser = await other.signed_in()
    await browser.get("/attention")
    path = f"/attention/reports/rpt_{row['report_id'].hex}/looked-into"

    assert (await browser.send(path, {"note": "Mine."})).status_code == 404
    assert [each["seen_to_at"] for each in await rows(stage)] == [None]


async def of_merchants(browser: WindowlessBrowser, body: bytes, **headers: str) -> httpx2.Response:
    """Send it from a page of the merchants' own origin, with the cookie of who is signed in."""
    return await browser.client.post(
        "/reports", content=body, headers={"Content-Type": OLD, **headers}
    )


async def test_what_is_refused_on_a_merchants_own_page_is_told_to_that_merchant(
    stage: Stage, site: Site
) -> None:
    """By who is signed in: the terminal, where cards are typed, apart from other pages."""
    clerk, owner = await site.signed_in(Role.CLERK), await site.signed_in()

    sent = [
        await of_merchants(clerk, old(f"{ORIGIN}/terminal/sales/tsl_1?note={CARD}")),
        await of_merchants(clerk, old(f"{ORIGIN}/terminal")),
        await of_merchants(owner, old(f"{ORIGIN}/terminals")),
        await of_merchants(owner, old(f"{ORIGIN}/payments/{CARD}")),
    ]

    assert [each.status_code for each in sent] == [204] * 4
    found = await rows(stage)
    assert sorted((row["page"], row["times"]) for row in found) == [("/", 2), ("/terminal", 2)]
    assert CARD not in str(found)
    shown = words(await owner.get("/attention"))
    assert "Your terminal: a script written into it was not run, 2 times." in shown
    assert "A page of your own: a script written into it was not run, 2 times." in shown


async def test_a_report_of_a_merchants_page_by_nobody_is_nobodys(
    stage: Stage, site: Site, address: str
) -> None:
    """Nor does a merchants' cookie count for a page of shoppers, or from another site."""
    owner = await site.signed_in()

    await of_merchants(site.browser(), old(f"{ORIGIN}/sign-in"))
    cross = await of_merchants(owner, old(f"{ORIGIN}/terminal"), **{"Sec-Fetch-Site": "cross-site"})
    shoppers = site.browser(CHECKOUT_ORIGIN)
    shoppers.client.cookies = owner.client.cookies
    await of_merchants(shoppers, old(f"{CHECKOUT_ORIGIN}/terminal"))

    assert cross.status_code == 403
    assert await rows(stage) == []
    assert stage.road.measures.reports.children["stranger",] == 2


@pytest.mark.parametrize(
    "document",
    [
        "https://evil.example/terminal",
        "https://evil.example@localhost:1/terminal",
        "http://localhost:8444/terminal",
        f"{CHECKOUT_ORIGIN}/terminal",
        "about:srcdoc",
        "/terminal",
        "https://[",
        "",
        None,
    ],
)
async def test_a_report_of_another_sites_page_or_of_none_is_a_strangers(
    stage: Stage, site: Site, document: str | None
) -> None:
    """Who is signed in does not make it a page of theirs."""
    owner = await site.signed_in()
    body = b'{"csp-report": {}}' if document is None else old(document)

    assert (await of_merchants(owner, body)).status_code == 204
    assert await rows(stage) == []
    assert stage.road.measures.reports.children["stranger",] == 1


async def test_a_page_that_was_asked_at_a_forwarded_port_is_ours(stage: Stage, site: Site) -> None:
    """The host that was asked counts as well, as for forms; also for what was refused."""
    owner = await site.signed_in()
    said = old("https://localhost:9000/terminal", **{"blocked-uri": "https://localhost:9000/a.js"})

    await of_merchants(owner, said, Host="localhost:9000")

    assert [(row["page"], row["refused"]) for row in await rows(stage)] == [
        ("/terminal", "a file of this site")
    ]


async def test_a_payment_pages_token_counts_on_its_own_origin_only(
    stage: Stage, site: Site, address: str
) -> None:
    """Whatever else the address says."""
    await send(site, old(address.replace(CHECKOUT_ORIGIN, "https://evil.example")))

    assert await rows(stage) == []
    assert stage.road.measures.reports.children["stranger",] == 1


async def test_who_is_signed_in_is_looked_up_once_for_a_whole_body(
    stage: Stage, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many different reports it holds; not at all when it holds none."""
    owner = await site.signed_in()
    people, looks = site.desk.people, []
    look = people.who
    monkeypatch.setattr(people, "who", lambda *given: looks.append(given) or look(*given))
    each = [msgspec.json.decode(new(f"{ORIGIN}/terminal", blockedURL=f"https://{n}.example/"))[0]
            for n in "abcde"]  # fmt: skip

    await of_merchants(owner, msgspec.json.encode(each), **{"Content-Type": NEW})
    await of_merchants(owner, old("https://evil.example/"))

    assert len(await rows(stage)) == len(each)
    assert len(looks) == 1


async def test_so_many_of_a_merchants_pages_are_counted_within_a_minute(
    stage: Stage, site: Site
) -> None:
    """Of all of its pages together, whoever is signed in."""
    clerk, owner = await site.signed_in(Role.CLERK), await site.signed_in()

    for each in (clerk, owner) * (PAGE_MINUTE_MAX // 2 + 3):
        await of_merchants(each, old(f"{ORIGIN}/terminal"))

    assert [row["times"] for row in await rows(stage)] == [PAGE_MINUTE_MAX]


async def test_both_origins_name_where_reports_go(site: Site) -> None:
    """In both ways, and for scripts without their hash too."""
    for origin, path in ((ORIGIN, "/sign-in"), (CHECKOUT_ORIGIN, "/c/specimen")):
        headers = (await site.browser(origin).get(path)).headers

        assert "report-uri /reports; report-to pages" in headers["content-security-policy"]
        assert headers["reporting-endpoints"] == 'pages="/reports"'
        assert "endpoints=(pages)" in headers["integrity-policy"]


@pytest.mark.parametrize(
    ("directive", "refused_", "said"),
    [
        ("script-src-elem", "https://evil.example", "a script from evil.example was not run"),
        ("script-src-elem", "a file of this site", "changed or not meant for it, was not run"),
        ("script-src", "eval", "a script written into it was not run"),
        ("img-src", "https://evil.example:8443", "a picture from evil.example:8443 was not loaded"),
        ("connect-src", "https://evil.example", "nothing was sent to evil.example"),
        ("form-action", "https://evil.example", "a form was not sent to evil.example"),
        ("trusted-types", "trusted-types-policy", "a script that writes into the page was stopped"),
        ("integrity", "https://evil.example", "a script from evil.example was not run"),
        ("style-src-attr", "inline", "a style written into it was not used"),
        ("frame-src", "about", "a frame that is not ours was not shown"),
        ("other", "other", "something that is not ours was stopped"),
    ],
)
def test_a_merchant_reads_what_was_stopped_in_words(
    directive: str, refused_: str, said: str
) -> None:
    """The names of directives are for whoever runs the installation."""
    words_said = stopped("/c/{token}", directive, refused_)

    assert words_said.startswith("Payment page: ")
    assert said in words_said
    assert directive not in words_said or directive == "other"


@pytest.mark.parametrize(
    ("page", "directive", "refused_", "kind"),
    [
        ("/c/{token}", "integrity", "https://evil.example", "changed"),
        ("/l/{token}", "script-src-elem", "a file of this site", "changed"),
        ("/terminal", "integrity", "a file of this site", "changed"),
        ("/terminal", "script-src-elem", "inline", "report"),
        ("/c/{token}", "img-src", "https://evil.example", "report"),
        ("/", "integrity", "a file of this site", "report"),
    ],
)
def test_a_changed_file_where_cards_are_typed_is_never_called_an_extension(
    page: str, directive: str, refused_: str, kind: str
) -> None:
    """Until it is clear, cards are taken in another way."""
    assert advice(page, directive, refused_) == WHAT_TO_DO[kind]
    assert "extension" not in WHAT_TO_DO["changed"]
    assert "take cards in another way" in WHAT_TO_DO["changed"]


def test_every_directive_and_kind_has_words() -> None:
    """None breaks the page."""
    for page in PAGES_IN_WORDS:
        for directive in (*DIRECTIVES, "integrity", "other"):
            for kind in (*KINDS, "other", "a file of this site", "https://2001:db8::/32"):
                assert "{" not in stopped(page, directive, kind)
