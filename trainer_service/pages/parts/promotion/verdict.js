/* What was decided about the version of a training, with a button that serves it. */

import { post } from "../../lib/api.js";
import { announce, h, put } from "../../../web/dom.js";
import { problem } from "../../lib/messages.js";

/** The card, or null: trainings of earlier releases decided nothing. */
export function verdictCard({ model, version, promotion }) {
  if (!promotion) return null;
  const card = h("section", { class: "card stack", "aria-label": "Whether it is served" });
  if (promotion.served) {
    put(card, h("h2", {}, "To be served"), h("p", {}, promotion.reason));
    return card;
  }
  const fault = h("div", {});
  const serve = h("button", { type: "button", class: "primary", onclick: promote }, "Serve it");
  put(card, h("h2", {}, "Published, not served"), h("p", { class: "warn" }, promotion.reason), h("div", { class: "row" }, serve), fault);
  return card;

  async function promote() {
    serve.disabled = true;
    put(fault);
    try {
      await post(`v1/models/${encodeURIComponent(model)}/promotions`, { version });
      const told = `Version ${version} of ${model} is to be served from now on.`;
      put(card, h("h2", {}, "To be served"), h("p", {}, told));
      announce(told);
    } catch (error) {
      serve.disabled = false;
      put(fault, problem(error));
    }
  }
}
