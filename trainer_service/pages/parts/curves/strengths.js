/* How well a regression does with each strength of its regularisation, drawn as they are tried. */

import { h, put } from "../../../web/dom.js";
import { decimal, percent } from "../../lib/format.js";
import { chart, oncePerFrame } from "./curves.js";

/** The names of the taps for a reader, in the order of their colours. */
const TAPS = { last: "last layer", late: "last three layers", all: "all layers" };
/** The colour of the line of further views, which are tried on one of the taps. */
const VIEWS_COLOR = 4;

/** `{element, add(strength event), showHistory(rows), explain(text)}`; hidden until there is one. */
export function strengthCurves() {
  let rows = [];
  const axis = { unit: "strength", mark: (position) => shortened(strengths(rows)[position - 1]) };
  const [loss, accuracy] = [chart("Validation loss", decimal, axis), chart("Validation accuracy", percent, { ...axis, high: 1 })];
  const why = h("p", {});
  const element = h("section", { class: "card stack", "aria-label": "Strengths", hidden: true },
    h("h2", {}, "Choice of the head"), why, h("div", { class: "columns" }, loss.element, accuracy.element),
    h("p", { class: "muted" }, "The stronger the regularisation, the simpler the head. The strength and the layers with the smallest validation loss are taken."));

  const draw = oncePerFrame(() => {
    element.hidden = rows.length === 0;
    loss.draw(lines(rows, "val_loss"));
    accuracy.draw(lines(rows, "val_accuracy"));
  });
  return {
    element,
    add(event) {
      // A phase that starts again after a crash reports its strengths again.
      rows = [...rows.slice(0, event.attempt - 1), event];
      draw();
    },
    showHistory(all) {
      rows = all;
      draw();
    },
    explain(text) {
      put(why, text);
    },
  };
}

/** The strengths that were tried, from strong to weak. */
export function strengths(rows) {
  return [...new Set(rows.map(({ strength }) => strength))].sort((one, other) => other - one);
}

/** A line for each of the taps, and one for further views if they were tried: its values by strength. */
export function lines(rows, field) {
  const [plain, viewed] = [rows.filter(({ views = 1 }) => views === 1), rows.filter(({ views = 1 }) => views > 1)];
  const groups = Object.entries(TAPS).map(([taps, name], index) => [name, index + 1, plain.filter((row) => row.taps === taps)]);
  if (viewed.length) groups.push([`${TAPS[viewed[0].taps]}, ${viewed[0].views} views`, VIEWS_COLOR, viewed]);
  const positions = strengths(rows);
  return groups.map(([name, color, own]) => {
    const values = positions.map((strength) => own.find((row) => row.strength === strength)?.[field] ?? null);
    return { name, color, dashed: false, values: trimmed(values) };
  }).filter(({ values }) => values.length);
}

/** The values up to the last one: a weak strength may not have been tried. */
const trimmed = (values) => values.slice(0, values.findLastIndex((value) => value !== null) + 1);

/** A strength as a short text, such as 0.25. */
export const shortened = (strength) => (strength === undefined ? "" : String(Number(strength.toPrecision(2))));
