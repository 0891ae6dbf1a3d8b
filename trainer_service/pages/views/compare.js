/* Several trainings side by side. */

import { get } from "../lib/api.js";
import { h } from "../../web/dom.js";
import { count, decimal, duration, percent, plural, range, settingText, words } from "../lib/format.js";
import { problem } from "../lib/messages.js";
import { link } from "../lib/router.js";
import { history } from "../lib/follow.js";
import { areComparable } from "../lib/replaced.js";
import { changesCard } from "../parts/result/changes.js";
import { chart } from "../parts/curves/curves.js";
import { epochsOf } from "../parts/curves/head.js";
import { mending } from "../parts/picture/mending.js";
import { macroF1 } from "../parts/result/metrics.js";
import { stateTag } from "../parts/phases.js";
import { predictorSays } from "../parts/picture/predictor_says.js";
import { tunedOrNot } from "../parts/curves/tuning.js";

const MOST = 8;

export async function compare({ root, parts: [list = ""], signal, load }) {
  document.title = "Compare · Headstart";
  const ids = list.split(",").filter(Boolean);
  const card = h("section", { class: "card" }, h("h2", {}, `Compare ${plural(Math.min(ids.length, MOST), "training")}`));
  root.append(card);
  if (ids.length < 2) return card.append(h("p", {}, "Choose at least two ", h("a", { href: "#/trainings" }, "trainings"), "."));
  if (ids.length > MOST) card.append(h("p", { class: "warn" }, `The first ${MOST} of ${ids.length} are shown.`));
  const found = await Promise.all(ids.slice(0, MOST).map((id) => load(() => one(id, signal)).catch((error) => ({ error }))));
  card.append(...found.filter(({ error }) => error).map(({ error }) => problem(error)));
  const all = found.filter(({ error }) => !error).map(({ record, epochs }, index) => ({ record, epochs, color: index + 1, name: nameOf(record, index) }));
  if (!all.length) return;
  const [loss, accuracy] = [chart("Validation loss", decimal), chart("Validation accuracy", percent, { high: 1 })];
  const trained = all.filter(({ epochs }) => epochs.length);
  card.append(trained.length ? h("div", { class: "columns" }, loss.element, accuracy.element) : "", table(all));
  loss.draw(trained.map((one) => line(one, "val_loss")));
  accuracy.draw(trained.map((one) => line(one, "val_accuracy")));
  if (all.length === 2) await showChanges(root, found.filter(({ error }) => !error), signal, load);
}

async function one(id, signal) {
  const record = await get(`v1/trainings/${encodeURIComponent(id)}`, signal);
  if (record.state !== "succeeded") return { record, epochs: (await history(record.id, signal)).filter(({ type }) => type === "epoch") };
  const report = await get(`v1/trainings/${record.id}/report`, signal);
  return { record, epochs: epochsOf(report.history), labels: report.labels };
}

/** What has changed from the older of two trainings to the newer one, if their images are the same or were made of the same. */
async function showChanges(root, found, signal, load) {
  const [older, newer] = found.toSorted((a, b) => Date.parse(a.record.created_at) - Date.parse(b.record.created_at));
  if (!areComparable(newer.record, older.record)) return;
  const about = await load(() => get("v1/about", signal));
  const mend = mending(newer.record, newer.labels, predictorSays(newer.record, about, signal), signal);
  root.append(await changesCard(newer.record, older.record, mend, signal), mend.bar);
}

const nameOf = ({ model, version }, index) => `${index + 1}: ${model}${version ? `, version ${version}` : ""}`;

const line = ({ name, color, epochs }, field) => ({ name, color, dashed: color > MOST / 2, values: epochs.map((epoch) => epoch[field] ?? null) });

function table(all) {
  const rows = [
    ["State", ({ record }) => stateTag(record.state)],
    ["Test accuracy", ({ record }) => percent(record.metrics.test?.accuracy)],
    ["With 95 % confidence", ({ record }) => range(record.metrics.test)],
    ["Test loss", ({ record }) => decimal(record.metrics.test?.loss)],
    ["Macro F1", ({ record }) => percent(macroF1(record.metrics.test))],
    ["Architecture", ({ record }) => record.architecture],
    ["Images", ({ record }) => (record.dataset.images === null ? "–" : count(record.dataset.images))],
    ["Head", ({ record, epochs }) => headOf(record, epochs)],
    ["Fine-tuning", ({ record }) => tunedOrNot(record)],
    ["Took", ({ record }) => duration(record.transitions.reduce((sum, { seconds }) => sum + (seconds ?? 0), 0))],
    ...differing(all),
  ];
  return h("div", { class: "scroll" }, h("table", { class: "compared" },
    h("thead", {}, h("tr", {}, h("td", {}), all.map(({ name, record, color }) =>
      h("th", { scope: "col" }, h("span", { class: `dot series-${color}`, "aria-hidden": "true" }), h("a", { href: link("trainings", record.id) }, name))))),
    h("tbody", {}, rows.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), all.map((one) => h("td", {}, value(one))))))));
}

function headOf({ head }, epochs) {
  if (head?.kind === "pretrained") return "its own classifier";
  if (epochs.length) return `layers, ${plural(epochs.length, "epoch")}`;
  return head ? `regression on ${head.features} features (${head.taps}${head.views > 1 ? `, ${head.views} views` : ""})` : "–";
}

/** The settings in which the trainings differ, as rows. */
function differing(all) {
  const names = Object.keys(all[0].record.request).filter((name) => !["model", "architecture", "dataset"].includes(name));
  return names
    .filter((name) => new Set(all.map(({ record }) => settingText(record.request[name]))).size > 1)
    .map((name) => [words(name), ({ record }) => settingText(record.request[name])]);
}
