/* All models, the versions of each side by side. */

import { rest } from "../lib/again.js";
import { get, put as send } from "../lib/api.js";
import { announce, h, put } from "../../web/dom.js";
import { percent, range, when } from "../lib/format.js";
import { problem } from "../lib/messages.js";
import { link } from "../lib/router.js";
import { macroF1 } from "../parts/result/metrics.js";
import { backbone } from "../parts/curves/tuning.js";

const LOOK_MILLISECONDS = 5000;
const HEADS = {
  Version: "", Accuracy: "number", "95 % range": "wide number", "Macro F1": "wide number", Architecture: "wide", Labels: "wide number", Published: "", "": "",
};

export async function models({ root, signal, load }) {
  document.title = "Models · Headstart";
  const none = h("section", { class: "card" }, h("h2", {}, "Models"), h("p", { class: "muted" }, "No model has been published yet."));
  const cards = new Map();
  let pins = 0;
  none.hidden = true;
  root.append(none);
  for (;;) {
    const before = pins;
    const all = await load(() => get("v1/models", signal));
    if (pins !== before) continue; // the answer may be from before
    none.hidden = all.length > 0;
    for (const [name, { section }] of cards) if (!all.some((model) => model.name === name)) section.remove();
    for (const model of all) {
      if (!cards.get(model.name)?.section.isConnected) cards.set(model.name, card(model, () => (pins += 1)));
      cards.get(model.name).show(model);
    }
    root.append(...all.map(({ name }) => cards.get(name).section).filter((section) => !section.isConnected));
    await rest(LOOK_MILLISECONDS, signal);
  }
}

/** A model: `{section, show(model)}`; what has not changed is left as it is, so that focus stays. */
function card({ name }, onPin) {
  const section = h("section", { class: "card", "aria-label": `Model ${name}` });
  const [body, fault] = [h("div", {}), h("div", {})];
  section.append(body, fault);
  let shown = null;
  const show = (current) => {
    const key = JSON.stringify(current);
    if (key !== shown) put(body, ...content(current, pin));
    shown = key;
  };
  const pin = async (version) => {
    put(fault);
    try {
      const changed = await send(`v1/models/${encodeURIComponent(name)}/pin`, { version });
      onPin();
      show(changed);
      announce(version ? `Version ${version} of ${name} is pinned.` : `${name} follows its newest version.`);
      section.querySelector(`[data-version="${version ?? changed.versions[0]?.version}"] button`)?.focus();
    } catch (error) {
      put(fault, problem(error));
    }
  };
  return { section, show };
}

function content({ name, pinned, versions, damaged, notice }, pin) {
  const chosen = pinned ?? versions[0]?.version;
  const ids = versions.map((version) => version.training_id).join(",");
  return [
    h("div", { class: "row between" }, h("h2", { class: "name" }, name),
      versions.length > 1 ? h("a", { class: "button", href: link("compare", ids) }, "Compare versions") : null),
    chosen ? h("p", { class: "muted" }, pinned ? `Pinned: the predictor stays with version ${pinned}.` : "The predictor serves the newest version that answers as it did when it was trained; its own page shows which that is.") : null,
    versions.length ? table(versions.map((version) => row(version, chosen, pinned, pin))) : null,
    ...[notice, ...damaged.map(({ version, reason }) => `Version ${version} is damaged: ${reason}`)].filter(Boolean).map((text) => h("p", { class: "problem" }, text)),
  ];
}

const table = (rows) => h("div", { class: "scroll" }, h("table", { class: "records" },
  h("thead", {}, h("tr", {}, Object.keys(HEADS).map((title) =>
    h("th", { scope: "col", class: HEADS[title] }, title)))),
  h("tbody", {}, rows)));

function row({ version, architecture, tune, pretrained, labels, metrics, training_id: training, created_at: created }, chosen, pinned, pin) {
  const isPinned = version === pinned;
  return h("tr", { "data-version": version },
    h("td", {}, h("a", { href: link("trainings", training) }, `Version ${version}`), " ", version === chosen ? h("span", { class: "tag good" }, isPinned ? "pinned" : "newest") : null),
    h("td", { class: "number", "data-head": "Accuracy" }, percent(metrics.test?.accuracy)),
    h("td", { class: "wide number muted" }, range(metrics.test)),
    h("td", { class: "wide number" }, percent(macroF1(metrics.test))),
    h("td", { class: "wide" }, pretrained ? `${architecture}, as it is` : backbone(architecture, tune)),
    h("td", { class: "wide number", title: labels.join(", ") }, labels.length),
    h("td", { class: "muted" }, when(created)),
    h("td", { class: "last" }, h("button", { type: "button", onclick: () => pin(isPinned ? null : version), "aria-label": `${isPinned ? "Un-pin" : "Pin"} version ${version}` }, isPinned ? "Un-pin" : "Pin")));
}
