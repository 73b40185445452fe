// The terminal by keyboard: Enter goes on, swipes are understood, a sale is sent without leaving the
// page. Without this script it is a plain form. A card is never written into the page's markup.

const { brandOf, digitsOf, grouped, isGrouped, rewrite, setFault } = CardFields;
const form = document.getElementById("sale-form");
const rules = JSON.parse(form.dataset.rules);
const field = (name) => form.elements[name];
const amount = field("amount");
const number = field("number");
const expiry = field("expiry");
const code = field("cvv");
const [tax, tip, keep] = ["tax", "tip", "keep"].map(field);
const currency = field("currency");
const charge = document.getElementById("charge");
const seenBrand = document.getElementById("brand");
const underWay = document.getElementById("under-way");
const underWaySaid = document.getElementById("under-way-said");
const faultsAbove = document.getElementById("faults");

const TICK_MS = 1000;
const LOOKS_MAX = 60;
const LONG_MAX = 19;

let swiped = null; // { number, month, year }, and nowhere else.
let isUnderWay = false;

/* What is typed, made readable */

const chosenCurrency = () => {
  const option = currency.selectedOptions && currency.selectedOptions[0];
  return { code: currency.value, decimals: option ? Number(option.dataset.decimals) : 2 };
};

const amounts = TypedFields.amountsBy(rules.amounts, chosenCurrency);
const texts = TypedFields.textsBy(rules);

const nameTheCharge = () => {
  const minor = amount ? amounts.minorOf(amount.value) : 0;
  const words = form.dataset.act;
  charge.textContent = minor ? `${words} ${amounts.wordsOf(minor)}` : words;
};

const nameTheBrand = () => {
  if (!seenBrand) return;
  const name = swiped ? `${brandOf(swiped.number)}, swiped` : brandOf(digitsOf(number.value));
  if (seenBrand.textContent !== name) seenBrand.textContent = name;
  if (code) code.maxLength = name.startsWith("American Express") ? 4 : 3;
};

/* Faults, tied to their fields */

const clearFaults = () => {
  faultsAbove.replaceChildren();
  for (const each of form.querySelectorAll("[aria-invalid]")) setFault(each.id, "");
};

// Words above the form, for what belongs to no field.
const say = (words, tone = "bad") => {
  const notice = document.createElement("div");
  notice.className = `notice ${tone}`;
  notice.setAttribute("role", "alert");
  const line = document.createElement("p");
  line.textContent = words;
  notice.append(line);
  notice.tabIndex = -1;
  faultsAbove.replaceChildren(notice);
  showNotice();
};

// What is said above the form is seen, wherever the page was scrolled to; Enter goes on from it.
const showNotice = () => {
  const notice = faultsAbove.querySelector(".notice");
  if (notice) notice.focus();
  return notice;
};

const faultOfNumber = () => (swiped ? "" : CardFields.faultOfNumber(number.value));

const faultOfExpiry = () => (swiped ? "" : CardFields.faultOfExpiry(expiry.value, new Date()));

const faultOfAmount = () => amounts.faultOf(amount.value);

const faultOfCode = () => {
  if (!code.value) return "";
  if (!number) return /^\d{3,4}$/.test(code.value) ? "" : "Enter the 3 or 4 digits of the code.";
  return CardFields.faultOfCode(code.value, swiped ? swiped.number : number.value);
};

// Tax and tip are parts of the amount; one that cannot be read counts as nothing, as on the server.
const faultOfPart = (input) => {
  const [taxes, tips, whole] = [tax, tip, amount].map((each) => amounts.minorOf(each.value));
  const fault = input.value.trim() && amounts.faultOf(input.value, { mayBeZero: true });
  const isBlamed = input === tip ? tips : !tips;
  return fault || (isBlamed && whole && taxes + tips > whole ? rules.said.parts : "");
};

const faultOfName = () => {
  const isToBeFound = field("email").value.trim() || field("name").value.trim();
  if (keep && keep.checked && !isToBeFound) return rules.said.whose;
  return texts.faultOf("name", field("name").value);
};

const CHECKS = {
  amount: faultOfAmount,
  number: faultOfNumber,
  expiry: faultOfExpiry,
  cvv: faultOfCode,
  ...Object.fromEntries(
    texts.names.map((name) => [name, () => texts.faultOf(name, field(name).value)]),
  ),
  tax: () => faultOfPart(tax),
  tip: () => faultOfPart(tip),
  name: faultOfName,
};

