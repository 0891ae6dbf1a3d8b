/* The evaluation of a training that succeeded. */

import { get, imageUrl } from "../lib/api.js";
import { announce, h, put } from "../../web/dom.js";
import { cacheText, duration, plural, settingText, words } from "../lib/format.js";
import { problem } from "../lib/messages.js";
import { go, link } from "../lib/router.js";
import { confusion } from "./confusion.js";
import { answered, contradicted, pictures } from "./figures.js";
import { perLabel } from "./metrics.js";
import { reliability } from "./reliability.js";
import { tunedOrNot } from "./tuning.js";

/** With at most this many labels, the matrix fits beside the table of the labels. */
const FEW = 10;
const MISTAKES = 12;
const RANDOM = 10;
export const SUSPECTS = 12;
const PAGE = 60;

/** Fill `root` and return the function that shows the cell that a query names. */
export function result(root, record, report, about, suspects) {
  const matrix = matrixCard(record, report);
  put(root,
    h("div", { class: report.labels.length <= FEW ? "columns halves" : "stack" }, matrix.element, matrix.pictures, labelCard(report)),
    mistakesCard(record, report),
    randomCard(record, report),
    suspectsCard(record, suspects),
    reliability(report.metrics.test),
    h("div", { class: "columns" }, callCard(record, report, about), factsCard(record)));
  announce("The evaluation is ready.");
  return matrix.show;
}

function labelCard({ metrics }) {
  return h("section", { class: "card" }, h("h2", {}, "Labels"), perLabel(metrics.test));
}

function matrixCard({ id, dataset }, { labels, metrics, test }) {
  const choose = (truth, predicted) => go("trainings", id, { truth, predicted });
  const table = confusion(labels, metrics.test.confusion_matrix, choose);
  const shown = h("section", { class: "card chosen", "aria-live": "polite", "aria-label": "Images of the chosen cell" });
  shown.hidden = true;
  return {
    element: h("section", { class: "card" }, h("h2", {}, "Confusion"), table.element),
    pictures: shown,
    show({ truth, predicted }) {
      table.select(truth, predicted);
      shown.hidden = truth === undefined;
      if (shown.hidden) return;
      const rows = test.filter((row) => row.label === truth && row.predicted === predicted);
      put(shown,
        h("div", { class: "row between" },
          h("h2", {}, h("span", { class: "name" }, truth), " taken for ", h("span", { class: "name" }, predicted), `: ${plural(rows.length, "image")}`),
          h("a", { class: "button", href: link("trainings", id) }, "Close")),
        paged(rows, dataset.id));
      shown.scrollIntoView({ block: "nearest" });
    },
  };
}

function paged(rows, datasetId) {
  const grid = pictures(rows.slice(0, PAGE).map((row) => answered(datasetId, row)));
  if (rows.length <= PAGE) return grid;
  const more = h("button", { type: "button", onclick: () => {
    grid.append(...rows.slice(PAGE).map((row) => answered(datasetId, row)));
    more.remove();
  } }, `Show all ${rows.length}`);
  return [grid, more];
}

function mistakesCard({ dataset }, { test }) {
  const wrong = test.filter((row) => row.label !== row.predicted).sort((a, b) => b.probability - a.probability);
  return h("section", { class: "card" }, h("h2", {}, "Most confident mistakes"),
    wrong.length ? pictures(wrong.slice(0, MISTAKES).map((row) => answered(dataset.id, row))) : h("p", { class: "good" }, "None: every test image was classified correctly."));
}

function randomCard({ dataset }, { test }) {
  const grid = h("div", {});
  const draw = () => put(grid, pictures(sample(test, RANDOM).map((row) => answered(dataset.id, row))));
  draw();
  return h("section", { class: "card" },
    h("div", { class: "row between" }, h("h2", {}, "Test images at random"), test.length > RANDOM ? h("button", { type: "button", onclick: draw }, "Ten others") : null),
    grid);
}

