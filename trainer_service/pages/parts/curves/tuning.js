/* How fine-tuning goes, and what came of it. */

import { h, put } from "../../../web/dom.js";
import { bytes, decimal, duration, percent, plural } from "../../lib/format.js";
import { chart, oncePerFrame } from "./curves.js";

const BEFORE = "before tuning";

/** `{element, add(event), end(), showHistory(rows), explain(info)}`; hidden until there is something to tell. */
export function tuningCard() {
  const [loss, accuracy] = [chart("Validation loss", decimal), chart("Validation accuracy", percent, { high: 1 })];
  const [time, why, figures] = [h("p", { class: "muted" }), h("p", {}), h("div", { class: "stack" })];
  const curves = h("div", { class: "columns" }, loss.element, accuracy.element);
  const element = h("section", { class: "card stack", "aria-label": "Fine-tuning", hidden: true }, h("h2", {}, "Fine-tuning"), time, why, figures, curves);
  curves.hidden = true;
  let rows = [];
  let frozen = null;
  let length = 0;
  let best = null;

  const draw = oncePerFrame(() => {
    element.hidden = !rows.length && !time.textContent && !why.textContent;
    curves.hidden = rows.length === 0;
    loss.draw(lines(rows, frozen, length, "loss"), best);
    accuracy.draw(lines(rows, frozen, length, "accuracy"), best);
  });
  return {
    element,
    /** Show an event: an estimate of the time, or an epoch. */
    add(event) {
      if (event.type === "tune_estimate") put(time, estimated(event));
      else {
        // Tuning that goes on after a fault reports the epochs before it again.
        rows = [...rows.slice(0, event.epoch - 1), event];
        frozen = event.frozen ?? frozen;
        length = event.epochs;
      }
      draw();
    },
    /** Take back how long it will take: the training has ended. */
    end() {
      put(time);
      draw();
    },
    /** Show the epochs of an ended training, as its report has them; older reports have none. */
    showHistory(all) {
      rows = all ?? [];
      length = rows.length;
      draw();
    },
    /** Show what came of it: the `tune` of a record, null if nothing was to be tuned or has been yet. */
    explain(info) {
      if (!info) return;
      frozen = info.frozen ?? frozen;
      best = info.best_epoch || null;
      put(why, info.reason);
      put(figures, info.tuned ? measures(info) : null, h("p", { class: "muted" }, described(info)));
      draw();
    },
  };
}

/** The lines of a chart: the epochs, and as a level what the network was before. */
export function lines(rows, frozen, length, field) {
  const tuned = { name: "tuned", color: 1, dashed: false, values: rows.map((row) => row[`val_${field}`] ?? null) };
  if (!frozen) return [tuned];
  return [tuned, { name: BEFORE, color: 2, dashed: true, values: Array(Math.max(length, rows.length)).fill(frozen[field]) }];
}

/** How long it will take, as a sentence. */
export function estimated({ seconds, views_seconds: views, epoch_seconds: each, epochs, bytes: size }) {
  const parts = [views ? `${duration(views)} for views of the images` : null, epochs === 1 ? `${duration(each)} for the epoch` : `${duration(each)} for each of ${epochs} epochs`];
  const disk = size ? ` The views take ${bytes(size)} on disk.` : "";
  return `This will take ${duration(seconds)} at most: ${parts.filter(Boolean).join(", and ")}.${disk}`;
}

/** Which layers learnt, for how long, as a line. */
export function described({ cut, epochs, best_epoch: best, views, augment, learning_rate: rate, seconds }) {
  const facts = [
    cut === "pixels" ? "All of the network" : `The layers behind ${cut}`,
    epochs ? plural(epochs, "epoch") : null,
    best ? `published: epoch ${best}` : null,
    epochs ? `${plural(views, "view")} of each image${augment.length ? ` (${augment.join(", ")})` : ""}` : null,
    `learning rate ${rate}`,
    seconds ? duration(seconds) : null,
  ];
  return `${facts.filter(Boolean).join(" · ")}.`;
}

/** In a word or two, for a table of trainings. */
export function tunedOrNot({ request, tune }) {
  if (!request.tune || request.tune === "off") return "no";
  if (!tune) return "not yet";
  return tune.published ? `yes, from ${tune.cut} on` : "tried, but not published";
}

/** The name of a backbone, and whether the published network has it tuned. */
export const backbone = (architecture, tune) => (tune?.published ? `${architecture}, tuned` : architecture);

function measures({ published, frozen, tuned }) {
  const row = (name, mark, { loss, accuracy }) => h("tr", {},
    h("th", { scope: "row" }, name, " ", mark ? h("span", { class: "tag good" }, "published") : null),
    h("td", { class: "number" }, decimal(loss)), h("td", { class: "number" }, percent(accuracy)));
  return h("div", { class: "scroll" }, h("table", { class: "narrow" },
    h("thead", {}, h("tr", {}, h("td", {}), ["Validation loss", "Validation accuracy"].map((name) => h("th", { scope: "col", class: "number" }, name)))),
    h("tbody", {}, row("Before tuning", !published, frozen), row("Tuned", published, tuned))));
}
