import assert from "node:assert/strict";
import { test } from "node:test";

import { formsOf, imagesOf, newestDatasets } from "../page/app/lib/lessons.js";

const lesson = (label, name = "a.png") => ({ file: new Blob([label]), name, label });
const content = (form) => [...form].map(([field, value]) => [field, value.name ?? value]);

test("pictures of one label are sent with it, under names that stay apart", () => {
  const forms = formsOf([lesson("dog", "a.png"), lesson("dog", "walk/a.png")]);

  assert.deepEqual(forms.map(content), [[["label", "dog"], ["files", "1-a.png"], ["files", "2-a.png"]]]);
});

test("several labels are folders of one form", () => {
  const forms = formsOf([lesson("dog"), lesson("cat"), lesson("dog")]);

  assert.deepEqual(forms.map(content), [[["files", "dog/1-a.png"], ["files", "cat/2-a.png"], ["files", "dog/3-a.png"]]]);
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
    assert.deepEqual(forms.map((form) => form.get("label")), ["dog", odd]);
  }
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
