/* Images with words below them. */

import { imageUrl, thumbnailUrl } from "../lib/api.js";
import { h } from "../../web/dom.js";
import { percent } from "../lib/format.js";

const SMALL = 64;

/** A grid of figures. */
export const pictures = (figures) => h("div", { class: "pictures" }, figures);

/** An image of a dataset, small. */
export function small(datasetId, sha256, name) {
  const image = h("img", { src: thumbnailUrl(datasetId, sha256), alt: name, title: name, loading: "lazy", decoding: "async" });
  image.addEventListener("load", () => image.classList.toggle("pixelated", image.naturalWidth <= SMALL));
  // A dataset that was read by an older version has no small copies.
  image.addEventListener("error", () => (image.src = imageUrl(datasetId, sha256)), { once: true });
  return image;
}

/** An image whose label the others contradict, linked to its full size, with both labels. */
export function contradicted(datasetId, { sha256, image, label, proposed, proposed_probability: probability }) {
  return h("figure", {},
    h("a", { href: imageUrl(datasetId, sha256), target: "_blank" }, small(datasetId, sha256, image)),
    h("figcaption", {},
      h("span", {}, h("strong", {}, label), " → ", h("strong", {}, proposed), " ", h("span", { class: "whole" }, percent(probability)))));
}

/** A test image, linked to its full size, with its label, its prediction and the probability. */
export function answered(datasetId, row) {
  const right = row.label === row.predicted;
  return h("figure", {},
    h("a", { href: imageUrl(datasetId, row.sha256), target: "_blank" }, small(datasetId, row.sha256, row.image)),
    h("figcaption", {},
      h("span", { class: right ? "good" : "bad" }, right ? "✓ " : "✗ ", h("strong", {}, row.predicted), " ", h("span", { class: "whole" }, percent(row.probability))),
      right ? null : h("span", { class: "muted truth" }, "is ", h("strong", {}, row.label))));
}
