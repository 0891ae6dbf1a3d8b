/* All models, the versions of each side by side. */

import { rest } from "../lib/again.js";
import { get, post, put as send } from "../lib/api.js";
import { announce, h, put } from "../../web/dom.js";
import { percent, range, when } from "../lib/format.js";
import { problem } from "../lib/messages.js";
import { link } from "../lib/router.js";
import { editing } from "../parts/model_life/editing.js";
import { usageCard } from "../parts/model_life/usage.js";
import { askedFor } from "../parts/model_life/words.js";
import { history } from "../parts/promotion/history.js";
import { servedText, whyNot } from "../parts/promotion/words.js";
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
  const usage = usageCard(signal);
  root.append(none, usage);
  for (;;) {
    const before = pins;
    const all = await load(() => get("v1/models", signal));
    if (pins !== before) continue; // the answer may be from before
    none.hidden = all.length > 0;
    for (const [name, { section }] of cards) if (!all.some((model) => model.name === name)) section.remove();
    for (const model of all) {
      if (!cards.get(model.name)?.section.isConnected) cards.set(model.name, card(model, () => (pins += 1), signal));
      cards.get(model.name).show(model);
    }
    usage.before(...all.map(({ name }) => cards.get(name).section).filter((section) => !section.isConnected));
    await rest(LOOK_MILLISECONDS, signal);
  }
}

/** A model: `{section, show(model)}`; what has not changed is left as it is, so that focus stays. */
function card({ name }, onChange, signal) {
  const section = h("section", { class: "card", "aria-label": `Model ${name}` });
  const [body, fault, decisions] = [h("div", {}), h("div", {}), history(name, signal)];
  const edit = editing(name, (changed) => {
    onChange();
    if (changed) show(changed);
  });
  section.append(body, fault, edit.element, decisions.element);
  const address = `v1/models/${encodeURIComponent(name)}`;
  let shown = null;
  const show = (current) => {
    const key = JSON.stringify(current);
    if (key === shown) return;
    put(body, ...content(current, actions));
    edit.show(current);
    shown = key;
    decisions.refresh();
  };
  /** Change which version is served, and show the model as it then is. */
  const change = async (ask, tell) => {
    put(fault);
    try {
      const changed = await ask(JSON.parse(shown));
      onChange();
      show(changed);
      announce(tell(changed));
      return changed;
    } catch (error) {
      put(fault, problem(error));
      return null;
    }
  };
  const actions = {
    async pin(version) {
      const changed = await change(() => send(`${address}/pin`, { version }),
        ({ serving }) => (version ? `Version ${version} of ${name} is pinned.` : `Version ${serving} of ${name} is to be served.`));
      if (changed) section.querySelector(`[data-version="${version ?? changed.serving}"] button`)?.focus();
    },
    async shadow(on) {
      await change(({ pinned }) => send(`${address}/pin`, { version: pinned, shadow: on }),
        ({ pinned }) => (on ? `The newest version answers beside version ${pinned}, unseen.` : `Version ${pinned} answers alone.`));
    },
    async serve(version) {
      await change(() => post(`${address}/promotions`, { version }), () => `Version ${version} of ${name} is to be served.`);
    },
    async rollBack() {
      await change(() => post(`${address}/rollback`), ({ serving }) => `Version ${serving} of ${name} is to be served again.`);
    },
  };
  return { section, show };
}

function content(model, actions) {
  const { name, pinned, serving, versions, damaged, notice } = model;
  const ids = versions.map((version) => version.training_id).join(",");
  const canReturn = pinned === null && serving !== null && versions.some((version) => version.version !== serving && whyNot(version) === null);
  return [
    h("div", { class: "row between" }, h("h2", { class: "name" }, name), h("div", { class: "row" },
      canReturn ? h("button", { type: "button", onclick: actions.rollBack }, "Roll back") : null,
      versions.length > 1 ? h("a", { class: "button", href: link("compare", ids) }, "Compare versions") : null)),
    model.note ? h("p", { class: "said" }, model.note) : null,
    model.formerly.length ? h("p", { class: "muted" }, `Formerly ${model.formerly.join(", ")}.`) : null,
    versions.length ? h("p", { class: "muted" }, servedText(model)) : null,
    pinned !== null && versions.length > 1 ? shadowBox(model, actions) : null,
    versions.length ? table(versions.map((version) => row(version, model, actions))) : null,
    ...[notice, ...damaged.map(({ version, reason }) => `Version ${version} is damaged: ${reason}`)].filter(Boolean).map((text) => h("p", { class: "problem" }, text)),
  ];
}

const shadowBox = ({ shadow }, actions) => h("p", {}, h("label", { class: "inline" },
  h("input", { type: "checkbox", checked: shadow, onchange: ({ target }) => actions.shadow(target.checked) }),
  "Let the newest version answer beside it, unseen; the predictor's page tells how often they differ"));

const table = (rows) => h("div", { class: "scroll" }, h("table", { class: "records" },
  h("thead", {}, h("tr", {}, Object.keys(HEADS).map((title) =>
    h("th", { scope: "col", class: HEADS[title] }, title)))),
  h("tbody", {}, rows)));

function row(shown, { name, pinned, serving }, actions) {
  const { alias, note, version, architecture, tune, pretrained, labels, metrics, training_id: training, created_at: created } = shown;
  const isPinned = version === pinned;
  return h("tr", { "data-version": version },
    h("td", {}, h("a", { href: link("trainings", training) }, `Version ${version}`), " ", stateOf(shown, pinned, serving),
      alias ? [" ", h("span", { class: "tag", title: `Asked for as ${askedFor(name, shown)}` }, alias)] : null, note ? h("div", { class: "muted said" }, note) : null),
    h("td", { class: "number", "data-head": "Accuracy" }, percent(metrics.test?.accuracy)),
    h("td", { class: "wide number muted" }, range(metrics.test)),
    h("td", { class: "wide number" }, percent(macroF1(metrics.test))),
    h("td", { class: "wide" }, pretrained ? `${architecture}, as it is` : backbone(architecture, tune)),
    h("td", { class: "wide number", title: labels.join(", ") }, labels.length),
    h("td", { class: "muted" }, when(created)),
    h("td", { class: "last" }, h("div", { class: "row" },
      h("button", { type: "button", onclick: () => actions.pin(isPinned ? null : version), "aria-label": `${isPinned ? "Un-pin" : "Pin"} version ${version}` }, isPinned ? "Un-pin" : "Pin"),
      pinned === null && version !== serving ? h("button", { type: "button", onclick: () => actions.serve(version), "aria-label": `Serve version ${version}` }, "Serve") : null)));
}

function stateOf(shown, pinned, serving) {
  if (shown.version === pinned) return h("span", { class: "tag good" }, "pinned");
  if (shown.version === serving) return h("span", { class: "tag good" }, shown.decision ? "served" : "newest");
  const why = whyNot(shown);
  return why === null ? null : h("span", { class: "tag", title: why }, "not served");
}
