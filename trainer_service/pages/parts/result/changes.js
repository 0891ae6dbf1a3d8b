/* What has changed from one training to the next, picture by picture. */

import { get } from "../../lib/api.js";
import { h } from "../../../web/dom.js";
import { count, percent, plural } from "../../lib/format.js";
import { problem } from "../../lib/messages.js";
import { link } from "../../lib/router.js";

const SHOWN = 12;
const MOST = 1000;

/** The card for two trainings, as an element; `mend` shows the pictures of the newer one. */
export async function changesCard(newer, older, mend, signal) {
  const card = h("section", { class: "card stack" }, h("h2", {}, "What has changed since ", h("a", { href: link("trainings", older.id), class: "name" }, `${older.model}, version ${older.version}`)));
  const ask = (outcome) => get(`v1/trainings/${newer.id}/compare?${new URLSearchParams({ with: older.id, outcome, limit: MOST })}`, signal);
  try {
    const [fixed, broken] = await Promise.all([ask("fixed"), ask("broken")]);
    card.append(...summary(fixed), ...pictures("Fixed", fixed.fixed, fixed.images, mend), ...pictures("Broken", broken.broken, broken.images, mend));
  } catch (error) {
    if (signal.aborted) throw error;
    card.append(problem(error));
  }
  return card;
}

function summary({ old, new: now, common, only_old: gone, only_new: added, both_wrong: wrong }) {
  const others = [gone ? `${plural(gone, "test image")} of before ${gone === 1 ? "is" : "are"} not among them` : null, added ? `${plural(added, "test image")} ${added === 1 ? "is" : "are"} new` : null].filter(Boolean).join(", and ");
  return [
    h("p", { class: "headline" }, h("strong", {}, percent(old.accuracy), " → ", percent(now.accuracy)), ` of the ${plural(common, "test image")} that both have.`),
    h("p", { class: "muted" }, `Both are judged by the labels of now. ${plural(wrong, "image")} ${wrong === 1 ? "is" : "are"} wrong in both.${others ? ` ${others}.` : ""}`),
  ];
}

function pictures(title, number, images, mend) {
  const heading = h("h3", {}, `${title}: ${count(number)}`);
  if (!number) return [heading];
  const rest = number > images.length ? h("p", { class: "muted" }, `The first ${count(images.length)} are shown.`) : null;
  return [heading, mend.gallery(images.map(row), caption, SHOWN).element, rest].filter(Boolean);
}

/** An image as the picture view takes it. */
function row({ sha256, name, label, label_before: before, old, new: now }) {
  const renamed = before === label ? [] : [", before ", h("strong", {}, before)];
  return {
    sha256, image: name, label, predicted: now.predicted, probability: now.probability, old,
    said: ["Its label is ", h("strong", {}, label), renamed, ". It was taken for ", h("strong", {}, old.predicted), ` with ${percent(old.probability)}, and is now taken for `, h("strong", {}, now.predicted), ` with ${percent(now.probability)}.`],
  };
}

const caption = ({ label, predicted, old }) => [
  h("span", { class: label === predicted ? "good" : "bad" }, label === predicted ? "✓ " : "✗ ", h("span", { class: "name" }, old.predicted), " → ", h("strong", {}, predicted)),
  label === predicted ? null : h("span", { class: "muted truth" }, "is ", h("strong", {}, label)),
];
