/* One training: live while it runs, its evaluation when it is done. */

import { persist } from "../lib/again.js";
import { get, post } from "../lib/api.js";
import { announce, h, put } from "../../web/dom.js";
import { follow, history } from "../lib/follow.js";
import { percent, plural, range, when, words } from "../lib/format.js";
import { doubtIn } from "../lib/reading.js";
import { problem } from "../lib/messages.js";
import { link } from "../lib/router.js";
import { headCurves } from "../parts/curves/head.js";
import { phases, progressBar, stateTag } from "../parts/phases.js";
import { pretrainedResult } from "../parts/pretrained/result.js";
import { result } from "../parts/result/result.js";
import { firstSuspects } from "../parts/result/suspects.js";
import { tuningCard } from "../parts/curves/tuning.js";
import { warningList } from "../parts/warnings.js";

const ENDED = ["succeeded", "failed", "cancelled"];

export async function training({ root, parts: [id], query, signal, load }) {
  const path = `v1/trainings/${encodeURIComponent(id)}`;
  const record = await load(() => get(path, signal));
  document.title = `${record.model} · Headstart`;
  const page = layout(root, path, record, signal);
  let select = null;
  let latest = query;

  const finish = async () => {
    const ended = await persist(() => get(path, signal), page.trouble, signal);
    page.showRecord(ended);
    if (ended.state !== "succeeded") return;
    if (ended.pretrained) {
      pretrainedResult(page.results, ended, await persist(() => get("v1/about", signal), page.trouble, signal));
      return;
    }
    if (ended.trial) {
      put(page.results, trialCard(ended.trial));
      return;
    }
    const report = await persist(() => get(`${path}/report`, signal), page.trouble, signal);
    page.curves.showHistory(report.history);
    page.tuning.showHistory(report.tune_history);
    const about = await persist(() => get("v1/about", signal), page.trouble, signal);
    const suspects = await persist(() => firstSuspects(ended, signal), page.trouble, signal);
    select = result(page.results, ended, report, about, suspects, signal);
    select(latest);
  };
  page.showRecord(record);
  if (ENDED.includes(record.state)) {
    if (record.state !== "succeeded") for (const event of await load(() => history(id, signal))) page.showEvent(event);
    await finish();
  } else {
    const onEnd = (error) => signal.aborted || put(root, problem(error));
    const onEvent = (event) => {
      page.showEvent(event);
      if (event.type === "result") finish().catch(onEnd);
    };
    follow(id, { onEvent, onConnection: page.showConnection, onEnd }, signal);
  }
  return (changed) => {
    latest = changed;
    select?.(changed);
  };
}

/** The parts of the page of a training, and the functions that update them. */
function layout(root, path, training, signal) {
  const [head, steps, bar, warnings, fault, connection] = [h("div", {}), phases(training), progressBar(), warningList(), h("div", {}), h("p", { class: "warn", role: "status" })];
  const [curves, tuning] = [headCurves(), tuningCard()];
  const [results, trouble] = [h("div", { class: "stack" }), h("div", {})];
  const transitions = [];
  const cancel = askButton(`${path}/cancel`, fault, "Cancel", "Cancelling …", signal);
  const stop = askButton(`${path}/stop`, fault, "Stop and publish", "Stopping …", signal);
  connection.hidden = true;
  root.append(
    h("section", { class: "card stack", "aria-labelledby": "training" },
      h("div", { class: "row between" }, head, h("div", { class: "row" }, stop, cancel)), steps.element, bar.element, connection, trouble, fault, warnings.element),
    ...(training.pretrained ? [] : [...curves.elements, tuning.element]),
    results,
  );

  const enter = (list) => {
    const { state } = list.at(-1);
    steps.show(list);
    const ended = ENDED.includes(state);
    bar.element.hidden = ended;
    cancel.hidden = ended;
    // Before the head there is nothing to publish, and after tuning the best is being published.
    stop.hidden = !["head", "tuning"].includes(state);
    if (ended) {
      put(fault);
      tuning.end();
    }
  };
  return {
    curves,
    tuning,
    results,
    trouble,
    showRecord(record) {
      put(head, heading(record));
      enter(record.transitions);
      bar.show(record.progress);
      warnings.showRecord(record);
      curves.explain(record.head?.detail);
      tuning.explain(record.tune);
      if (record.error) put(fault, ...whyFailed(record));
    },
    showEvent(event) {
      if (event.type === "state") {
        if (transitions.length) transitions.at(-1).seconds = event.previous_seconds;
        transitions.push({ state: event.state, seconds: null });
        enter(transitions);
        put(head.querySelector(".state"), stateTag(event.state));
        bar.show(null);
        announce(`${words(event.state)}.`);
      } else if (["progress", "tune_progress"].includes(event.type)) bar.show(event);
      else if (["epoch", "strength"].includes(event.type)) {
        curves.add(event);
        bar.head(event);
      } else if (["tune_estimate", "tune_epoch"].includes(event.type)) tuning.add(event);
      else if (event.type === "warning") warnings.add(event);
    },
    showConnection(connected) {
      connection.hidden = connected;
      put(connection, connected ? "" : "The trainer does not answer, so what is shown may be out of date. Trying again …");
    },
  };
}

/** Why the training failed; if that is a doubtful reading, with a link to where it is decided. */
function whyFailed({ error, dataset }) {
  const doubt = doubtIn(error.detail, dataset.id);
  if (doubt === null) return [problem(new Error(error.detail))];
  const way = h("a", { class: "button primary", href: link("datasets", dataset.id) }, "Check how the images were read");
  return [problem(new Error(doubt)), h("p", {}, way)];
}

/** What a training in the first round of a comparison has found; it has no version. */
function trialCard({ loss, standard_error: error, images }) {
  return h("section", { class: "card" }, h("h2", {}, "First round of a comparison"),
    h("p", {}, `Cross-validated on ${plural(images, "image")}, none of them a test image: log loss ${loss.toFixed(3)} ± ${error.toFixed(3)}.`));
}

function heading({ id, model, version, comparison, architecture, state, dataset, created_at: created, metrics }) {
  const accuracy = metrics.test?.accuracy;
  return [
    h("h2", { id: "training" }, h("span", { class: "name" }, version ? `${model}, version ${version}` : model), " ", h("span", { class: "state" }, stateTag(state))),
    h("p", { class: "muted" }, `${architecture} · `, dataset.id === null ? "pre-trained, as it is" : h("a", { href: link("datasets", dataset.id) }, "images"), ` · ${when(created)} · `, h("code", {}, id),
      comparison ? [" · part of a ", h("a", { href: link("comparisons", comparison) }, "comparison")] : null),
    accuracy === undefined ? null : h("p", { class: "headline" }, h("strong", {}, percent(accuracy)), " of ", plural(metrics.test.images, "test image"), " right", uncertainty(metrics.test)),
  ];
}

function uncertainty(test) {
  return test.accuracy_low === undefined ? null : h("span", { class: "muted" }, ` (${range(test)} with 95 % confidence)`);
}

/** A button that asks the trainer to end the training in one way or another. */
function askButton(path, fault, label, meanwhile, signal) {
  const button = h("button", { type: "button", onclick: ask }, label);
  async function ask() {
    button.disabled = true;
    put(fault);
    try {
      await persist(() => post(path), fault, signal);
      put(button, meanwhile);
    } catch (error) {
      if (signal.aborted) return;
      button.disabled = false;
      put(fault, problem(error));
    }
  }
  return button;
}
