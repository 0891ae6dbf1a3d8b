/* The images, each with its prediction or its error. */

import { announce, h, put } from "../../web/dom.js";
import { bytes, percent, plural, sentence } from "../lib/format.js";
import { heat } from "./heat.js";
import { nearest } from "./nearest.js";

const SMALL = 64;

/**
 * Fill `element`: `{add(pictures), refresh(model)}`.
 *
 * `add` puts images, `[{file, name}]`, before the others and returns an entry for each:
 * `{file, wait(text), work(), answer(prediction), fail(error)}`.
 * `again` is called with the entries to classify again, and `onRemove` with each removed entry.
 * `below` gets an entry once it is answered and returns what is shown below the answer: an element,
 * null for nothing, or undefined for what is there already. `trainer` returns the trainer, from
 * `otherService`, or null where it is not known.
 */
export function results(element, { again, onRemove, below, trainer }) {
  const entries = new Set();
  const list = h("div", { class: "results" });
  const repeat = h("button", { type: "button", class: "primary", hidden: true, onclick: () => again(stale()) });
  const clear = h("button", { type: "button", onclick: () => [...entries].forEach(remove) }, "Remove all");
  element.append(h("div", { class: "row between" }, h("h2", {}, "Results"), h("div", { class: "row" }, repeat, clear)), list);
  let current = null;

  const stale = () => [...entries].filter((entry) => entry.by && current && !same(entry.by, current));
  const settle = () => {
    const old = stale();
    for (const entry of entries) entry.element.classList.toggle("old", old.includes(entry));
    repeat.hidden = old.length === 0;
    if (old.length) repeat.textContent = `Ask ${current.name}, version ${current.version}, about ${plural(old.length, "image")}`;
    element.hidden = entries.size === 0;
  };
  const remove = (entry) => {
    entries.delete(entry);
    entry.release();
    onRemove(entry);
    settle();
    tell();
  };
  const tell = () => announce(summary([...entries]));
  /** Its images are those of the version that answered; of an earlier one, the dataset is not known any more. */
  const near = (prediction) => nearest(prediction, current && same(prediction, current) ? current.dataset : null, trainer());

  return {
    add(pictures) {
      const added = pictures.map((picture) => {
        const entry = card(picture, again, () => (settle(), tell()), () => remove(entry), below, () => current?.heatmaps ?? false, near);
        entries.add(entry);
        return entry;
      });
      list.prepend(...added.map((entry) => entry.element));
      settle();
      return added;
    },
    refresh(model) {
      current = model;
      settle();
    },
  };
}

const same = (by, model) => by.model === model.name && by.version === model.version;

function summary(entries) {
  const failed = entries.filter((entry) => entry.failed).length;
  const answered = entries.filter((entry) => entry.by && !entry.failed).length;
  if (failed + answered < entries.length) return "";
  return `${plural(answered, "image")} classified${failed ? `, ${failed} refused` : ""}.`;
}

function card({ file, name }, again, onSettled, onRemove, below, canExplain, near) {
  const url = URL.createObjectURL(file);
  const size = h("p", { class: "muted small" }, bytes(file.size));
  const answer = h("div", { class: "answer" });
  const more = h("div", { class: "below" });
  const element = h(
    "article",
    { class: "card result", "aria-label": name },
    preview(url, size, file),
    h("div", {},
      h("header", {}, h("h3", {}, name), h("button", { type: "button", class: "remove", "aria-label": `Remove ${name}`, onclick: onRemove }, "✕")),
      size),
    answer, more,
  );
  const say = (busy, ...children) => {
    answer.setAttribute("aria-busy", String(busy));
    put(answer, ...children);
  };
  return {
    element,
    file,
    name,
    by: null,
    failed: false,
    wait(text) {
      this.by = null;
      this.failed = false;
      say(true, h("p", { class: "muted" }, text));
    },
    work: () => say(true, h("p", { class: "muted" }, "Is being classified …")),
    answer(prediction) {
      this.by = prediction;
      const by = `by ${prediction.model}, version ${prediction.version}`;
      const why = canExplain() ? heat(url, file, prediction.model) : null;
      say(false, warning(prediction), bars(prediction.top, why), why?.element, near(prediction), h("p", { class: "muted small by" }, by));
      const found = below(this);
      if (found !== undefined) put(more, found);
      onSettled();
    },
    fail(error) {
      this.failed = true;
      const passing = error.status === undefined || error.status >= 500;
      const retry = h("button", { type: "button", onclick: () => again([this]) }, "Try again");
      say(false, h("p", { class: "problem" }, sentence(error.message)), passing ? retry : null);
      onSettled();
    },
    release() {
      URL.revokeObjectURL(url);
      element.remove();
    },
  };
}

function preview(url, size, file) {
  const image = h("img", { src: url, alt: "", class: "preview", decoding: "async" });
  image.addEventListener("load", () => {
    size.textContent = `${image.naturalWidth} × ${image.naturalHeight} pixels, ${bytes(file.size)}`;
    image.classList.toggle("pixelated", Math.max(image.naturalWidth, image.naturalHeight) <= SMALL);
  });
  image.addEventListener("error", () => image.replaceWith(h("span", { class: "preview none" }, "No preview")));
  return image;
}

/** What stands above the labels of a picture that is unlike all training images. */
function warning({ known, unknown }) {
  if (!unknown) return null;
  return h("p", { class: "unknown" }, h("strong", {}, "Unknown: "), `not like any training image. At most ${percent(known)} of known pictures are as far from them.`);
}

function bars(top, why) {
  return h("ol", { class: "bars" }, top.map(({ label, probability }) =>
    h("li", {},
      h("div", { class: "row" }, why ? why.button(label) : h("span", { class: "name" }, label), h("span", { class: "number" }, percent(probability))),
      h("div", { class: "bar", "aria-hidden": "true" }, h("span", { vars: { "--share": probability } })))));
}
