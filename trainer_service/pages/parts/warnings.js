/* Warnings about the data, which the user may want to change. */

import { h, put } from "../../web/dom.js";
import { notUsed } from "../lib/corrections.js";

/** `{element, add(warning event), showRecord(record)}`. */
export function warningList() {
  const element = h("ul", { class: "warnings" });
  const shown = new Map();
  const show = (code, ...content) => {
    shown.set(code, h("li", {}, content));
    put(element, [...shown.values()]);
  };
  const rejected = (images, detail, more = 0) =>
    show("rejected_images", h("details", {}, h("summary", { class: "warn" }, detail),
      h("ul", {}, images.map((image) => h("li", { class: "name" }, `${image.name}: ${image.verdict}${image.detail ? `, ${image.detail}` : ""}`)),
        more ? h("li", {}, `… and ${more} more`) : null)));
  return {
    element,
    add(event) {
      if (["tune_refused", "not_served"].includes(event.code)) return; // cards of their own say it
      if (event.code === "rejected_images") rejected(event.images, event.detail);
      else show(event.code, h("span", { class: "warn" }, event.detail));
    },
    showRecord({ dataset, architecture_reason: other }) {
      if (other) show("other_architecture", h("span", { class: "warn" }, other));
      if (dataset.doubles?.leaks) show("leaks", h("span", { class: "warn" }, `The split leaks: nearly equal images lie in several of its parts, e.g. ${dataset.doubles.example}.`));
      if (dataset.rejected_count) rejected(dataset.rejected, notUsed(dataset), dataset.rejected_count - dataset.rejected.length);
    },
  };
}
