import assert from "node:assert/strict";
import { test } from "node:test";

import { bytes, decimal, duration, percent, plural, words } from "../page/app/lib/format.js";

const plain = (text) => text.replaceAll("\u00a0", " ");

test("100 % is shown only if it is all", () => {
  assert.equal(plain(percent(1)), "100.0 %");
  assert.equal(plain(percent(0.9999)), ">99.9 %");
  assert.equal(plain(percent(1 - 1e-7)), "100.0 %");
  assert.equal(plain(percent(0.5, 0)), "50 %");
});

test("what is not known is a dash", () => {
  assert.deepEqual([percent(null), decimal(undefined), duration(null)], ["–", "–", "–"]);
});

test("a duration never has sixty seconds", () => {
  assert.equal(plain(duration(0.04)), "0.0 s");
  assert.equal(plain(duration(9.96)), "10 s");
  assert.equal(plain(duration(59.7)), "1 min 0 s");
  assert.equal(plain(duration(119.6)), "2 min 0 s");
  assert.equal(plain(duration(3599.7)), "1 h 0 min");
  assert.equal(plain(duration(3661)), "1 h 1 min");
});

test("bytes come in the unit that fits", () => {
  assert.deepEqual([0, 999, 1000, 2.5e6, 3e9, 9e15].map(bytes), ["0 B", "999 B", "1.0 kB", "2.5 MB", "3.0 GB", "9000.0 TB"]);
});

test("one is singular", () => {
  assert.deepEqual([plural(1, "image"), plural(1200, "image"), plural(2, "class", "classes")], ["1 image", "1,200 images", "2 classes"]);
});

test("a field's name becomes words", () => {
  assert.equal(words("learning_rate"), "Learning rate");
});
