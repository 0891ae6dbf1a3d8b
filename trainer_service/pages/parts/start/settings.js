/* The settings of a training as a form, made from the schema in the OpenAPI document. */

import { h, put } from "../../../web/dom.js";
import { words } from "../../lib/format.js";

const ELSEWHERE = new Set(["model", "architecture", "dataset", "reading", "tune"]);

/** The schema of the body that starts a training, from the OpenAPI document. */
export function trainingSchema(document) {
  return document.paths["/v1/trainings"].post.requestBody.content["application/json"].schema;
}

/** `{element, values(), complain(errors)}`; `values` returns those that differ from their defaults. */
export function settings(schema) {
  const names = Object.keys(schema.properties).filter((name) => !ELSEWHERE.has(name));
  const isSingle = (name) => "type" in schema.properties[name] && !["object", "array"].includes(schema.properties[name].type);
  const sorted = [...names.filter(isSingle), ...names.filter((name) => !isSingle(name))];
  const fields = sorted.map((name) => [name, fieldOf(name, schema.properties[name])]);
  return {
    element: h("div", { class: "columns settings" }, fields.map(([, field]) => field.element)),
    values() {
      const changed = fields.map(([name, field]) => [name, field.value()]);
      return Object.fromEntries(changed.filter(([, value]) => value !== undefined));
    },
    /** Show each error at its field, and return the errors that have no field here. */
    complain(errors) {
      for (const [, field] of fields) field.complain([]);
      return errors.filter(({ field: path }) => {
        const [name] = path.split(".");
        const found = fields.find(([known]) => known === name)?.[1];
        found?.complain(errors.filter((error) => error.field.split(".")[0] === name));
        return !found;
      });
    },
  };
}

function fieldOf(path, schema) {
  const object = schema.oneOf?.find(({ type }) => type === "object");
  if (object) return optionalGroup(path, object, schema.oneOf.find((other) => "const" in other)?.const);
  if (schema.type === "object") return group(path, schema);
  if (schema.type === "array") return choices(path, schema);
  return single(path, schema);
}

/** A field for a text, a number, or one of several values: `{element, value(), complain(errors)}`. */
export function single(path, schema) {
  const id = `setting-${path}`;
  const fault = h("span", { class: "bad", id: `${id}-fault` });
  const control = schema.enum
    ? h("select", { id, name: path }, schema.enum.map((value) => h("option", { value, selected: value === schema.default }, value)))
    : h("input", { id, name: path, inputmode: "decimal", autocomplete: "off", value: String(schema.default ?? "") });
  control.setAttribute("aria-describedby", `${id}-hint ${fault.id}`);
  const hint = [schema.description, schema.default === undefined ? null : `Default: ${schema.default}`].filter(Boolean).join(" ");
  return {
    element: h("div", { class: "field" }, h("label", { for: id }, words(path.split(".").at(-1))), control,
      h("span", { class: "muted hint", id: `${id}-hint` }, hint), fault),
    value() {
      const text = control.value.trim();
      if (text === "" || text === String(schema.default)) return undefined;
      return (schema.enum && schema.type !== "integer") || Number.isNaN(Number(text)) ? text : Number(text);
    },
    complain(errors) {
      control.setAttribute("aria-invalid", String(errors.length > 0));
      put(fault, errors.map(({ detail }) => detail).join(" "));
    },
  };
}

/** A box to check for each of the values that a list may have. */
function choices(path, schema) {
  const boxes = schema.items.enum.map((value) =>
    h("input", { type: "checkbox", id: `setting-${path}-${value}`, value, checked: schema.default.includes(value) }));
  const fault = h("span", { class: "bad" });
  return {
    element: h("fieldset", {}, h("legend", {}, words(path)), h("p", { class: "muted hint" }, schema.description),
      h("div", { class: "row" }, boxes.map((box) => h("label", { class: "inline" }, box, box.value))), fault),
    value() {
      const checked = boxes.filter((box) => box.checked).map((box) => box.value);
      return checked.join() === schema.default.join() ? undefined : checked;
    },
    complain: (errors) => put(fault, errors.map(({ detail }) => detail).join(" ")),
  };
}

function group(path, schema, ...first) {
  const fields = Object.entries(schema.properties).map(([name, property]) => [name, single(`${path}.${name}`, property)]);
  const fault = h("span", { class: "bad" });
  return {
    element: h("fieldset", {}, h("legend", {}, words(path)), h("p", { class: "muted hint" }, schema.description?.replaceAll("`", "")), first,
      fields.map(([, field]) => field.element), fault),
    value() {
      const changed = fields.map(([name, field]) => [name, field.value()]).filter(([, value]) => value !== undefined);
      return changed.length ? Object.fromEntries(changed) : undefined;
    },
    complain(errors) {
      const rest = errors.filter((error) => {
        const found = fields.find(([name]) => name === error.field.split(".").at(-1))?.[1];
        found?.complain([error]);
        return !found;
      });
      if (!errors.length) for (const [, field] of fields) field.complain([]);
      put(fault, rest.length === errors.length ? rest.map(({ detail }) => detail).join(" ") : "");
    },
  };
}

function optionalGroup(path, schema, off) {
  const on = h("input", { type: "checkbox", id: `setting-${path}`, checked: true });
  const inner = group(path, schema, h("label", { class: "inline" }, on, "On"));
  on.addEventListener("change", () => {
    for (const control of inner.element.querySelectorAll("input, select")) if (control !== on) control.disabled = !on.checked;
  });
  return { ...inner, value: () => (on.checked ? inner.value() : off) };
}
