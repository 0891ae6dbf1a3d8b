/* How far a model's probabilities can be trusted. */

import { h, svg } from "../../../web/dom.js";
import { percent } from "../../lib/format.js";

const SIDE = 240;
const LEFT = 48;
const TOP = 12;
const TICKS = [0, 0.25, 0.5, 0.75, 1];

const x = (share) => LEFT + share * SIDE;
const y = (share) => TOP + (1 - share) * SIDE;

/** The card of a test's calibration, or null: older evaluations do not have it. */
export function reliability(test) {
  if (!test.calibration) return null;
  return h("section", { class: "card" }, h("h2", {}, "Can its probabilities be trusted?"),
    h("div", { class: "beside" }, diagram(test.calibration), words(test)));
}

function words(test) {
  return h("div", {}, h("p", {}, test.calibration_detail),
    h("p", { class: "muted" }, `Log loss ${test.loss.toFixed(4)}, Brier score ${test.brier.toFixed(4)}. Each point is a group of test images: to the right, how sure the model is of them; upwards, the share that it answers right, with its 95 % interval. On the diagonal, probabilities mean what they say.`));
}

function diagram(groups) {
  const points = groups.map((group) => `${percent(group.accuracy)} of ${group.images} images right at ${percent(group.probability)}`);
  return svg("svg", { class: "chart reliability", role: "img", viewBox: `0 0 ${LEFT + SIDE + 24} ${TOP + SIDE + 40}`, "aria-label": `Accuracy by probability: ${points.join(", ")}` },
    TICKS.map((share) => [
      svg("line", { class: "grid", x1: x(0), x2: x(1), y1: y(share), y2: y(share) }),
      svg("text", { x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" }, percent(share, 0)),
      svg("text", { x: x(share), y: TOP + SIDE + 18, "text-anchor": "middle" }, percent(share, 0)),
    ]),
    svg("line", { class: "marker", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }),
    groups.map((group) => [
      svg("line", { class: "line series-1", x1: x(group.probability), x2: x(group.probability), y1: y(group.accuracy_low), y2: y(group.accuracy_high) }),
      svg("circle", { class: "line series-1", cx: x(group.probability), cy: y(group.accuracy), r: 3 }),
    ]),
    svg("text", { x: x(1), y: TOP + SIDE + 34, "text-anchor": "end" }, "probability"));
}
