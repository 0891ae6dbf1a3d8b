/* The choice of fine-tuning: none, the last layers, or whatever the user says. */

import { h, put } from "../../../web/dom.js";
import { percent } from "../../lib/format.js";
import { single } from "./settings.js";

const WHAT = "Once the head is trained, the last layers of the backbone can learn from your images too. That takes minutes, and what comes of it is published only if it answers the validation images better.";
const NUMBERS = ["views", "epochs", "learning_rate", "head_learning_rate", "patience"];

/**
 * `{element, value(), complain(errors), show(architecture)}`, from the schema of the field `tune`.
 *
 * `show` offers the layers of a row of the architectures; `value` is undefined if nothing is tuned.
 */
export function tuneChoice(schema) {
  const { properties } = schema.oneOf.find(({ type }) => type === "object");
  const [layers, changes] = [layerChoice(properties.from), changesChoice(properties.augment)];
  const numbers = NUMBERS.map((name) => [name, single(`tune.${name}`, properties[name])]);
  const fields = [["from", layers], ...numbers, ["augment", changes]];
  const own = h("div", { class: "columns settings" }, fields.map(([, field]) => field.element));
  const [folded, fault, tail] = [h("div", {}), h("span", { class: "bad" }), h("span", { class: "muted" })];
  const radios = [
    radio("off", "Off", h("span", { class: "muted" }, "The backbone stays as it is.")),
    radio("tail", "The last layers", tail),
    radio("other", "Other …", h("span", { class: "muted" }, "You say which layers learn, and how.")),
  ];
  const element = h("fieldset", {}, h("legend", {}, "Fine-tuning"), h("p", { class: "muted hint" }, WHAT),
    h("div", { class: "choices" }, radios), folded, fault);
  const chosen = () => element.querySelector("input[name=tune]:checked").value;
  element.addEventListener("change", () => put(folded, chosen() === "other" ? own : null));
  return {
    element,
    value() {
      if (chosen() === "off") return undefined;
      return chosen() === "tail" ? "tail" : given(fields.map(([name, field]) => [name, field.value()]));
    },
    complain(errors) {
      const named = (name) => errors.filter(({ field }) => field.split(".")[1] === name);
      for (const [name, field] of fields) field.complain(named(name));
      const others = errors.filter(({ field }) => !fields.some(([name]) => field.split(".")[1] === name));
      put(fault, others.map(({ detail }) => detail).join(" "));
    },
    show(architecture) {
      layers.show(architecture);
      put(tail, `Those behind ${architecture.tail}: ${share(architecture, architecture.tail)} of the network's work.`);
    },
  };
}

const given = (pairs) => Object.fromEntries(pairs.filter(([, value]) => value !== undefined));

/** How much of the work of a network is done behind a layer. */
export const share = ({ cuts }, layer) => percent(cuts[layer] / Math.max(...Object.values(cuts)), 0);

/** The layers that an architecture can be tuned from as pairs of name and text, late to early. */
export const cutsOf = (architecture) =>
  Object.keys(architecture.cuts).reverse().map((layer) => [layer, `${layer}: ${share(architecture, layer)}`]);

function radio(value, name, explained) {
  return h("label", { class: "choice" },
    h("input", { type: "radio", name: "tune", value, checked: value === "off" }),
    h("span", {}, h("strong", {}, name), explained));
}

function layerChoice({ description }) {
  const [select, fault] = [h("select", { id: "setting-tune.from" }), h("span", { class: "bad" })];
  return {
    element: h("div", { class: "field" }, h("label", { for: select.id }, "From"), select, h("span", { class: "muted hint" }, `${description} Beside each, how much of the network's work that is.`), fault),
    value: () => select.value,
    complain: (errors) => complain(fault, errors, select),
    show(architecture) {
      put(select, cutsOf(architecture).map(([value, text]) => h("option", { value, selected: value === architecture.tail }, text)));
    },
  };
}

/** Of the changes that views may have: those that do no harm, none, or those that are checked. */
function changesChoice({ description, oneOf }) {
  const names = oneOf.find(({ type }) => type === "array").items.enum;
  const boxes = names.map((value) => h("input", { type: "checkbox", value, checked: true }));
  const some = h("div", { class: "row" }, boxes.map((box) => h("label", { class: "inline" }, box, box.value)));
  const fault = h("span", { class: "bad" });
  const select = h("select", { id: "setting-tune.augment" },
    [["auto", "auto: what does no harm"], ["none", "none"], ["some", "only what is checked"]].map(([value, text]) => h("option", { value }, text)));
  some.hidden = true;
  select.addEventListener("change", () => { some.hidden = select.value !== "some"; });
  return {
    element: h("div", { class: "field" }, h("label", { for: select.id }, "Augment"), select, some, h("span", { class: "muted hint" }, description), fault),
    value() {
      if (select.value !== "some") return select.value === "auto" ? undefined : select.value;
      const checked = boxes.filter((box) => box.checked).map((box) => box.value);
      return checked.length ? checked : "none";
    },
    complain: (errors) => complain(fault, errors, select),
  };
}

function complain(fault, errors, control) {
  control.setAttribute("aria-invalid", String(errors.length > 0));
  put(fault, errors.map(({ detail }) => detail).join(" "));
}
