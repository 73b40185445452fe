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

// Letters that come faster than a hand types them are a reader's, not a clerk's.
const BURST_MS = 40;
let lastKeyAt = -BURST_MS;

document.addEventListener("keydown", (event) => {
  const isBurst = event.timeStamp - lastKeyAt < BURST_MS;
  lastKeyAt = event.timeStamp;
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === "F1" || (event.key === "?" && !isTyping(event.target))) {
    event.preventDefault();
    openKeys();
    return;
  }
  const isFunction = /^F\d+$/.test(event.key);
  if (document.querySelector("dialog[open]") || (!isFunction && isTyping(event.target))) return;
  if (document.querySelector("[aria-busy=true]") || (isBurst && !isFunction)) return;
  const meant = [...document.querySelectorAll("[data-key]")].find(
    (each) => each.dataset.key === (isFunction ? event.key : event.key.toUpperCase()),
  );
  if (!meant) return;
  event.preventDefault();
  meant.click();
});
