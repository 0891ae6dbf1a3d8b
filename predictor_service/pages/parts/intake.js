/* Where images come in: dropped, chosen or pasted. */

import { h } from "../../web/dom.js";
import { dropped } from "../../web/dropped.js";

/* Not every system knows the latter as images. */
const ACCEPTED = "image/*,.heic,.heif,.hif,.avif,.ppm,.pgm,.pbm,.pnm";

/**
 * Fill `element`; `onPictures` gets `[{file, name}]`.
 *
 * `extra` is put beside the button that chooses files. Files may be dropped anywhere on the page;
 * else an image dropped beside the field would replace the page.
 */
export function intake(element, onPictures, extra) {
  const input = h("input", { type: "file", id: "files", multiple: true, accept: ACCEPTED, class: "visually-hidden", tabindex: -1, "aria-hidden": "true" });
  const choose = h("button", { type: "button", class: "primary", onclick: () => input.click() }, "Choose images");
  const fault = h("p", { class: "problem", role: "alert", hidden: true });
  const field = h(
    "div",
    { class: "drop" },
    h("p", {}, h("strong", {}, "Drop images here")),
    h("div", { class: "row" }, choose, extra),
    h("p", { class: "muted small" }, "or paste one with Ctrl+V. Each is sent as it is, never shrunk."),
    input,
  );
  const take = (pictures, otherwise) => {
    fault.hidden = pictures.length > 0;
    fault.textContent = pictures.length ? "" : otherwise;
    if (pictures.length) onPictures(pictures);
  };

  input.addEventListener("change", () => {
    if (input.files.length) take([...input.files].map(named), "");
    input.value = "";
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    field.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) field.classList.remove("over");
  });
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    field.classList.remove("over");
    const found = await dropped(event.dataTransfer);
    take(found.map(({ file, path }) => ({ file, name: path })), "Nothing that was dropped is a file. Save an image of another page first.");
  });
  document.addEventListener("paste", (event) => {
    if (event.target.closest?.("input, select, textarea")) return;
    take([...event.clipboardData.files].map(named), "The clipboard has no image.");
  });
  element.append(field, fault);
}

const named = (file) => ({ file, name: file.name || "Pasted image" });
