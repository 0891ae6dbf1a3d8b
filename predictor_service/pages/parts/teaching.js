/* Pictures that were answered wrong get their label, and are sent to the trainer. */

import { announce, h, put } from "../../web/dom.js";
import { plural, sentence } from "../lib/format.js";
import { formsOf, grouped, imagesOf, newestDatasets, refusedOf } from "../lib/lessons.js";

const LOOK_MILLISECONDS = 500;
/** After so many looks, the page says what it waits for. */
const PATIENCE = 20;
/** Characters of the random id of a picture that is taught. */
const ID = 8;
/** Files of a list that are asked for at once. */
const PAGE = 1000;

/**
 * `{offer(entry, model), forget(entry), element}`: `offer` returns what a result has to teach its
 * picture, and `element` is the bar with the pictures that wait to be sent.
 *
 * `trainer` is from `otherService`. Nothing is offered if it is null.
 */
export function teaching(trainer) {
  const datasets = newestDatasets(allowedStorage());
  const [lessons, keys] = [new Map(), new Map()];
  const bar = barOf(lessons, send);
  let sending = false;

  const note = (entry, lesson, show) => {
    lessons.set(entry, { ...lesson, id: newKey().slice(0, ID), show });
    show();
    bar.show();
  };
  const forget = (entry) => {
    if (!lessons.delete(entry)) return;
    bar.show();
  };

  async function send() {
    if (sending) return;
    sending = true;
    bar.busy(true);
    const outcome = { taken: 0, refused: [] };
    const waiting = [...lessons].map(([entry, lesson]) => ({ ...lesson, entry, file: entry.file, name: entry.name }));
    try {
      for (const [dataset, some] of grouped(waiting, ({ model }) => model.dataset)) {
        for (const { form, lessons: sent } of formsOf(some)) {
          const refused = await add(dataset, form, sent);
          for (const { entry, id, name, show } of sent) {
            lessons.delete(entry);
            show(true, refused.get(id));
            if (refused.has(id)) outcome.refused.push(`${name}: ${refused.get(id)}`);
            else outcome.taken += 1;
          }
          bar.sent(outcome, `${trainer.url}/#/datasets/${datasets.of(dataset)}`);
        }
      }
    } catch (error) {
      bar.fail(error);
    }
    sending = false;
    bar.busy(false);
  }

  /** Add pictures to the newest dataset that was made of this one; returns which were refused, as `refusedOf` does. */
  async function add(dataset, body, sent) {
    const parent = datasets.of(dataset);
    const path = imagesOf(parent);
    const { id } = await trainer.ask(path, { method: "POST", body, headers: { "Idempotency-Key": keyOf(path, body) } });
    const child = await read(id);
    datasets.added(dataset, id);
    const { added } = await trainer.ask(`v1/datasets/${encodeURIComponent(parent)}`);
    return child.added - added < sent.length ? await refusals(id, sent, sent.length - (child.added - added)) : new Map();
  }

  /** Look for so many refused pictures in the list of all files that a dataset does not use. */
  async function refusals(id, sent, number) {
    const found = new Map();
    for (let after = 0; after !== null && found.size < number;) {
      const page = await trainer.ask(`v1/datasets/${id}/rejected?limit=${PAGE}&after=${after}`);
      for (const [lesson, why] of refusedOf(sent, page.rejected)) found.set(lesson, why);
      after = page.after;
    }
    return found;
  }

  /** Wait until a worker has read the pictures; returns their dataset, or throws why they can't be used. */
  async function read(id) {
    for (let looks = 0; ; looks += 1) {
      const record = await trainer.ask(`v1/datasets/${id}`);
      if (record.state === "ready") return record;
      if (record.state === "failed") throw new Error(record.error.detail);
      if (looks === PATIENCE) bar.say("They were sent and wait for a worker. Is one running, or are all busy?");
      await new Promise((resolve) => setTimeout(resolve, LOOK_MILLISECONDS));
    }
  }

  /** The same key for the same pictures, so that they are not added twice if only the answer was lost. */
  function keyOf(path, body) {
    const said = JSON.stringify([path, ...[...body].map(([, value]) => (value.name ? [value.name, value.size, value.lastModified] : value))]);
    if (!keys.has(said)) keys.set(said, newKey());
    return keys.get(said);
  }

  return {
    element: bar.element,
    forget,
    /** Null where nothing can be taught; undefined if what was noted for the picture stays. */
    offer(entry, model) {
      if (lessons.has(entry)) return undefined;
      if (!trainer || !model?.dataset) return null;
      return lessonOf(entry, model, (label, show) => (label === null ? forget(entry) : note(entry, { model, label }, show)));
    },
  };
}

