/* Which view is shown: the location's hash says it, so that reload, back and links work. */

import { h, put } from "../../web/dom.js";
import { persist } from "./again.js";
import { problem } from "./messages.js";

/** The hash of a view, for example `link("trainings", id)`. */
export function link(...parts) {
  const query = typeof parts.at(-1) === "object" ? parts.pop() : {};
  const text = new URLSearchParams(query).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/** Go to a view. */
export const go = (...parts) => (location.hash = link(...parts));

let question = null;

/** Ask `text` before the view is left, until the function that is returned is called. */
export function holdOn(text) {
  const ask = (event) => event.preventDefault(); // the browser then asks in its own words
  question = text;
  window.addEventListener("beforeunload", ask);
  return () => {
    question = null;
    window.removeEventListener("beforeunload", ask);
  };
}

/**
 * Show the view that the hash names, now and whenever it changes.
 *
 * A view is an async function of `{root, parts, query, signal, load}`; the signal ends with it.
 * `load` is `persist`, which says at the top of the view what it waits for. The view may return a
 * function that is called with the query when nothing but that changes.
 */
export function start(root, views) {
  let leave = new AbortController();
  let shown = null;
  let update = null;

  async function show(first) {
    const { path, parts, query } = read();
    if (path === shown) return update?.(query);
    if (question && !confirm(question)) {
      location.hash = `#/${shown}`;
      return undefined;
    }
    leave.abort();
    leave = new AbortController();
    [shown, update] = [path, null];
    markCurrent(path);
    const trouble = h("div", {});
    put(root, trouble);
    if (!first) focusTop(root);
    const { signal } = leave;
    const load = (ask) => persist(ask, trouble, signal);
    try {
      const view = views[parts[0] ?? ""];
      if (!view) throw new Error("There is no such page.");
      const result = await view({ root, parts: parts.slice(1), query, signal, load });
      if (!signal.aborted) update = result;
    } catch (error) {
      if (!signal.aborted) root.append(problem(error));
    }
  }

  window.addEventListener("hashchange", () => show(false));
  show(true);
}

function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decoded);
  return { path, parts, query: Object.fromEntries(new URLSearchParams(query)) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function markCurrent(path) {
  const top = path.split("/")[0];
  const page = { datasets: "", compare: "trainings" }[top] ?? top;
  for (const anchor of document.querySelectorAll("header.page nav a")) {
    const here = anchor.getAttribute("href") === `#/${page}`;
    if (here) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
}

function focusTop(root) {
  root.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}
