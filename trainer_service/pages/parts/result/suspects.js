/* The images whose label the other images contradict. */

import { get } from "../../lib/api.js";
import { h, put } from "../../../web/dom.js";
import { percent, plural } from "../../lib/format.js";
import { problem } from "../../lib/messages.js";

const FIRST = 12;
const PAGE = 60;

/** Those contradicted most clearly, `{suspects, after}`; null if the training has none, or was done by an earlier release. */
export function firstSuspects({ id, suspects: found }, signal) {
  return found?.count ? ask(id, `limit=${FIRST}`, signal) : null;
}

const ask = (id, query, signal) => get(`v1/trainings/${encodeURIComponent(id)}/suspects?${query}`, signal);

/** The card; null if they were not looked for. `shown` is what `firstSuspects` found, `mend` shows pictures. */
export function suspectsCard({ id, suspects: found }, shown, mend) {
  if (!found) return null;
  const title = h("h2", {}, "Labels that look wrong");
  if (!found.count) return h("section", { class: "card" }, title, h("p", { class: "good" }, `None of the ${plural(found.images, "image")}.`));
  const gallery = mend.gallery(shown.suspects.map(contradicted), caption);
  return h("section", { class: "card stack" }, title,
    h("p", {}, `The other images contradict the labels of ${found.count} of ${plural(found.images, "image")}. Some of these labels are right, and the images unusual: look before you change one.`),
    gallery.element, more(id, gallery, shown.after),
    h("p", { class: "muted" }, found.detail));
}

/** A suspect as the picture view takes it: what the others say is its answer. */
function contradicted({ sha256, image, label, proposed, proposed_probability: probability }) {
  return { sha256, image, label, predicted: proposed, probability, said: ["Its label is ", h("strong", {}, label), "; by the other images it is ", h("strong", {}, proposed), `, with ${percent(probability)}.`] };
}

const caption = ({ label, predicted, probability }) =>
  h("span", {}, h("strong", {}, label), " → ", h("strong", {}, predicted), " ", h("span", { class: "whole" }, percent(probability)));

/** A button that shows the next ones; none if there are none. */
function more(id, gallery, after) {
  if (after === null) return null;
  const fault = h("span", { role: "status" });
  const button = h("button", { type: "button", onclick: async () => {
    button.disabled = true;
    try {
      const page = await ask(id, `limit=${PAGE}&after=${after}`);
      put(fault);
      after = page.after;
      gallery.add(page.suspects.map(contradicted));
      if (after === null) button.remove();
    } catch (error) {
      put(fault, problem(error));
    } finally {
      button.disabled = false;
    }
  } }, "Show more");
  return h("div", { class: "row" }, button, fault);
}