/** What a result has: a button, then a field for the label, then what was noted. */
function lessonOf(entry, model, decide) {
  const place = h("div", { class: "lesson" });
  const again = () => h("button", { type: "button", class: "quiet", "aria-label": `Teach it what ${entry.name} is`, onclick: ask }, "Teach it …");
  const begin = () => put(place, again());
  const noted = (label) => (sent = false, refused = null) => put(place, h("p", { class: "row" },
    h("span", { class: "grow" }, refused ? "Was not taken as " : sent ? "Was taught as " : "To be taught as ", h("strong", {}, label), refused ? `: ${refused}` : ""),
    sent ? refused && again() : h("button", { type: "button", class: "quiet", "aria-label": `Do not teach ${entry.name}`, onclick: () => {
      decide(null);
      begin();
      place.querySelector("button").focus();
    } }, "Undo")));

  function ask() {
    const id = `labels-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    const field = h("input", { list: id, maxlength: 1024, required: true, autocomplete: "off" });
    const form = h("form", { class: "lesson-form", onsubmit: (event) => {
      event.preventDefault();
      const label = field.value.trim();
      if (!label) return field.focus();
      const show = noted(label);
      decide(label, show);
      announce(`${entry.name} is to be taught as ${label}.`);
      place.querySelector("button").focus();
    } },
      h("label", {}, "What is it? A label of the model, or a new one", field),
      h("datalist", { id }, model.labels.map((label) => h("option", { value: label }))),
      h("div", { class: "row" }, h("button", { type: "submit", class: "primary" }, "Note it"),
        h("button", { type: "button", onclick: () => {
          begin();
          place.querySelector("button").focus();
        } }, "Cancel")));
    put(place, form);
    field.focus();
  }

  begin();
  return place;
}

/** The bar: `{element, show(), busy(yes), say(text), sent({taken, refused}, address), fail(error)}`. */
function barOf(lessons, send) {
  const said = h("p", { class: "grow" });
  const news = h("div", { role: "status" });
  const button = h("button", { type: "button", class: "primary", onclick: send }, "Send to the trainer");
  const row = h("div", { class: "row" }, said, button);
  const element = h("section", { class: "card teaching", "aria-label": "Pictures to teach", hidden: true }, row, news);
  const show = () => {
    row.hidden = lessons.size === 0;
    element.hidden = row.hidden && !news.childNodes.length;
    put(said, h("strong", {}, `${plural(lessons.size, "picture")} to teach`), h("span", { class: "muted" }, `. Sending adds ${lessons.size === 1 ? "it" : "them"} to the images that the model was trained on.`));
  };
  return {
    element,
    show,
    busy(yes) {
      button.disabled = yes;
      if (yes) this.say("Being sent …");
      show();
    },
    say: (text) => put(news, h("p", { class: "muted" }, text)),
    sent({ taken, refused }, address) {
      put(news,
        h("p", {}, `${plural(taken, "picture")} ${taken === 1 ? "was" : "were"} added to the images. `, h("a", { href: address }, "Look at them, and train again")),
        refused.length ? h("p", { class: "problem" }, `${plural(refused.length, "picture")} ${refused.length === 1 ? "was" : "were"} not taken:`) : null,
        refused.length ? h("ul", { class: "small" }, refused.map((why) => h("li", {}, why))) : null);
      show();
    },
    fail(error) {
      put(news, h("p", { class: "problem" }, sentence(error.message)));
      show();
    },
  };
}

function allowedStorage() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}

/** A random key. Pages from another machine without TLS do not have `crypto.randomUUID`. */
const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