const check = (input) => {
  const words = CHECKS[input.id] ? CHECKS[input.id]() : "";
  setFault(input.id, words);
  return words;
};

// Says all that is wrong, and whether anything is; the first field with a fault gets the focus.
const isRight = () => {
  clearFaults();
  const wrong = stops().filter(check);
  if (wrong.length) wrong[0].focus();
  return !wrong.length;
};

// Whether these are right depends on other fields.
const TOGETHER = ["amount", "tax", "tip", "name"];

// An empty field is missed only at the end; one that was wrong and was emptied is looked at anew.
const checkLeft = (input) => {
  if (isUnderWay || input.form !== form) return;
  const isToBeChecked = input.value || input.hasAttribute("aria-invalid");
  if (isToBeChecked && CHECKS[input.id]) check(input);
  const others = TOGETHER.map(field).filter((each) => each && each !== input);
  const isInSum = [amount, tax, tip].includes(input);
  for (const each of others) {
    const isPart = isInSum && [tax, tip].includes(each) && each.value;
    if (isPart || each.hasAttribute("aria-invalid")) check(each);
  }
};

// How many decimals there may be, the currency says.
const checkAmounts = () => {
  for (const each of [amount, tax, tip]) if (each && each.value) check(each);
};

// Words at a field that is left move what is below it: never between press and release, or a click
// would miss what it was aimed at. A menu or a list that opens may swallow the release: whatever
// comes next ends the press, too.
let leftWhilePressed = null;

const onLeave = ({ target }) => {
  if (leftWhilePressed) leftWhilePressed.push(target);
  else checkLeft(target);
};

const onPress = () => {
  leftWhilePressed ??= [];
};

const onRelease = () => {
  if (!leftWhilePressed) return;
  const left = leftWhilePressed;
  leftWhilePressed = null;
  setTimeout(() => left.forEach(checkLeft)); // After the click.
};

/* The card */

const forgetCard = () => {
  swiped = null;
  for (const input of [number, expiry, code].filter(Boolean)) {
    input.value = "";
    input.readOnly = false;
  }
  nameTheBrand();
};

const SAVED_CHOSEN =
  "A saved card is chosen, and nothing of the swiped one was kept. To charge that, choose “Type or swipe another card”.";

const takeSwipe = (text) => {
  const card = Tracks.read(text);
  forgetCard();
  clearFaults();
  if (!number) {
    say(card.fault === Tracks.UNREAD ? card.fault : SAVED_CHOSEN, "wait");
    return;
  }
  if (card.fault) {
    setFault("number", card.fault);
    number.focus();
    return;
  }
  swiped = card;
  number.value = `•••• •••• •••• ${card.number.slice(-4)}`;
  expiry.value = "••/••";
  number.readOnly = true;
  expiry.readOnly = true;
  nameTheBrand();
  if (amount && !amounts.minorOf(amount.value)) amount.focus();
  else (code || nextOf(expiry) || charge).focus();
};

/* From field to field */

const stops = () =>
  [...form.elements].filter(
    (each) =>
      each.matches("input:not([type=hidden]), select, textarea") &&
      !("aside" in each.dataset) &&
      !each.disabled,
  );

function nextOf(input) {
  const all = stops();
  return all[all.indexOf(input) + 1];
}

const isTextField = (element) =>
  element && element.matches("input:not([type=checkbox], [type=radio]), textarea, select");

const onKey = (event) => {
  if (document.querySelector("dialog[open]") || event.isComposing) return;
  if (event.key === "Escape") {
    if (!isUnderWay) clearAll();
    event.preventDefault();
    return;
  }
  if (event.key !== "Enter" || isUnderWay) return;
  const input = event.target;
  if (faultsAbove.contains(input) && input.matches(".notice")) {
    event.preventDefault();
    (stops().find((each) => !each.value) || stops()[0]).focus();
    return;
  }
  if (event.ctrlKey) {
    event.preventDefault();
    form.requestSubmit();
    return;
  }
  if (input.form !== form || !input.matches("input, select")) return;
  event.preventDefault();
  const next = nextOf(input);
  if (next) {
    next.focus();
    if (next.select && !next.readOnly && next.type !== "checkbox") next.select();
  } else if (!("aside" in input.dataset)) form.requestSubmit();
  else stops()[0].focus();
};

