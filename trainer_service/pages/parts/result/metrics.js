/* Numbers of an evaluation. */

import { h } from "../../../web/dom.js";
import { count, percent } from "../../lib/format.js";

/** The mean of the labels' F1, or null without an evaluation. Older evaluations do not have it. */
export function macroF1(test) {
  if (test?.macro_f1 !== undefined) return test.macro_f1;
  const all = Object.values(test?.per_class ?? {});
  return all.length ? all.reduce((sum, { f1 }) => sum + f1, 0) / all.length : null;
}

/** Precision, recall and F1 of each label as a table. */
export function perLabel(test) {
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Label"), ["Precision", "Recall", "F1", "Images"].map((name) => h("th", { scope: "col", class: name === "Images" ? "wide number" : "number" }, name)))),
    h("tbody", {}, Object.entries(test.per_class).map(([label, { precision, recall, f1, support }]) =>
      h("tr", {}, h("th", { scope: "row", class: "name" }, label),
        [precision, recall, f1].map((value) => h("td", { class: "number" }, percent(value))),
        h("td", { class: "wide number" }, count(support)))))));
}