/** The images whose label the others contradict; earlier releases did not look for them. */
function suspectsCard({ id, dataset, suspects: found }, shown) {
  if (!found) return null;
  const title = h("h2", {}, "Labels that look wrong");
  if (!found.count) return h("section", { class: "card" }, title, h("p", { class: "good" }, `None of the ${plural(found.images, "image")}.`));
  const grid = pictures(shown.suspects.map((suspect) => contradicted(dataset.id, suspect)));
  return h("section", { class: "card stack" }, title,
    h("p", {}, `The other images contradict the labels of ${found.count} of ${plural(found.images, "image")}. Some of these labels are right, and the images unusual: look before you change one.`),
    grid, moreSuspects(grid, id, dataset, shown.after),
    h("p", { class: "muted" }, found.detail));
}

/** A button that shows the next ones; none if there are none. */
function moreSuspects(grid, id, dataset, after) {
  if (after === null) return null;
  const fault = h("span", { role: "status" });
  const button = h("button", { type: "button", onclick: async () => {
    button.disabled = true;
    try {
      const page = await get(`${suspectsPath(id)}?limit=${PAGE}&after=${after}`);
      put(fault);
      after = page.after;
      grid.append(...page.suspects.map((suspect) => contradicted(dataset.id, suspect)));
      if (after === null) button.remove();
    } catch (error) {
      put(fault, problem(error));
    } finally {
      button.disabled = false;
    }
  } }, "Show more");
  return h("div", { class: "row" }, button, fault);
}

/** Where the suspects of a training are listed, the most clearly contradicted first. */
export const suspectsPath = (id) => `v1/trainings/${encodeURIComponent(id)}/suspects`;

function sample(rows, number) {
  const left = [...rows];
  const drawn = [];
  while (left.length && drawn.length < number) drawn.push(...left.splice(Math.floor(Math.random() * left.length), 1));
  return drawn;
}

function callCard({ model, dataset }, { test }, about) {
  const address = about.predictor_url ?? `${location.protocol}//${location.hostname}:${about.predictor_port}`;
  const base = address.replace(/\/$/, "");
  const predict = `${base}/v1/predict?model=${model}`;
  const key = about.keys ? ` -H "Authorization: Bearer $HEADSTART_API_KEY"` : "";
  const picture = new URL(imageUrl(dataset.id, test[0].sha256), document.baseURI.split("#")[0]);
  return h("section", { class: "card stack" }, h("h2", {}, "Use it"),
    h("p", {}, "The predictor serves the version a few seconds after it is published. Try it with an image of yours:"),
    copyable(`curl${key} -F file=@image.jpg '${predict}'`, "own"),
    h("p", {}, "or with one of the test images:"),
    copyable(`curl${key} -s '${picture}' | curl${key} -F file=@- '${predict}'`, "test"),
    h("p", {}, "Or in the browser: ", h("a", { href: `${base}/?model=${model}` }, "the predictor's page"), "."));
}

function copyable(text, name) {
  const button = h("button", { type: "button", "aria-label": "Copy the line" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      put(button, "Copied");
    } catch {
      // Browsers allow copying only on https and on localhost.
      getSelection().selectAllChildren(line);
      put(button, "Selected");
    }
  });
  const line = h("pre", { tabindex: 0, "data-line": name, "aria-label": "Command line" }, text);
  return h("div", { class: "copyable" }, line, button);
}

function factsCard(record) {
  const { id, head, cache, dataset, transitions, request, version } = record;
  const seconds = transitions.reduce((sum, transition) => sum + (transition.seconds ?? 0), 0);
  const { split } = dataset;
  const facts = [
    ["Took", duration(seconds)],
    ["Head", head?.detail ?? "–"],
    ["Fine-tuning", tunedOrNot(record)],
    ["Features", cacheText(cache)],
    ["Split", `${split.train} training, ${split.validation} validation, ${split.test} test`],
    ["Version", String(version)],
  ];
  return h("section", { class: "card" }, h("h2", {}, "Facts"), definitions(facts),
    h("details", {}, h("summary", {}, "Settings"), definitions(Object.entries(request).filter(([, value]) => value !== null).map(([name, value]) =>
      [words(name), settingText(value)]))),
    h("p", { class: "after" }, h("a", { class: "button", href: `v1/trainings/${id}/report` }, "Report")));
}

const definitions = (pairs) => h("dl", {}, pairs.map(([name, value]) => [h("dt", {}, name), h("dd", { class: "name" }, value)]));
