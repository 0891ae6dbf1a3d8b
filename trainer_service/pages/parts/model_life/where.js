/* What became of the version of a training: its model's name by now, its alias and its note. */

import { get } from "../../lib/api.js";
import { h, put } from "../../../web/dom.js";
import { link } from "../../lib/router.js";
import { whereNow } from "./words.js";

/** A card that stays hidden if nothing is to be said. The report, which is a file of the version, says nothing of this. */
export function whereCard(record, signal) {
  const card = h("section", { class: "card", "aria-label": "The version now", hidden: true });
  get("v1/models", signal).then((models) => {
    const text = whereNow(record, models);
    if (text) put(card, h("p", {}, text, " ", h("a", { href: link("models") }, "Models")));
    card.hidden = !text;
  }, () => {}); // The rest of the page says what is wrong with the trainer.
  return card;
}
