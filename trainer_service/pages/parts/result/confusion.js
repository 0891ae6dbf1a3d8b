/* The confusion matrix: a table of buttons; the more images, the darker the button. */

import { h } from "../../../web/dom.js";
import { count, plural } from "../../lib/format.js";

const HINT = "Rows: what the images are. Columns: what they were taken for. Choose a cell to see its images.";
/** With at most this many labels, the cells are large and the labels above them horizontal. */
const ROOMY = 4;
/** With more labels than this, nobody finds a cell, and a browser has a million of them to draw. */
const MOST_LABELS = 60;
const PAIRS = 100;
const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/**
 * What was taken for what: the matrix, or with many labels a list of its largest cells:
 * `{element, select(truth, predicted)}`. `onChoose` gets the true and the predicted label of a cell.
 */
export function confusion(labels, matrix, onChoose) {
  return labels.length > MOST_LABELS ? pairs(labels, matrix, onChoose) : grid(labels, matrix, onChoose);
}

/** The most frequent confusions as a table. */
function pairs(labels, matrix, onChoose) {
  const wrong = matrix.flatMap((row, truth) => row.map((number, predicted) => ({ number, truth: labels[truth], predicted: labels[predicted] })))
    .filter(({ number, truth, predicted }) => number && truth !== predicted)
    .sort((a, b) => b.number - a.number);
  const buttons = wrong.slice(0, PAIRS).map((pair) => ({ ...pair, button: h("button", {
    type: "button", "aria-pressed": "false", onclick: () => onChoose(pair.truth, pair.predicted),
    "aria-label": `${plural(pair.number, "image")} of ${pair.truth} taken for ${pair.predicted}`,
  }, count(pair.number)) }));
  const heads = [["Is", null], ["Taken for", null], ["Images", "number"]].map(([name, kind]) => h("th", { scope: "col", class: kind }, name));
  const rows = buttons.map(({ truth, predicted, button }) => h("tr", {}, h("td", { class: "name" }, truth), h("td", { class: "name" }, predicted), h("td", { class: "last" }, button)));
  const said = wrong.length > PAIRS
    ? `The ${PAIRS} most frequent confusions of ${count(wrong.length)}. Choose a number to see its images.`
    : "All confusions. Choose a number to see its images.";
  return {
    element: wrong.length
      ? h("div", {}, h("p", { class: "muted hint" }, said), h("div", { class: "scroll confusions" }, h("table", {}, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, rows))))
      : h("p", { class: "good" }, "None: every test image was classified correctly."),
    select(truth, predicted) {
      for (const pair of buttons) pair.button.setAttribute("aria-pressed", String(pair.truth === truth && pair.predicted === predicted));
    },
  };
}

/**
 * A row for each true label, a column for each predicted one.
 *
 * The tab key leads to one cell, the arrow keys from there to the others.
 */
function grid(labels, matrix, onChoose) {
  const cells = matrix.map((row, truth) => row.map((number, predicted) => cell(labels, matrix, truth, predicted)));
  const table = h(
    "table",
    { class: labels.length <= ROOMY ? "confusion roomy" : "confusion", "aria-describedby": "confusion-hint" },
    h("thead", {}, h("tr", {}, h("td", {}), labels.map((label) => h("th", { scope: "col", title: label }, h("span", {}, label))))),
    h("tbody", {}, labels.map((label, truth) =>
      h("tr", {}, h("th", { scope: "row", title: label }, label), cells[truth].map((button) => h("td", {}, button))))),
  );
  makeReachable(cells, 0, 0);
  table.addEventListener("click", (event) => {
    const at = position(cells, event.target.closest("button"));
    if (at) onChoose(labels[at[0]], labels[at[1]]);
  });
  table.addEventListener("keydown", (event) => move(event, cells));

  return {
    element: h("div", {}, h("div", { class: "scroll" }, table), h("p", { class: "muted hint after", id: "confusion-hint" }, HINT)),
    select(truth, predicted) {
      for (const button of cells.flat()) button.setAttribute("aria-pressed", "false");
      const [row, column] = [labels.indexOf(truth), labels.indexOf(predicted)];
      if (row < 0 || column < 0) return;
      cells[row][column].setAttribute("aria-pressed", "true");
      makeReachable(cells, row, column);
    },
  };
}

function cell(labels, matrix, truth, predicted) {
  const number = matrix[truth][predicted];
  const share = number / Math.max(1, matrix[truth].reduce((sum, value) => sum + value, 0));
  const kind = number === 0 ? "none" : truth === predicted ? "right" : "wrong";
  return h(
    "button",
    {
      type: "button",
      class: `cell ${kind}`,
      tabindex: -1,
      "aria-pressed": "false",
      "aria-label": `${plural(number, "image")} of ${labels[truth]} taken for ${labels[predicted]}`,
      vars: { "--share": (number && 0.3 + 0.7 * share).toFixed(3) },
    },
    number === 0 ? "·" : String(number),
  );
}

function makeReachable(cells, row, column) {
  for (const button of cells.flat()) button.tabIndex = -1;
  cells[row][column].tabIndex = 0;
}

function move(event, cells) {
  const step = MOVES[event.key];
  const at = position(cells, document.activeElement);
  if (!step || !at) return;
  event.preventDefault();
  const [row, column] = [at[0] + step[0], at[1] + step[1]];
  if (!cells[row]?.[column]) return;
  makeReachable(cells, row, column);
  cells[row][column].focus();
}

function position(cells, button) {
  for (const [row, buttons] of cells.entries()) {
    const column = buttons.indexOf(button);
    if (column >= 0) return [row, column];
  }
  return null;
}
