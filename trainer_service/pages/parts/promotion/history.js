/* The decisions on which version of a model is served, the latest first. */

import { get } from "../../lib/api.js";
import { h, put } from "../../../web/dom.js";
import { when } from "../../lib/format.js";
import { problem } from "../../lib/messages.js";
import { decisionText } from "./words.js";

/** `{element, refresh()}`: folded; it is asked for when it is opened, and again when that says so. */
export function history(name, signal) {
  const list = h("div", { class: "after" });
  const element = h("details", { class: "after" }, h("summary", {}, "Which version was served, and why"), list);
  const refresh = async () => {
    if (!element.open) return;
    try {
      const { decisions } = await get(`v1/models/${encodeURIComponent(name)}/promotions`, signal);
      put(list, decisions.length ? h("ol", { class: "plain" }, decisions.map(row)) : h("p", { class: "muted" }, "Nothing has been decided yet: the newest version is served."));
    } catch (error) {
      if (!signal.aborted) put(list, problem(error));
    }
  };
  element.addEventListener("toggle", refresh);
  return { element, refresh };
}

const row = (decision) => h("li", {}, h("span", { class: "muted" }, when(decision.at)), ` ${decisionText(decision)}. `, decision.reason);
