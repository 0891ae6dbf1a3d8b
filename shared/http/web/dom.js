/* Makes elements. A child is an element or text, never markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an HTML element.
 *
 * Properties that begin with "on" are listeners, `vars` are CSS custom properties, the others are
 * attributes; null, undefined and false leave one out. Children that are null or false are left out.
 */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** Make an SVG element; everything else as `h`. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

/** Replace the children of an element. */
export function put(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

/** Announce a change to screen readers. */
export function announce(text) {
  document.getElementById("status").textContent = text;
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "vars") setVariables(element, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...present(children));
  return element;
}

function setVariables(element, variables) {
  for (const [name, value] of Object.entries(variables)) element.style.setProperty(name, value);
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}
