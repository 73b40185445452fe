// The fields of a card, on the payment page and on the terminal: how a number is grouped, what is
// wrong with what was typed, and where that is said. In the server's words and by its rules, so that
// a mistake is told while the card still stands in its fields: the server never sends one back.

const CardFields = (() => {
  const DAY_MS = 86_400_000;
  const YEARS_MAX = 25;
  const SHORT_MIN = 12;
  const IN_TEXT_MIN = 13;
  const USUAL_MIN = 15;
  const LONG_MAX = 19;
  // Name, first digits, how many digits a number has.
  const BRANDS = [
    ["Visa", /^4/, [13, 16, 18, 19]],
    ["Mastercard", /^(5[1-5]|2(22[1-9]|2[3-9]|[3-6]|7[01]|720))/, [16]],
    ["American Express", /^3[47]/, [15]],
    ["Discover", /^(6011|64[4-9]|65)/, [16, 17, 18, 19]],
    ["JCB", /^35(2[89]|[3-8])/, [16, 17, 18, 19]],
    ["Diners Club", /^3(0[0-5]|6|8|9)/, [14, 15, 16, 17, 18, 19]],
    ["UnionPay", /^62/, [16, 17, 18, 19]],
    ["Maestro", /^5[0678]/, [12, 13, 14, 15, 16, 17, 18, 19]],
  ];

  // Thirteen digits and more, with blanks and dashes between them.
  const RUN = /\d(?:[\s\-\u2010-\u2015]{0,3}\d){12,}/g;

  // The same of any script, width or ornament, with nothing but signs between them; or a track.
  const ANY_RUN = /\p{N}(?:[^\p{L}\p{N}]{0,3}\p{N}){12,}/gu;
  const TRACK = /[A-Za-z][\d ]{12,24}\^|\d{12,19}[=^]/;
  const MARKS = /[\p{Mn}\p{Me}\p{Cf}]/gu;

  // Wide digits, as some keyboards write them, are digits.
  const plainOf = (text) => text.normalize("NFKC");
  const numberIn = (text) => plainOf(text).replace(/[\s\-\u2010-\u2015]/g, "");
  const digitsOf = (text) => plainOf(text).replace(/\D/g, "");

  // Whether a number may be grouped: digits of another script would be lost, and are refused.
  const isGrouped = (text) => !/(?![0-9])\p{Nd}/u.test(plainOf(text));
  const ofBrand = (digits) => BRANDS.find(([, first]) => first.test(digits)) || ["", /^/, []];
  const brandOf = (digits) => ofBrand(digits)[0];

  const grouped = (digits) =>
    /^3[47]/.test(digits)
      ? [digits.slice(0, 4), digits.slice(4, 10), digits.slice(10)].filter(Boolean).join(" ")
      : (digits.match(/.{1,4}/g) || []).join(" ");

  // Rewrites a field and leaves the caret behind the same digit.
  const rewrite = (input, made) => {
    if (input.value === made) return;
    const before = digitsOf(input.value.slice(0, input.selectionStart)).length;
    input.value = made;
    let at = 0;
    for (let passed = 0; at < made.length && passed < before; at += 1)
      if (/\d/.test(made[at])) passed += 1;
    input.setSelectionRange(at, at);
  };

  const luhnHolds = (number) => {
    let sum = 0;
    [...number].reverse().forEach((each, at) => {
      const value = Number(each) * (at % 2 ? 2 : 1);
      sum += value > 9 ? value - 9 : value;
    });
    return sum % 10 === 0;
  };

  // Whether a text holds what must be a card's number, as it is mostly written: what says yes to
  // less than the server does, so that nothing is refused that may be sent.
  const holdsCard = (text) => {
    for (const run of text.normalize("NFKC").match(RUN) || []) {
      const groups = run.match(/\d+/g);
      for (let first = 0; first < groups.length; first += 1) {
        let digits = "";
        for (let at = first; at < groups.length && digits.length < LONG_MAX; at += 1) {
          digits += groups[at];
          const isLong = digits.length >= IN_TEXT_MIN && ofBrand(digits)[2].includes(digits.length);
          if (isLong && luhnHolds(digits)) return true;
        }
      }
    }
    return false;
  };

  const numbersOf = (text) => text.replace(/\P{N}/gu, "");

  // Of groups that a number could be written in, the check digit or, at the usual lengths, the
  // scheme is enough; within them both are needed.
  const couldBeCard = (digits, isWhole) => {
    const fits = ofBrand(digits)[2].includes(digits.length);
    const isUsual = fits && digits.length >= USUAL_MIN;
    return luhnHolds(digits) ? isWhole || fits : isWhole && isUsual;
  };

  const holdsNumber = (run) => {
    const digits = numbersOf(run);
    if (/\D/.test(digits)) return true; // Digits of another script: nobody looks closer.
    const edges = new Set([0]);
    let edge = 0;
    for (const group of run.match(/\d+/g)) edges.add((edge += group.length));
    for (let from = 0; from < digits.length; from += 1)
      for (let to = from + IN_TEXT_MIN; to <= Math.min(from + LONG_MAX, digits.length); to += 1)
        if (couldBeCard(digits.slice(from, to), edges.has(from) && edges.has(to))) return true;
    return false;
  };

  // Whether a text could hold a card's number, or that of the card *own*: what says no to more than
  // the server does. Telephone numbers, dates and RRNs of twelve digits are none.
  const mayHoldCard = (text, own = "") =>
    [text, text.normalize("NFKC")].some((each) => {
      const plain = each.replace(MARKS, "");
      const digits = numbersOf(plain);
      const isLong = own.length >= SHORT_MIN && digits.length >= own.length;
      if (isLong && (digits.includes(own) || /\D/.test(digits))) return true;
      return TRACK.test(plain) || (plain.match(ANY_RUN) || []).some(holdsNumber);
    });

  // Whether the last day of the month has passed everywhere on Earth.
  const isExpired = (month, year, today) =>
    (Date.UTC(today.getUTCFullYear(), today.getUTCMonth(), today.getUTCDate()) -
      Date.UTC(year, month, 0)) /
      DAY_MS >
    1;

  const faultOfNumber = (text) => {
    const number = numberIn(text);
    if (!number) return "Enter the number on the front of the card.";
    const lengths = ofBrand(number)[2];
    const isLong = number.length >= SHORT_MIN && number.length <= LONG_MAX;
    if (!/^\d+$/.test(number) || !isLong || (lengths.length && !lengths.includes(number.length)))
      return "Check the card number: it has too few or too many digits.";
    return luhnHolds(number)
      ? ""
      : "Check the card number: a digit is wrong, or two are swapped.";
  };

  const faultOfExpiry = (typed, today) => {
    const text = plainOf(typed).trim();
    if (!text) return "Enter the month and year printed on the card.";
    const found = /^(\d{1,2})\s*[/.\-\u2010-\u2015]?\s*(?:20)?(\d{2})$/.exec(text);
    if (!found) return "Enter the date as on the card, like 12/30.";
    const [month, year] = [Number(found[1]), 2000 + Number(found[2])];
    if (month < 1 || month > 12) return "Enter a month from 01 to 12, then the year, like 12/30.";
    if (isExpired(month, year, today)) return "This card has expired. Use another card.";
    return year > today.getUTCFullYear() + YEARS_MAX ? "Check the year: it is too far away." : "";
  };

  const faultOfCode = (text, number) => {
    const isAmex = brandOf(numberIn(number)) === "American Express";
    if ((isAmex ? /^\d{4}$/ : /^\d{3}$/).test(plainOf(text).trim())) return "";
    return isAmex
      ? "Enter the 4 digits on the front of the card."
      : "Enter the 3 digits on the back of the card.";
  };

  // Says at the field *name* what is wrong with it; without words, nothing is.
  const setFault = (name, words) => {
    const input = document.getElementById(name);
    if (!input) return;
    const id = `${name}-said`;
    let said = document.getElementById(id);
    if (said && said.classList.contains("help") && words) {
      said.dataset.help = said.textContent;
      said.className = "fault";
    }
    if (!said && words) {
      said = document.createElement("p");
      said.id = id;
      said.className = "fault";
      (input.closest(".field") || input.parentElement).append(said);
    }
    const others = (input.getAttribute("aria-describedby") || "")
      .split(" ")
      .filter((each) => each && each !== id);
    if (words) {
      said.textContent = words;
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-describedby", [...others, id].join(" "));
      return;
    }
    input.removeAttribute("aria-invalid");
    if (said && said.dataset.help) {
      said.textContent = said.dataset.help;
      said.className = "help";
      return;
    }
    if (said && said.classList.contains("fault")) {
      said.remove();
      if (others.length) input.setAttribute("aria-describedby", others.join(" "));
      else input.removeAttribute("aria-describedby");
    }
  };

  return {
    mayHoldCard,
    holdsCard,
    brandOf,
    plainOf,
    digitsOf,
    grouped,
    isGrouped,
    rewrite,
    luhnHolds,
    isExpired,
    faultOfNumber,
    faultOfExpiry,
    faultOfCode,
    setFault,
  };
})();
