/* What the predictor says of a picture: its answer, where it looked, and the nearest training images. */

import { get, imageUrl } from "../../lib/api.js";
import { h, put } from "../../../web/dom.js";
import { percent } from "../../lib/format.js";
import { problem } from "../../lib/messages.js";
import { otherService } from "../../../web/other_service.js";
import { authorized } from "../../../web/session.js";
import { small } from "./figures.js";

const HERE = ["localhost", "127.0.0.1"];

/**
 * `{element, show(row, lay), toggle()}`, or null where the page may not ask the predictor.
 *
 * The first picture is asked about when the button is pressed, the others as they are shown. `lay`
 * lays a picture of heat, or null for none, over the one that is shown; `toggle` does so, or not.
 */
export function predictorSays(record, about, signal) {
  if (!about.predictor_url && !HERE.includes(location.hostname)) return null;
  const predictor = otherService("predictor", about.predictor_url ?? `${location.protocol}//${location.hostname}:${about.predictor_port}`);
  const answers = new Map();
  const element = h("div", { class: "stack", tabindex: -1 });
  let [asking, current, heat] = [false, null, true];
  let running = new AbortController();

  const begin = h("div", { class: "row" },
    h("button", { type: "button", onclick: () => {
      asking = true;
      element.focus(); // the button goes
      show(...current);
    } }, "Ask the predictor"),
    h("span", { class: "muted hint grow" }, "Where does it look, and which training images are nearest?"));

  async function show(row, lay) {
    current = [row, lay];
    running.abort();
    lay(null);
    if (!asking) return put(element, begin);
    running = new AbortController();
    const mine = AbortSignal.any([signal, running.signal]);
    put(element, h("p", { class: "muted", role: "status" }, "The predictor is asked …"));
    try {
      const answer = answers.get(row.sha256) ?? await ask(predictor, record, row, mine);
      answers.set(row.sha256, answer);
      if (!mine.aborted) put(element, heatButton(answer.prediction, lay), said(record, answer));
    } catch (error) {
      if (mine.aborted) return undefined;
      asking = false;
      put(element, problem(error), begin);
    }
    return undefined;
  }
  /** Lays the heat over the picture, and takes it away; what was chosen holds for the next picture. */
  function heatButton({ heat: found }, lay) {
    if (!found) return h("p", { class: "muted hint" }, "The served version is of an earlier release and can't tell where it looks.");
    const draw = () => {
      button.setAttribute("aria-pressed", String(heat));
      lay(heat ? `data:image/png;base64,${found.png}` : null);
    };
    const button = h("button", { type: "button", onclick: () => {
      heat = !heat;
      draw();
    } }, h("kbd", { "aria-hidden": "true" }, "H"), " What speaks for ", h("strong", {}, found.label));
    draw();
    return h("div", { "data-heat": "" }, button);
  }
  return { element, show, toggle: () => element.querySelector("[data-heat] button")?.click() };
}

/** The answer to a picture, with the images near it: `{prediction, dataset, near}`. */
async function ask(predictor, { model, dataset }, { sha256 }, signal) {
  const picture = await authorized(imageUrl(dataset.id, sha256), { signal });
  if (!picture.ok) throw new Error("The picture can't be read.");
  const options = { method: "POST", body: await picture.blob(), headers: { "Content-Type": "application/octet-stream" } };
  const served = await predictor.ask(`v1/models/${encodeURIComponent(model)}`, {}, signal);
  const query = new URLSearchParams({ model, ...(served.heatmaps && { explain: "top" }) });
  const { predictions: [prediction] } = await predictor.ask(`v1/predict?${query}`, options, signal);
  // The version that is served may have been trained on other images than those of this page.
  return { prediction, dataset: served.dataset, near: await found(served.dataset, prediction.nearest ?? [], signal) };
}

/** The nearest images with their names and labels, as far as the dataset still has them. */
async function found(datasetId, nearest, signal) {
  if (!nearest.length) return [];
  const query = new URLSearchParams([["verdict", "used"], ...nearest.map(({ image }) => ["sha256", image])]);
  const { images } = await get(`v1/datasets/${datasetId}/images?${query}`, signal).catch((error) => {
    if (error.status === 404) return { images: [] };
    throw error;
  });
  return nearest.map(({ image, distance }) => ({ ...images.find(({ sha256 }) => sha256 === image), distance })).filter(({ sha256 }) => sha256);
}

function said({ version }, { prediction, dataset, near }) {
  const other = prediction.version === version ? "" : `, which is served instead of version ${version}`;
  return [
    h("p", {}, `By version ${prediction.version}${other}: `, h("strong", {}, prediction.label), ` ${percent(prediction.probability)}.`,
      prediction.unknown ? h("span", { class: "warn" }, " It is unlike all training images.") : null),
    near.length ? [h("h3", {}, "Nearest training images"), h("div", { class: "pictures near" }, near.map((image) => h("figure", {},
      small(dataset, image.sha256, image.name), h("figcaption", {}, h("strong", {}, image.label), h("span", { class: "muted whole" }, ` distance ${image.distance.toFixed(2)}`)))))] : null,
  ];
}
