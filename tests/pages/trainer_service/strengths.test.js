import assert from "node:assert/strict";
import { test } from "node:test";

import { lines, shortened, strengths } from "../page/app/parts/curves/strengths.js";

const row = (taps, strength, val_loss) => ({ taps, strength, val_loss });
const ROWS = [row("last", 1, 0.9), row("last", 0.1, 0.7), row("last", 0.01, 0.8), row("all", 1, 0.6), row("all", 0.1, 0.5)];

test("strengths go from strong to weak, each once", () => {
  assert.deepEqual(strengths(ROWS), [1, 0.1, 0.01]);
});

test("each of the taps that were tried has a line, up to the weakest strength that was tried", () => {
  assert.deepEqual(lines(ROWS, "val_loss"), [
    { name: "last layer", color: 1, dashed: false, values: [0.9, 0.7, 0.8] },
    { name: "all layers", color: 3, dashed: false, values: [0.6, 0.5] },
  ]);
});

test("a strength that was not tried leaves a gap", () => {
  const rows = [row("late", 1, 0.9), row("late", 0.01, 0.8), row("last", 0.1, 0.7)];
  assert.deepEqual(lines(rows, "val_loss").at(-1).values, [0.9, null, 0.8]);
});

test("further views have a line of their own, behind those of the taps", () => {
  const viewed = [{ ...row("all", 1, 0.55), views: 4 }, { ...row("all", 0.01, 0.45), views: 4 }];
  const plain = ROWS.map((one) => ({ ...one, views: 1 }));
  assert.deepEqual(lines([...plain, ...viewed], "val_loss").slice(1), [
    { name: "all layers", color: 3, dashed: false, values: [0.6, 0.5] },
    { name: "all layers, 4 views", color: 4, dashed: false, values: [0.55, null, 0.45] },
  ]);
});

test("strengths are short texts", () => {
  assert.deepEqual([16, 1, 0.0625, 0.000244140625, undefined].map(shortened), ["16", "1", "0.063", "0.00024", ""]);
});
