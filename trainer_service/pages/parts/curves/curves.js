/* Line charts in plain SVG, drawn at the size they have on the screen. */

import { h, put, svg } from "../../../web/dom.js";
import { plural } from "../../lib/format.js";

const HEIGHT = 240;
const MARGIN = { top: 12, right: 28, bottom: 34, left: 58 };
const TICKS = 5;

/**
 * A chart over epochs, or whatever else `unit` names: `{element, draw(series, kept)}`.
 *
 * `format(value, digits)` returns a value as text; without `digits` it chooses their number. `high`
 * is the largest possible value, `mark(position)` the text below the axis at a position from 1. A
 * series is `{name, color, dashed, values}`: color from 1, values by position, null for a gap. The
 * values at the position `kept`, if there is one, are those told while no other is pointed at.
 */
export function chart(title, format, { high = Infinity, unit = "epoch", mark = String } = {}) {
  const area = svg("svg", { role: "img", height: HEIGHT, class: "chart" });
  const legend = h("ul", { class: "legend" });
  const element = h("figure", { class: "curves" }, h("figcaption", {}, title), area, legend);
  let series = [];
  let pointed = null;
  let kept = null;

  const redraw = () => {
    const width = Math.max(element.clientWidth, 200);
    const plane = planeOf(series, width, high);
    area.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    area.setAttribute("aria-label", described(title, series, format, unit));
    const told = pointed ?? kept;
    put(area, axes(plane, format, unit, mark), series.map((line) => curve(line, plane)), marker(series, plane, told));
    put(legend, series.map((line) => entry(line, told === null ? null : { at: told, text: `${unit} ${mark(told)}` }, format)));
  };
  const point = (event) => {
    const plane = planeOf(series, Math.max(element.clientWidth, 200), high);
    const offset = event.clientX - area.getBoundingClientRect().left;
    const position = Math.round(plane.positionAt(offset));
    pointed = position >= 1 && position <= plane.last ? position : null;
    redraw();
  };
  area.addEventListener("pointermove", point);
  area.addEventListener("pointerleave", () => {
    pointed = null;
    redraw();
  });
  new ResizeObserver(redraw).observe(element);

  return {
    element,
    draw(next, position = null) {
      series = next;
      kept = position;
      redraw();
    },
  };
}

/** `draw`, called once before the next frame however often it is asked for. */
export function oncePerFrame(draw) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  };
}

function planeOf(series, width, most) {
  const values = series.flatMap((line) => line.values).filter((value) => value !== null);
  const last = Math.max(1, ...series.map((line) => line.values.length));
  const ticks = niceTicks(Math.min(...values), Math.max(...values)).filter((tick) => tick <= most + 1e-9);
  const [low, high] = [ticks[0], ticks.at(-1)];
  const [inner, tall] = [width - MARGIN.left - MARGIN.right, HEIGHT - MARGIN.top - MARGIN.bottom];
  const span = Math.max(1, last - 1);
  return {
    width,
    last,
    ticks,
    x: (position) => MARGIN.left + (last === 1 ? inner / 2 : ((position - 1) / span) * inner),
    y: (value) => MARGIN.top + tall - ((value - low) / (high - low)) * tall,
    positionAt: (offset) => 1 + ((offset - MARGIN.left) / inner) * span,
  };
}

/** Round numbers that cover everything from `low` to `high`. */
export function niceTicks(low, high) {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  if (low === high) [low, high] = [low - Math.abs(low || 1) * 0.1, high + Math.abs(high || 1) * 0.1];
  const rough = (high - low) / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const first = Math.floor(low / step + 1e-9);
  const end = Math.ceil(high / step - 1e-9);
  return Array.from({ length: end - first + 1 }, (_, index) => (first + index) * step);
}

function axes(plane, format, unit, mark) {
  // As many digits as are needed to distinguish two ticks.
  const digits = [0, 1, 2, 3].find((some) => new Set(plane.ticks.map((tick) => format(tick, some))).size === plane.ticks.length);
  const lines = plane.ticks.map((tick) => [
    svg("line", { class: "grid", x1: MARGIN.left, x2: plane.width - MARGIN.right, y1: plane.y(tick), y2: plane.y(tick) }),
    svg("text", { x: MARGIN.left - 6, y: plane.y(tick) + 4, "text-anchor": "end" }, format(tick, digits)),
  ]);
  const positions = niceTicks(1, plane.last).filter((position) => Number.isInteger(position) && position > 1 && position <= plane.last);
  const marks = [1, ...positions].map((position) =>
    svg("text", { x: plane.x(position), y: HEIGHT - 18, "text-anchor": "middle" }, mark(position)),
  );
  const name = svg("text", { x: plane.width - MARGIN.right, y: HEIGHT - 3, "text-anchor": "end" }, unit);
  return [lines, marks, name];
}

function curve(line, plane) {
  let path = "";
  let open = false;
  line.values.forEach((value, index) => {
    if (value !== null) path += `${open ? "L" : "M"}${plane.x(index + 1).toFixed(1)} ${plane.y(value).toFixed(1)}`;
    open = value !== null;
  });
  const style = `line series-${line.color}${line.dashed ? " dashed" : ""}`;
  const end = line.values.at(-1) ?? null;
  return [
    svg("path", { class: style, d: path }),
    end === null ? null : svg("circle", { class: style, cx: plane.x(line.values.length), cy: plane.y(end), r: 3 }),
  ];
}

function marker(series, plane, position) {
  if (position === null) return null;
  const x = plane.x(position);
  return svg("line", { class: "marker", x1: x, x2: x, y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom });
}

function entry(line, pointed, format) {
  const value = valueAt(line, pointed?.at ?? null);
  const at = pointed === null ? "" : ` (${pointed.text})`;
  return h(
    "li",
    {},
    svg("svg", { class: "swatch", width: 24, height: 12, "aria-hidden": "true" },
      svg("path", { class: `line series-${line.color}${line.dashed ? " dashed" : ""}`, d: "M1 6H23" })),
    h("span", {}, line.name, " ", h("strong", {}, value === null ? "–" : format(value)), at),
  );
}

function valueAt(line, pointed) {
  if (pointed !== null) return line.values[pointed - 1] ?? null;
  return line.values.findLast((value) => value !== null) ?? null;
}

function described(title, series, format, unit) {
  const parts = series.map((line) => {
    const value = valueAt(line, null);
    return `${line.name} ${value === null ? "unknown" : format(value)} after ${plural(line.values.length, unit)}`;
  });
  return `${title}: ${parts.join(", ")}`;
}
