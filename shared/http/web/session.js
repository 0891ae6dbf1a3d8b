/* Signing in and out: asks for the API key once, and the service answers with a cookie for it. */

import { h, put } from "./dom.js";

const PATH = "v1/session";
const UNAUTHORIZED = 401;

let asking = null;
const leave = h("button", { type: "button", hidden: true, onclick: signOut }, "Sign out");

/** As `fetch`, but where a key is needed ask for it and try again. */
export async function authorized(path, options) {
  for (;;) {
    const response = await fetch(path, options);
    if (response.status !== UNAUTHORIZED) return response;
    await signIn();
  }
}

/** Have a button in `place` that ends the session, while there is one. */
export async function offerSignOut(place) {
  place.append(leave);
  const response = await fetch(PATH).catch(() => null);
  if (response?.ok) leave.hidden = !(await response.json()).signed_in;
}

/** Ask until a key is accepted; whoever comes meanwhile waits for the same answer. */
export function signIn() {
  asking ??= ask().finally(() => (asking = null));
  return asking;
}

function ask() {
  const field = h("input", { type: "password", autocomplete: "current-password", required: true });
  const refusal = h("p", { class: "problem", role: "alert", hidden: true });
  const form = h("form", {},
    h("h2", { id: "sign-in" }, "API key"),
    h("p", {}, "This service asks for a key. Whoever runs it has set it as HEADSTART_API_KEYS."),
    h("label", {}, "Key", field), refusal,
    h("button", { type: "submit", class: "primary" }, "Sign in"));
  const dialog = h("dialog", { class: "card", "aria-labelledby": "sign-in" }, form);
  // Without a key there is nothing to go back to.
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

/** Hand a key in; what is wrong with it in words, or null. */
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

/** End the session, and begin anew, so that the page shows nothing more. */
async function signOut() {
  const response = await fetch(PATH, { method: "DELETE" }).catch(() => null);
  if (response?.ok) location.reload();
  else put(leave, "Not signed out: try again");
}
