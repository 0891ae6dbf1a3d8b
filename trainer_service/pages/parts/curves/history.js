/* Loss and accuracy of training and validation, drawn as epochs come in. */

import { h } from "../../../web/dom.js";
import { decimal, percent } from "../../lib/format.js";
import { chart, oncePerFrame } from "./curves.js";

const NAMES = ["loss", "val_loss", "accuracy", "val_accuracy"];

/** `{element, add(epoch event), showHistory(rows)}`; hidden as long as there is no epoch. */
export function curves() {
  const [loss, accuracy] = [chart("Loss", decimal), chart("Accuracy", percent, { high: 1 })];
  const element = h("section", { class: "card", "aria-label": "Curves", hidden: true },
    h("h2", {}, "Curves"), h("div", { class: "columns" }, loss.element, accuracy.element));
  let values = fresh();

  const draw = oncePerFrame(() => {
    element.hidden = values.loss.length === 0;
    loss.draw(pair(values.loss, values.val_loss));
    accuracy.draw(pair(values.accuracy, values.val_accuracy));
  });
  return {
    element,
    add(event) {
      // A phase that starts again after a crash reports its epochs again.
      for (const name of NAMES) {
        values[name].length = Math.min(values[name].length, event.epoch - 1);
        values[name].push(event[name]);
      }
      draw();
    },
    showHistory(rows) {
      values = fresh();
      for (const row of rows) for (const name of NAMES) values[name].push(row[name] ?? null);
      draw();
    },
  };
}

const fresh = () => Object.fromEntries(NAMES.map((name) => [name, []]));

function pair(train, validation) {
  return [
    { name: "training", color: 2, dashed: true, values: train },
    { name: "validation", color: 1, dashed: false, values: validation },
  ];
}
