/* The second step: what is in the images, and how to train on them. */

import { persist, pause } from "../lib/again.js";
import { create, get, put as send } from "../lib/api.js";
import { announce, h, put } from "../../web/dom.js";
import { count, percent, plural, words } from "../lib/format.js";
import { renamed } from "../lib/reading.js";
import { go, problem, waiting } from "../lib/router.js";
import { architectures, measuredSpeeds } from "../parts/architectures.js";
import { small } from "../parts/figures.js";
import { attempt, doubtful, howRead, readingForm } from "../parts/reading.js";
import { settings, trainingSchema } from "../parts/settings.js";

const LOOK_MILLISECONDS = 700;
const PATIENCE = 15;
const THUMBNAILS = 6;
const LABELS = 12;
const REJECTED = 1000;
const IMBALANCE = 3;

/** Errors that another reading may mend: of the labels, or of a table that is too large. */
const MENDABLE = ["InvalidDataset", "TooLarge"];

export async function dataset({ root, parts: [id], signal }) {
  document.title = "New training · Headstart";
  const card = h("section", { class: "card", "aria-labelledby": "pictures" });
  const form = h("section", { class: "card", "aria-labelledby": "how" });
  root.append(card, form);
  await show(id, card, form, signal);
}

/** Show the dataset as soon as it is read, and again whenever the user has it read differently. */
async function show(id, card, form, signal) {
  form.hidden = true;
  const record = await read(id, card, signal);
  const apply = async (reading) => {
    await send(`v1/datasets/${encodeURIComponent(id)}/reading`, reading);
    show(id, card, form, signal).catch((error) => signal.aborted || put(card, heading(record), problem(error), other()));
  };
  if (record.state === "failed") {
    // One that was never read can be mended by a reading only if it is the labels that are wrong.
    const again = MENDABLE.includes(record.error.type) ? readingForm(record, apply, record.images !== null) : null;
    return put(card, heading(record), problem(new Error(record.error.detail)), again, other());
  }
  announce(outcome(record));
  put(card, heading(record), doubtful(record, apply), summary(record), howRead(record), readingForm(record, apply),
    labels(record, apply, signal), rejected(record, signal), other());
  if (record.doubt) return;
  put(form, ...(await trainingForm(record, signal)));
  form.hidden = false;
}

function outcome({ images, labels: counts, doubt }) {
  const found = `${plural(images, "image")} with ${plural(Object.keys(counts).length, "label")}`;
  return doubt ? `${found} were found. Is this right? ${doubt}` : `${found} can be trained on.`;
}

/** Wait until a worker has read the dataset, and say so. */
async function read(id, card, signal) {
  const trouble = h("div", {});
  put(card, trouble);
  for (let looks = 0; ; looks++) {
    const record = await persist(() => get(`v1/datasets/${encodeURIComponent(id)}`, signal), trouble, signal);
    if (["ready", "failed"].includes(record.state)) return record;
    const queued = looks > PATIENCE && record.state === "queued";
    put(card, heading(record), h("progress", { "aria-label": "Reading" }),
      h("p", { class: "muted" }, queued ? "Waiting for a worker: is one running, or are all busy?" : "The images are being read …"), trouble);
    await pause(LOOK_MILLISECONDS, signal);
  }
}

const heading = ({ source }) => h("h2", { id: "pictures" }, "Images: ", h("span", { class: "name" }, source));
const other = () => h("p", { class: "after" }, h("a", { href: "#/" }, "Choose other images"));

function summary({ images, labels: counts, splits, has_split: split, ignored, rejected_count: bad }) {
  const facts = [
    `${plural(images, "image")} with ${plural(Object.keys(counts).length, "label")}.`,
    split && !Object.keys(splits ?? {}).length ? "They have their own split into training, validation and test." : null,
    ignored ? `${plural(ignored, "file")} that ${ignored === 1 ? "is not an image was" : "are not images were"} ignored.` : null,
    bad ? null : "No file was rejected.",
  ];
  const sizes = Object.values(counts);
  const uneven = Math.max(...sizes) >= IMBALANCE * Math.min(...sizes);
  return [
    h("p", {}, facts.filter(Boolean).join(" ")),
    uneven ? h("p", { class: "warn" }, "The labels differ much in size; class weights “balanced”, among the settings below, gives each label the same weight.") : null,
  ];
}

/** The labels with some of their images; each can be given another name. */
function labels(record, apply, signal) {
  const all = Object.entries(record.labels).sort(([, a], [, b]) => b - a);
  const most = all[0][1];
  const names = renaming(record, apply);
  const list = h("div", { class: "labels" });
  const show = (some) => list.append(...some.map(([label, number]) => oneLabel(record.id, label, number, number / most, names.edit(label), signal)));
  const more = h("button", { type: "button", onclick: () => { show(all.slice(LABELS)); more.remove(); } }, `Show all ${all.length} labels`);
  show(all.slice(0, LABELS));
  return h("form", { class: "after", novalidate: true, onsubmit: names.submit }, list, all.length > LABELS ? more : null, names.bar);
}

