import assert from "node:assert/strict";
import { test } from "node:test";

import { chosenParts, chosenReading, doubtIn, isDecided, layoutText, partsOf, renamed, splitText, tablesOf } from "../page/app/lib/reading.js";

const DEFAULT = {
  labels: null, level: null, table: null, columns: { image: null, label: null, split: null },
  ignore: [], splits: {}, rename: {}, merge_alike: true, confirm: false,
};
const FORM = { labels: "", level: "", table: "", labelColumn: "", imageColumn: "", splitColumn: "", splits: {}, ignore: "", mergeAlike: true };

test("a layout says where the labels come from, in records of older versions too", () => {
  assert.equal(layoutText({ kind: "folders", text: "Labels are 'cat' in …" }), "Labels are 'cat' in …");
  assert.match(layoutText({ kind: "table", text: "" }), /table/);
  assert.equal(layoutText(null), "");
});

test("a doubt is told without the request that settles it", () => {
  const said = "Labels are 'a'. Nothing is trained on it until that is confirmed";

  assert.equal(doubtIn(`dataset 1: ${said}: PUT /v1/datasets/1/reading with {"confirm":true}, or …`, "1"), `${said}.`);
  assert.equal(doubtIn("The archive is broken", "1"), null);
});

test("a split names its parts, and what is left out", () => {
  assert.equal(splitText({ "a/train": "train", unlabelled: null }), "a/train is for training, unlabelled is left out");
  assert.equal(splitText({}), "");
});

test("tables are offered with their columns, those in use first and once", () => {
  const layout = { tables: ["b.csv"], image_column: "file", label_columns: ["kind"], split_column: null };
  const unused = [
    { name: "a.csv", columns: ["x", "y"], reason: "" },
    { name: "b.csv", columns: ["z"], reason: "" },
    { name: "notes.txt", columns: [], reason: "" },
  ];

  assert.deepEqual(tablesOf({ layout, unused }), [{ name: "b.csv", columns: ["kind", "file"] }, { name: "a.csv", columns: ["x", "y"] }]);
  assert.deepEqual(tablesOf({ layout: null }), []);
});

test("a label that was renamed before is renamed from its first name", () => {
  assert.deepEqual(renamed({ kat: "cat" }, new Map([["cat", "tiger"]]), ["cat", "dog"]), { kat: "tiger" });
});

test("labels that were merged get a new name together", () => {
  const merged = renamed({}, new Map([["hound", "dog"]]), ["cat", "dog", "hound"]);

  assert.deepEqual(renamed(merged, new Map([["dog", "wolf"]]), ["cat", "dog"]), { hound: "wolf", dog: "wolf" });
});

test("a label may be called like what every object has", () => {
  assert.deepEqual(Object.entries(renamed({}, new Map([["constructor", "cat"]]), ["constructor", "dog"])), [["constructor", "cat"]]);
});

test("what is hidden in the form is not sent", () => {
  const chosen = { ...FORM, labels: "folders", level: "-1", table: "a.csv", labelColumn: "kind", ignore: " extra \n\nold/b " };

  assert.deepEqual(chosenReading(DEFAULT, chosen), { ...DEFAULT, labels: "folders", level: -1, ignore: ["extra", "old/b"] });
});

test("parts of the split are shown as they are, without tables, which are parts by their own names", () => {
  const record = {
    layout: { tables: ["train.csv"] }, splits: { "train.csv": "train", day: "train", night: null },
    reading: { splits: { night: "test", hall: "none" } },
  };

  assert.deepEqual(partsOf(record), [["day", "train"], ["night", "test"], ["hall", "none"]]);
  assert.deepEqual(partsOf({ layout: null }), []);
});

test("parts are sent that were sent before or are another now", () => {
  const found = [["day", "train"], ["night", "none"], ["hall", "test"]];
  const chosen = [["day", "train"], ["night", "test"], ["hall", "test"], [" attic ", "validation"], ["yard", ""], ["", "test"]];

  assert.deepEqual(chosenParts({ hall: "test" }, chosen, found), { night: "test", hall: "test", attic: "validation" });
});

test("the split is sent with its column", () => {
  const chosen = { ...FORM, labels: "table", splitColumn: " part ", splits: { b: "test" } };

  const reading = chosenReading(DEFAULT, chosen);
  assert.deepEqual([reading.columns.split, reading.splits], ["part", { b: "test" }]);
});

test("new names are kept while the labels come from the same place, and a reading is confirmed anew", () => {
  const before = { ...DEFAULT, rename: { kat: "cat" }, confirm: true };

  assert.deepEqual(chosenReading(before, { ...FORM, mergeAlike: false }), { ...before, merge_alike: false, confirm: false });
  assert.deepEqual(chosenReading(before, { ...FORM, labels: "table", table: "a.csv", labelColumn: " kind " }).rename, {});
});

test("choices can be forgotten where there are some", () => {
  assert.equal(isDecided(DEFAULT), false);
  assert.equal(isDecided({ ...DEFAULT, merge_alike: false }), true);
  assert.equal(isDecided({ ...DEFAULT, columns: { label: "kind" } }), true);
  assert.equal(isDecided({ ...DEFAULT, ignore: ["a"] }), true);
});
