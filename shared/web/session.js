/* Signing in: asks for the API key once, and the service answers with a cookie for it. */

import { h } from "./dom.js";

const PATH = "v1/session";
const UNAUTHORIZED = 401;

let asking = null;

/** As `fetch`, but where a key is needed ask for it and try again. */
export async function authorized(path, options) {
  for (;;) {
    const response = await fetch(path, options);
    if (response.status !== UNAUTHORIZED) return response;
    await signIn();
  }
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
