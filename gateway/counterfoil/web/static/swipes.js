// Holds back what a card reader types, on every page of the terminal: no part of a track reaches a
// field, and none of its letters presses a key of the page. What turns out to be typing goes at once
// to where it was typed. Readers type "%" or ";" first, and mostly Enter at the end.

const Swipes = (() => {
  const SILENT_MS = 400; // A reader has ended, or a person stopped typing.
  const READER_MS = 60; // A character takes a reader a part of these, and a person more.
  const REST_MS = 1000; // The rest of a track that was cut off may come so much later.
  const TEXT_FIELD = "textarea, input:not([type=checkbox], [type=radio])";
  const QUIET_KEYS = ["Shift", "CapsLock", "NumLock", "AltGraph", "Alt", "Control", "Meta"];

  // *take* is called with a track's text; what ends while *isOff* is thrown away.
  const listen = (take, isOff = () => false) => {
    let held = "";
    let holder = null; // Where it was typed.
    let [began, last, patience] = [0, 0, 0];
    let restUntil = 0; // What comes until then is the rest of a track.

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
      if (isOff() || !holder.matches(TEXT_FIELD) || holder.readOnly) return;
      const { selectionStart: from, selectionEnd: to, maxLength } = holder; // E-mail fields tell none.
      const room = maxLength < 0 ? text.length : maxLength - holder.value.length + (to - from);
      const fitting = text.slice(0, Math.max(room, 0));
      if (from === null) holder.value += fitting;
      else holder.setRangeText(fitting, from, to, "end");
      holder.dispatchEvent(new Event("input", { bubbles: true }));
    };

    const settle = () => {
      if (!held) return;
      if (!isSure()) {
        giveBack();
        return;
      }
      const text = letGo();
      if (!Tracks.isEnded(text)) restUntil = last + REST_MS;
      if (!isOff()) take(text);
    };

    const stop = (event) => {
      event.preventDefault();
      event.stopImmediatePropagation();
    };

    const swallow = (event) => {
      stop(event);
      restUntil = Math.max(restUntil, event.timeStamp + 2 * READER_MS);
    };

    const hold = (event) => {
      stop(event);
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
        if (QUIET_KEYS.includes(event.key)) return;
        const isText = event.key.length === 1 && !event.ctrlKey && !event.metaKey;
        const isFirst = isText && ["%", ";"].includes(event.key);
        if (!held && isFirst) {
          begin(event);
        } else if (!held) {
          if (event.timeStamp < restUntil && (isText || event.key === "Enter")) swallow(event);
        } else if (event.key === "Enter" && event.ctrlKey) {
          settle();
        } else if (event.key === "Enter" && isSure()) {
          hold(event);
          settle();
        } else if (isText && (isSure() || Tracks.mayBegin(held + event.key))) {
          goOn(event);
        } else if (isSure()) {
          stop(event); // A key in the middle of a swipe is none of the clerk's.
        } else {
          giveBack();
          if (isFirst) begin(event);
        }
      },
      true,
    );
    for (const moved of ["mousedown", "focusout", "submit"])
      document.addEventListener(moved, settle, true);
  };

  return { listen };
})();
