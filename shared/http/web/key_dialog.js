/* Asks for an API key. */

import { h } from "./dom.js";

/**
 * Ask until a key is accepted, and return it; null if the dialog is closed, where it can be.
 *
 * `check` gets a key and returns what is wrong with it as a sentence, or null.
 */
export function askForKey({ title, words, check, button = "Sign in", closable = false }) {
  const field = h("input", { type: "password", autocomplete: closable ? "off" : "current-password", required: true });
  const refusal = h("p", { class: "problem", role: "alert", hidden: true });
  const form = h("form", {},
    h("h2", { id: "sign-in" }, title),
    h("p", {}, words),
    h("label", {}, "Key", field), refusal,
    h("button", { type: "submit", class: "primary" }, button),
    closable ? h("button", { type: "button", onclick: () => dialog.close() }, "Cancel") : null);
  const dialog = h("dialog", { class: "card", "aria-labelledby": "sign-in" }, form);
  if (!closable) dialog.addEventListener("cancel", (event) => event.preventDefault());
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    let accepted = null;
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(accepted);
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const key = field.value.trim();
      const problem = await check(key);
      refusal.textContent = problem ?? "";
      refusal.hidden = problem === null;
      if (problem !== null) return field.select();
      accepted = key;
      dialog.close();
    });
  });
}
