import assert from "node:assert/strict";
import { test } from "node:test";

import { beforeStart, decisionText, servedText, whyNot } from "../page/app/parts/promotion/words.js";

const version = (number, more = {}) => ({ version: number, labels: ["cat", "dog"], metrics: { test: { accuracy: 0.968, images: 31 } }, decision: null, ...more });
const refused = { served: false, reason: "Its labels differ." };
const pets = { name: "pets", pinned: null, serving: 3, versions: [version(4, { decision: refused }), version(3)] };

test("before a training, it is told what is served under its name", () => {
  assert.equal(beforeStart("pets", [pets]), "pets is served: version 3, cat and dog, 96.8\u00a0% of 31.");
  assert.equal(beforeStart("pets", [{ ...pets, pinned: 3 }]), "pets is served: version 3, cat and dog, 96.8\u00a0% of 31 (pinned).");
  assert.equal(beforeStart("cats", [pets]), "cats is a new model.");
  assert.equal(beforeStart("pets", [{ ...pets, serving: null }]), "pets has versions, but none of them is served.");
});

test("of many labels some are named, and metrics may lack", () => {
  const many = { ...pets, versions: [version(3, { labels: ["a", "b", "c", "d", "e"], metrics: {} })] };
  assert.equal(beforeStart("pets", [many]), "pets is served: version 3, a, b, c and 2 more labels.");
});

test("what is served is told with the reason", () => {
  assert.match(servedText(pets), /serves the newest version/);
  assert.equal(servedText({ ...pets, pinned: 4 }), "Pinned: the predictor stays with version 4.");
  const decided = [version(3, { decision: { served: true, reason: "It is better." } })];
  assert.equal(servedText({ ...pets, versions: decided }), "Version 3 is to be served. It is better.");
  assert.match(servedText({ ...pets, serving: null }), /^No version is to be served/);
  assert.equal(whyNot(pets.versions[0]), "Its labels differ.");
  assert.equal(whyNot(pets.versions[1]), null);
});

test("a decision is told by what made it", () => {
  assert.equal(decisionText({ version: 3, served: false, by: "training" }), "Version 3 was decided not to be served, when it was published");
  assert.equal(decisionText({ version: 2, served: true, by: "rollback" }), "Version 2 was decided to be served, by a rollback");
  assert.equal(decisionText({ version: 2, served: false, by: "unpin" }), "Version 2 was un-pinned");
});
