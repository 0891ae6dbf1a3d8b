/* Mend and train again: pictures open in the picture view, and what is corrected there is sent from a bar. */

import { create } from "../../lib/api.js";
import { h, put } from "../../../web/dom.js";
import { choiceText, corrections } from "../../lib/corrections.js";
import { plural } from "../../lib/format.js";
import { problem, waiting } from "../../lib/messages.js";
import { sameSettings } from "../../lib/same_settings.js";
import { go } from "../../lib/router.js";
import { pictures, small } from "./figures.js";
import { pictureView } from "./picture_view.js";

/**
 * `{gallery(rows, caption, most), bar}` for the pictures of a training's dataset.
 *
 * `labels` can be chosen; `more` is shown beside a picture, as `pictureView` has it. Everything ends
 * with `signal`.
 */
export function mending(record, labels, more, signal) {
  const galleries = new Set();
  const pending = corrections(record.dataset.id, (sha256) => {
    for (const shown of galleries) {
      if (shown.element.isConnected) shown.mark(sha256);
      else galleries.delete(shown);
    }
    bar.show();
  });
  const view = pictureView({ datasetId: record.dataset.id, labels, pending, more, signal });
  const bar = trainAgain(record, pending);
  bar.show();
  return {
    bar: bar.element,
    /**
     * A grid of pictures, `{element, add(rows)}`, of which the first `most` are shown; `caption(row)`
     * has the words below one.
     */
    gallery(rows, caption, most = rows.length) {
      const made = gallery(record.dataset.id, rows, caption, most, pending, view);
      galleries.add(made);
      return made;
    },
  };
}

function gallery(datasetId, rows, caption, most, pending, view) {
  const [all, figures, grid] = [[...rows], new Map(), pictures([])];
  const back = (row) => figures.get(row.sha256)?.open.focus();
  const mark = (sha256) => {
    const figure = figures.get(sha256);
    if (!figure) return;
    const choice = pending.get(sha256);
    put(figure.mark, choice === undefined ? null : ["→ ", h("strong", {}, choiceText(choice))]);
  };
  const show = (row) => {
    const open = h("button", { type: "button", class: "open", "aria-haspopup": "dialog", onclick: () => view.open(all, all.indexOf(row), back) }, small(datasetId, row.sha256, row.image));
    const figure = { open, mark: h("span", { class: "correction" }) };
    figures.set(row.sha256, figure);
    grid.append(h("figure", {}, open, h("figcaption", {}, caption(row), figure.mark)));
    mark(row.sha256);
  };
  rows.slice(0, most).forEach(show);
  const more = h("button", { type: "button", onclick: () => {
    rows.slice(most).forEach(show);
    more.remove();
  } }, `Show all ${rows.length}`);
  return {
    element: h("div", { class: "stack" }, grid, rows.length > most ? h("div", {}, more) : null),
    mark,
    add(others) {
      all.push(...others);
      others.forEach(show);
    },
  };
}

/** The bar with the corrections that wait: `{element, show()}`. */
function trainAgain(record, pending) {
  let made = null;
  const [said, trouble] = [h("strong", {}), h("div", {})];
  const start = h("button", { type: "button", class: "primary", onclick: () => send() }, "Train again");
  const discard = h("button", { type: "button", onclick: () => {
    if (confirm(`Discard ${plural(pending.size, "correction")}?`)) pending.clear();
  } }, "Discard");
  const element = h("section", { class: "card corrections", "aria-label": "Corrections" },
    h("div", { class: "row" }, said, h("span", { class: "muted grow" }, `A new dataset has them; ${record.model} is trained on it with the same settings.`), start, discard), trouble);

  async function send() {
    [start.disabled, discard.disabled] = [true, true];
    put(trouble);
    const tell = (text) => put(trouble, waiting(text));
    try {
      const training = await create("v1/trainings", sameSettings(record.request, await child(tell)), tell);
      pending.clear();
      go("trainings", training.id);
    } catch (error) {
      put(trouble, problem(error));
    } finally {
      [start.disabled, discard.disabled] = [false, false];
    }
  }
  /** The id of the dataset with the corrections; it is there already if only the training was refused. */
  async function child(tell) {
    const asked = JSON.stringify(pending.all());
    if (made?.asked !== asked) made = { asked, id: (await create(`v1/datasets/${record.dataset.id}/corrections`, pending.all(), tell)).id };
    return made.id;
  }
  return {
    element,
    show() {
      element.hidden = !pending.size;
      put(said, plural(pending.size, "correction"));
    },
  };
}