function clearAll() {
  for (const each of stops()) {
    if (each.type === "checkbox") each.checked = false;
    else if (each.tagName !== "SELECT") each.value = "";
  }
  for (const each of currency.options || []) each.selected = each.defaultSelected;
  forgetCard();
  clearFaults();
  nameTheCharge();
  stops()[0].focus();
}

/* The sale */

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

let ticking = 0;

const beginWaiting = () => {
  isUnderWay = true;
  const began = performance.now();
  const tell = () => {
    const seconds = Math.floor((performance.now() - began) / TICK_MS);
    const words = seconds < 2 ? "Asking the issuer…" : `Asking the issuer… ${seconds} seconds`;
    underWaySaid.textContent = words;
  };
  charge.disabled = true;
  document.getElementById("clear").disabled = true;
  form.setAttribute("aria-busy", "true");
  underWay.hidden = false;
  for (const each of form.querySelectorAll("fieldset, .total")) each.inert = true;
  tell();
  ticking = setInterval(tell, TICK_MS);
};

const endWaiting = () => {
  isUnderWay = false;
  clearInterval(ticking);
  charge.disabled = false;
  document.getElementById("clear").disabled = false;
  form.removeAttribute("aria-busy");
  underWay.hidden = true;
  for (const each of form.querySelectorAll("[inert]")) each.inert = false;
};

// What is sent: the form, and a swiped card from memory. The fields are empty from then on.
const takeBody = () => {
  const body = new URLSearchParams(new FormData(form));
  if (swiped) {
    body.set("number", swiped.number);
    body.set("expiry", `${String(swiped.month).padStart(2, "0")}/${swiped.year}`);
    body.set("entry", "swiped");
  }
  forgetCard();
  return body;
};

// The answer was lost: the sale's own page knows whether it ever reached us.
const lookForIt = async () => {
  const address = `/terminal/sales/${field("sale").value}`;
  for (let looks = 0; looks < LOOKS_MAX; looks += 1) {
    await wait(TICK_MS);
    try {
      const answer = await fetch(`${address}.json`, { headers: { Accept: "application/json" } });
      if (answer.ok) {
        location.assign(address);
        return;
      }
      if (answer.status === 404) {
        endWaiting();
        say("This did not reach the gateway: nothing was charged. Type the card again and send it; this form charges once at most.");
        return;
      }
    } catch {
      underWaySaid.textContent = "The connection is lost. Looking again…";
    }
  }
  endWaiting();
  say("The connection is lost. When it is back, reload this page: your last sales say whether it was charged.");
};

/* A form that came after its sign-in had ended: its fields, without the card, for the same person */

const REMEMBERED = "counterfoil-terminal-form";
const REMEMBERED_MS = 60 * 60 * 1000;

const lostAddress = (body) => `/terminal?kind=${encodeURIComponent(body.get("kind"))}&lost=sale`;

const remember = (body, hadCard = false) => {
  const own = swiped ? swiped.number : digitsOf(body.get("number") || "");
  const [fields, leftOut] = [{}, []];
  for (const each of stops().concat(currency)) {
    const value = body.get(each.name);
    if (!value || [number, expiry, code].includes(each)) continue;
    if (CardFields.mayHoldCard(value, own)) leftOut.push(each.name);
    else fields[each.name] = value;
  }
  const kept = { who: form.dataset.who, at: Date.now(), fields, leftOut, hadCard };
  sessionStorage.setItem(REMEMBERED, JSON.stringify(kept));
};

const labelOf = (input) => input.labels[0].firstChild.textContent.trim();

// What is said of a form that came along: what did not, beside what stands there.
const sayLeftOut = ({ leftOut = [], hadCard }) => {
  const labels = leftOut.map(field).filter(Boolean).map(labelOf);
  const words = [faultsAbove.textContent.trim()];
  if (hadCard) words.push("What both forms have was taken along, but never a card: type it again.");
  if (labels.length) words.push(`Left out, because a card's number may stand in it: ${labels.join(", ")}.`);
  if (words.length > 1) say(words.filter(Boolean).join(" "), "wait");
};

const recall = () => {
  const kept = JSON.parse(sessionStorage.getItem(REMEMBERED) || "null");
  sessionStorage.removeItem(REMEMBERED);
  const address = new URL(location.href);
  const wasLost = ["sale", "saved", "kind"].includes(address.searchParams.get("lost"));
  address.searchParams.delete("lost");
  history.replaceState(null, "", address);
  if (!wasLost || !kept || kept.who !== form.dataset.who) return;
  if (Date.now() - kept.at > REMEMBERED_MS) return;
  for (const [name, value] of Object.entries(kept.fields)) {
    const input = field(name);
    if (!input || [number, expiry, code].includes(input)) continue;
    if (input.type === "checkbox") input.checked = true;
    else if (!input.options || [...input.options].some((each) => each.value === value))
      input.value = value;
  }
  sayLeftOut(kept);
};

