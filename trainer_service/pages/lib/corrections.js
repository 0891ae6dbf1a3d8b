/* Corrections that wait to be sent: the right label of a picture, or null if it is to be left out. */

import { plural } from "./format.js";

const PREFIX = "headstart.corrections.";

/** The verdict on an image that somebody has left out. */
const LEFT_OUT = "left out by a correction";

/** How many files were rejected, and how many images somebody has left out, as sentences. */
export function notUsed({ verdicts, rejected_count: number }) {
  const left = verdicts[LEFT_OUT] ?? 0;
  return [sentence("file", number - left, "rejected"), sentence("image", left, LEFT_OUT)].filter(Boolean).join(" ");
}

const sentence = (what, number, how) => (number ? `${plural(number, what)} ${number === 1 ? "was" : "were"} ${how}.` : "");

/** What a choice means, in words. */
export const choiceText = (label) => (label === null ? "left out" : label);

/**
 * The corrections of a dataset; they survive a reload of the page, and end with its window.
 *
 * `storage` is `sessionStorage`, or null where a browser forbids it; `onChange` gets the SHA-256 of
 * each picture whose correction has changed.
 */
export function corrections(datasetId, onChange, storage = allowedStorage()) {
  const key = PREFIX + datasetId;
  const pending = new Map(load(storage, key));
  const changes = [];

  const write = (sha256, choice) => {
    if (choice === undefined) pending.delete(sha256);
    else pending.set(sha256, choice);
    save(storage, key, pending);
    onChange(sha256);
  };
  return {
    get size() {
      return pending.size;
    },
    /** The right label, null if the picture is to be left out, undefined if it stays as it is. */
    get: (sha256) => pending.get(sha256),
    /** Correct a picture that has the label `present`, or take its correction back by this label. */
    choose(sha256, choice, present) {
      const next = choice === present ? undefined : choice;
      if (next === pending.get(sha256)) return;
      changes.push([sha256, pending.get(sha256)]);
      write(sha256, next);
    },
    canUndo: () => changes.length > 0,
    /** Take the last change back; returns the SHA-256 of its picture. */
    undo() {
      const [sha256, before] = changes.pop();
      write(sha256, before);
      return sha256;
    },
    /** The labels that pictures have got, each once. */
    labels: () => [...new Set(pending.values())].filter((label) => label !== null),
    /** What the trainer is told. */
    all: () => Object.fromEntries(pending),
    /** Forget all of them. */
    clear() {
      const all = [...pending.keys()];
      pending.clear();
      changes.length = 0;
      save(storage, key, pending);
      all.forEach(onChange);
    },
  };
}

function load(storage, key) {
  try {
    return JSON.parse(storage?.getItem(key) ?? "[]");
  } catch {
    return [];
  }
}

/** Without storage, or where it is full, corrections last as long as the page. */
function save(storage, key, pending) {
  try {
    if (pending.size) storage?.setItem(key, JSON.stringify([...pending]));
    else storage?.removeItem(key);
  } catch {
    // The browser stores nothing.
  }
}

function allowedStorage() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}
