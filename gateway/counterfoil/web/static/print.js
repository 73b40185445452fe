// A button that prints: without scripts there is none, and the browser's own menu does it. Where the
// address asks for paper (`print=yes`: a key of the terminal), the dialog opens by itself, once.
const button = document.getElementById("print");
button.hidden = false;
button.addEventListener("click", () => window.print());

const address = new URL(location.href);
if (address.searchParams.get("print") === "yes") {
  address.searchParams.delete("print");
  history.replaceState(null, "", address);
  window.addEventListener("load", () => window.print());
}
