// Makes the card form nicer: digits in groups, the brand by its first digits, a slash in the date; and
// tells a mistake before the form is sent, because a card does not come back. The page works without
// it. It sends nothing anywhere, and clears the card when the page is left.

const { brandOf, digitsOf, grouped, isGrouped, plainOf, rewrite, setFault } = CardFields;
const form = document.querySelector(".pay-form");
const number = form.elements.card_number;
const expiry = form.elements.card_expiry;
const code = form.elements.card_code;
const holder = form.elements.card_name;
const postal = form.elements.postal_code;
const email = form.elements.email;
const button = form.querySelector(".pay-button");
const seen = document.getElementById("brand-seen");
const faultsAbove = document.getElementById("faults");
const words = button.textContent;
const today = new Date(form.dataset.today); // The server's day: a telephone's may be wrong.

const faultOfPostalCode = () => {
  const text = postal.value.trim().replace(/\s+/g, " ");
  return !text || /^[A-Z0-9][A-Z0-9 -]{0,9}$/i.test(text)
    ? ""
    : "Use letters and digits, or leave this empty.";
};

const faultOfEmail = () => {
  const text = email.value.trim();
  const isOne = !email.validity.typeMismatch && /^[^.@]+(\.[^.@]+)*@[^.@]+(\.[^.@]+)+$/.test(text);
  return !text || isOne ? "" : "Write an address like ada@example.com, or leave this empty.";
};

const LEAVE_IT_OUT = "A card's number stands here: leave it out.";
const cardless = (field, check = () => "") => [
  field,
  () => (CardFields.holdsCard(field.value) ? LEAVE_IT_OUT : check()),
];

// In the order of the form.
const CHECKS = [
  [number, () => CardFields.faultOfNumber(number.value)],
  [expiry, () => CardFields.faultOfExpiry(expiry.value, today)],
  [code, () => CardFields.faultOfCode(code.value, number.value)],
  cardless(holder),
  cardless(postal, faultOfPostalCode),
  cardless(email, faultOfEmail),
].filter(([field]) => field);

// Says what is wrong, and whether nothing is; the first field with a fault gets the focus.
const isRight = () => {
  if (faultsAbove) faultsAbove.remove(); // What the server said of the form before.
  const wrong = CHECKS.filter(([field, check]) => {
    const said = check();
    setFault(field.id, said);
    return said;
  });
  if (wrong.length) wrong[0][0].focus();
  return !wrong.length;
};

number.addEventListener("input", () => {
  const digits = digitsOf(number.value).slice(0, 19);
  if (isGrouped(number.value)) rewrite(number, grouped(digits));
  const name = brandOf(digits);
  if (seen.textContent !== name) seen.textContent = name;
  code.maxLength = name === "American Express" ? 4 : 3;
});

expiry.addEventListener("input", (event) => {
  if (event.isComposing || (event.inputType && event.inputType.startsWith("delete"))) return;
  const digits = digitsOf(expiry.value);
  if (/^\d{3,4}$/.test(plainOf(expiry.value)))
    rewrite(expiry, `${digits.slice(0, 2)}/${digits.slice(2)}`);
});

// What is right by now is said to be wrong no more; nothing is called wrong while it is typed.
form.addEventListener("input", () => {
  for (const [field, check] of CHECKS)
    if (field.getAttribute("aria-invalid") && !check()) setFault(field.id, "");
});

form.addEventListener("submit", (event) => {
  if (!isRight()) {
    event.preventDefault();
    return;
  }
  button.disabled = true;
  button.textContent = "Paying…";
});

const clear = () => {
  const own = CardFields.digitsOf(number.value);
  const isAstray = (field) => field && CardFields.mayHoldCard(field.value, own);
  const astray = [holder, postal, email].filter(isAstray);
  for (const field of [number, expiry, code, ...astray]) field.value = "";
  seen.textContent = "";
  button.disabled = false;
  button.textContent = words;
};

window.addEventListener("pagehide", clear);
window.addEventListener("pageshow", (event) => event.persisted && clear());
