/* The second step: what is in the images, and how to train on them. */

import { passes, pause, persist, rest } from "../lib/again.js";
import { create, get, put as send } from "../lib/api.js";
import { announce, h, put } from "../../web/dom.js";
import { count, percent, plural, words } from "../lib/format.js";
import { renamed } from "../lib/reading.js";
import { newestOn } from "../lib/replaced.js";
import { sameSettings } from "../lib/same_settings.js";
import { problem, waiting } from "../lib/messages.js";
import { go, link } from "../lib/router.js";
import { architectures, measuredSpeeds } from "../parts/start/architectures.js";
import { beforeStart } from "../parts/promotion/words.js";
import { comparisonForm } from "../parts/comparison/start.js";
import { small } from "../parts/picture/figures.js";
import { attempt, doubtful, howRead, readingForm, whyRefused } from "../parts/start/reading.js";
import { settings, trainingSchema } from "../parts/start/settings.js";
import { tuneChoice } from "../parts/start/tune_choice.js";

const LOOK_MILLISECONDS = 700;
const CALM_MILLISECONDS = 5000;
/** What a dataset is trained on, and how it was decided. */
const FACTS = ["state", "reading", "labels", "digest", "refused"];
const PATIENCE = 15;
const THUMBNAILS = 6;
const LABELS = 12;
const REJECTED = 1000;
const IMBALANCE = 3;

/** Errors that another reading may mend: of the labels, or of a table that is too large. */
const MENDABLE = ["InvalidDataset", "TooLarge"];

export async function dataset({ root, parts: [id], signal, load }) {
  document.title = "New training · Headstart";
  if (!id) return go("");
  const elsewhere = h("div", {});
  const card = h("section", { class: "card", "aria-labelledby": "pictures", tabindex: -1 });
  const form = h("section", { class: "card", "aria-labelledby": "how" });
  root.append(elsewhere, card, form);
  await show({ id, elsewhere, card, form, signal, load, training: null, shown: new AbortController() });
  return undefined;
}

/**
 * Show the dataset as soon as it is read, and again whenever it is read in another way.
 *
 * What the user has filled in for the training is kept. `view.shown` ends what was shown before.
 */
async function show(view) {
  const { id, elsewhere, card, form, load } = view;
  view.shown.abort();
  view.shown = new AbortController();
  const signal = AbortSignal.any([view.signal, view.shown.signal]);
  const path = `v1/datasets/${encodeURIComponent(id)}`;
  form.hidden = true;
  put(elsewhere);
  const record = await read(path, card, signal);
  const again = () => show(view).catch((error) => error.name === "AbortError" || put(card, heading(record), problem(error), other()));
  const requireSame = async () => {
    if (isSame(record, await get(path, signal))) return;
    put(elsewhere, changed(again));
    throw new Error("These images have been read in another way meanwhile. See above.");
  };
  const apply = async (reading) => {
    await requireSame();
    await send(`${path}/reading`, reading);
    card.focus();
    again();
  };
  put(card, heading(record), record.state === "failed" ? whyFailed(record, apply) : contents(record, apply, signal), other());
  watch(record, path, () => put(elsewhere, changed(again)), signal);
  if (record.state === "failed" || record.doubt) return;
  view.training ??= await trainingForm(record, load);
  if (signal.aborted) return; // it is shown anew
  view.training.guard(requireSame);
  put(form, h("h2", { id: "how" }, "Training"), view.training.element);
  form.hidden = false;
}

function whyFailed(record, apply) {
  // One that was never read can be mended by a reading only if it is the labels that are wrong.
  const mend = MENDABLE.includes(record.error.type) ? readingForm(record, apply, record.images !== null) : null;
  return [problem(new Error(record.error.detail)), mend];
}

function contents(record, apply, signal) {
  if (!record.refused) announce(outcome(record));
  return [whyRefused(record), doubtful(record, apply), summary(record), howRead(record), readingForm(record, apply), labels(record, apply, signal), rejected(record, signal)];
}

