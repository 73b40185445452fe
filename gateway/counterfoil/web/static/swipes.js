// Holds back what a card reader types, on every page of the terminal: no part of a track reaches a
// field, and none of its keys presses anything. What turns out to be typing goes at once to where it
// was typed. Readers type "%" or ";" first, and mostly Enter at the end; a hand is told from them by
// its pace.

const Swipes = (() => {
  const SILENT_MS = 400; // A reader has ended, or a person stopped typing.
  const FAST_MS = 30; // Between two keys: no hand keeps this up,
  const READER_MS = 60; // a person mostly takes longer,
  const SLOW_MS = 100; // and a reader never does.
  const PAUSE_MS = 150; // Behind a track's end: what comes now is typed.
  const REST_MS = 2000; // So late the rest of a track may come that was cut off.
  const REST_KEYS_MIN = 3;
  const BY_HAND_MAX = 5; // So many signs in a row may come faster than SLOW_MS from a hand.
  const FIRST = ["%", ";"]; // Of a track.
  const TEXT_FIELD = "textarea, input:not([type=checkbox], [type=radio])";
  const PRESSED = "button, a[href], summary, input[type=checkbox]";
  const QUIET_KEYS = ["Shift", "CapsLock", "NumLock", "AltGraph", "Alt", "Control", "Meta"];
  const REST_UNTIL = "counterfoil-swipe-rest"; // A time, for the page that comes next.
  const OF_INPUT_METHOD = 229; // The code of a key that writes nothing by itself.

  // Whether a key writes a sign by itself: no shortcut, no code after Alt, nothing of an input method.
  const isSign = ({ key, ctrlKey, metaKey, altKey, isComposing, keyCode }) =>
    key.length === 1 &&
    !(ctrlKey || metaKey || altKey || isComposing || keyCode === OF_INPUT_METHOD);

  // *take* is called with a track's text, unless *isOff*. Where no cards are taken nothing that comes
  // late behind a track presses anything.
  const listen = (take, { isOff = () => false, takesCards = false } = {}) => {
    let held = "";
    let holder = null; // Where it was typed.
    let isRest = false; // It may be the rest of a track.
    let [began, last, patience] = [0, 0, 0];
    let [together, signAt] = [0, -REST_MS]; // How many signs came in one go; when the last came.
    let [sweptAt, sweptUntil, enteredAt] = [-SILENT_MS, 0, -PAUSE_MS];
    const left = Number(sessionStorage.getItem(REST_UNTIL)) - Date.now();
    let restUntil = performance.now() + Math.min(Math.max(left, 0), REST_MS);
    sessionStorage.removeItem(REST_UNTIL);

    const isWithin = (milliseconds) => last - began <= milliseconds * (held.length - 1);

    const isSure = () =>
      (Tracks.isWhole(held) && isWithin(SLOW_MS)) ||
      (Tracks.isSure(held) && isWithin(READER_MS)) ||
      (Tracks.isBegun(held) && isWithin(FAST_MS));

    const isAtEnd = () => Tracks.isEnded(held) && !FIRST.includes(held.at(-1));

    const isOfReader = () => held.length >= REST_KEYS_MIN && isWithin(READER_MS);

    const letGo = () => {
      clearTimeout(patience);
      const text = held;
      held = "";
      isRest = false;
      return text;
    };

    const giveBack = () => {
      const text = letGo();
      if (isOff() || !holder.matches(TEXT_FIELD) || holder.readOnly) return;
      const { selectionStart: from, selectionEnd: to, maxLength } = holder;
      if (from === null) {
        // An e-mail field does not tell where the caret stands.
        if (holder !== document.activeElement || !document.execCommand("insertText", false, text))
          holder.value += text;
      } else {
        const room = maxLength < 0 ? text.length : maxLength - holder.value.length + (to - from);
        holder.setRangeText(text.slice(0, Math.max(room, 0)), from, to, "end");
      }
      holder.dispatchEvent(new Event("input", { bubbles: true }));
    };

    const settleRest = () => {
      const isRead = isOfReader();
      restUntil = isRead ? last + REST_MS : 0;
      if (isRead) letGo();
      else giveBack();
    };

    const settle = ({ isEntered = false } = {}) => {
      if (!held) return;
      if (isRest) {
        settleRest();
        return;
      }
      if (!isSure()) {
        if (isOfReader()) restUntil = last + REST_MS;
        giveBack();
        return;
      }
      const text = letGo();
      together = 0;
      const isComplete = Tracks.isEnded(text) && (isEntered || takesCards);
      restUntil = isComplete ? 0 : last + REST_MS;
      if (isEntered) enteredAt = last;
      if (!isOff()) take(text);
    };

    const stop = (event) => {
      event.preventDefault();
      event.stopImmediatePropagation();
    };

    const hold = (event) => {
      stop(event);
      last = event.timeStamp;
      clearTimeout(patience);
      patience = setTimeout(() => settle(), isRest ? 2 * READER_MS : SILENT_MS);
    };

    const begin = (event, isOfRest = false) => {
      held = event.key;
      holder = event.target;
      began = event.timeStamp;
      isRest = isOfRest;
      hold(event);
    };

    const goOn = (event) => {
      held = (held + event.key).slice(0, Tracks.TYPED_MAX + 1);
      hold(event);
    };

    // What may press or send something: at once behind a sign, which a hand types at no button,
    // behind so many that no hand has typed them, or as a second Enter of a reader's.
    const isAnswer = ({ key, ctrlKey, target, timeStamp }) => {
      if (!["Enter", " "].includes(key) || ctrlKey) return false;
      if (key === "Enter" && timeStamp - enteredAt < PAUSE_MS) return true;
      const isOfMany = together > BY_HAND_MAX && timeStamp - signAt < REST_MS;
      if (target.matches(PRESSED)) return isOfMany || (together && timeStamp - signAt < SLOW_MS);
      return isOfMany && !takesCards && target.name === "cvv";
    };

    const onRest = (event, isText) => {
      if (isText && event.timeStamp - last < READER_MS) {
        goOn(event);
      } else if (event.key === "Enter" && isOfReader()) {
        hold(event);
        settle();
      } else {
        settle();
        onKey(event);
      }
    };

    const onTrack = (event, isText, isFirst) => {
      if (event.key === "Enter" && event.ctrlKey) {
        settle();
      } else if (event.key === "Enter" && isSure()) {
        hold(event);
        settle({ isEntered: true });
      } else if (event.timeStamp - last > PAUSE_MS && isAtEnd() && isSure()) {
        settle();
        onKey(event);
      } else if (isText && (isSure() || Tracks.mayBegin(held + event.key))) {
        goOn(event);
      } else if (isSure()) {
        stop(event); // A key in the middle of a swipe is none of the clerk's.
      } else {
        giveBack();
        if (isFirst) begin(event);
      }
    };

    function onKey(event) {
      const isText = isSign(event);
      const isFirst = isText && FIRST.includes(event.key);
      if (held && isRest && !isFirst) {
        onRest(event, isText);
      } else if (held && !isRest) {
        onTrack(event, isText, isFirst);
      } else if (isFirst) {
        settle();
        begin(event);
      } else if (event.timeStamp < restUntil && (isText || event.key === "Enter") && !event.ctrlKey) {
        if (isText && event.target.matches(TEXT_FIELD)) begin(event, true);
        else stop(event);
      } else if (isAnswer(event)) {
        stop(event);
      }
    }

    const count = (event) => {
      if (isSign(event)) {
        together = event.timeStamp - signAt < SLOW_MS ? together + 1 : 1;
        signAt = event.timeStamp;
      } else if (!event.defaultPrevented) together = 0; // A hand went on.
    };

    // What stands in front of a track stays; what stands behind it only if the caret is between
    // them: one that is elsewhere does not tell where the track ends.
    const without = (text, caret) => {
      const from = Tracks.beginIn(text);
      if (from < 0) return text;
      const end = caret >= Tracks.endIn(text) ? caret : text.length;
      return without(text.slice(0, from) + text.slice(end), 0);
    };

    // A track that came past the keys: pasted, dropped, by an input method, typed as codes, or before
    // this script was here. What follows it at a reader's pace stays out, too.
    const sweep = (field) => {
      if (Tracks.beginIn(field.value) < 0) return;
      field.value = without(field.value, field.selectionEnd); // A drop is selected.
      sweptAt = performance.now();
      sweptUntil = sweptAt + SILENT_MS;
      restUntil = sweptAt + REST_MS;
      if (!isOff()) take("");
    };

    document.addEventListener(
      "keydown",
      (event) => {
        if (!event.key || QUIET_KEYS.includes(event.key)) return; // A browser that fills in has none.
        onKey(event);
        count(event);
      },
      true,
    );
    for (const written of ["input", "compositionend"])
      document.addEventListener(
        written,
        ({ target, isComposing }) => {
          if (target.matches(TEXT_FIELD) && !isComposing) sweep(target);
        },
        true,
      );
    document.addEventListener(
      "beforeinput",
      (event) => {
        if (event.timeStamp >= sweptUntil) return;
        // A reader's signs come faster than a hand's also if each is a code of many keys.
        if (event.timeStamp - sweptAt < SLOW_MS) sweptUntil = event.timeStamp + SILENT_MS;
        sweptAt = event.timeStamp;
        stop(event);
      },
      true,
    );
    for (const moved of ["mousedown", "focusout", "submit"])
      document.addEventListener(moved, () => settle(), true);
    window.addEventListener("pagehide", () => {
      if (held || performance.now() < restUntil)
        sessionStorage.setItem(REST_UNTIL, String(Date.now() + REST_MS));
      letGo(); // The page may be kept, to come back to.
    });
    document.querySelectorAll(TEXT_FIELD).forEach(sweep);
  };

  return { QUIET_KEYS, listen };
})();