/** The new names of labels: `edit` makes the button and field of one, `bar` sends them all. */
function renaming({ labels: counts, reading }, apply) {
  const changes = new Map();
  const fault = h("div", {});
  const save = h("button", { class: "primary" }, "Use the new names");
  const bar = h("div", { class: "after" }, h("div", { class: "row" }, save, h("span", { class: "muted" }, "Labels with one name become one.")), fault);
  bar.hidden = true;
  const change = (label, name) => {
    if (name && name !== label) changes.set(label, name);
    else changes.delete(label);
    bar.hidden = !changes.size;
  };
  const edit = (label) => {
    const input = h("input", { value: label, "aria-label": `New name of ${label}`, maxlength: 1024, autocomplete: "off", oninput: () => change(label, input.value.trim()) });
    const button = h("button", { type: "button", class: "quiet", "aria-label": `Rename ${label}`, onclick: () => {
      button.closest(".label").querySelector(".row").after(input);
      button.remove();
      input.select();
    } }, "Rename");
    return button;
  };
  const submit = (event) => {
    event.preventDefault();
    if (!changes.size) return;
    const rename = renamed(reading.rename, changes, Object.keys(counts));
    attempt(save, fault, { ...reading, rename, confirm: false }, apply);
  };
  return { bar, edit, submit };
}

function oneLabel(id, label, number, share, edit, signal) {
  const thumbnails = h("div", { class: "strip" });
  const query = new URLSearchParams({ label, verdict: "used", limit: THUMBNAILS });
  get(`v1/datasets/${id}/images?${query}`, signal)
    .then(({ images }) => put(thumbnails, images.map((image) => small(id, image.sha256, image.name))))
    .catch((error) => signal.aborted || put(thumbnails, problem(error)));
  return h("div", { class: "label", role: "group", "aria-label": label },
    h("div", { class: "row between" }, h("h3", {}, label), edit, h("span", { class: "number" }, count(number))),
    h("div", { class: "bar", "aria-hidden": "true" }, h("span", { vars: { "--share": share } })),
    thumbnails);
}

function rejected({ id, rejected: files, rejected_count: number, verdicts }, signal) {
  if (!number) return null;
  const counts = Object.entries(verdicts).map(([verdict, some]) => `${some} ${verdict}`).join(", ");
  const body = h("tbody", {}, files.map(rejectedRow));
  let after = files.length;
  const show = async () => {
    const page = await get(`v1/datasets/${id}/rejected?limit=${REJECTED}&after=${after}`, signal);
    body.append(...page.rejected.map(rejectedRow));
    after = page.after;
    if (after === null) more.remove();
  };
  const more = h("button", { type: "button", onclick: () => show().catch((error) => signal.aborted || more.replaceWith(problem(error))) },
    number - files.length > REJECTED ? `Show ${REJECTED} more` : `Show all ${number}`);
  return h("details", { open: number <= 10, class: "after" },
    h("summary", {}, h("span", { class: "warn" }, `${plural(number, "file")} will not be used: ${counts}`)),
    h("div", { class: "scroll" }, h("table", { class: "records" },
      h("thead", {}, h("tr", {}, ["File", "Verdict", "Why"].map((name) => h("th", { scope: "col" }, name)))), body)),
    number > files.length ? more : null);
}

const rejectedRow = ({ name, verdict, detail }) =>
  h("tr", {}, h("td", { class: "name file" }, name), h("td", {}, verdict), h("td", { class: "name muted" }, detail));

async function trainingForm(record, signal) {
  const [document, rows, trainings] = await Promise.all(
    ["openapi.json", "v1/architectures", "v1/trainings"].map((path) => get(path, signal)));
  const schema = trainingSchema(document);
  const more = settings(schema);
  const name = h("input", { id: "model", name: "model", class: "short", value: nameFrom(record.source), autocomplete: "off", "aria-describedby": "model-hint" });
  const faults = h("div", {});
  const start = h("button", { class: "primary" }, "Start training");
  const folded = h("details", {}, h("summary", {}, "Other settings"), more.element);
  const form = h("form", { novalidate: true, class: "stack" },
    h("div", { class: "field" }, h("label", { for: "model" }, "Model name"), name,
      h("span", { class: "muted hint", id: "model-hint" }, "A name that exists gets a new version. Letters, digits, - and _.")),
    architectures(rows, schema.properties.architecture.default, measuredSpeeds(trainings)),
    folded, faults, h("div", {}, start));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const architecture = form.elements.architecture.value;
    const body = { dataset: record.id, model: name.value, ...(architecture && { architecture }), ...more.values() };
    start.disabled = true;
    try {
      const training = await create("v1/trainings", body, (trouble) => put(faults, waiting(trouble)));
      go("trainings", training.id);
    } catch (error) {
      const elsewhere = more.complain(error.errors ?? []);
      folded.open ||= elsewhere.length < (error.errors ?? []).length;
      put(faults, problem(error));
    } finally {
      start.disabled = false;
    }
  });
  return [h("h2", { id: "how" }, "Training"), form];
}

/** A model name, made from the name of an archive or folder. */
function nameFrom(source) {
  const last = source.split(/[\\/]/).filter(Boolean).at(-1) ?? "";
  const stem = last.replace(/\.(zip|tar|tgz|tar\.gz|gz)$/i, "");
  const clean = stem.replace(/[^A-Za-z0-9_-]+/g, "-").replace(/^[-_]+|-+$/g, "").slice(0, 63);
  return clean || "default";
}
