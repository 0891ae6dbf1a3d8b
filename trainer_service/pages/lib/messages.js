/* What goes wrong, as paragraphs. */

import { h } from "../../web/dom.js";

/** An error as a paragraph. */
export const problem = (error) => h("p", { class: "problem", role: "alert" }, error.message);

/** A problem that the page waits to pass, as a paragraph. */
export const waiting = (text) => h("p", { class: "warn", role: "status" }, text);
