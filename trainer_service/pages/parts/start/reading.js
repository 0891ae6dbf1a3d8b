/* How a dataset was read: what to know of that, and the ways to have it read differently. */

import { h, put } from "../../../web/dom.js";
import { plural } from "../../lib/format.js";
import { chosenParts, chosenReading, isDecided, layoutText, partsOf, splitText, tablesOf } from "../../lib/reading.js";
import { problem } from "../../lib/messages.js";

const NOTES = 4;
const UNUSED = 3;
const KINDS = { doubt: "Check", "left out": "Left out", merged: "Merged", guess: "Guessed", doubles: "Near doubles" };
const LEVELS = [["", "The reader decides"], ["1", "The first"], ["2", "The second"], ["3", "The third"], ["4", "The fourth"], ["-1", "The one the image lies in"]];
const PARTS = [["", "The reader decides"], ["train", "Training"], ["validation", "Validation"], ["test", "Test"], ["none", "Left out"]];
const SOURCES = [["", "The reader decides"], ["folders", "Names of folders"], ["file names", "Beginnings of file names"], ["table", "A table"]];

/** Where the labels come from, the split, and what to know of both. */
export function howRead(record) {
  const split = splitText(record.splits);
  return h("section", { class: "after stack how-read", "aria-label": "How it was read" },
    h("p", { class: "name" }, layoutText(record.layout), split ? ` Split: ${split}.` : null),
    foldedList(record.notes ?? [], note, NOTES, "notes on how it was read"),
    unused(record.unused ?? []));
}

function note({ kind, text }) {
  return h("li", {}, h("strong", { class: kind === "doubt" ? "warn" : "muted" }, `${KINDS[kind] ?? kind}: `), text);
}

function unused(files) {
  const row = ({ name, columns, reason }) => h("li", {},
    h("strong", { class: "name" }, name), `: ${reason}`,
    columns?.length ? h("span", { class: "muted" }, ` · columns: ${columns.join(", ")}`) : null);
  if (!files.length) return null;
  return h("details", { open: files.length <= UNUSED }, h("summary", {}, `${plural(files.length, "table or file", "tables and files")} not used for the labels`),
    h("ul", { class: "notes" }, files.map(row)));
}

/** A list whose items after the first few are folded. */
function foldedList(items, row, most, what) {
  if (!items.length) return null;
  const rest = items.slice(most);
  return h("div", {},
    h("ul", { class: "notes" }, items.slice(0, most).map(row)),
    rest.length ? h("details", {}, h("summary", {}, `${rest.length} more ${what}`), h("ul", { class: "notes" }, rest.map(row))) : null);
}

/** Why the dataset is not read as was asked for last; null if it is. */
export function whyRefused({ refused }) {
  if (!refused) return null;
  return h("section", { class: "stack" },
    problem(new Error(refused.error.detail)),
    h("p", {}, "What is below is from the reading before, which stays."));
}

/** Why nothing is trained yet, and the ways out; null if there is no doubt. */
export function doubtful(record, apply) {
  if (!record.doubt) return null;
  const others = otherReadings(record, apply);
  return h("section", { class: "doubt stack", "aria-labelledby": "doubt" },
    h("h3", { id: "doubt" }, "Is this right?"),
    h("p", { class: "name" }, record.doubt),
    h("div", {}, action("Use it as it is", { ...record.reading, confirm: true }, apply, "primary")),
    others && h("p", {}, "Or read it in another way:"),
    others);
}

/** The ways that the reader knows, without one that is worded as the one it took. */
function otherReadings({ readings, layout }, apply) {
  const others = (readings ?? []).filter(({ text }) => text !== layout?.text);
  if (!others.length) return null;
  return h("ul", { class: "list readings" }, others.map(({ reading, text, labels, images }) => h("li", { class: "row" },
    h("span", { class: "grow" }, h("span", { class: "name" }, text), " ", h("span", { class: "muted whole" }, `${plural(labels, "label")}, ${plural(images, "image")}`)),
    action("Read it this way", reading, apply))));
}

/** A button that has the dataset read in a way; what the trainer says against it stands below. */
function action(label, reading, apply, kind = null) {
  const fault = h("div", {});
  const button = h("button", { type: "button", class: kind, onclick: () => attempt(button, fault, reading, apply) }, label);
  return h("div", {}, button, fault);
}

/** Have the dataset read in a way, or say beside the button why that can't be. */
export async function attempt(button, fault, reading, apply) {
  button.disabled = true;
  put(fault);
  try {
    await apply(reading);
  } catch (error) {
    if (error.name !== "AbortError") put(fault, problem(error), ...(error.errors ?? []).map(({ detail }) => h("p", { class: "bad" }, detail)));
  } finally {
    button.disabled = false;
  }
}

