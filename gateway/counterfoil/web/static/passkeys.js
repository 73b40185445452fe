// Passkeys: a form asks our server what to sign, the browser signs, the answer goes back.
// Without this file, or in a browser that knows no passkeys, the form stays hidden.

const bytes = (text) =>
  Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (each) => each.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

const readable = (asked) => {
  const known = (list) => (list || []).map((each) => ({ ...each, id: bytes(each.id) }));
  const options = { ...asked, challenge: bytes(asked.challenge) };
  if (asked.user) {
    options.user = { ...asked.user, id: bytes(asked.user.id) };
    options.excludeCredentials = known(asked.excludeCredentials);
  } else {
    options.allowCredentials = known(asked.allowCredentials);
  }
  return { publicKey: options };
};

const sendable = (credential) => {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature",
    "userHandle"]) {
    if (credential.response[name]) response[name] = text(credential.response[name]);
  }
  return JSON.stringify({
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    response,
    clientExtensionResults: {},
  });
};

const post = async (path, fields) => {
  const answer = await fetch(path, { method: "POST", body: new URLSearchParams(fields) });
  const isOurs = (answer.headers.get("content-type") || "").startsWith("application/json");
  if (!isOurs) throw new Error("This page is too old by now. Reload it, then try again.");
  const said = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(said.words), { at: said.at, field: said.field });
  return said;
};

// The way to sign in, or to prove anew who one is, and back here with what was typed.
const wayBack = (at, { csrf, next, ...typed }) => {
  const kept = new URLSearchParams(typed);
  const here = kept.size ? `${location.pathname}?${kept}` : location.pathname + location.search;
  const link = document.createElement("a");
  link.href = `${at}?next=${encodeURIComponent(here)}`;
  link.textContent = at === "/sign-in" ? "Sign in again" : "Prove again that it is you";
  return link;
};

// Says at the field *name* of a form what is wrong with it; without a name, at no field any more.
const tie = (form, said, name) => {
  for (const each of form.querySelectorAll("[aria-invalid]")) {
    each.removeAttribute("aria-invalid");
    const others = each.getAttribute("aria-describedby").split(" ").filter((id) => id !== said.id);
    each.setAttribute("aria-describedby", others.join(" "));
  }
  const field = name && form.elements[name];
  (field ? field.closest(".field") : form).append(said);
  if (!field) return;
  const others = field.getAttribute("aria-describedby") || "";
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", `${others} ${said.id}`.trim());
  field.focus();
};

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  form.hidden = false;
  for (const each of document.querySelectorAll("[data-without-passkeys]")) each.hidden = true;
  const said = form.querySelector("[role=alert]");
  const button = form.querySelector("button");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    said.textContent = "";
    tie(form, said);
    const fields = Object.fromEntries(new FormData(form));
    try {
      const options = readable(await post(form.dataset.options, fields));
      const credential = form.dataset.passkey === "make"
        ? await navigator.credentials.create(options)
        : await navigator.credentials.get(options);
      const done = await post(form.action, { ...fields, credential: sendable(credential) });
      location.assign(done.next);
    } catch (fault) {
      tie(form, said, fault.field);
      said.textContent = fault instanceof DOMException
        ? "Your device made or used no passkey. Try again when you are ready."
        : fault.message;
      if (fault.at) said.append(" ", wayBack(fault.at, fields));
      button.removeAttribute("aria-disabled");
    }
  });
}
