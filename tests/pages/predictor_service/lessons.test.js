import assert from "node:assert/strict";
import { test } from "node:test";

import { formsOf, imagesOf, newestDatasets, refusedOf } from "../page/app/lib/lessons.js";

let number = 0;
const lesson = (label, name = "a.png") => ({ id: `id${(number += 1)}`, file: new Blob([label]), name, label });
const content = ({ form }) => [...form].map(([field, value]) => [field, value.name ?? value]);

test("pictures of one label are sent with it, under names that stay apart", () => {
  const [one, other] = [lesson("dog", "a.png"), lesson("dog", "walk/a.png")];
  const forms = formsOf([one, other]);

  assert.deepEqual(forms.map(content), [[["label", "dog"], ["files", `${one.id}-a.png`], ["files", `${other.id}-a.png`]]]);
  assert.deepEqual(forms[0].lessons, [one, other]);
});

test("several labels are folders of one form", () => {
  const lessons = [lesson("dog"), lesson("cat"), lesson("dog")];
  const forms = formsOf(lessons);

  assert.deepEqual(forms.map(content), [lessons.map(({ id, label }) => ["files", `${label}/${id}-a.png`])]);
});

test("words of any language are folders", () => {
  for (const label of ["golden retriever", "Äpfel", "हिन्दी", "猫", "7_seg-display"]) {
    assert.equal(formsOf([lesson("dog"), lesson(label)]).length, 1, label);
  }
});

test("labels that could not be the name of a folder have a form each", () => {
  const passedOver = ["thumbs.db", "lost+found", "__MACOSX", "$RECYCLE.BIN", "@eaDir"];
  for (const odd of ["either/or", "..", ".hidden", "back\\slash", "turned\u202e", "x".repeat(1000), ...passedOver]) {
    const forms = formsOf([lesson("dog"), lesson(odd)]);
    assert.deepEqual(forms.map(({ form }) => form.get("label")), ["dog", odd]);
  }
});

test("which pictures a trainer has refused, among all files that it does not use", () => {
  const [taken, refused] = [lesson("dog"), lesson("cat")];
  const rejected = [
    { name: "cat/old.png", verdict: "truncated", detail: "" },
    { name: `cat/${refused.id}-a.png`, verdict: "duplicate", detail: "the dataset has it already" },
  ];

  assert.deepEqual([...refusedOf([taken, refused], rejected)], [[refused.id, "duplicate, the dataset has it already"]]);
});

test("nothing is sent for nothing", () => {
  assert.deepEqual(formsOf([]), []);
});

test("the next pictures are added to the dataset that the last addition made", () => {
  const items = new Map();
  const storage = { getItem: (key) => items.get(key) ?? null, setItem: (key, value) => items.set(key, value) };
  const datasets = newestDatasets(storage);
  assert.equal(datasets.of("parent"), "parent");

  datasets.added("parent", "child");
  assert.equal(datasets.of("parent"), "child");
  assert.equal(datasets.of("other"), "other");
  assert.equal(newestDatasets(storage).of("parent"), "child");
  assert.equal(newestDatasets(null).of("parent"), "parent");
});

test("an id from a manifest leads to a dataset, whatever it is", () => {
  const path = (dataset) => new URL(imagesOf(dataset), "http://trainer.example/").pathname;

  assert.equal(path("20260101-000000-aaaaaa"), "/v1/datasets/20260101-000000-aaaaaa/images");
  assert.equal(path("../trainings/x/cancel?"), "/v1/datasets/..%2Ftrainings%2Fx%2Fcancel%3F/images");
});
