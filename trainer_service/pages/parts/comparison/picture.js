/* Accuracy against the cost of serving. */

import { h, svg } from "../../../web/dom.js";
import { percent } from "../../lib/format.js";
import { ranked } from "./table.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [560, 300, 56, 28, 12, 44];
/** How far the outermost costs are from the edges, as a factor. */
const MARGIN = 1.25;
const TICKS = 5;

/** The picture of a comparison that has a table; null before. */
export function picture(record) {
  const rows = ranked(record);
  if (!rows.length) return null;
  const measured = rows.every(({ row }) => row.cost);
  const unit = measured ? "core-milliseconds a picture" : "billion multiply-adds a picture";
  const cost = ({ row }) => Math.max(1e-3, measured ? row.cost.single : row.multiply_adds / 1e9);
  const place = plane(rows, rows.map(cost));
  const told = rows.map((one) => `${one.name} ${percent(one.row.accuracy)} at ${cost(one).toFixed(1)}`);
  return h("figure", { class: "against-cost" }, h("figcaption", {}, "Test accuracy with its 95 % interval, against the cost of serving"),
    svg("svg", { class: "chart", role: "img", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-label": `Accuracy against the cost of serving: ${told.join("; ")}` },
      axes(place, unit),
      rows.map((one) => mark(place, one, cost(one), one.name === record.verdict?.recommended))),
    h("p", { class: "muted" }, "The filled point is the recommended one."));
}

/** Where costs and accuracies lie; costs are on a logarithmic scale. */
function plane(rows, costs) {
  const ends = [Math.min(...costs) / MARGIN, Math.max(...costs) * MARGIN];
  const ticks = shares(Math.min(...rows.map(({ row }) => row.accuracy_low)), Math.max(...rows.map(({ row }) => row.accuracy_high)));
  const [low, high] = ends.map(Math.log);
  const [least, most] = [ticks[0], ticks.at(-1)];
  return {
    ends, ticks,
    x: (cost) => LEFT + ((Math.log(cost) - low) / (high - low)) * (WIDTH - LEFT - RIGHT),
    y: (share) => TOP + (1 - (share - least) / (most - least)) * (HEIGHT - TOP - BOTTOM),
  };
}

/** Round shares at equal distances, from `low` or less to `high` or more. */
export function shares(low, high) {
  const step = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2].find((size) => size >= (high - low) / TICKS) ?? 0.2;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, number) => (first + number) * step);
}

function axes({ ends, ticks, y }, unit) {
  const right = WIDTH - RIGHT;
  return [
    ticks.map((share) => [
      svg("line", { class: "grid", x1: LEFT, x2: right, y1: y(share), y2: y(share) }),
      svg("text", { x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" }, percent(share, 0)),
    ]),
    svg("text", { x: LEFT, y: HEIGHT - 24 }, ends[0].toPrecision(2)),
    svg("text", { x: right, y: HEIGHT - 24, "text-anchor": "end" }, ends[1].toPrecision(2)),
    svg("text", { x: right, y: HEIGHT - 6, "text-anchor": "end" }, unit),
  ];
}

function mark({ x, y }, { name, row }, cost, recommended) {
  const at = x(cost);
  const right = at > WIDTH / 2;
  return svg("g", {},
    svg("title", {}, `${name}: ${percent(row.accuracy)}, ${cost.toFixed(1)}${recommended ? " (recommended)" : ""}`),
    svg("line", { class: "line series-1", x1: at, x2: at, y1: y(row.accuracy_low), y2: y(row.accuracy_high) }),
    svg("circle", { class: recommended ? "line series-1" : "hollow series-1", cx: at, cy: y(row.accuracy), r: recommended ? 6 : 4 }),
    svg("text", { x: right ? at - 9 : at + 9, y: y(row.accuracy) + 4, "text-anchor": right ? "end" : "start" }, name));
}
