// The slash leads to the search box, unless somebody is writing.

const box = document.querySelector("[data-search]");
const isWriting = (element) => element.matches("input, textarea, select, [contenteditable]");

document.addEventListener("keydown", (pressed) => {
  const withOthers = pressed.ctrlKey || pressed.altKey || pressed.metaKey;
  if (pressed.key !== "/" || withOthers || isWriting(pressed.target)) return;
  pressed.preventDefault();
  box.focus();
  box.select();
});
