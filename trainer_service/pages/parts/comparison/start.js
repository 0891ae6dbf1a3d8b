/* The form that compares architectures on a dataset, folded below that of a training. */

import { h, put } from "../../../web/dom.js";
import { create } from "../../lib/api.js";
import { problem, waiting } from "../../lib/messages.js";
import { go } from "../../lib/router.js";

const PUBLISH = [["recommended", "the recommended one"], ["best", "the most accurate one"], ["none", "none, until I choose"]];

/** `fields()` returns those of the training beside it, `check()` throws if nothing must be started. */
export function comparisonForm(rows, fields, check) {
  const available = rows.filter((row) => row.available);
  if (available.length < 2) return null;
  const boxes = available.map(({ id }) => h("input", { type: "checkbox", name: "compared", value: id, checked: true }));
  const full = h("input", { type: "checkbox" });
  const publish = h("select", {}, PUBLISH.map(([value, text]) => h("option", { value }, text)));
  const fault = h("div", {});
  const start = h("button", { type: "button", onclick: submit }, "Compare them");
  async function submit() {
    const architectures = boxes.filter((box) => box.checked).map((box) => box.value);
    put(fault);
    if (architectures.length < 2) return put(fault, problem(new Error("Choose two or more.")));
    start.disabled = true;
    try {
      await check();
      const { architecture, ...others } = fields();
      const body = { ...others, architectures, rounds: full.checked ? "full" : "halving", publish: publish.value };
      const made = await create("v1/comparisons", body, (trouble) => put(fault, waiting(trouble)));
      go("comparisons", made.id);
    } catch (error) {
      put(fault, problem(error));
    } finally {
      start.disabled = false;
    }
    return undefined;
  }
  return h("details", {}, h("summary", {}, "Or compare several architectures"),
    h("div", { class: "stack" },
      h("fieldset", {}, h("legend", {}, "Architectures to compare"), boxes.map((box) => h("label", { class: "inline" }, box, box.value))),
      h("label", { class: "inline" }, full, "Train all on all images; otherwise what is clearly worse on a few of them is dropped"),
      h("label", { class: "inline" }, "Publish", publish),
      fault, h("div", {}, start)));
}
