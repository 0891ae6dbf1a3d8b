/* All comparisons. */

import { persist, rest } from "../lib/again.js";
import { list } from "../lib/api.js";
import { h, put } from "../../web/dom.js";
import { when } from "../lib/format.js";
import { link } from "../lib/router.js";
import { stateTag } from "../parts/phases.js";

const LOOK_MILLISECONDS = 4000;
const MOST = 200;
const HEADS = ["Model", "State", "Compared", "Recommended", "Started"];

export async function comparisons({ root, signal }) {
  document.title = "Comparisons · Headstart";
  const [trouble, found] = [h("div", {}), h("div", {})];
  root.append(h("section", { class: "card" }, h("h2", {}, "Comparisons"), trouble, found));
  let shown = "";
  for (;;) {
    const records = await persist(() => list("v1/comparisons", signal, MOST), trouble, signal);
    const key = JSON.stringify(records);
    if (key !== shown) put(found, records.length ? table(records) : h("p", { class: "muted" }, "None yet. Choose images under New training, and compare architectures there."));
    shown = key;
    await rest(LOOK_MILLISECONDS, signal);
  }
}

const table = (records) => h("div", { class: "scroll" }, h("table", { class: "records" },
  h("thead", {}, h("tr", {}, HEADS.map((name) => h("th", { scope: "col" }, name)))),
  h("tbody", {}, records.map(({ id, model, state, candidates, verdict, created_at: created }) => h("tr", {},
    h("td", {}, h("a", { class: "name", href: link("comparisons", id) }, model)),
    h("td", {}, stateTag(state)),
    h("td", {}, candidates.length),
    h("td", { class: "name" }, verdict?.recommended ?? "–"),
    h("td", { class: "muted" }, when(created)))))));
