import assert from "node:assert/strict";
import { test } from "node:test";

import { bytes, percent, plural, sentence } from "../page/app/lib/format.js";

test("a probability is 100 % only if it is certain, and 0 % only if it is impossible", () => {
  assert.deepEqual([1, 0.9999, 0.5, 0.0001, 0].map(percent), ["100.0 %", "> 99.9 %", "50.0 %", "< 0.1 %", "0.0 %"]);
});

test("bytes and counts", () => {
  assert.deepEqual([0, 999, 1500].map(bytes), ["0\u00a0B", "999\u00a0B", "1.5\u00a0kB"]);
  assert.deepEqual([plural(1, "file"), plural(2, "file")], ["1 file", "2 files"]);
});

test("a problem becomes a sentence", () => {
  assert.deepEqual(["the file is empty", "Why?"].map(sentence), ["The file is empty.", "Why?"]);
});
