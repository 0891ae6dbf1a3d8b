/* The choice of an architecture. */

import { h } from "../../../web/dom.js";
import { count } from "../../lib/format.js";

/** Radio buttons named `architecture`; unavailable ones are shown, too, with the reason. */
export function architectures(rows, preferred, speeds) {
  const available = rows.filter((row) => row.available);
  const checked = available.find((row) => row.id === preferred) ?? available[0];
  const missing = rows.filter((row) => !row.available);
  return h(
    "fieldset",
    {},
    h("legend", {}, "Architecture"),
    checked ? null : h("p", { class: "problem" }, "No architecture is available; each one below says why."),
    h("div", { class: "choices" }, available.map((row) => choice(row, row === checked, speeds.get(row.id)))),
    missing.length
      ? h("details", { open: !checked },
          h("summary", {}, `Not available here: ${missing.map(({ id }) => id).join(", ")}`),
          h("div", { class: "choices" }, missing.map((row) => choice(row, false))))
      : null,
  );
}

/** Images per second that earlier trainings here had in their bottleneck phase, by architecture. */
export function measuredSpeeds(trainings) {
  const sums = new Map();
  for (const { architecture, cache, transitions } of trainings) {
    const seconds = transitions.find(({ state }) => state === "bottleneck")?.seconds;
    const computed = (cache?.computed ?? 0) + (cache?.views_computed ?? 0);
    if (!seconds || !computed) continue;
    const sum = sums.get(architecture) ?? { images: 0, seconds: 0 };
    sums.set(architecture, { images: sum.images + computed, seconds: sum.seconds + seconds });
  }
  return new Map([...sums].map(([name, { images, seconds }]) => [name, images / seconds]));
}

function choice(row, checked, speed) {
  const facts = [
    `${row.input_size} × ${row.input_size} pixels`,
    `${(row.parameters / 1e6).toFixed(1)} M parameters`,
    `${(row.multiply_adds / 1e9).toFixed(1)} G multiply-adds an image`,
    speed ? `${count(Math.round(speed))} images/s here so far` : null,
  ].filter(Boolean);
  const why = `why-${row.id}`;
  return h(
    "label",
    { class: row.available ? "choice" : "choice unavailable" },
    h("input", {
      type: "radio", name: "architecture", value: row.id, checked,
      disabled: !row.available, "aria-describedby": row.available ? null : why,
    }),
    h("span", {}, h("strong", {}, row.id), h("span", { class: "muted" }, facts.join(" · ")),
      row.available ? null : h("span", { class: "warn", id: why }, `Not available: ${row.detail}`)),
  );
}
