// A sale's page: says the result aloud, and looks again by itself while it is under way.

const LOOK_MS = 700;
const LOOKS_MAX = 600;
const waiting = document.querySelector("[data-poll]");
const result = document.getElementById("result");
const confirmation = document.getElementById("confirmation");

result.focus({ preventScroll: true });
document.getElementById("announce").textContent = confirmation
  ? `${result.textContent}. Confirmation number ${confirmation.textContent}`
  : result.textContent;

const look = async (looks) => {
  try {
    const answer = await fetch(waiting.dataset.poll, { headers: { Accept: "application/json" } });
    if (answer.ok && (await answer.json()).over) {
      location.reload();
      return;
    }
  } catch {
    // The connection is away for a moment: look again.
  }
  if (looks < LOOKS_MAX) setTimeout(() => look(looks + 1), LOOK_MS);
};

if (waiting) look(0);

// No code of a card stays in a page that is left.
window.addEventListener("pagehide", () => {
  for (const each of document.querySelectorAll("input[name=cvv]")) each.value = "";
});

// One answer to one question: what was pressed first is sent, and nothing after it.
let isSent = false;
document.addEventListener("submit", (event) => {
  if (event.target.method === "dialog") return; // The list of keys is closed, and nothing is sent.
  if (isSent) event.preventDefault();
  isSent = true;
});
window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload(); // An old question may be answered meanwhile.
});
