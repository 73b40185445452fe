// Asks for new steps again and again, and puts them on top. Everything is set as text.

const STEPS_MAX = 400;
const AGAIN_MS = 700;
const list = document.getElementById("steps");
let last = Number(list.firstElementChild?.dataset.number ?? 0);

const made = (tag, text, name) => {
  const element = document.createElement(tag);
  element.textContent = text;
  if (name) element.className = name;
  return element;
};

const show = (step) => {
  const item = made("li", "", "new");
  item.dataset.number = step.number;
  item.dataset.who = step.who;
  const line = document.createElement("p");
  line.append(made("strong", step.who), ` ${step.what} `);
  if (step.milliseconds !== null) line.append(made("span", `${step.milliseconds.toFixed(1)} ms`, "took"));
  item.append(line);
  if (step.note) item.append(made("p", step.note, "note"));
  list.prepend(item);
  if (list.children.length > STEPS_MAX) list.lastElementChild.remove();
  last = step.number;
};

const look = async () => {
  try {
    const steps = await (await fetch(`/steps?after=${last}`)).json();
    if (steps.length) document.getElementById("none").hidden = true;
    steps.forEach(show);
  } catch {
    // The demo has stopped, or starts again: ask again later.
  }
  setTimeout(look, AGAIN_MS);
};

look();
