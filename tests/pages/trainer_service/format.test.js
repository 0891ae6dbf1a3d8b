import assert from "node:assert/strict";
import { test } from "node:test";

import { bytes, cacheText, decimal, duration, percent, plural, settingText, words } from "../page/app/lib/format.js";

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

test("a setting may be a number, a list or an object", () => {
  assert.deepEqual([0.5, null, ["crop", "colour"], { test: 0.2, validation: 0.1, other: null }].map(settingText),
    ["0.5", "null", "crop, colour", "test 0.2, validation 0.1"]);
});

test("what was reused and computed is told of images and of views", () => {
  const cache = (reused, computed, views_reused, views_computed) => plain(cacheText({ reused, computed, views_reused, views_computed, seconds_saved: 12 }));
  assert.equal(cacheText(null), "–");
  assert.equal(cache(0, 1200), "computed for 1,200 images");
  assert.equal(cache(9, 0, 0, 0), "reused for 9 images; 12 s saved");
  assert.equal(cache(9, 1, 0, 30), "computed for 1 image, reused for 9 images; computed for 30 further views; 12 s saved");
  assert.equal(cache(0, 0), "computed for 0 images");
});

test("a field's name becomes words", () => {
  assert.equal(words("learning_rate"), "Learning rate");
});
