/* Images with words below them. */

import { imageUrl, thumbnailUrl } from "../../lib/api.js";
import { h } from "../../../web/dom.js";
import { percent } from "../../lib/format.js";

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

/** What a test image was taken for, as words below it. */
export function answerOf({ label, predicted, probability }) {
  const right = label === predicted;
  return [
    h("span", { class: right ? "good" : "bad" }, right ? "✓ " : "✗ ", h("strong", {}, predicted), " ", h("span", { class: "whole" }, percent(probability))),
    right ? null : h("span", { class: "muted truth" }, "is ", h("strong", {}, label)),
  ];
}

/** The same as a sentence. */
export const describedAnswer = ({ label, predicted, probability }) =>
  ["Its label is ", h("strong", {}, label), "; it was taken for ", h("strong", { class: label === predicted ? "good" : "bad" }, predicted), ` with ${percent(probability)}.`];
