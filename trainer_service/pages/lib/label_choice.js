/* The labels that can be chosen for a picture, and the keys that choose them. */

/** With at most this many labels each has a number key, and always the same. */
const KEYS = 9;
const MOST = 60;

/** Whether there are too many labels for number keys, so that they are looked for by their letters. */
export const areMany = (labels) => labels.length > KEYS;

/**
 * The labels to offer for a picture: `{shown, left}`; `left` is how many more there are.
 *
 * Of many, the answer and the present label come first, then those that begin with `text`, then
 * those that have it elsewhere.
 */
export function offered(labels, { label, predicted }, text = "") {
  if (!areMany(labels)) return { shown: labels, left: 0 };
  const sought = text.trim().toLowerCase();
  const first = sought ? [] : [...new Set([predicted, label])].filter((one) => labels.includes(one));
  const others = labels.filter((one) => !first.includes(one) && one.toLowerCase().includes(sought));
  const starts = (one) => one.toLowerCase().startsWith(sought);
  const found = [...first, ...others.filter(starts), ...others.filter((one) => !starts(one))];
  return { shown: found.slice(0, MOST), left: Math.max(0, found.length - MOST) };
}

/**
 * What a text that is entered means: `{label, isNew}`, or null for nothing.
 *
 * A label that is there is meant also by other capitals and spaces, as the trainer takes them for one.
 */
export function entered(labels, text) {
  const label = text.trim().replace(/\s+/g, " ");
  if (!label) return null;
  const found = labels.find((one) => alike(one) === alike(label));
  return { label: found ?? label, isNew: found === undefined };
}

const alike = (label) => label.normalize("NFKC").toLowerCase();

/** The key of a label by its place among the shown ones, or null. */
export const keyOf = (place) => (place < KEYS ? String(place + 1) : null);

/** What a key does: `{label}` (null leaves the picture out), `{step}`, `{undo}`, `{toggle}`, or null for nothing. */
export function meaning({ key, ctrlKey, metaKey, altKey }, shown) {
  if ((ctrlKey || metaKey) && !altKey && key.toLowerCase() === "z") return { undo: true };
  if (ctrlKey || metaKey || altKey) return null;
  if (key === "ArrowLeft") return { step: -1 };
  if (key === "ArrowRight") return { step: 1 };
  if (["0", "Delete", "Backspace"].includes(key)) return { label: null };
  if (key.toLowerCase() === "u") return { undo: true };
  if (key.toLowerCase() === "h") return { toggle: true };
  const place = /^[1-9]$/.test(key) ? Number(key) - 1 : -1;
  return shown[place] === undefined ? null : { label: shown[place] };
}
