/* One comparison: what runs, and its table and picture when it is done. */

import { persist, rest } from "../lib/again.js";
import { get, post } from "../lib/api.js";
import { announce, h, put } from "../../web/dom.js";
import { percent, plural, when, words } from "../lib/format.js";
import { problem } from "../lib/messages.js";
import { link } from "../lib/router.js";
import { stateTag } from "../parts/phases.js";
import { picture } from "../parts/comparison/picture.js";
import { firstRound, table, without } from "../parts/comparison/table.js";

const LOOK_MILLISECONDS = 1500;
const ENDED = ["succeeded", "failed", "cancelled"];

export async function comparison({ root, parts: [id], signal, load }) {
  const path = `v1/comparisons/${encodeURIComponent(id)}`;
  const [head, fault, trouble, running] = Array.from({ length: 4 }, () => h("div", {}));
  const result = h("div", { class: "stack" });
  const show = (record) => {
    document.title = `${record.model}: comparison · Headstart`;
    put(head, heading(record));
    cancel.hidden = ENDED.includes(record.state);
    stop.hidden = record.state !== "training" || record.stop_requested;
    put(running, members(record));
    put(result, ...outcome(record, publish));
  };
  const look = async () => show(await get(path, signal));
  const ask = async (button, what, body) => {
    button.disabled = true;
    put(fault);
    try {
      await persist(() => post(`${path}/${what}`, body), fault, signal);
      await look();
    } catch (error) {
      if (!signal.aborted) put(fault, problem(error));
    } finally {
      button.disabled = false;
    }
  };
  const button = (text, what) => {
    const made = h("button", { type: "button", onclick: () => ask(made, what) }, text);
    return made;
  };
  const [cancel, stop] = [button("Cancel", "cancel"), button("Stop, and show what there is", "stop")];
  const publish = (training) => {
    const made = h("button", { type: "button", onclick: () => ask(made, "publish", { training }) }, "Publish");
    return made;
  };
  let record = await load(() => get(path, signal));
  root.append(h("section", { class: "card stack", "aria-labelledby": "comparison" },
    h("div", { class: "row between" }, head, h("div", { class: "row" }, stop, cancel)), trouble, fault, running), result);
  show(record);
  while (!ENDED.includes(record.state) || record.to_publish) {
    await rest(LOOK_MILLISECONDS, signal);
    const before = record;
    record = await persist(() => get(path, signal), trouble, signal);
    if (JSON.stringify(before) !== JSON.stringify(record)) show(record);
    if (before.state !== record.state) announce(`${words(record.state)}.`);
  }
}

function heading({ id, model, state, dataset, created_at: created, candidates, verdict, error }) {
  return [
    h("h2", { id: "comparison" }, h("span", { class: "name" }, `${model}: ${candidates.length} compared`), " ", stateTag(state)),
    h("p", { class: "muted" }, h("a", { href: link("datasets", dataset.id) }, "images"), ` · ${when(created)} · `, h("code", {}, id)),
    verdict ? h("p", {}, h("strong", {}, verdict.sentence)) : null,
    error ? problem(new Error(error.detail)) : null,
  ];
}

/** The trainings that run or wait; null once the comparison has ended. */
function members({ state, trainings }) {
  const open = trainings.filter((one) => !ENDED.includes(one.state));
  if (ENDED.includes(state)) return null;
  if (!open.length) return h("p", { class: "muted" }, state === "measuring" ? "Measuring what it costs to serve them …" : "Waiting for a worker …");
  return h("ul", { class: "list", "aria-label": "Trainings" }, open.map(({ id, candidate, round, state: now, progress }) =>
    h("li", { class: "row" }, h("a", { class: "name grow", href: link("trainings", id) }, `${candidate}${round === "first" ? ", first round" : ""}`),
      stateTag(now), progress?.total ? percent(progress.done / progress.total, 0) : null)));
}

function outcome(record, publish) {
  const published = new Map(record.published.map(({ training, version }) => [training, version]));
  const action = ({ training }) => {
    if (published.has(training)) return h("a", { href: link("models") }, `version ${published.get(training)}`);
    if (record.to_publish === training) return h("span", { class: "muted" }, "publishing …");
    return ENDED.includes(record.state) ? publish(training) : null;
  };
  const rows = table(record, action);
  const others = without(record);
  const first = firstRound(record);
  if (!rows && !others && !first) return [];
  return [
    picture(record) && h("section", { class: "card" }, picture(record)),
    h("section", { class: "card" }, h("h2", {}, "Table"),
      rows ?? h("p", { class: "muted" }, "It has a row for each candidate that is trained on all images."),
      rows && h("p", { class: "muted" }, `Behind the best: by how much the accuracy is lower, on the same ${plural(record.candidates.find(({ row }) => row).row.images, "test image")}. Wins are images that only this one answers right, losses those that only the best one does; p is that of McNemar's exact test. Training: as if no features had been stored.`),
      record.publish_error ? problem(new Error(`Not published: ${record.publish_error}`)) : null,
      others, first,
      record.report ? h("p", { class: "after" }, h("a", { href: record.report.slice(1) }, "Report in one file")) : null),
  ].filter(Boolean);
}
