// What a card reader types: tracks 1 and 2 of ISO/IEC 7813, told from typing by their form. What is
// read is the number and the expiry date; all else of a track is thrown away with the text. What makes
// a number or a date right, card-fields.js says.

const Tracks = (() => {
  const TYPED_MAX = 300;
  // Track 1 or a reader's word that it could not read it, then track 2, each with a check character
  // (LRC) or without, then perhaps a third.
  const FORM = new RegExp(
    "^(?:%E\\?)?(?:%B([\\d ]{12,24})\\^([^^?]{1,26})\\^(\\d{2})(\\d{2})([^?]*)\\?(.)??)?" +
      "(?:;(\\d{12,19})=(\\d{2})(\\d{2})([\\d:<=>]*)\\?(.)??)?" +
      "(?:[;+%][^?]*\\?.?)?$",
  );
  const YOUNG = /^(?:%(?:B[\d ]{0,24}(?:\^.*)?|E\??)?|;(?:\d{0,19}(?:=.*)?|E\??)?)$/;
  const SURE = /^(?:%B[\d ]{8,}|;\d{8,}|[%;]E\?)/;
  const WHOLE = /^(?:%B[\d ]{12,24}\^|;\d{12,19}=|[%;]E\?)/;
  // What a reader types for tracks that it could not read.
  const ERRORS = /^[%;]E\?(?:[%;+]E\?)*$/;
  const BEGUN = /^%B[\d ]{3,}/;
  const ENDED = /\?.?$/; // Perhaps with a check character.
  const ANYWHERE =
    /%B[\d ]{12,24}\^(?:[^^?]{1,26}\^\d{4}[^?]*\?)?|;\d{12,19}=(?:\d{4}[\d:<=>]*\?)?/i;
  // A first track whose signs a keyboard's layout has changed: "^" is a dead key on many.
  const SPOILED = /^%B([^?;]*)\?[^;]?(?=;)/;
  const WIDE = /[\uff01-\uff5e]/g; // The same signs as wide as an ideograph.
  const WIDER = 0xfee0;

  const UNREAD = "The reader could not read the card. Swipe it again, or type the number.";
  const AGAIN = "The card was not read whole. Swipe it again, or type the number.";

  // The XOR of a track's characters, from its first to the "?", as a character of its own alphabet.
  const checkOf = (track, first) =>
    String.fromCharCode(
      [...track].reduce((sum, each) => sum ^ (each.charCodeAt(0) - first), 0) + first,
    );

  const narrow = (text) =>
    text.replace(WIDE, (each) => String.fromCharCode(each.charCodeAt(0) - WIDER));

  // Returns { number, month, year }, or { fault } in words.
  const read = (typed, today = new Date()) => {
    const text = typed.length > TYPED_MAX ? "" : typed.toUpperCase();
    if (ERRORS.test(text)) return { fault: UNREAD };
    const [, spoiled] = (!FORM.test(text) && SPOILED.exec(text)) || [];
    const found = FORM.exec(spoiled ? text.replace(SPOILED, "") : text);
    if (!found || !(found[1] || found[7])) return { fault: AGAIN };
    if (spoiled && !spoiled.replace(/ /g, "").startsWith(found[7])) return { fault: AGAIN };
    const [, spaced, name, year1, month1, rest1, check1, second, year2, month2, rest2, check2] = found;
    const first = spaced && spaced.replace(/ /g, "");
    if (first && (first.length < 12 || first.length > 19)) return { fault: AGAIN };
    if (check1 && check1 !== checkOf(`%B${spaced}^${name}^${year1}${month1}${rest1}?`, 0x20))
      return { fault: AGAIN };
    if (check2 && check2 !== checkOf(`;${second}=${year2}${month2}${rest2}?`, 0x30))
      return { fault: AGAIN };
    if (first && second && (first !== second || year1 + month1 !== year2 + month2))
      return { fault: "The two tracks of this card do not agree. Ask for another card." };
    const number = first || second;
    const month = Number(first ? month1 : month2);
    const year = 2000 + Number(first ? year1 : year2);
    if (!CardFields.luhnHolds(number) || month < 1 || month > 12) return { fault: AGAIN };
    if (CardFields.isExpired(month, year, today))
      return { fault: "This card has expired. Ask for another card." };
    return { number, month, year };
  };

  return {
    TYPED_MAX,
    AGAIN,
    UNREAD,
    read,
    // Whether a text may be the beginning of a track; whether it can be nothing else, however slowly
    // it was typed; whether it looks like one, or may be the beginning of one if it came fast; whether
    // it was typed to its end; where in a text one begins.
    mayBegin: (text) => YOUNG.test(text.toUpperCase()),
    isWhole: (text) => WHOLE.test(text.toUpperCase()),
    isSure: (text) => SURE.test(text.toUpperCase()),
    isBegun: (text) => BEGUN.test(text.toUpperCase()),
    isEnded: (text) => ENDED.test(text),
    beginIn: (text) => narrow(text).search(ANYWHERE),
    endIn: (text) => {
      const found = ANYWHERE.exec(narrow(text));
      return found ? found.index + found[0].length : -1;
    },
  };
})();
