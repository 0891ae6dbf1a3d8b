/* The model that answers, and news about it. */

import { h, put } from "../../web/dom.js";
import { plural, when } from "../lib/format.js";

const NONE = "There is no model yet. Train one, and it appears here automatically; images dropped meanwhile wait for it.";

/**
 * Fill `element`: `{show(models), fail(error), chosen()}`.
 *
 * `chosen` returns the model to ask, or null while there is none. `onChange` is called when that
 * model or its version has changed.
 */
export function modelPanel(element, onChange) {
  const news = h("p", { class: "news", role: "status" });
  const fault = h("p", { class: "problem", role: "alert", hidden: true });
  const body = h("div");
  element.append(fault, news, body);
  let models = null;
  let name = new URLSearchParams(location.search).get("model");

  const chosen = () => models?.find((model) => model.name === name && model.version !== null) ?? null;
  const draw = () => put(body, ...content(models, name, choose));
  const choose = (next) => {
    name = next;
    news.textContent = "";
    history.replaceState(null, "", `?model=${encodeURIComponent(name)}`);
    draw();
    body.querySelector("select")?.focus();
    onChange();
  };

  return {
    chosen,
    show(found) {
      fault.hidden = true;
      if (models && JSON.stringify(found) === JSON.stringify(models)) return;
      const before = chosen();
      const told = models && newsOf(models, found);
      models = found;
      const served = found.filter((model) => model.version !== null);
      if (!found.some((model) => model.name === name)) name = (served[0] ?? found[0])?.name ?? name;
      if (told) news.textContent = told;
      const focused = body.contains(document.activeElement);
      draw();
      if (focused) body.querySelector("select")?.focus();
      const now = chosen();
      if (before?.name !== now?.name || before?.version !== now?.version) onChange();
    },
    fail(error) {
      fault.textContent = `${error.message} Trying again …`;
      fault.hidden = false;
    },
  };
}

/** The changes since the last look, as sentences; null if there are none. */
function newsOf(before, now) {
  const told = now.flatMap((model) => {
    const old = before.find((other) => other.name === model.name)?.version ?? null;
    if (model.version === null || model.version === old) return [];
    const instead = old === null ? "" : ` instead of version ${old}`;
    return [`${model.name}: version ${model.version} is served now${instead}.`];
  });
  return told.join(" ") || null;
}

function content(models, name, choose) {
  if (!models.length) return [h("p", { class: "waiting" }, NONE)];
  const model = models.find((other) => other.name === name) ?? models[0];
  return [models.length > 1 ? choice(models, model, choose) : null, warnings(model), facts(model), labels(model)];
}

function choice(models, model, choose) {
  const select = h(
    "select",
    { onchange: () => choose(select.value) },
    models.map((other) =>
      h("option", { value: other.name, selected: other === model, disabled: other.version === null && other !== model }, other.name, note(other))),
  );
  return h("label", { class: "model-choice" }, "Which model answers", select);
}

const note = (model) => (model.version === null ? " (not served yet)" : `, version ${model.version}`);

function warnings(model) {
  const refused = model.quarantined.map(({ version, reason }) => `Version ${version} was refused: ${reason}`);
  const coming = model.loading === null ? [] : [`Version ${model.loading} is being loaded.`];
  return [model.notice, ...refused, ...coming].filter(Boolean).map((text) => h("p", { class: "waiting" }, text));
}

function facts(model) {
  if (model.version === null) return null;
  const pinned = model.pinned === model.version ? " (pinned)" : "";
  const rows = [
    ["Name", h("strong", {}, model.name)],
    ["Version", [h("strong", {}, model.version), pinned, model.alias ? `, ${model.alias}` : ""]],
    ...(model.version_note ? [["Note", model.version_note]] : []),
    ...(model.on_demand.length ? [["Also in memory", `${model.on_demand.map(({ version }) => `version ${version}`).join(", ")}, as asked for`]] : []),
    ["Architecture", model.architecture],
    ["Computed by", `${model.engine}, ${model.precision}`],
    ["Served since", when(model.loaded_at)],
    ...(model.shadow ? [[`Version ${model.shadow.version} beside it`, shadowText(model.shadow)]] : []),
  ];
  return [h("dl", {}, rows.map(([term, value]) => [h("dt", {}, term), h("dd", {}, value)])), unknown(model)];
}

/** How often the version that answers unseen has another label. */
const shadowText = ({ compared, different, share }) =>
  (compared ? `another label for ${different} of ${plural(compared, "picture")} (${(100 * share).toFixed(1)}\u00a0%)` : "nothing compared yet");

function unknown(model) {
  if (!model.unknown?.detail) return null;
  return h("details", { class: "small" }, h("summary", {}, "How well it tells unknown pictures"), h("p", {}, model.unknown.detail));
}

function labels(model) {
  if (!model.labels.length) return null;
  return [
    h("h3", { id: "labels" }, plural(model.labels.length, "label")),
    h("ul", { class: "labels", "aria-labelledby": "labels", tabindex: 0 }, model.labels.map((label) => h("li", {}, label))),
  ];
}
