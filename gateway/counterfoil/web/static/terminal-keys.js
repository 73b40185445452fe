// Keys that press what they are written on (`data-key`), and F1 or ? for the list of all of them.

const keys = document.getElementById("keys");
const showKeys = document.getElementById("show-keys");

const isTyping = (element) =>
  element.matches("input:not([type=checkbox], [type=radio]), textarea, select");

const openKeys = () => {
  if (keys && !keys.open) keys.showModal();
};

if (showKeys) {
  showKeys.hidden = false;
  showKeys.addEventListener("click", openKeys);
}

// A letter that comes with others, before it or behind it, is a reader's and not a clerk's. A page that
// has just come counts as a key: the rest of a swipe may come to it.
const ALONE_MS = 100;
let lastKeyAt = performance.now();
let isAlone = false;
let pressing = 0;

window.addEventListener(
  "keydown",
  (event) => {
    if (Swipes.QUIET_KEYS.includes(event.key)) return;
    clearTimeout(pressing);
    isAlone = event.timeStamp - lastKeyAt >= ALONE_MS;
    lastKeyAt = event.timeStamp;
  },
  true,
);

const isFunction = (event) => /^F\d+$/.test(event.key);

const act = (event, does) => {
  event.preventDefault();
  if (isFunction(event)) does();
  else pressing = setTimeout(does, ALONE_MS);
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (document.querySelector("dialog[open]")) return;
  if (!isFunction(event) && (!isAlone || isTyping(event.target))) return;
  if (["F1", "?"].includes(event.key)) {
    act(event, openKeys);
    return;
  }
  if (document.querySelector("[aria-busy=true]")) return;
  const meant = [...document.querySelectorAll("[data-key]")].find(
    (each) => each.dataset.key === (isFunction(event) ? event.key : event.key.toUpperCase()),
  );
  if (meant) act(event, () => meant.click());
});
