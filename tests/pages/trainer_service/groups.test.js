import assert from "node:assert/strict";
import { test } from "node:test";

import { classesOf } from "../page/app/parts/pretrained/groups.js";

test("nothing written means all classes", () => {
  assert.equal(classesOf(" \n\n"), null);
});

test("lines without a colon are classes, several in a line with commas", () => {
  assert.deepEqual(classesOf("tabby cat, tiger cat\n\n zebra "), ["tabby cat", "tiger cat", "zebra"]);
});

test("a colon gives a label to the classes behind it", () => {
  const text = "cat: tabby cat, tiger cat\ndog: pug\nzebra\ncat: Persian cat";
  assert.deepEqual(classesOf(text), { cat: ["tabby cat", "tiger cat", "Persian cat"], dog: ["pug"], zebra: ["zebra"] });
});
