/* Where a picture speaks for a label, laid over the picture. */

import { announce, h, put } from "../../web/dom.js";
import { explain } from "../lib/api.js";
import { sentence } from "../lib/format.js";
import { places } from "../lib/places.js";

/**
 * `{element, button(label)}` for a picture; `url` shows it, `file` is sent, and `model` is asked.
 *
 * Each button shows the heat of its label in the element, or hides it again.
 */
export function heat(url, file, model) {
  const element = h("figure", { class: "heat", hidden: true });
  let pressed = null;

  const show = (...children) => {
    put(element, ...children);
    element.hidden = children.length === 0;
  };
  const press = (button) => {
    pressed?.setAttribute("aria-pressed", "false");
    pressed = button;
    pressed?.setAttribute("aria-pressed", "true");
  };
  const toggle = async (button, label) => {
    if (button === pressed) {
      press(null);
      return show();
    }
    press(button);
    show(h("p", { class: "muted" }, "Is being looked for …"));
    try {
      const found = await explain(file, model, label);
      if (button === pressed) show(...layers(url, found));
    } catch (error) {
      if (button === pressed) show(h("p", { class: "problem", role: "alert" }, sentence(error.message)));
    }
  };
  return {
    element,
    button(label) {
      const shown = h("button", { type: "button", class: "name", "aria-pressed": "false", title: `Show where the picture speaks for ${label}`, onclick: () => toggle(shown, label) }, label);
      return shown;
    },
  };
}

function layers(url, { label, grid, png }) {
  const caption = h("figcaption", { class: "small" }, "The picture speaks for ", h("strong", {}, label), ` mostly ${places(grid)}.`);
  const words = caption.textContent;
  announce(words);
  const picture = h("img", { src: url, alt: "", decoding: "async" });
  picture.addEventListener("error", () => picture.remove()); // of a format that the browser can't show
  const over = h("img", { src: `data:image/png;base64,${png}`, alt: words, class: "over" });
  return [h("div", { class: "layers" }, picture, over), caption];
}
