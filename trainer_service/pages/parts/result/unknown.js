/* Whether a model tells which pictures are unknown to it. */

import { h } from "../../../web/dom.js";
import { percent } from "../../lib/format.js";

const ROWS = [
  ["Test images (false alarms)", "false_alarms"],
  ["Pictures of other datasets", "other_datasets"],
  ["Test images without their label", "left_out"],
];

/** The card of what was measured, or null: older trainings do not have it. */
export function unknown({ unknown: told }) {
  if (!told) return null;
  const drawn = Object.entries(told.probes).map(([name, share]) => [`Drawn: ${name}`, share]);
  const [alarms, others, near] = ROWS.map(([name, field]) => [name, told[field]]);
  const rows = [alarms, others, ...drawn, near].filter(([, share]) => share);
  return h("section", { class: "card" }, h("h2", {}, "Does it know what it does not know?"),
    h("p", {}, told.detail),
    rows.length ? table(rows) : null);
}

function table(rows) {
  const names = ["Pictures", "Called unknown", "Of", "Share", "95 % interval"];
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Pictures that are called unknown" },
    h("table", {},
      h("thead", {}, h("tr", {}, names.map((name, column) => h("th", { scope: "col", class: column ? "number" : null }, name)))),
      h("tbody", {}, rows.map(([name, share]) => h("tr", {}, h("th", { scope: "row" }, name),
        [share.count, share.pictures, percent(share.count / share.pictures), `${percent(share.low)} to ${percent(share.high)}`].map((text) => h("td", { class: "number" }, text)))))));
}
