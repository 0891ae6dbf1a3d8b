/* Signs in and out: asks for the API key once and exchanges it for a cookie. */

import { h, put } from "./dom.js";
import { askForKey } from "./key_dialog.js";

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

/** Without a key the page can show nothing, so the dialog can't be closed. */
async function ask() {
  const words = "This service needs a key. The person who runs it has set it in HEADSTART_API_KEYS.";
  await askForKey({ title: "API key", words, check: send });
  leave.hidden = false;
}

/** Send a key; return what is wrong with it as a sentence, or null. */
async function send(key) {
  const body = JSON.stringify({ key });
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
