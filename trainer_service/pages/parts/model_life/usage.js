/* What lies in the store in bytes, and what retention removes next. */

import { get } from "../../lib/api.js";
import { h, put } from "../../../web/dom.js";
import { bytes, when, words } from "../../lib/format.js";
import { problem } from "../../lib/messages.js";
import { removalText } from "./words.js";

/** A folded card; it is measured when it is opened. */
export function usageCard(signal) {
  const body = h("div", {});
  const element = h("details", {}, h("summary", {}, "What lies on the disk"), body);
  element.addEventListener("toggle", async () => {
    if (!element.open) return;
    put(body, h("p", { class: "muted" }, "Measuring …"));
    try {
      put(body, ...content(await get("v1/usage", signal)));
    } catch (error) {
      if (!signal.aborted) put(body, problem(error));
    }
  });
  return h("section", { class: "card", "aria-label": "What lies on the disk" }, element);
}

function content(usage) {
  const rows = [...usage.kinds.filter((kind) => kind.files), ...usage.models.map((model) => ({ kind: `model ${model.name}`, ...model, files: null }))];
  return [
    h("p", {}, `${bytes(usage.bytes)}${usage.complete ? "" : " or more"} in the store; ${bytes(usage.free_bytes)} of ${bytes(usage.disk_bytes)} are free. `, h("span", { class: "muted" }, `Measured ${when(usage.measured_at)}.`)),
    usage.complete ? null : h("p", { class: "warn" }, "Not all of it could be measured in time, so the figures are too small."),
    h("div", { class: "scroll" }, h("table", { class: "records" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "What"), h("th", { scope: "col", class: "number" }, "Size"), h("th", { scope: "col", class: "number" }, "Files"))),
      h("tbody", {}, rows.map(({ kind, bytes: size, files }) => h("tr", {}, h("td", {}, words(kind)), h("td", { class: "number" }, bytes(size)), h("td", { class: "number muted" }, files ?? "")))))),
    h("h3", {}, "What is removed next"),
    usage.removals.length ? h("ul", {}, usage.removals.map((removal) => h("li", {}, removalText(removal, Date.now())))) : h("p", { class: "muted" }, "Nothing: the settings keep everything that is here."),
  ];
}
