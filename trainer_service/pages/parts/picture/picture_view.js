/* A picture, large, with what is said of it; by keys or touch it gets its right label. */

import { imageUrl, thumbnailUrl } from "../../lib/api.js";
import { h, put } from "../../../web/dom.js";
import { choiceText } from "../../lib/corrections.js";
import { plural } from "../../lib/format.js";
import { areMany, entered, keyOf, meaning, offered } from "../../lib/label_choice.js";

const SMALL = 64;
const HINTS = ["Keys: ← and → for the pictures", "0 or Delete to leave it out", "U to undo", "/ to find or write a label"];

/**
 * A view of the pictures of a dataset: `{open(rows, index, onClose)}`.
 *
 * Rows are `{sha256, image, label, predicted, said}`; `said` is a list of children for a paragraph
 * about the picture. `pending` has the corrections, `labels` those to choose from; a new one may be written. `more` is null, or
 * `{element, show(row, lay), toggle()}` for what else is said of the picture that is shown; `lay`
 * gets the address of a picture to lay over it, or null, and `toggle` is called by a key. `onClose` gets the row that was shown last. The
 * view ends with `signal`.
 */
export function pictureView({ datasetId, labels: present, pending, more, signal }) {
  let [rows, at, text] = [[], 0, ""];
  let close = () => {};
  // New labels come last, so that the others keep their keys.
  const all = () => [...present, ...pending.labels().filter((label) => !present.includes(label))];

  const [title, place, picture, words, news] = [
    h("h2", { id: "picture-name", class: "name", tabindex: -1 }), h("span", { class: "muted whole" }), h("div", { class: "frame" }), h("p", { "aria-live": "polite" }), h("p", { role: "status", class: "grow" })];
  const list = h("div", { class: "choices-of-label", role: "group", "aria-label": "The right label" });
  const filter = h("input", { type: "search", "aria-label": "Find a label, or write a new one", placeholder: "Find a label, or write a new one …", maxlength: 1024, autocomplete: "off", oninput: () => {
    text = filter.value;
    drawChoices();
  } });
  const undo = h("button", { type: "button", onclick: () => takeBack() }, "Undo");
  const step = (by, name, sign) => h("button", { type: "button", class: "step", "aria-label": name, onclick: () => move(by) }, h("span", { "aria-hidden": "true" }, sign));
  const [before, after] = [step(-1, "Previous picture", "‹"), step(1, "Next picture", "›")];
  const dialog = h("dialog", { class: "card picture-view", "aria-labelledby": "picture-name" },
    h("header", {}, title, place, h("button", { type: "button", "aria-label": "Close", onclick: () => dialog.close() }, "✕")),
    h("div", { class: "whole-picture" }, before, picture, after),
    h("div", { class: "said" }, words,
      h("h3", {}, "What is it?"),
      filter, list,
      h("div", { class: "row" }, news, undo),
      h("p", { class: "muted hint keys" }, `${[...HINTS, more ? "H for the heat" : null, "Esc to close"].filter(Boolean).join(", ")}.`),
      more?.element));
  dialog.addEventListener("keydown", onKey);
  dialog.addEventListener("close", () => {
    dialog.remove();
    close(rows[at]);
  });
  signal.addEventListener("abort", () => dialog.close());

  const shown = () => offered(all(), rows[at], text);

  function draw() {
    const row = rows[at];
    put(title, row.image);
    put(place, rows.length > 1 ? `${at + 1} of ${rows.length}` : "");
    // A new element, so that the picture before is never seen under this one's name.
    const shown = large(datasetId, row);
    put(picture, shown.element);
    put(words, row.said);
    more?.show(row, shown.lay);
    [before.disabled, after.disabled] = [at === 0, at === rows.length - 1];
    text = filter.value = "";
    drawChoices();
    for (const near of [rows[at + 1], rows[at - 1]]) if (near) new Image().src = imageUrl(datasetId, near.sha256);
  }

  function drawChoices() {
    const { label, sha256 } = rows[at];
    const correction = pending.get(sha256);
    const chosen = correction === undefined ? label : correction;
    const [found, meant] = [shown(), entered(all(), text)];
    const choice = (name, key, kind) => h("button", { type: "button", class: kind, "aria-pressed": String(name === chosen), "aria-keyshortcuts": key, onclick: () => choose(name) },
      key ? h("kbd", { "aria-hidden": "true" }, key) : null, h("span", { class: "name" }, name ?? "Leave it out"));
    put(list,
      found.shown.map((name, place) => choice(name, keyOf(place))),
      found.left ? h("p", { class: "muted hint" }, `And ${plural(found.left, "label")} more: find them by their letters.`) : null,
      meant?.isNew ? h("button", { type: "button", onclick: () => choose(meant.label) }, h("span", { class: "name" }, "New label: ", h("strong", {}, meant.label))) : null,
      meant?.isNew ? h("p", { class: "muted hint" }, "A new label needs at least three pictures before it can be trained on.") : null,
      choice(null, "0", "out"));
    undo.disabled = !pending.canUndo();
  }

  function move(by) {
    if (!rows[at + by]) return;
    at += by;
    put(news);
    draw();
    if (document.activeElement?.disabled || !dialog.contains(document.activeElement)) title.focus();
  }

  /** Note the label and go on: whoever looks through many pictures presses one key for each. */
  function choose(label) {
    const row = rows[at];
    pending.choose(row.sha256, label, row.label);
    const said = pending.get(row.sha256) === undefined ? `${row.image} stays ${row.label}.` : `${row.image}: ${row.label} → ${choiceText(label)}.`;
    if (rows[at + 1]) move(1);
    else drawChoices();
    put(news, said);
    title.focus();
  }

  function takeBack() {
    if (!pending.canUndo()) return;
    const sha256 = pending.undo();
    const found = rows.findIndex((row) => row.sha256 === sha256);
    if (found >= 0) at = found;
    draw();
    put(news, "Undone.");
    title.focus();
  }

  function onKey(event) {
    if (event.target === filter) return onFilterKey(event);
    if (event.key === "/") {
      event.preventDefault();
      return filter.focus();
    }
    const meant = meaning(event, shown().shown);
    if (!meant) return undefined;
    event.preventDefault();
    if (meant.step) return move(meant.step);
    if (meant.toggle) return more?.toggle();
    if (event.repeat) return undefined; // a key that is held down would label one picture after the other
    return meant.undo ? takeBack() : choose(meant.label);
  }

  function onFilterKey(event) {
    const meant = entered(all(), text);
    if (event.key === "Enter" && meant) {
      event.preventDefault();
      // Of many labels, the first that is found by its letters is meant.
      const [first] = areMany(all()) && meant.isNew ? shown().shown : [];
      choose(first ?? meant.label);
    } else if (event.key === "Escape" && text) {
      event.preventDefault();
      text = filter.value = "";
      drawChoices();
    }
  }

  return {
    open(list, index, onClose) {
      [rows, at, close] = [list, index, onClose];
      put(news);
      draw();
      document.body.append(dialog);
      dialog.showModal();
      title.focus();
    },
  };
}

/**
 * A picture as large as there is room, `{element, lay(address)}`.
 *
 * One that the browser can't show is shown by its small copy. `lay` lays another one over it.
 */
function large(datasetId, { sha256, image }) {
  const picture = h("img", { src: imageUrl(datasetId, sha256), alt: image });
  const over = h("div", {});
  const element = h("div", { class: "large" }, picture, over);
  picture.addEventListener("load", () => {
    picture.classList.toggle("pixelated", Math.max(picture.naturalWidth, picture.naturalHeight) <= SMALL);
    element.style.setProperty("--ratio", picture.naturalWidth / picture.naturalHeight);
  });
  picture.addEventListener("error", () => (picture.src = thumbnailUrl(datasetId, sha256)), { once: true });
  return { element, lay: (address) => put(over, address === null ? null : h("img", { src: address, alt: "Where it looked" })) };
}