/** The folded form with which a user says how the dataset is to be read. */
export function readingForm(record, apply, open = Boolean(record.refused)) {
  const before = record.refused?.reading ?? record.reading ?? {};
  const fields = formFields(record, before);
  const fault = h("div", {});
  const submit = h("button", {}, "Read it this way");
  const form = h("form", { class: "stack", novalidate: true }, fields.elements, fault,
    h("div", { class: "row" }, submit, isDecided(before) ? action("Forget my choices", {}, apply) : null));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(submit, fault, chosenReading(before, fields.values()), apply);
  });
  const others = record.doubt ? null : otherReadings(record, apply);
  const only = Boolean(record.doubt) && !record.readings?.length;
  return h("details", { class: "after", open: open || only }, h("summary", {}, "Read it in another way"), others, form);
}

function formFields(record, before) {
  const tables = tablesOf(record);
  const labels = choice(SOURCES, sourceOf(before));
  const level = choice(withValue(LEVELS, before.level), String(before.level ?? ""));
  const table = choice([["", "The reader decides"], ...tables.map(({ name }) => [name, name])], before.table ?? "");
  const columns = h("datalist", { id: "columns" });
  const labelColumn = h("input", { list: "columns", value: before.columns?.label ?? "", autocomplete: "off", placeholder: "The reader decides" });
  const imageColumn = h("input", { list: "columns", value: before.columns?.image ?? "", autocomplete: "off", placeholder: "The reader decides" });
  const splitColumn = h("input", { list: "columns", value: before.columns?.split ?? "", autocomplete: "off", placeholder: "The reader decides" });
  const split = splitFields(record, before.splits ?? {});
  const ignore = h("textarea", { rows: 2, "aria-describedby": "ignore-hint" }, (before.ignore ?? []).join("\n"));
  const apart = h("input", { type: "checkbox", checked: before.merge_alike === false });
  const ofFolders = h("div", { class: "columns" }, field("Which folder of an image is its label", level));
  const ofTables = h("div", { class: "columns" }, field("Table", table), field("Column of the labels", labelColumn), field("Column of the images", imageColumn), field("Column of the split", splitColumn), columns);
  const show = () => {
    ofFolders.hidden = labels.value !== "folders";
    ofTables.hidden = labels.value !== "table";
    const known = tables.filter(({ name }) => !table.value || name === table.value).flatMap((one) => one.columns);
    put(columns, [...new Set(known)].map((value) => h("option", { value })));
  };
  for (const control of [labels, table]) control.addEventListener("change", show);
  show();
  return {
    elements: [
      h("div", { class: "columns" }, field("Where the labels are", labels)), ofFolders, ofTables,
      h("div", { class: "field" }, field("Folders and files to leave out", ignore), h("span", { class: "muted hint", id: "ignore-hint" }, "One a line, by its path or name.")),
      split.element,
      h("label", { class: "inline" }, apart, "Keep labels apart that differ only in case or spaces"),
    ],
    values: () => ({
      labels: labels.value, level: level.value, table: table.value, labelColumn: labelColumn.value,
      imageColumn: imageColumn.value, splitColumn: splitColumn.value, splits: split.parts(),
      ignore: ignore.value, mergeAlike: !apart.checked,
    }),
  };
}

/** A row for each folder or value that is a part of the split, and an empty one for another. */
function splitFields(record, before) {
  const found = partsOf(record);
  const rows = [];
  const list = h("div", { class: "stack" });
  const add = (name, part) => {
    const number = rows.length + 1;
    const named = h("input", { value: name, autocomplete: "off", "aria-label": `Folder or value ${number}` });
    const chosen = h("select", { "aria-label": `Part of the split ${number}` }, options(PARTS, part));
    const row = { named, chosen };
    named.addEventListener("input", () => { if (row === rows.at(-1)) add("", ""); });
    rows.push(row);
    list.append(h("div", { class: "columns" }, named, chosen));
  };
  for (const [name, part] of [...found, ["", ""]]) add(name, part);
  const element = h("details", { open: Object.keys(before).length > 0 },
    h("summary", {}, "Which folders are for training, validation and test"),
    h("p", { class: "muted hint" }, "A folder by its path or name, or a value of the column of the split."), list);
  return { element, parts: () => chosenParts(before, rows.map(({ named, chosen }) => [named.value, chosen.value]), found) };
}

/** Where the labels are by what was decided, be it only by the name of a table or column. */
function sourceOf({ labels, level, table, columns }) {
  if (labels) return labels;
  if (table || columns?.label || columns?.image || columns?.split) return "table";
  return level ? "folders" : "";
}

const field = (text, control) => h("label", {}, text, control);

const choice = (choices, value) => h("select", {}, options(choices, value));

const options = (choices, value) => choices.map(([key, text]) => h("option", { value: key, selected: key === value }, text));

/** The options of a level, with one that only the API can have chosen. */
function withValue(levels, level) {
  if (!level || levels.some(([key]) => key === String(level))) return levels;
  return [...levels, [String(level), `Number ${level}`]];
}
