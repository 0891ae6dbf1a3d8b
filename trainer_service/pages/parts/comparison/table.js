/* The table of a comparison, and what is not in it. */

import { h } from "../../../web/dom.js";
import { bytes, decimal, duration, percent, range } from "../../lib/format.js";
import { link } from "../../lib/router.js";

const HEADS = {
  Candidate: "", Published: "", Accuracy: "number", "95 % interval": "wide number", "Log loss": "number", "Macro F1": "wide number",
  "Behind the best": "number", "Wins : losses": "wide number", p: "number", "Core-ms a picture": "number", "in batches of 8": "wide number",
  Memory: "wide number", Version: "wide number", "Multiply-adds": "wide number", Training: "wide number",
};
/** Below this, a p is not told exactly. */
const TINY = 0.0001;

/** The candidates with a row, the most accurate first. */
export const ranked = (record) => record.candidates.filter(({ row }) => row)
  .sort((one, other) => other.row.accuracy - one.row.accuracy || one.row.loss - other.row.loss);

/** The table; `action(candidate)` tells whether it is published, or publishes it. */
export function table(record, action) {
  const rows = ranked(record);
  if (!rows.length) return null;
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Candidates" }, h("table", { class: "records" },
    h("thead", {}, h("tr", {}, Object.entries(HEADS).map(([name, style]) => h("th", { scope: "col", class: style }, name)))),
    h("tbody", {}, rows.map((one) => rowOf(one, record.verdict, action)))));
}

function rowOf({ name, training, row, ...rest }, verdict, action) {
  const { cost } = row;
  const tags = [verdict?.best === name ? "most accurate" : null, verdict?.recommended === name ? "recommended" : null].filter(Boolean);
  return h("tr", {},
    h("td", {}, h("a", { class: "name", href: link("trainings", training) }, name), tags.length ? h("span", { class: "muted" }, ` ${tags.join(", ")}`) : null),
    h("td", {}, action({ name, training, row, ...rest }) ?? "no"),
    h("td", { class: "number", "data-head": "Accuracy" }, percent(row.accuracy)),
    h("td", { class: "wide number muted" }, range(row)),
    h("td", { class: "number", "data-head": "Log loss" }, decimal(row.loss)),
    h("td", { class: "wide number" }, decimal(row.macro_f1)),
    h("td", { class: "number", "data-head": "Behind the best" }, `${(100 * row.difference).toFixed(1)} points`),
    h("td", { class: "wide number" }, `${row.wins} : ${row.losses}`),
    h("td", { class: "number", "data-head": "p" }, pText(row.p)),
    h("td", { class: "number", "data-head": "Core-ms a picture", title: row.cost_error }, decimal(cost?.single, 1)),
    h("td", { class: "wide number" }, decimal(cost?.batched, 1)),
    h("td", { class: "wide number" }, cost ? bytes(cost.memory_bytes) : "–"),
    h("td", { class: "wide number" }, bytes(row.version_bytes)),
    h("td", { class: "wide number" }, `${(row.multiply_adds / 1e9).toFixed(1)} G`),
    h("td", { class: "wide number" }, duration(row.training_seconds)));
}

/** A p as people read it. */
export const pText = (p) => (p < TINY ? `< ${TINY}` : p.toPrecision(2));

/** What has no row, and why; null if there is nothing to tell. */
export function without(record) {
  const others = record.candidates.filter(({ dropped, error }) => dropped || error);
  if (!others.length) return null;
  return h("section", { class: "after" }, h("h3", {}, "Not trained to the end"),
    h("ul", { class: "notes" }, others.map(({ name, dropped, error }) => h("li", {}, h("strong", { class: "name" }, name), `: ${dropped ?? error}`))));
}

/** The figures of the first round, the best first; null if there was none. */
export function firstRound(record) {
  const tried = record.candidates.filter(({ first_round: found }) => found).sort((one, other) => one.first_round.loss - other.first_round.loss);
  if (!tried.length) return null;
  return h("details", { class: "after" }, h("summary", {}, `First round, on ${tried[0].first_round.images} images`),
    h("ul", { class: "notes" }, tried.map(({ name, first_round: found }) =>
      h("li", {}, h("span", { class: "name" }, name), `: log loss ${decimal(found.loss)} ± ${decimal(found.standard_error)}`))));
}
