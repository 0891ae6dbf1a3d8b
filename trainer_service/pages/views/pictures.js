/* The first step of a training: which images. */

import { passes, rest } from "../lib/again.js";
import { create, get, list as listed, upload } from "../lib/api.js";
import { announce, h, put } from "../../web/dom.js";
import { dropped } from "../../web/dropped.js";
import { chosen, formOf, refusal } from "../lib/files.js";
import { bytes, percent, plural, when } from "../lib/format.js";
import { problem, waiting } from "../lib/messages.js";
import { go, holdOn, link } from "../lib/router.js";
import { pretrainedCard } from "../parts/pretrained/card.js";

const LOOK_MILLISECONDS = 5000;
const SHOWN = 6;
const PAGE = 100;

export async function pictures({ root, signal, load }) {
  document.title = "New training · Headstart";
  const limits = load(() => get("v1/about", signal));
  const known = knownDatasets(signal, load);
  root.append(dropCard(limits, signal), known.element);
  const [{ paths }] = await Promise.all([limits, known.look()]);
  if (paths) root.append(pathCard());
  root.append(pretrainedCard(signal));
  for (;;) {
    await rest(LOOK_MILLISECONDS, signal);
    await known.look();
  }
}

function dropCard(limits, signal) {
  const status = h("div", {});
  let stop = null;
  let release = () => {};
  const send = async (reading) => {
    stop?.abort();
    const mine = (stop = new AbortController());
    const leave = () => mine.abort();
    signal.addEventListener("abort", leave);
    release();
    release = holdOn("Images are being sent. Stop that, and leave?");
    let files;
    try {
      files = await reading;
      const fault = refusal(files, await limits);
      if (fault) throw new Error(fault);
      const record = await sendFiles(files, status, mine);
      go("datasets", record.id);
    } catch (error) {
      if (signal.aborted || stop !== mine) return;
      put(status, problem(error), passes(error) ? h("button", { type: "button", onclick: () => send(files) }, "Send it again") : null);
    } finally {
      signal.removeEventListener("abort", leave);
      if (stop === mine) release();
    }
  };
  const zone = h("div", { class: "drop" },
    h("p", {}, h("strong", {}, "Drop labelled images here:"), " a folder, or a zip, tar or tar.gz archive."),
    h("div", { class: "row center" },
      picker("Choose an archive", "archive", { accept: ".zip,.tar,.gz,.tgz" }, send),
      picker("Choose a folder", "folder", { webkitdirectory: true }, send)),
    h("p", { class: "muted hint" }, "Labels are read from folders (cat/1.jpg), file names (cat.1.jpg) or a table."));
  makeDroppable(zone, send);
  return h("section", { class: "card stack", "aria-labelledby": "new" }, h("h2", { id: "new" }, "Train a model on your images"), zone, status);
}

function picker(text, id, attributes, send) {
  const input = h("input", { type: "file", id, class: "visually-hidden", tabindex: -1, "aria-label": text, ...attributes });
  input.addEventListener("change", () => {
    // A copy: clearing the input, so that the same choice counts again, empties its list too.
    const files = chosen(input);
    input.value = "";
    if (files.length) send(files);
  });
  return h("span", {}, h("button", { type: "button", class: "primary", onclick: () => input.click() }, text), input);
}

function makeDroppable(zone, send) {
  const mark = (over) => (event) => {
    event.preventDefault();
    zone.classList.toggle("over", over);
  };
  zone.addEventListener("dragover", mark(true));
  zone.addEventListener("dragleave", mark(false));
  zone.addEventListener("drop", (event) => {
    mark(false)(event);
    send(dropped(event.dataTransfer));
  });
}

async function sendFiles(files, status, stop) {
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Upload" });
  const text = h("p", { class: "muted" }, `Sending ${plural(files.length, "file")} …`);
  put(status, h("div", { class: "row" }, h("div", { class: "grow" }, bar, text), h("button", { type: "button", onclick: () => stop.abort() }, "Stop")));
  announce("The upload has begun.");
  try {
    return await upload("v1/datasets", formOf(files), (sent, total) => {
      bar.value = sent / total;
      put(text, `Sending ${plural(files.length, "file")}: ${bytes(sent)} of ${bytes(total)}, ${percent(sent / total, 0)}`);
    }, (trouble) => put(text, trouble), stop.signal);
  } catch (error) {
    if (error.name !== "AbortError") throw error;
    throw new Error("The upload was stopped; nothing was kept.");
  }
}

/** The datasets that the trainer has: `{element, look()}`. */
function knownDatasets(signal, load) {
  const list = h("ul", { class: "list" });
  const none = h("p", { class: "muted" }, "None yet.");
  const more = h("button", { type: "button", onclick: () => showAll().catch((error) => signal.aborted || more.replaceWith(problem(error))) });
  const element = h("section", { class: "card", "aria-label": "Images already there" }, h("h2", {}, "Images already there"), none, list, more);
  let all = false;
  let shown = null;
  none.hidden = more.hidden = true;
  const look = async () => {
    const found = await load(() => listed("v1/datasets", signal, all ? Infinity : PAGE));
    const records = found.filter(({ state }) => state !== "failed");
    const key = JSON.stringify([all, records]);
    if (key === shown) return;
    shown = key;
    const focused = list.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    put(list, records.slice(0, all ? undefined : SHOWN).map(knownDataset));
    list.querySelector(`a[href="${focused}"]`)?.focus();
    none.hidden = records.length > 0;
    more.hidden = all || records.length <= SHOWN;
    put(more, found.length < PAGE ? `Show all ${records.length}` : "Show all");
  };
  const showAll = () => {
    all = true;
    return look();
  };
  return { element, look };
}

function knownDataset({ id, source, created_at: created, state, images, label_count: labels }) {
  const what = state === "ready" ? `${plural(images, "image")}, ${plural(labels, "label")}` : state;
  return h("li", {}, h("a", { href: link("datasets", id) }, source), h("span", { class: "muted" }, ` ${what} · ${when(created)}`));
}

function pathCard() {
  const input = h("input", { id: "path", autocomplete: "off", placeholder: "pets" });
  const status = h("div", {});
  const button = h("button", {}, "Read it");
  const submit = async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    try {
      const record = await create("v1/datasets", { path: input.value }, (trouble) => put(status, waiting(trouble)));
      go("datasets", record.id);
    } catch (error) {
      put(status, problem(error));
    } finally {
      button.disabled = false;
    }
  };
  return h("section", { class: "card" }, h("details", {},
    h("summary", {}, "A folder or archive on the trainer's machine"),
    h("form", { class: "row", novalidate: true, onsubmit: submit },
      h("label", { for: "path", class: "grow" }, "Path below the datasets directory", input),
      button),
    status));
}
