/* Signs in and out: asks for the API key once and exchanges it for a cookie. */

import { h, put } from "./dom.js";

const PATH = "v1/session";
const UNAUTHORIZED = 401;

let asking = null;
const leave = h("button", { type: "button", hidden: true, onclick: signOut }, "Sign out");

/** Like `fetch`; if the service needs a key, ask for it and try again. */
export async function authorized(path, options) {
  for (;;) {
    const response = await fetch(path, options);
    if (response.status !== UNAUTHORIZED) return response;
    await signIn();
  }
}

/** Put a button into `place` that ends the session; it is hidden while there is none. */
export async function offerSignOut(place) {
  place.append(leave);
  const response = await fetch(PATH).catch(() => null);
  const session = response?.ok ? await response.json().catch(() => null) : null;
  leave.hidden = !session?.signed_in;
}

/** Ask until a key is accepted; calls in the meantime wait for the same answer. */
export function signIn() {
  asking ??= ask().finally(() => (asking = null));
  return asking;
}

function ask() {
  const field = h("input", { type: "password", autocomplete: "current-password", required: true });
  const refusal = h("p", { class: "problem", role: "alert", hidden: true });
  const form = h("form", {},
    h("h2", { id: "sign-in" }, "API key"),
    h("p", {}, "This service needs a key. The person who runs it has set it in HEADSTART_API_KEYS."),
    h("label", {}, "Key", field), refusal,
    h("button", { type: "submit", class: "primary" }, "Sign in"));
  const dialog = h("dialog", { class: "card", "aria-labelledby": "sign-in" }, form);
  // Without a key the page can show nothing, so the dialog can't be closed.
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const problem = await send(field.value);
      refusal.textContent = problem ?? "";
      refusal.hidden = problem === null;
      if (problem !== null) return field.select();
      dialog.remove();
      leave.hidden = false;
      resolve();
    });
  });
}

/** Send a key; return what is wrong with it as a sentence, or null. */
async function send(key) {
  const body = JSON.stringify({ key: key.trim() });
  try {
    const response = await fetch(PATH, { method: "POST", body, headers: { "Content-Type": "application/json" } });
    if (response.ok) return null;
    return (await response.json()).detail;
  } catch {
    return "The service can't be reached. Is it still running?";
  }
}

/** End the session and reload the page, so that it shows no data any more. */
async function signOut() {
  const response = await fetch(PATH, { method: "DELETE" }).catch(() => null);
  if (response?.ok) location.reload();
  else put(leave, "Not signed out: try again");
}