/** Call `onChange` once the dataset is not any more what `record` says, by another window or command. */
async function watch(record, path, onChange, signal) {
  try {
    do await rest(CALM_MILLISECONDS, signal);
    while (isSame(record, await get(path, signal).catch((error) => (passes(error) ? record : null))));
    if (!signal.aborted) onChange(); // a look that is given up has seen nothing
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
}

const isSame = (one, other) => FACTS.every((fact) => JSON.stringify(one?.[fact]) === JSON.stringify(other?.[fact]));

const changed = (again) => h("section", { class: "card row", role: "status" },
  h("p", { class: "warn grow" }, "These images have been read in another way, or removed, in another window or by a command. What is below is from before."),
  h("button", { type: "button", class: "primary", onclick: again }, "Show how they are now"));

function outcome({ images, labels: counts, doubt }) {
  const found = `${plural(images, "image")} with ${plural(Object.keys(counts).length, "label")}`;
  return doubt ? `${found} were found. Is this right? ${doubt}` : `${found} can be trained on.`;
}

/** Wait until a worker has read the dataset, and say so. */
async function read(path, card, signal) {
  const trouble = h("div", {});
  put(card, trouble);
  for (let looks = 0; ; looks++) {
    const record = await persist(() => get(path, signal), trouble, signal);
    if (["ready", "failed"].includes(record.state)) return record;
    const queued = looks > PATIENCE && record.state === "queued";
    put(card, heading(record), h("progress", { "aria-label": "Reading" }),
      h("p", { class: "muted" }, queued ? "Waiting for a worker: is one running, or are all busy?" : "The images are being read …"), trouble);
    await pause(LOOK_MILLISECONDS, signal);
  }
}

const heading = ({ source }) => h("h2", { id: "pictures" }, "Images: ", h("span", { class: "name" }, source));
const other = () => h("p", { class: "after" }, h("a", { href: "#/" }, "Choose other images"));

function summary(record) {
  const { images, labels: counts, splits, has_split: split, ignored, rejected_count: bad } = record;
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
    madeOf(record),
    uneven ? h("p", { class: "warn" }, "The labels differ much in size; class weights “balanced”, among the settings below, gives each label the same weight.") : null,
  ];
}

/** Of which dataset this one was made, and how they differ. */
function madeOf({ parent, root, corrected, added }) {
  if (!parent) return null;
  const changes = [corrected ? `${plural(corrected, "image")} corrected` : null, added ? `${plural(added, "image")} added` : null].filter(Boolean);
  return h("p", {}, "It was made of ", h("a", { href: link("datasets", parent) }, "another dataset"), changes.length ? `: ${changes.join(", ")}` : "", parent === root || !changes.length ? "." : " since the first one.");
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
  const bar = h("div", { class: "after" }, h("div", { class: "row" }, save, h("span", { class: "muted" }, "Labels with the same name become one.")), fault);
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
  whenSeen(thumbnails, () => persist(() => get(`v1/datasets/${id}/images?${query}`, signal), thumbnails, signal)
    .then(({ images }) => put(thumbnails, images.map((image) => small(id, image.sha256, image.name))))
    .catch((error) => signal.aborted || put(thumbnails, problem(error))));
  return h("div", { class: "label", role: "group", "aria-label": label },
    h("div", { class: "row between" }, h("h3", {}, label), edit, h("span", { class: "number" }, count(number))),
    h("div", { class: "bar", "aria-hidden": "true" }, h("span", { vars: { "--share": share } })),
    thumbnails);
}

/** Do something once an element comes into sight: of a thousand labels, few do. */
function whenSeen(element, then) {
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
    observer.disconnect();
    then();
  }, { rootMargin: "200px" });
  observer.observe(element);
}

function rejected({ id, rejected: files, rejected_count: number, verdicts }, signal) {
  if (!number) return null;
  const counts = Object.entries(verdicts).map(([verdict, some]) => `${some} ${verdict}`).join(", ");
  const body = h("tbody", {}, files.map(rejectedRow));
  let after = files.length;
  const show = async () => {
    more.disabled = true;
    const page = await persist(() => get(`v1/datasets/${id}/rejected?limit=${REJECTED}&after=${after}`, signal), trouble, signal);
    body.append(...page.rejected.map(rejectedRow));
    after = page.after;
    more.disabled = false;
    if (after === null) more.remove();
  };
  const trouble = h("div", {});
  const more = h("button", { type: "button", onclick: () => show().catch((error) => signal.aborted || put(trouble, problem(error))) },
    number - files.length > REJECTED ? `Show ${REJECTED} more` : `Show all ${number}`);
  return h("details", { open: number <= 10, class: "after" },
    h("summary", {}, h("span", { class: "warn" }, `${plural(number, "file")} will not be used: ${counts}`)),
    h("div", { class: "scroll" }, h("table", { class: "records" },
      h("thead", {}, h("tr", {}, ["File", "Verdict", "Why"].map((name) => h("th", { scope: "col" }, name)))), body)),
    trouble, number > files.length ? more : null);
}

