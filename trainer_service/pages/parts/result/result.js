/* The evaluation of a training that succeeded. */

import { imageUrl, list } from "../../lib/api.js";
import { announce, h, put } from "../../../web/dom.js";
import { cacheText, duration, plural, settingText, words } from "../../lib/format.js";
import { problem } from "../../lib/messages.js";
import { replacedBy } from "../../lib/replaced.js";
import { go, link } from "../../lib/router.js";
import { changesCard } from "./changes.js";
import { confusion } from "./confusion.js";
import { answerOf, describedAnswer } from "../picture/figures.js";
import { mending } from "../picture/mending.js";
import { perLabel } from "./metrics.js";
import { whereCard } from "../model_life/where.js";
import { verdictCard } from "../promotion/verdict.js";
import { predictorSays } from "../picture/predictor_says.js";
import { reliability } from "./reliability.js";
import { suspectsCard } from "./suspects.js";
import { tunedOrNot } from "../curves/tuning.js";
import { unknown } from "./unknown.js";

/** With at most this many labels, the matrix fits beside the table of the labels. */
const FEW = 10;
const MISTAKES = 12;
const RANDOM = 10;
const PAGE = 60;
/** Among so many trainings the one before is looked for. */
const LOOKED_AT = 300;

/** Fill `root` and return the function that shows the cell that a query names. */
export function result(root, record, report, about, suspects, signal) {
  const changes = h("div", {});
  const mend = mending(record, report.labels, predictorSays(record, about, signal), signal);
  const answers = (rows, most) => mend.gallery(rows.map((row) => ({ ...row, said: describedAnswer(row) })), answerOf, most).element;
  const matrix = matrixCard(record, report, answers);
  put(root,
    verdictCard(record),
    whereCard(record, signal),
    changes,
    h("div", { class: report.labels.length <= FEW ? "columns halves" : "stack" }, matrix.element, matrix.pictures, labelCard(report)),
    mistakesCard(report, answers),
    randomCard(report, answers),
    suspectsCard(record, suspects, mend),
    reliability(report.metrics.test),
    unknown(record),
    h("div", { class: "columns" }, callCard(record, report, about), factsCard(record)),
    mend.bar);
  announce("The evaluation is ready.");
  sinceBefore(record, mend, signal).then((card) => put(changes, card), (error) => signal.aborted || put(changes, problem(error)));
  return matrix.show;
}

/** What has changed since the training whose model this one has replaced; null if there is none. */
async function sinceBefore(record, mend, signal) {
  const before = replacedBy(record, await list("v1/trainings", signal, LOOKED_AT));
  return before && changesCard(record, before, mend, signal);
}

function labelCard({ metrics }) {
  return h("section", { class: "card" }, h("h2", {}, "Labels"), perLabel(metrics.test));
}

function matrixCard({ id }, { labels, metrics, test }, answers) {
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
        answers(rows, PAGE));
      shown.scrollIntoView({ block: "nearest" });
    },
  };
}

function mistakesCard({ test }, answers) {
  const wrong = test.filter((row) => row.label !== row.predicted).sort((a, b) => b.probability - a.probability);
  return h("section", { class: "card" }, h("h2", {}, "Most confident mistakes"),
    wrong.length ? answers(wrong, MISTAKES) : h("p", { class: "good" }, "None: every test image was classified correctly."));
}

function randomCard({ test }, answers) {
  const grid = h("div", {});
  const draw = () => put(grid, answers(sample(test, RANDOM), RANDOM));
  draw();
  return h("section", { class: "card" },
    h("div", { class: "row between" }, h("h2", {}, "Test images at random"), test.length > RANDOM ? h("button", { type: "button", onclick: draw }, "Ten others") : null),
    grid);
}

function sample(rows, number) {
  const left = [...rows];
  const drawn = [];
  while (left.length && drawn.length < number) drawn.push(...left.splice(Math.floor(Math.random() * left.length), 1));
  return drawn;
}

function callCard({ model, version, comparison, dataset }, { test }, about) {
  if (version === null) {
    return h("section", { class: "card" }, h("h2", {}, "Not published"),
      h("p", {}, "Its version is kept by its ", h("a", { href: link("comparisons", comparison) }, "comparison"), ", from where it can be published."));
  }
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
    ["Version", version === null ? "not published" : String(version)],
  ];
  return h("section", { class: "card" }, h("h2", {}, "Facts"), definitions(facts),
    h("details", {}, h("summary", {}, "Settings"), definitions(Object.entries(request).filter(([, value]) => value !== null).map(([name, value]) =>
      [words(name), settingText(value)]))),
    h("p", { class: "after" }, h("a", { class: "button", href: `v1/trainings/${id}/report` }, "Report")));
}

const definitions = (pairs) => h("dl", {}, pairs.map(([name, value]) => [h("dt", {}, name), h("dd", { class: "name" }, value)]));
