// A button that copies a field, or what is shown once; without a script either can be selected and
// copied by hand.

for (const button of document.querySelectorAll("[data-copies]")) {
  const field = document.getElementById(button.dataset.copies);
  const said = document.getElementById("copied");
  const isField = field instanceof HTMLInputElement;
  button.hidden = false;
  button.addEventListener("click", async () => {
    if (isField) {
      field.select();
    } else {
      getSelection().selectAllChildren(field);
    }
    try {
      await navigator.clipboard.writeText(isField ? field.value : field.textContent);
      said.textContent = "Copied.";
    } catch {
      said.textContent = "Press Ctrl-C to copy what is selected.";
    }
  });
}