const rejectedRow = ({ name, verdict, detail }) =>
  h("tr", {}, h("td", { class: "name file" }, name), h("td", {}, verdict), h("td", { class: "name muted" }, detail));

/** `{element, guard(check)}`; `check` throws if a training must not be started. */
async function trainingForm(record, load) {
  const [document, rows, trainings, models] = await Promise.all(
    ["openapi.json", "v1/architectures", "v1/trainings", "v1/models"].map((path) => load(() => get(path))));
  let check = null;
  const schema = trainingSchema(document);
  const [more, tune] = [settings(schema), tuneChoice(schema.properties.tune)];
  const name = h("input", { id: "model", name: "model", class: "short", value: nameFrom(record.source), autocomplete: "off", "aria-describedby": "model-hint model-served" });
  const served = h("span", { class: "hint", id: "model-served", "aria-live": "polite" });
  const showServed = () => put(served, name.value ? beforeStart(name.value, models) : "Without a name, the model is called as the images are.");
  name.addEventListener("input", showServed);
  showServed();
  const faults = h("div", {});
  const start = h("button", { class: "primary" }, "Start training");
  const before = record.parent ? newestOn(record, trainings) : null;
  const again = before && h("button", { type: "button", class: "primary", onclick: () => submit(sameSettings(before.request, record.id)) }, `Train ${before.model} again`);
  const folded = h("details", {}, h("summary", {}, "Other settings"), more.element);
  const form = h("form", { novalidate: true, class: "stack" },
    again ? h("div", { class: "row" }, again, h("span", { class: "muted grow" }, `with the settings of version ${before.version}, or choose others:`)) : null,
    h("div", { class: "field" }, h("label", { for: "model" }, "Model name"), name,
      h("span", { class: "muted hint", id: "model-hint" }, "A name that exists gets a new version. Letters, digits, - and _."), served),
    architectures(rows, schema.properties.architecture.default, measuredSpeeds(trainings)),
    tune.element, folded, faults, h("div", {}, start), comparisonForm(rows, compared, () => check()));
  function compared() {
    const { promote, ...others } = more.values();
    return { dataset: record.id, ...(name.value && { model: name.value }), ...others, ...(promote && promote !== "if_better" && { promote }) };
  }
  const showLayers = () => {
    const row = rows.find(({ id }) => id === form.elements.architecture.value);
    if (row) tune.show(row);
  };
  form.addEventListener("change", ({ target }) => target.name === "architecture" && showLayers());
  showLayers();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const architecture = form.elements.architecture.value;
    submit({ dataset: record.id, ...(name.value && { model: name.value }), ...(architecture && { architecture }), ...more.values(), tune: tune.value() });
  });
  async function submit(body) {
    if (start.disabled) return;
    start.disabled = true;
    put(faults);
    try {
      await check();
      const training = await create("v1/trainings", body, (trouble) => put(faults, waiting(trouble)));
      go("trainings", training.id);
    } catch (error) {
      const errors = Object.groupBy(error.errors ?? [], ({ field }) => (field.split(".")[0] === "tune" ? "tune" : "others"));
      const others = errors.others ?? [];
      tune.complain(errors.tune ?? []);
      const elsewhere = more.complain(others);
      folded.open ||= elsewhere.length < others.length;
      put(faults, problem(error));
    } finally {
      start.disabled = false;
    }
  }
  const guard = (next) => {
    check = next;
    put(faults);
  };
  return { element: form, guard };
}

/** A model name, made from the name of an archive or folder. */
function nameFrom(source) {
  const last = source.split(/[\\/]/).filter(Boolean).at(-1) ?? "";
  const stem = last.replace(/\.(zip|tar|tgz|tar\.gz|gz)$/i, "");
  const clean = stem.replace(/[^A-Za-z0-9_-]+/g, "-").replace(/^[-_]+|-+$/g, "").slice(0, 63);
  return clean || "default";
}
