"""
Texts that people read: no mark turns them around, and letters from right to left stand as they are.
"""

import sys
import unicodedata

import pytest
from api_stage import SALE, Api
from counterfoil.api.bodies import ONE_LINE_ONLY
from counterfoil.business import fault_of
from counterfoil.cli.console import CommandRefused, actor_of, seen
from counterfoil.lines import TURNS, UNSEEN, fault_of_line, unseen_in, without_turns
from counterfoil.people.roles import Role
from payment_stage import Stage
from test_cards_gone_astray import BLOCK, BUSINESS, everything, sent
from test_terminal_pages import TYPED, form
from web_stage import PASSWORD, Site, words

MARKS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
TURNED = "A sheet \u202eteehs A\u202c, \u2067two\u2069"
PLAIN = "A sheet teehs A, two"
HEBREW, ARABIC = "חנות הספרים", "متجر الكتب ٤٢"

# Where a form is sent, what else it says, and the field into which the text goes.
FORMS: list[tuple[str, dict[str, str], str]] = [
    ("/developers/keys/new", {"days": "90"}, "name"),
    ("/developers/webhooks/new", {"url": "https://hooks.example/x"}, "description"),
    ("/settings/screening/blocks", BLOCK, "reason"),
    ("/settings/business", BUSINESS, "name"),
    ("/settings/business", BUSINESS, "city"),
    ("/me/name", {}, "name"),
]


def test_every_mark_of_unicode_that_turns_text_is_known() -> None:
    """By their classes (UAX #9): embeddings, overrides, isolates, and the three plain marks."""
    turning = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    formats = (
        each for each in map(chr, range(sys.maxunicode)) if unicodedata.category(each) == "Cf"
    )
    strong = {"L", "R", "AL"}
    found = {
        each
        for each in formats
        if unicodedata.bidirectional(each) in turning
        or (unicodedata.bidirectional(each) in strong and "MARK" in unicodedata.name(each, ""))
    }

    assert {each for each in found if each < "\U00010000"} - {"\u06dd", "\u070f"} == set(MARKS)
    assert without_turns(f"a{MARKS}b") == "ab"


@pytest.mark.parametrize("text", [HEBREW, ARABIC, "Bücher", "本屋", "a 📚"])
def test_letters_of_any_direction_stay(text: str) -> None:
    """They need no mark."""
    assert without_turns(text) == text
    assert unseen_in(text) is None
    assert fault_of("name", text) is None
    assert seen(text, "--name") == text


@pytest.mark.parametrize(
    ("text", "least", "fault"),
    [
        ("", 1, "One to four."),
        ("", 0, None),
        ("a", 1, None),
        ("four", 1, None),
        ("fives", 1, "One to four."),
        ("fives", 0, "One to four."),
        ("a\nb", 1, UNSEEN),
        ("\u00ad", 1, UNSEEN),
        ("a\u202eb", 1, TURNS),
        ("longer\u202eb", 1, TURNS),
    ],
)
def test_a_line_has_so_many_characters_that_are_seen(
    text: str, least: int, fault: str | None
) -> None:
    """What nobody sees is told before the length: it may be what makes it too long."""
    assert fault_of_line(text, 4, "One to four.", least=least) == fault


@pytest.mark.parametrize("mark", MARKS)
def test_a_command_is_told_which_mark_it_holds(mark: str) -> None:
    """And not that it were too long, or no line."""
    assert fault_of("name", f"Shop{mark}") == TURNS
    with pytest.raises(CommandRefused, match="--name: a mark that turns the direction of text"):
        seen(f"till{mark}", "--name")
    with pytest.raises(CommandRefused, match="--by: a mark that turns the direction of text"):
        actor_of(f"ada{mark}")


@pytest.mark.parametrize(("path", "more", "field"), FORMS)
async def test_a_form_loses_marks_that_nobody_sees(
    stage: Stage, path: str, more: dict[str, str], field: str
) -> None:
    """What is kept is what one could read."""
    answer = await sent(stage, path, {**more, field: TURNED})

    kept = await everything(stage)
    assert answer.status_code in (201, 303), words(answer)
    assert PLAIN in kept
    assert not any(mark in kept or f"\\u{ord(mark):04x}" in kept for mark in MARKS)


@pytest.mark.parametrize(("path", "more", "field"), FORMS)
async def test_what_else_nobody_sees_is_refused_in_words(
    stage: Stage, path: str, more: dict[str, str], field: str
) -> None:
    """At its field."""
    answer = await sent(stage, path, {**more, field: "Sh\u200bop"})

    assert answer.status_code in (409, 422)
    assert f'id="{field}-said"' in answer.text
    assert UNSEEN[1:] in words(answer)


async def test_a_note_of_a_sale_and_a_payment_link_hold_no_mark(stage: Stage) -> None:
    """Both stand on what the customer gets."""
    browser = await (await Site.of(stage)).signed_in(Role.MANAGER)
    sale = await form(browser)
    await browser.send("/terminal/sales", {**TYPED, "note": TURNED, "sale": sale})
    link = {"description": TURNED, "kind": "fixed", "currency": "USD", "amount": "25"}
    await browser.send("/links", link)

    for table in ("payments", "payment_links"):
        rows = await stage.sql(
            f"SELECT description FROM {table} WHERE merchant_id = $1", stage.merchant.merchant_id
        )
        assert [row["description"] for row in rows] == [PLAIN], table


@pytest.mark.parametrize("mark", MARKS)
async def test_the_api_tells_a_program_of_a_mark(stage: Stage, mark: str) -> None:
    """Its texts are not changed behind its back."""
    api = await Api.of(stage)
    calls = (
        await api.sale({**SALE, "description": f"Two{mark} books"}),
        await api.call(
            "POST",
            "/v1/webhook-endpoints",
            {"url": "https://hooks.example/x", "description": f"till{mark}"},
        ),
    )

    for reply in calls:
        assert (reply.status, reply.json["code"]) == (400, "field_out_of_range")
        assert (reply.json["param"], reply.json["detail"]) == ("description", ONE_LINE_ONLY)


@pytest.mark.parametrize("text", [HEBREW, ARABIC])
async def test_a_description_from_right_to_left_stands_on_the_page_by_itself(
    stage: Stage, text: str
) -> None:
    """In an element that is isolated, so that it turns nothing beside it."""
    api, site = await Api.of(stage), await Site.of(stage)
    owner = await site.signed_in()
    reply = await api.sale({**SALE, "description": text})
    assert reply.status == 201, reply.json

    page = await owner.get(f"/payments/{reply.json['id']}")

    assert f"<bdi>{text}</bdi>" in page.text


async def test_a_password_counts_as_it_was_typed(stage: Stage) -> None:
    """It is shown to nobody: what was chosen with a mark opens with the mark, and not without."""
    site = await Site.of(stage)
    owner = await site.signed_in()
    await stage.sql("UPDATE web_sessions SET stepped_up_at = $1", stage.clock.now())
    await owner.get("/me/password")
    chosen = f"gravel tundra \u200fmoth violet {PASSWORD[:3]}"
    changed = await owner.send("/me/password", {"password": chosen})
    assert changed.status_code == 303, words(changed)

    form = {"email": site.address_of(), "next": "/me"}
    right = await site.browser().send("/sign-in", {**form, "password": chosen})
    wrong = await site.browser().send("/sign-in", {**form, "password": without_turns(chosen)})

    assert (right.status_code, wrong.status_code) == (303, 401)
