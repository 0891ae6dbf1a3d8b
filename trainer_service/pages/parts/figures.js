/* Pictures with words below them. */

import { imageUrl } from "../lib/api.js";
import { h } from "../../web/dom.js";
import { percent } from "../lib/format.js";

const SMALL = 64;

/** A grid of figures. */
export const pictures = (figures) => h("div", { class: "pictures" }, figures);

/** A picture of a dataset with its caption, which is what it is described by as well. */
export function figure(datasetId, sha256, name, ...caption) {
  const image = h("img", { src: imageUrl(datasetId, sha256), alt: name, title: name, loading: "lazy", decoding: "async" });
  image.addEventListener("load", () => image.classList.toggle("pixelated", image.naturalWidth <= SMALL));
  return h("figure", {}, image, caption.length ? h("figcaption", {}, caption) : null);
}

/** A test picture: what it is, and what it was taken for with which probability. */
export function answered(datasetId, row) {
  const right = row.label === row.predicted;
  return figure(
    datasetId,
    row.sha256,
    row.image,
    h("span", { class: right ? "good" : "bad" }, right ? "✓ " : "✗ ", h("strong", {}, row.predicted), " ", h("span", { class: "whole" }, percent(row.probability))),
    right ? null : h("span", { class: "muted truth" }, "is ", h("strong", {}, row.label)),
  );
}
