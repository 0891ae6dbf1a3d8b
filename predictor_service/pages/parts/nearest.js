/* The training images that a picture is most like. */

import { h, put } from "../../web/dom.js";
import { percent, sentence } from "../lib/format.js";

/**
 * A list of the images, or null if the answer has none.
 *
 * The predictor knows their hashes alone. If it was told where the trainer is, that is asked for
 * their names and pictures once somebody opens the list; what it does not have stays a hash.
 *
 * `dataset` is the id of the images' dataset, or null if it is not known; `trainer` is from
 * `otherService`, or null.
 */
export function nearest({ known, nearest: images = [] }, dataset, trainer) {
  if (!images.length) return null;
  const share = known === null ? null : h("p", {}, `${percent(known)} of known pictures are at least as far from the training images.`);
  const rows = new Map(images.map(({ image, distance }) => [image, rowOf(image, distance)]));
  const news = h("p", { class: "muted", role: "status" });
  const element = h("details", { class: "small nearest" }, h("summary", {}, "Nearest training images"), share,
    h("ol", {}, [...rows.values()].map((row) => row.element)), news);
  if (dataset && trainer) element.addEventListener("toggle", () => show(rows, dataset, trainer, news), { once: true });
  return element;
}

function rowOf(image, distance) {
  const name = h("code", { title: image }, image.slice(0, 12));
  const element = h("li", {}, name, ` at a distance of ${distance.toFixed(3)}`);
  return {
    element,
    name(text, label) {
      put(name, text);
      name.after(", ", h("strong", {}, label), ",");
    },
    picture(blob, text) {
      const url = URL.createObjectURL(blob);
      const shown = h("img", { alt: text, src: url, decoding: "async" });
      for (const ended of ["load", "error"]) shown.addEventListener(ended, () => URL.revokeObjectURL(url));
      shown.addEventListener("error", () => shown.remove()); // of a format that the browser can't show
      element.prepend(shown);
    },
  };
}

/** Ask the trainer for the names and pictures of the images, and show them. */
async function show(rows, dataset, trainer, news) {
  const base = `v1/datasets/${encodeURIComponent(dataset)}/images`;
  const query = new URLSearchParams([["verdict", "used"], ...[...rows.keys()].map((image) => ["sha256", image])]);
  put(news, "The trainer is asked for the pictures …");
  try {
    const { images } = await trainer.ask(`${base}?${query}`);
    await Promise.all(images.map(async ({ sha256, name, label }) => {
      const row = rows.get(sha256);
      if (!row) return;
      row.name(name, label);
      row.picture(await small(trainer, `${base}/${sha256}`), name);
    }));
    put(news, images.length < rows.size ? "The trainer does not have all of them any more." : "");
  } catch (error) {
    put(news, sentence(error.message));
  }
}

/** The small copy of an image; a dataset that was read by an earlier release has none. */
const small = (trainer, path) => trainer.file(`${path}/thumbnail`).catch((error) => {
  if (error.status === 404) return trainer.file(path);
  throw error;
});
