/* Numbers and times as people read them. */

/** Keeps a number and its unit on one line. */
const NARROW = "\u00a0";
const UNITS = ["B", "kB", "MB", "GB", "TB"];
const whole = new Intl.NumberFormat("en");
const dates = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export const count = (value) => whole.format(value);

export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** A share from 0 to 1 as a percentage; 100 % only if it is all. */
export function percent(value, digits = 1) {
  if (value === null || value === undefined) return "–";
  const shown = (value * 100).toFixed(digits);
  // Shares are 32-bit floats, so 100 % may be a little less than 1.
  return value < 1 - 1e-6 && Number(shown) === 100 ? `>${(100 - 10 ** -digits).toFixed(digits)}${NARROW}%` : `${shown}${NARROW}%`;
}

/** Between what the accuracy on other images lies; earlier releases did not tell. */
export const range = (test) => (test?.accuracy_low === undefined ? "–" : `${percent(test.accuracy_low)} to ${percent(test.accuracy_high)}`);

export const decimal = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits));

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 9.95) return `${seconds.toFixed(1)}${NARROW}s`;
  const rounded = Math.round(seconds);
  if (rounded < 60) return `${rounded}${NARROW}s`;
  const minutes = Math.floor(rounded / 60);
  if (minutes < 60) return `${minutes} min ${rounded % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function bytes(value) {
  const unit = value < 1 ? 0 : Math.min(Math.floor(Math.log10(value) / 3), UNITS.length - 1);
  return `${(value / 1000 ** unit).toFixed(unit ? 1 : 0)} ${UNITS[unit]}`;
}

export const when = (iso) => dates.format(new Date(iso));

/** `learning_rate` as "Learning rate". */
export function words(name) {
  const text = name.replaceAll("_", " ");
  return text[0].toUpperCase() + text.slice(1);
}

/** The value of a setting, which may be an object or a list, as a text. */
export function settingText(value) {
  if (Array.isArray(value)) return value.join(", ");
  if (value === null || typeof value !== "object") return String(value);
  return Object.entries(value).filter(([, one]) => one !== null).map(([key, one]) => `${key} ${one}`).join(", ");
}

/** For how many images, and further views of them, features were reused and computed. */
export function cacheText(cache) {
  if (!cache) return "–";
  const parts = [used(cache.reused, cache.computed, "image")];
  const [reused, computed] = [cache.views_reused ?? 0, cache.views_computed ?? 0];
  if (reused + computed) parts.push(used(reused, computed, "further view"));
  if (cache.reused + reused) parts.push(`${duration(cache.seconds_saved)} saved`);
  return parts.join("; ");
}

const used = (reused, computed, what) =>
  [computed || !reused ? `computed for ${plural(computed, what)}` : null, reused ? `reused for ${plural(reused, what)}` : null].filter(Boolean).join(", ");
