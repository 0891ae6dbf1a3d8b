/* All trainings, to look at or to compare. */

import { persist, rest } from "../lib/again.js";
import { list } from "../lib/api.js";
import { h, put } from "../../web/dom.js";
import { count, duration, percent, range, when } from "../lib/format.js";
import { problem } from "../lib/messages.js";
import { go, link } from "../lib/router.js";
import { stateTag } from "../parts/phases.js";
import { backbone } from "../parts/curves/tuning.js";

const FEW = "Choose two to compare";
const LOOK_MILLISECONDS = 2000;
const CALM_MILLISECONDS = 10000;
const PAGE = 100;
const HEADS = {
  Compare: "", Model: "", State: "", Accuracy: "number", "95 % range": "wide number", Architecture: "wide", Images: "wide number", Took: "wide number", Started: "",
};
const ENDED = ["succeeded", "failed", "cancelled"];

export async function trainings({ root, signal }) {
  document.title = "Trainings · Headstart";
  const chosen = new Set();
  const compare = h("button", { type: "button", class: "primary", disabled: true, onclick: () => go("compare", [...chosen].join(",")) }, FEW);
  const toggle = (id, on) => {
    if (on) chosen.add(id);
    else chosen.delete(id);
    compare.disabled = chosen.size < 2;
    put(compare, chosen.size < 2 ? FEW : `Compare ${chosen.size}`);
  };
  const body = h("tbody", {});
  const table = h("div", { class: "scroll" }, h("table", { class: "records" }, h("thead", {}, h("tr", {}, Object.keys(HEADS).map(head))), body));
  const [status, trouble] = [h("div", {}), h("div", {})];
  let most = PAGE;
  const look = async () => {
    const asked = most;
    const records = await persist(() => list("v1/trainings", signal, asked), trouble, signal);
    if (asked < most) return records; // more have been asked for meanwhile
    older.hidden = records.length < most;
    update(body, records, chosen, toggle);
    put(status, records.length ? null : h("p", { class: "muted" }, "None yet. ", h("a", { href: "#/" }, "Start the first one.")));
    return records;
  };
  const older = h("button", { type: "button", hidden: true, onclick: () => {
    most += PAGE;
    look().catch((error) => signal.aborted || put(status, problem(error)));
  } }, "Show older ones");
  root.append(h("section", { class: "card" },
    h("div", { class: "row between" }, h("h2", {}, "Trainings"), compare), trouble, status, table, older));
  for (;;) {
    const records = await look();
    await rest(records.every(({ state }) => ENDED.includes(state)) ? CALM_MILLISECONDS : LOOK_MILLISECONDS, signal);
  }
}

const head = (name) => h("th", { scope: "col", class: HEADS[name] }, name);

/** Show the records, leaving rows that have not changed as they are: focus stays in them. */
function update(body, records, chosen, toggle) {
  const known = new Map([...body.rows].map((row) => [row.dataset.id, row]));
  const present = new Set(records.map(({ id }) => id));
  for (const [id, row] of known) {
    if (present.has(id)) continue;
    row.remove();
    toggle(id, false);
  }
  records.forEach((record, index) => {
    const old = known.get(record.id);
    const key = JSON.stringify([record.state, record.progress]);
    if (old?.dataset.key === key && body.rows[index] === old) return;
    const row = rowOf(record, key, chosen, toggle);
    if (old) old.replaceWith(row);
    else body.insertBefore(row, body.rows[index] ?? null);
  });
}

function rowOf(record, key, chosen, toggle) {
  const { id, model, version, architecture, state, dataset, metrics, transitions, created_at: created, progress, tune, pretrained } = record;
  const seconds = transitions.reduce((sum, transition) => sum + (transition.seconds ?? 0), 0);
  const box = h("input", {
    type: "checkbox", checked: chosen.has(id), "aria-label": `Compare ${model}, ${when(created)}`,
    onchange: (event) => toggle(id, event.target.checked),
  });
  const share = progress?.total ? ` ${percent(progress.done / progress.total, 0)}` : "";
  return h("tr", { "data-id": id, "data-key": key },
    h("td", {}, h("label", { class: "target" }, box)),
    h("td", {}, h("a", { href: link("trainings", id), class: "name" }, version ? `${model} ${version}` : model)),
    h("td", {}, stateTag(state), share),
    h("td", { class: "number", "data-head": "Accuracy" }, percent(metrics.test?.accuracy)),
    h("td", { class: "wide number muted" }, range(metrics.test)),
    h("td", { class: "wide" }, pretrained ? `${architecture}, as it is` : backbone(architecture, tune)),
    h("td", { class: "wide number" }, dataset.images === null ? "–" : count(dataset.images)),
    h("td", { class: "wide number" }, ENDED.includes(state) ? duration(seconds) : "–"),
    h("td", { class: "muted" }, when(created)));
}
