"""
What a browser says of what was typed beside a card is what the server would say, word for word.

The script that runs in the browser is run here by node, with cases that hypothesis makes.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from counterfoil.amounts import amount_or_fault
from counterfoil.letters import LETTERS
from counterfoil.lines import unseen_in, without_turns
from counterfoil.money import CURRENCIES, currency
from counterfoil.web import rendering, terminal_form, terminal_texts
from counterfoil.web.terminal_texts import TEXTS
from hypothesis import example, given
from hypothesis import strategies as st
from test_tracks import PATIENT, Script

SCRIPT = Path(rendering.__file__).parent / "static" / "typed-fields.js"
ANSWERS = """
const rules = JSON.parse(%s);
let chosen = {};
const amounts = TypedFields.amountsBy(rules.amounts, () => chosen);
const texts = TypedFields.textsBy(rules);
const answers = {
  amount: (text, code, decimals, mayBeZero) => {
    chosen = { code, decimals };
    return [amounts.faultOf(text, { mayBeZero }), amounts.minorOf(text)];
  },
  text: (name, typed) => texts.faultOf(name, typed),
};
const lines = require("readline").createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const [name, ...said] = JSON.parse(line);
  process.stdout.write(JSON.stringify(answers[name](...said)) + "\\n");
});
"""
PRICES = st.text("0123456789.,", max_size=9) | st.text("0019.,- '$A\N{NO-BREAK SPACE}", max_size=8)
# Without what Python strips from the ends of a text and a browser does not, or the other way round.
LETTER = st.characters(codec="utf-8", exclude_categories=["Cc", "Cn"], exclude_characters="\ufeff")
WORDS = st.text(LETTER, max_size=48)
STREETS = st.text(
    st.sampled_from("aZ 9-éÅ½²\N{NO-BREAK SPACE}１Ωд𝐚" + "".join(LETTERS)), max_size=42
)


@pytest.fixture(scope="module")
def script() -> Iterator[Script]:
    """The script that browsers run, with what the terminal's page brings along for it."""
    running = Script(SCRIPT.read_text() + ANSWERS % json.dumps(json.dumps(terminal_form.rules())))
    yield running
    running.end()


@PATIENT
@given(
    text=PRICES,
    code=st.sampled_from(["USD", "JPY", "KWD", *sorted(CURRENCIES)]),
    zero=st.booleans(),
)
@example(text="1 000,00", code="EUR", zero=False)
@example(text="1,234", code="KWD", zero=False)
@example(text="0.001", code="USD", zero=True)
@example(text="-1", code="USD", zero=True)
@example(text="9999999999.99", code="USD", zero=False)
@example(text="10000000000.00", code="USD", zero=False)
@example(text="0" * 22 + "420", code="USD", zero=False)
@example(text="9" * 300, code="JPY", zero=False)
@example(text="\u2212\u0664", code="USD", zero=False)
def test_an_amount_is_read_by_the_browser_as_by_the_server(
    text: str, code: str, zero: bool, script: Script
) -> None:
    """To the minor unit, or with the same words."""
    unit = currency(code)
    found = amount_or_fault(text, unit, may_be_zero=zero)
    fault, minor = script.ask("amount", text, code, unit.exponent, zero)

    assert fault == (found if isinstance(found, str) else "")
    assert isinstance(found, str) or minor == found


@PATIENT
@given(name=st.sampled_from(sorted(TEXTS)), text=WORDS | STREETS | st.text("aZ 9", max_size=70))
@example(name="street", text="Hauptstraße 1")
@example(name="street", text="a" * 39 + "ß")
@example(name="street", text="улица Ленина 5")
@example(name="street", text="221½\N{LEFT-TO-RIGHT MARK}")
@example(name="postal_code", text="１００-0001")
@example(name="order", text="Nr. 5 für Zoë")
@example(name="email", text="ada@example")
@example(name="voice_code", text="")
@example(name="name", text="Zoë\N{NO-BREAK SPACE}Ångström")
@example(name="name", text="\N{RIGHT-TO-LEFT OVERRIDE}ada")
@example(name="note", text="one\nand two")
@example(name="note", text="two\u200bbooks")
def test_a_text_is_judged_by_the_browser_as_by_the_server(
    name: str, text: str, script: Script
) -> None:
    """Also an address, which goes on in other letters than it was typed in."""
    sent = terminal_texts.as_sent(name, without_turns(text).strip())

    assert script.ask("text", name, text) == terminal_texts.fault_of(name, sent)


@given(text=WORDS)
@example(text="two\u200bbooks")
@example(text="two\N{NO-BREAK SPACE}books")
@example(text="a 📚")
def test_a_description_is_taken_at_the_terminal_as_on_a_payment_link(text: str) -> None:
    """What nobody sees stands in neither."""
    shown = without_turns(text).strip()

    assert bool(terminal_texts.fault_of("note", shown)) == (unseen_in(shown) is not None)


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("Hauptstraße 1", "Hauptstrasse 1"),
        ("12 Rue de l’Église", "12 Rue de l'Eglise"),
        ("Øster Allé 48–50", "Oster Alle 48-50"),
        ("ul. Łódzka 7", "ul. Lodzka 7"),
        ("Þórsgata 3", "THorsgata 3"),
        ("221½ Baker Street", "221 1/2 Baker Street"),
        ("12² Rue Haute", "12 2 Rue Haute"),
        ("Main\N{NO-BREAK SPACE}Street 9", "Main Street 9"),
        ("улица 5", "улица 5"),
    ],
)
def test_an_address_is_sent_in_the_letters_of_the_message(typed: str, sent: str) -> None:
    """As Unicode's own transform writes them; what has no such letters stays, and is refused."""
    assert terminal_texts.as_sent("street", typed) == sent
    assert terminal_texts.as_sent("note", typed) == typed
    assert bool(terminal_texts.fault_of("street", sent)) is not sent.isascii()
