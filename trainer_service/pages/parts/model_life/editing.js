/* Notes, aliases, new names and removal of a model and its versions. */

import { del, patch, post } from "../../lib/api.js";
import { announce, h, put } from "../../../web/dom.js";
import { problem } from "../../lib/messages.js";

const LONGEST_NOTE = 500;

/**
 * `{element, show(model)}`: folded. What someone types stays while the model is looked at again.
 *
 * `onChange` gets the model as it then is, or null once it is gone under its name.
 */
export function editing(name, onChange) {
  const address = `v1/models/${encodeURIComponent(name)}`;
  const fault = h("div", {});
  const choice = h("select", { onchange: () => showVersion() });
  const alias = h("input", { type: "text", maxlength: 40, autocomplete: "off", spellcheck: "false" });
  const note = h("textarea", { rows: 2, maxlength: LONGEST_NOTE });
  const modelNote = h("textarea", { rows: 2, maxlength: LONGEST_NOTE });
  const newName = h("input", { type: "text", value: name, maxlength: 63, autocomplete: "off", spellcheck: "false" });
  let model = null;
  let shownVersion = null;

  const attempt = async (ask, told) => {
    put(fault);
    try {
      const changed = await ask();
      announce(told);
      onChange(changed);
    } catch (error) {
      put(fault, problem(error));
      throw error;
    }
  };
  const submit = (ask, told) => (event) => {
    event.preventDefault();
    attempt(ask, told()).catch(() => {}); // `fault` shows it
  };
  const version = () => Number(choice.value);
  const saveVersion = submit(() => patch(`${address}/versions/${version()}`, { alias: text(alias), note: text(note) }), () => `What is said of version ${version()} of ${name} is saved.`);
  const saveModel = submit(() => patch(address, { note: text(modelNote) }), () => `The note of ${name} is saved.`);
  const rename = submit(async () => {
    await post(`${address}/rename`, { name: newName.value.trim() });
    return null;
  }, () => `${name} is called ${newName.value.trim()} now.`);
  const removeVersion = removal(() => `Remove version ${version()}`, (force) => attempt(async () => {
    await del(`${address}/versions/${version()}${force}`);
    return null;
  }, `Version ${version()} of ${name} is removed.`));
  const removeModel = removal(() => `Remove ${name} and all of its versions`, (force) => attempt(async () => {
    await del(`${address}${force}`);
    return null;
  }, `${name} is removed.`));

  const element = h("details", { class: "after" }, h("summary", {}, "Notes, aliases, name, removal"),
    h("div", { class: "stack" },
      h("form", { class: "stack", onsubmit: saveVersion, "aria-label": `A version of ${name}` },
        h("div", { class: "row" }, h("label", {}, "Version", choice), h("label", {}, "Alias", alias), h("label", { class: "grow" }, "Note", note)),
        h("div", { class: "row" }, h("button", { type: "submit" }, "Save"), removeVersion.element)),
      h("form", { class: "stack", onsubmit: saveModel, "aria-label": `The note of ${name}` },
        h("label", {}, "Note of the model", modelNote),
        h("div", { class: "row" }, h("button", { type: "submit" }, "Save the note"))),
      h("form", { class: "row", onsubmit: rename, "aria-label": `The name of ${name}` },
        h("label", {}, "Name of the model", newName), h("button", { type: "submit" }, "Rename"), removeModel.element),
      fault));

  function showVersion() {
    const chosen = model.versions.find((one) => one.version === version());
    shownVersion = chosen?.version ?? null;
    alias.value = chosen?.alias ?? "";
    note.value = chosen?.note ?? "";
    removeVersion.reset();
  }

  /** Show a model as it is now; fields that nobody has changed follow it. */
  function show(current) {
    const before = model;
    model = current;
    const numbers = current.versions.map((one) => String(one.version));
    if (numbers.join() !== [...choice.options].map((option) => option.value).join()) {
      const chosen = choice.value;
      put(choice, numbers.map((number) => h("option", { value: number }, number)));
      if (numbers.includes(chosen)) choice.value = chosen;
    }
    const old = before?.versions.find((one) => one.version === shownVersion);
    const untouched = alias.value === (old?.alias ?? "") && note.value === (old?.note ?? "");
    if (version() !== shownVersion || untouched) showVersion();
    if (modelNote.value === (before?.note ?? "")) modelNote.value = current.note ?? "";
  }

  return { element, show };
}

const text = (field) => field.value.trim() || null;

/** A button that asks once more, and offers force if that is refused because something is served. */
function removal(label, remove) {
  const element = h("div", { class: "row" });
  const button = (words, onclick) => h("button", { type: "button", onclick }, words);
  const reset = () => put(element, button(label(), ask));
  const ask = () => {
    put(element, button("Really remove", () => go("")), button("Keep", reset));
    element.firstChild.focus();
  };
  const go = async (force) => {
    try {
      await remove(force);
      reset();
    } catch (error) {
      if (error.status !== 409 || force) return reset();
      put(element, button("Remove it all the same", () => go("?force=true")), button("Keep", reset));
    }
  };
  reset();
  return { element, reset };
}
