/* Which version of a model is served, in words. `model` is as GET v1/models/{name} answers it. */

import { percent } from "../../lib/format.js";

/** What was decided last about the version that is to be served, or what holds without a decision. */
export function servedText({ pinned, serving, versions }) {
  if (pinned !== null) return `Pinned: the predictor stays with version ${pinned}.`;
  if (serving === null) return "No version is to be served: each was published without being served, or rolled back from.";
  const decision = versions.find(({ version }) => version === serving)?.decision;
  if (!decision) return "The predictor serves the newest version that answers as it did when it was trained; its own page shows which that is.";
  return `Version ${serving} is to be served. ${decision.reason}`;
}

/** What is served under a name now, which a training would replace. */
export function beforeStart(name, models) {
  const model = models.find((other) => other.name === name);
  if (!model) return `${name} is a new model.`;
  const served = model.versions.find(({ version }) => version === model.serving);
  if (!served) return `${name} has versions, but none of them is served.`;
  const test = served.metrics.test ?? {};
  const right = test.accuracy === undefined ? "" : `, ${percent(test.accuracy)}${test.images ? ` of ${test.images}` : ""}`;
  return `${name} is served: version ${served.version}, ${listed(served.labels)}${right}${model.pinned === null ? "" : " (pinned)"}.`;
}

/** Why a version is not served although it could be; null if nothing was decided against it. */
export const whyNot = ({ decision }) => (decision && !decision.served ? decision.reason : null);

/** A decision of the history: what it was about and what decided it. */
export function decisionText({ version, served, by }) {
  if (by === "pin") return `Version ${version} was pinned`;
  if (by === "unpin") return `Version ${version} was un-pinned`;
  const by_what = { training: "when it was published", request: "on request", rollback: "by a rollback" }[by];
  return `Version ${version} was decided ${served ? "" : "not "}to be served, ${by_what}`;
}

const MOST_LABELS = 4;

function listed(labels) {
  if (labels.length > MOST_LABELS) return `${labels.slice(0, MOST_LABELS - 1).join(", ")} and ${labels.length - MOST_LABELS + 1} more labels`;
  return labels.length < 2 ? labels.join("") : `${labels.slice(0, -1).join(", ")} and ${labels.at(-1)}`;
}
