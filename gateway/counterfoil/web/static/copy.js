// A button beside what is shown once: it copies it, and says that it did.

for (const secret of document.querySelectorAll("[data-copy]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button quiet";
  button.textContent = "Copy";
  const said = document.createElement("span");
  said.className = "soft copied";
  said.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(secret.textContent.trim());
      said.textContent = "Copied.";
    } catch {
      getSelection().selectAllChildren(secret);
      said.textContent = "Marked: copy it with Ctrl+C.";
    }
  });
  const line = document.createElement("p");
  line.className = "copy";
  line.append(button, said);
  secret.after(line);
}
