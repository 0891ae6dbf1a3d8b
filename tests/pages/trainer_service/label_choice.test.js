import assert from "node:assert/strict";
import { test } from "node:test";

import { areMany, entered, keyOf, meaning, offered } from "../page/app/lib/label_choice.js";

const MANY = Array.from({ length: 100 }, (_, number) => `label ${number}`);
const ROW = { label: "label 7", predicted: "label 42" };
const press = (key, more = {}) => ({ key, ctrlKey: false, metaKey: false, altKey: false, ...more });

test("few labels keep their places, whatever the picture is", () => {
  const labels = ["cat", "dog", "cow"];

  assert.deepEqual(offered(labels, { label: "cow", predicted: "dog" }), { shown: labels, left: 0 });
  assert.equal(areMany(MANY.slice(0, 9)), false);
  assert.equal(areMany(MANY.slice(0, 10)), true);
});

test("of many labels the answer comes first, then the present one, and not all are shown", () => {
  const { shown, left } = offered(MANY, ROW);

  assert.deepEqual(shown.slice(0, 3), ["label 42", "label 7", "label 0"]);
  assert.equal(new Set(shown).size, shown.length);
  assert.equal(shown.length + left, 100);
});

test("labels are found by their letters, those that begin with them first", () => {
  const labels = ["wild cat", ...MANY, "Cat", "tomcat"];

  assert.deepEqual(offered(labels, ROW, " cat ").shown, ["Cat", "wild cat", "tomcat"]);
  assert.deepEqual(offered(labels, ROW, "zebra"), { shown: [], left: 0 });
});

test("a text means the label that is like it, or a new one", () => {
  const labels = ["Cat", "golden retriever"];

  assert.deepEqual(entered(labels, " cat "), { label: "Cat", isNew: false });
  assert.deepEqual(entered(labels, "Golden  Retriever"), { label: "golden retriever", isNew: false });
  assert.deepEqual(entered(labels, " barn \t owl "), { label: "barn owl", isNew: true });
  assert.equal(entered(labels, "  "), null);
});

test("an answer that is no label of the dataset is not offered", () => {
  assert.equal(offered(MANY, { label: "label 1", predicted: "gone" }).shown[0], "label 1");
});

test("number keys choose what they stand beside", () => {
  assert.deepEqual([keyOf(0), keyOf(8), keyOf(9)], ["1", "9", null]);
  assert.deepEqual(meaning(press("2"), ["cat", "dog"]), { label: "dog" });
  assert.equal(meaning(press("3"), ["cat", "dog"]), null);
});

test("0 and Delete leave a picture out; arrows step; U and Ctrl+Z undo; H is for the heat", () => {
  for (const key of ["0", "Delete", "Backspace"]) assert.deepEqual(meaning(press(key), ["cat"]), { label: null });
  assert.deepEqual(meaning(press("ArrowLeft"), []), { step: -1 });
  assert.deepEqual(meaning(press("ArrowRight"), []), { step: 1 });
  assert.deepEqual(meaning(press("h"), []), { toggle: true });
  for (const event of [press("u"), press("z", { ctrlKey: true }), press("Z", { metaKey: true })]) assert.deepEqual(meaning(event, []), { undo: true });
});

test("the browser's own shortcuts stay its own", () => {
  for (const held of ["ctrlKey", "metaKey", "altKey"]) {
    for (const key of ["1", "0", "ArrowLeft", "u"]) assert.equal(meaning(press(key, { [held]: true }), ["cat"]), null);
  }
  for (const key of ["Tab", "Enter", " ", "a"]) assert.equal(meaning(press(key), ["cat"]), null);
});
