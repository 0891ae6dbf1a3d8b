/* The form that publishes a pre-trained network as it is. */

import { create, get } from "../../lib/api.js";
import { h, put } from "../../../web/dom.js";
import { problem, waiting } from "../../lib/messages.js";
import { go } from "../../lib/router.js";
import { classesOf } from "./groups.js";

/** A folded card; what can be chosen is asked for when it is opened. */
export function pretrainedCard(signal) {
  const body = h("div", {});
  const details = h("details", { ontoggle: () => details.open && !body.hasChildNodes() && open() },
    h("summary", {}, "Use a pre-trained network"), body);
  async function open() {
    put(body, waiting("Looking for the networks that can be had …"));
    try {
      const [rows, { classes }] = await Promise.all([get("v1/architectures", signal), get("v1/imagenet-classes", signal)]);
      put(body, form(rows, classes));
    } catch (error) {
      if (!signal.aborted) put(body, problem(error));
    }
  }
  return h("section", { class: "card" }, details);
}

function form(rows, classes) {
  const [there, missing] = [rows.filter(available), rows.filter((row) => !available(row))];
  const network = h("select", { id: "pretrained", required: true }, there.map(({ id }) => h("option", { value: id }, id)));
  const name = h("input", { id: "pretrained-name", autocomplete: "off", placeholder: "imagenet" });
  const chosen = h("textarea", { id: "pretrained-classes", rows: 4, placeholder: "cat: tabby cat, tiger cat\ndog: Beagle, pug" });
  const rest = h("input", { type: "checkbox", id: "pretrained-rest", checked: true });
  const status = h("div", {});
  const button = h("button", { class: "primary", disabled: !there.length }, "Publish it");
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    put(status);
    try {
      const record = await create("v1/models", asked(name.value.trim(), network.value, chosen.value, rest.checked), (trouble) => put(status, waiting(trouble)));
      go("trainings", record.id);
    } catch (error) {
      put(status, problem(error));
    } finally {
      button.disabled = false;
    }
  };
  return h("form", { class: "stack", novalidate: true, onsubmit: submit },
    h("p", {}, `Nothing is trained: the network answers the ${classes.length.toLocaleString("en")} classes of ImageNet, or those that you name.`),
    there.length ? null : h("p", { class: "problem" }, "The weights of no network can be had; each one below says why."),
    h("div", { class: "row" },
      h("label", { for: "pretrained" }, "Network", network),
      h("label", { for: "pretrained-name", class: "grow" }, "Name of the model", name)),
    missing.length ? h("details", { open: !there.length }, h("summary", {}, `Not available here: ${missing.map(({ id }) => id).join(", ")}`),
      h("ul", {}, missing.map(({ id, classifier }) => h("li", {}, `${id}: ${classifier.detail}`)))) : null,
    h("label", { for: "pretrained-classes" }, "Only these classes (optional): one in a line, or a label, a colon and its classes", chosen),
    h("div", { class: "row" }, rest, h("label", { for: "pretrained-rest" }, "A label “other” for everything else")),
    h("details", {}, h("summary", {}, "All classes"), h("p", {}, classes.join(", "))),
    h("div", {}, button), status);
}

const available = ({ classifier }) => classifier.available;

/** The body of the request; a rest makes sense only beside classes. */
function asked(name, pretrained, text, withRest) {
  const classes = classesOf(text);
  return { name: name || "imagenet", pretrained, ...(classes && { classes }), ...(classes && !withRest && { rest: null }) };
}
