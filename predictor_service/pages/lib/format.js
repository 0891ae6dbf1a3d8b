/* Numbers as people read them. */

const UNITS = ["B", "kB", "MB", "GB"];
const dates = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export const when = (iso) => dates.format(new Date(iso));

export const plural = (value, one) => `${value} ${one}${value === 1 ? "" : "s"}`;

/** A probability as a percentage; 100 % only if it is certain, 0 % only if it is impossible. */
export function percent(value) {
  const shown = (value * 100).toFixed(1);
  if (shown === "100.0" && value < 1) return "> 99.9 %";
  if (shown === "0.0" && value > 0) return "< 0.1 %";
  return `${shown} %`;
}

export function bytes(value) {
  const unit = value < 1 ? 0 : Math.min(Math.floor(Math.log10(value) / 3), UNITS.length - 1);
  return `${(value / 1000 ** unit).toFixed(unit ? 1 : 0)}\u00a0${UNITS[unit]}`;
}

/** The first letter as a capital, and a full stop at the end. */
export function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}
