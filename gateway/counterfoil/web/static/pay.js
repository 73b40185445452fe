// Makes the card form nicer: digits in groups, the brand by its first digits, a slash in the date. The
// page works without it. It sends nothing anywhere, and clears the card when the page is left.

const form = document.querySelector(".pay-form");
const number = form.elements.card_number;
const expiry = form.elements.card_expiry;
const code = form.elements.card_code;
const button = form.querySelector(".pay-button");
const seen = document.getElementById("brand-seen");
const words = button.textContent;

const BRANDS = [
  ["Visa", /^4/],
  ["Mastercard", /^(5[1-5]|2(22[1-9]|2[3-9]|[3-6]|7[01]|720))/],
  ["American Express", /^3[47]/],
  ["Discover", /^(6011|64[4-9]|65)/],
  ["JCB", /^35(2[89]|[3-8])/],
  ["Diners Club", /^3(0[0-5]|6|8)/],
];

const digitsOf = (text) => text.replace(/\D/g, "");

const grouped = (digits) =>
  /^3[47]/.test(digits)
    ? [digits.slice(0, 4), digits.slice(4, 10), digits.slice(10)].filter(Boolean).join(" ")
    : (digits.match(/.{1,4}/g) || []).join(" ");

// Rewrites a field and leaves the caret behind the same digit.
const rewrite = (field, made) => {
  if (field.value === made) return;
  const before = digitsOf(field.value.slice(0, field.selectionStart)).length;
  field.value = made;
  let at = 0;
  for (let passed = 0; at < made.length && passed < before; at += 1)
    if (/\d/.test(made[at])) passed += 1;
  field.setSelectionRange(at, at);
};

number.addEventListener("input", () => {
  const digits = digitsOf(number.value).slice(0, 19);
  rewrite(number, grouped(digits));
  const brand = BRANDS.find(([, first]) => first.test(digits));
  const name = brand ? brand[0] : "";
  if (seen.textContent !== name) seen.textContent = name;
  code.maxLength = name === "American Express" ? 4 : 3;
});

expiry.addEventListener("input", (event) => {
  if (event.inputType && event.inputType.startsWith("delete")) return;
  const digits = digitsOf(expiry.value);
  if (/^\d{3,4}$/.test(expiry.value)) rewrite(expiry, `${digits.slice(0, 2)}/${digits.slice(2)}`);
});

form.addEventListener("submit", () => {
  button.disabled = true;
  button.textContent = "Paying…";
});

const clear = () => {
  for (const field of [number, expiry, code]) field.value = "";
  seen.textContent = "";
  button.disabled = false;
  button.textContent = words;
};

window.addEventListener("pagehide", clear);
window.addEventListener("pageshow", (event) => event.persisted && clear());
