/* The table and the picture of a comparison. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { shares } from "../page/app/parts/comparison/picture.js";
import { pText, ranked } from "../page/app/parts/comparison/table.js";

const candidate = (name, accuracy, loss) => ({ name, row: accuracy === null ? null : { accuracy, loss } });

test("rows are ranked by accuracy, and equal ones by their loss", () => {
  const candidates = [candidate("a", 0.8, 0.1), candidate("b", null), candidate("c", 0.9, 0.5), candidate("d", 0.9, 0.4)];
  assert.deepEqual(ranked({ candidates }).map(({ name }) => name), ["d", "c", "a"]);
});

test("a p is told to two digits, and no smaller than can be read", () => {
  assert.equal(pText(1), "1.0");
  assert.equal(pText(0.04321), "0.043");
  assert.equal(pText(1e-9), "< 0.0001");
});

test("the axis has round shares around all intervals", () => {
  assert.deepEqual(shares(0.73, 0.96).map((share) => share.toFixed(2)), ["0.70", "0.75", "0.80", "0.85", "0.90", "0.95", "1.00"]);
  assert.deepEqual(shares(0.5, 0.5).length, 2);
});
