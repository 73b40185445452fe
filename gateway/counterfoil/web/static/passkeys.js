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
  if (answer.redirected) {
    location.reload();
    return new Promise(() => {});
  }
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.words);
  return said;
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
    try {
      const fields = Object.fromEntries(new FormData(form));
      const options = readable(await post(form.dataset.options, fields));
      const credential = form.dataset.passkey === "make"
        ? await navigator.credentials.create(options)
        : await navigator.credentials.get(options);
      const done = await post(form.action, { ...fields, credential: sendable(credential) });
      location.assign(done.next);
    } catch (fault) {
      said.textContent = fault instanceof DOMException
        ? "Your device made or used no passkey. Try again when you are ready."
        : fault.message;
      button.removeAttribute("aria-disabled");
    }
  });
}
