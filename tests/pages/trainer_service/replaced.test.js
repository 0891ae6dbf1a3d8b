import assert from "node:assert/strict";
import { test } from "node:test";

import { areComparable, newestOn, replacedBy } from "../page/app/lib/replaced.js";

const training = (id, day, more = {}) => ({ id, model: "pets", state: "succeeded", created_at: `2026-01-0${day}T00:00:00Z`, dataset: { id: "first", root: null }, ...more });

test("a training replaces the newest one before it, of its model and its line of datasets", () => {
  const child = { id: "second", root: "first" };
  const mine = training("mine", 5, { dataset: child });
  const records = [
    training("later", 6),
    mine,
    training("other model", 4, { model: "trash" }),
    training("other images", 4, { dataset: { id: "elsewhere", root: null } }),
    training("failed", 4, { state: "failed" }),
    training("wanted", 3),
    training("older", 2, { dataset: child }),
  ];

  assert.equal(replacedBy(mine, records).id, "wanted");
  assert.equal(replacedBy(records.at(-1), records), null);
});

test("a dataset that was made of another one is trained on as the newest of its line was", () => {
  const records = [training("elsewhere", 5, { dataset: { id: "else", root: null } }), training("failed", 4, { state: "failed" }), training("wanted", 3), training("older", 2)];

  assert.equal(newestOn({ id: "child", root: "first" }, records).id, "wanted");
  assert.equal(newestOn({ id: "first", root: null }, records).id, "wanted");
  assert.equal(newestOn({ id: "new", root: null }, records), null);
});

test("trainings of earlier releases, which have no line, are compared by their dataset", () => {
  const one = training("one", 1, { dataset: { id: "first" } });

  assert.equal(areComparable(one, training("two", 2)), true);
  assert.equal(areComparable(one, one), false);
  assert.equal(areComparable(one, training("two", 2, { dataset: { id: "else" } })), false);
});

test("pre-trained networks, which have no dataset, can't be compared image by image", () => {
  const [one, other] = ["one", "other"].map((id) => training(id, 1, { dataset: { id: null, root: null } }));

  assert.equal(areComparable(one, other), false);
});