// Another kind of sale in mid-order: what was typed comes along, except the card.
const changeKind = (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || isUnderWay) return;
  const to = new URL(event.currentTarget.href);
  if (to.pathname !== location.pathname || !stops().some(({ type, value }) => type !== "checkbox" && value)) return;
  event.preventDefault();
  remember(new FormData(form), Boolean(number && (swiped || number.value)));
  to.searchParams.set("lost", "kind");
  location.assign(to);
};

const showFaults = (answer) => {
  endWaiting();
  const faults = Object.entries(answer.faults);
  if (answer.sale) field("sale").value = answer.sale;
  for (const name of answer.emptied || []) {
    const input = document.getElementById(name);
    if (input && ![number, expiry, code].includes(input)) input.value = "";
  }
  const above = faults.filter(([name]) => !document.getElementById(name) || name === "card");
  for (const [name, words] of faults) if (name !== "card") setFault(name, words);
  if (above.length) {
    say(above.map(([, words]) => words).join(" "));
    return;
  }
  const first = faults.map(([name]) => document.getElementById(name)).find((each) => each && each.form);
  (first || stops()[0]).focus();
};

const send = async (event) => {
  event.preventDefault();
  if (isUnderWay || !isRight()) return;
  const body = takeBody();
  beginWaiting();
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body,
      headers: { Accept: "application/json" },
    });
    const isOurs = (answer.headers.get("content-type") || "").startsWith("application/json");
    if (!isOurs && (answer.redirected || answer.status === 403)) {
      // Signed out meanwhile, or signed in anew in another window: nothing was begun.
      remember(body);
      location.assign(answer.redirected ? answer.url : lostAddress(body));
      return;
    }
    if (!isOurs) {
      await lookForIt();
      return;
    }
    const said = await answer.json();
    if (said.at) location.assign(said.at);
    else showFaults(said);
  } catch {
    await lookForIt();
  }
};

/* Begin */

Swipes.listen(takeSwipe, { isOff: () => isUnderWay, takesCards: true });
document.addEventListener("keydown", onKey);
document.addEventListener(
  "paste",
  (event) => {
    const text = event.clipboardData.getData("text").trim();
    if (Tracks.beginIn(text) < 0) return;
    event.preventDefault();
    takeSwipe(text.replace(/[\r\n]+/g, ""));
  },
  true,
);
form.addEventListener("submit", send);
for (const each of document.querySelectorAll(".kinds a")) each.addEventListener("click", changeKind);
form.addEventListener("reset", (event) => {
  event.preventDefault();
  clearAll();
});
form.addEventListener("input", nameTheCharge);
currency.addEventListener("change", checkAmounts);
form.addEventListener("focusout", onLeave);
document.addEventListener("mousedown", onPress, true);
for (const end of ["mouseup", "dragend", "contextmenu", "pointercancel", "keydown"])
  window.addEventListener(end, onRelease, true);
window.addEventListener("blur", onRelease); // The window's own: a field's comes with each press.
if (number) {
  number.addEventListener("input", () => {
    const digits = digitsOf(number.value).slice(0, LONG_MAX);
    if (isGrouped(number.value)) rewrite(number, grouped(digits));
    nameTheBrand();
  });
  for (const input of [number, expiry])
    input.addEventListener("keydown", (event) => {
      if (swiped && ["Backspace", "Delete"].includes(event.key)) {
        forgetCard();
        number.focus();
      }
    });
  expiry.addEventListener("input", (event) => {
    if (event.inputType && event.inputType.startsWith("delete")) return;
    const digits = digitsOf(expiry.value);
    if (/^\d{3,4}$/.test(expiry.value)) rewrite(expiry, `${digits.slice(0, 2)}/${digits.slice(2)}`);
  });
}
window.addEventListener("pagehide", forgetCard);
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload(); // A form that was sent is not sent again.
});
for (const id of ["clear", "short-keys"]) document.getElementById(id).hidden = false;
recall();
nameTheCharge();
nameTheBrand();
if (!showNotice()) stops()[0].focus();
