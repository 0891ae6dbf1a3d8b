/* The phases of a training in a row, and the progress of the current one. */

import { h, put } from "../../web/dom.js";
import { count, duration, words } from "../lib/format.js";

const PHASES = {
  queued: "waits for a worker",
  preparing: "reads the images",
  bottleneck: "computes features",
  head: "trains the head",
  tuning: "tunes last layers",
  evaluating: "answers test images",
  publishing: "exports the model",
};
/** Those of a pre-trained network that is published as it is. */
const AS_IT_IS = { queued: PHASES.queued, preparing: "gets the weights", publishing: PHASES.publishing };
const ENDS = { succeeded: "good", failed: "bad", cancelled: "warn" };

/** A state as a coloured word. */
export const stateTag = (state) => h("span", { class: `tag ${ENDS[state] ?? ""}` }, words(state));

/** The phases: `{element, show(transitions)}`, with the transitions of the record, which says what it asks for. */
export function phases({ request, pretrained }) {
  const tunes = request.tune !== "off";
  const all = Object.entries(pretrained ? AS_IT_IS : PHASES).filter(([name]) => tunes || name !== "tuning");
  const element = h("ol", { class: "phases", "aria-label": "Phases" });
  return {
    element,
    show(transitions) {
      const last = transitions.at(-1);
      const stopped = ["failed", "cancelled"].includes(last.state) ? transitions.at(-2)?.state : null;
      put(element, all.map(([name, what]) =>
        phase(name, what, transitions.findLast(({ state }) => state === name), last.state === name, stopped === name)));
    },
  };
}

function phase(name, what, entered, current, stopped) {
  const kind = current ? "current" : stopped ? "stopped" : entered ? "done" : "ahead";
  const time = entered && !current ? duration(entered.seconds) : what;
  return h(
    "li",
    { class: kind, "aria-current": current ? "step" : null },
    h("strong", {}, words(name)),
    h("span", { class: "muted" }, time),
  );
}

/** The progress of the current phase: `{element, show(progress), head(event)}`; the head's epochs and strengths come more often than progress. */
export function progressBar() {
  const bar = h("progress", { "aria-label": "Progress of the phase" });
  const text = h("p", { class: "muted" });
  const element = h("div", {}, bar, text);
  let latest = null;
  return {
    element,
    head({ epoch, epochs, attempt = epoch, attempts = epochs }) {
      this.show({ phase: "head", per_second: latest?.phase === "head" ? latest.per_second : null, done: attempt, total: attempts });
    },
    show(progress) {
      latest = progress;
      if (!progress?.total) {
        bar.removeAttribute("value");
        put(text, progress ? "Nothing to do here." : " ");
        return;
      }
      bar.max = progress.total;
      bar.value = progress.done;
      put(text, described(progress));
    },
  };
}

function described({ phase: name, step, done, total, per_second: speed, eta_seconds: left }) {
  const what = name === "head" ? "steps" : step === "views" ? "views" : "images";
  const parts = [`${count(done)} of ${count(total)} ${what}`];
  if (speed) parts.push(`${speed < 10 ? speed.toFixed(1) : count(Math.round(speed))} ${what}/s`);
  if (left && done < total) parts.push(`${duration(left)} left`);
  return parts.join(" · ");
}
