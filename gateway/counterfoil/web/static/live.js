// What waits with a person: parts of a page are fetched again every few seconds while somebody looks,
// and times are counted down. Without this script the page is as it was when it came.

const SECOND = 1000;
const AGAIN = "Counterfoil-Again-Seconds";
const WAITING = "Counterfoil-Waiting";
// The one place where text becomes marks: what our own server has answered to us.
const marks = { createHTML: (words) => words };
const live = window.trustedTypes ? trustedTypes.createPolicy("live", marks) : marks;
const clockSkew = new Map();

function left(seconds) {
  const whole = Math.max(Math.floor(seconds), 0);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

// A clock here may be wrong: what counts is how long it was when the server said so.
function untilOf(element) {
  const key = `${element.dataset.until} ${element.dataset.now}`;
  if (!clockSkew.has(key)) {
    const seconds = (Date.parse(element.dataset.until) - Date.parse(element.dataset.now)) / SECOND;
    clockSkew.set(key, performance.now() / SECOND + seconds);
  }
  return clockSkew.get(key);
}

function countDown() {
  for (const element of document.querySelectorAll("[data-until]")) {
    const words = left(untilOf(element) - performance.now() / SECOND);
    if (element.textContent !== words) element.textContent = words;
  }
}

// Nothing is taken from under somebody's hands: neither their focus, nor what they have marked or opened.
function isInUse(part) {
  const marked = document.getSelection();
  return (
    part.contains(document.activeElement) ||
    part.querySelector("details[open]") !== null ||
    (marked && !marked.isCollapsed && part.contains(marked.anchorNode))
  );
}

// What waits for somebody stands in the menu, too.
function tell(waiting) {
  if (waiting === null) return;
  for (const element of document.querySelectorAll("[data-waiting]")) {
    element.hidden = waiting === "0";
    element.firstChild.data = waiting;
  }
}

// Returns after how many seconds it is worth asking again; 0 is never.
async function refresh(part) {
  const before = Number(part.dataset.every);
  const answer = await fetch(part.dataset.live, { credentials: "same-origin" });
  if (answer.redirected || !answer.ok) return answer.status >= 500 ? before : 0;
  tell(answer.headers.get(WAITING));
  const words = await answer.text();
  if (part.lastWords !== words) {
    if (isInUse(part)) return before;
    part.innerHTML = live.createHTML(words);
    part.lastWords = words;
  }
  return Number(answer.headers.get(AGAIN));
}

function keep(part) {
  const wait = () => {
    const seconds = Number(part.dataset.every);
    if (seconds) setTimeout(look, seconds * SECOND);
  };
  const look = async () => {
    const before = part.dataset.every;
    if (!document.hidden) part.dataset.every = await refresh(part).catch(() => before);
    wait();
  };
  wait();
}

document.querySelectorAll("[data-live]").forEach(keep);
if (document.querySelector("[data-until]")) {
  countDown();
  setInterval(() => document.hidden || countDown(), SECOND);
}
