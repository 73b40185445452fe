// Holds back what a card reader types, on every page of the terminal: no part of a track reaches a
// field, and none of its letters presses a key of the page. What turns out to be typing goes at once
// to where it was typed. Readers type "%" or ";" first, and mostly Enter at the end.

const Swipes = (() => {
  const SILENT_MS = 400; // A reader has ended, or a person stopped typing.
  const READER_MS = 60; // A character takes a reader a few of these, and a person more.
  const TEXT_FIELD = "textarea, input:not([type=checkbox], [type=radio])";
  const QUIET_KEYS = ["Shift", "CapsLock", "NumLock", "AltGraph", "Alt", "Control", "Meta"];

  // *take* is called with a track's text; *isOff* tells when nobody listens.
  const listen = (take, isOff = () => false) => {
    let held = "";
    let holder = null; // Where it was typed.
    let [began, last, patience] = [0, 0, 0];

    const isFast = () => last - began <= READER_MS * (held.length - 1);

    const isSure = () => Tracks.isWhole(held) || (Tracks.isSure(held) && isFast());

    const letGo = () => {
      clearTimeout(patience);
      const text = held;
      held = "";
      return text;
    };

    const giveBack = () => {
      const text = letGo();
      if (!holder.matches(TEXT_FIELD) || holder.inputMode || holder.readOnly) return;
      const at = holder.selectionStart; // An e-mail field does not tell.
      if (at === null) holder.value += text;
      else holder.setRangeText(text, at, holder.selectionEnd, "end");
      holder.dispatchEvent(new Event("input", { bubbles: true }));
    };

    const settle = () => {
      if (!held) return;
      if (isSure()) take(letGo());
      else giveBack();
    };

    const hold = (event) => {
      event.preventDefault();
      event.stopImmediatePropagation();
      last = event.timeStamp;
      clearTimeout(patience);
      patience = setTimeout(settle, SILENT_MS);
    };

    const begin = (event) => {
      held = event.key;
      holder = event.target;
      began = event.timeStamp;
      hold(event);
    };

    const goOn = (event) => {
      held = (held + event.key).slice(0, Tracks.TYPED_MAX + 1);
      hold(event);
    };

    document.addEventListener(
      "keydown",
      (event) => {
        if (isOff() || QUIET_KEYS.includes(event.key)) return;
        const isText = event.key.length === 1 && !event.ctrlKey && !event.metaKey;
        if (!held) {
          if (isText && ["%", ";"].includes(event.key)) begin(event);
        } else if (event.key === "Enter" && isSure()) {
          hold(event);
          settle();
        } else if (isText && (isSure() || Tracks.mayBegin(held + event.key))) {
          goOn(event);
        } else if (isSure()) {
          event.preventDefault(); // A key in the middle of a swipe is none of the clerk's.
          event.stopImmediatePropagation();
        } else {
          giveBack();
          if (isText && ["%", ";"].includes(event.key)) begin(event);
        }
      },
      true,
    );
    for (const moved of ["mousedown", "focusout", "submit"])
      document.addEventListener(moved, settle, true);
  };

  return { listen };
})();
