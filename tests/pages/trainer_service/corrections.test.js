import assert from "node:assert/strict";
import { test } from "node:test";

import { corrections, notUsed } from "../page/app/lib/corrections.js";

const ID = "20260101-000000-abc";

/** Something like `sessionStorage`. */
function storage() {
  const items = new Map();
  return { items, getItem: (key) => items.get(key) ?? null, setItem: (key, value) => items.set(key, value), removeItem: (key) => items.delete(key) };
}

const none = () => {};

test("what somebody has left out was not rejected", () => {
  const said = (verdicts, number) => notUsed({ verdicts, rejected_count: number });

  assert.equal(said({ "left out by a correction": 1 }, 1), "1 image was left out by a correction.");
  assert.equal(said({ "left out by a correction": 2, truncated: 1 }, 3), "1 file was rejected. 2 images were left out by a correction.");
  assert.equal(said({ truncated: 2 }, 2), "2 files were rejected.");
});

test("a label, another one, and leaving out are each one correction of a picture", () => {
  const pending = corrections(ID, none, storage());
  pending.choose("a", "dog", "cat");
  pending.choose("a", "cow", "cat");
  pending.choose("b", null, "cat");

  assert.deepEqual(pending.all(), { a: "cow", b: null });
  assert.equal(pending.size, 2);
});

test("the label that a picture has is no correction, and takes one back", () => {
  const pending = corrections(ID, none, storage());
  pending.choose("a", "cat", "cat");
  assert.equal(pending.canUndo(), false);

  pending.choose("a", "dog", "cat");
  pending.choose("a", "cat", "cat");
  assert.deepEqual(pending.all(), {});
});

test("changes are undone one after the other, the last one first", () => {
  const changed = [];
  const pending = corrections(ID, (sha256) => changed.push(sha256), storage());
  pending.choose("a", "dog", "cat");
  pending.choose("a", null, "cat");
  pending.choose("b", "dog", "cat");

  assert.equal(pending.undo(), "b");
  assert.equal(pending.undo(), "a");
  assert.deepEqual(pending.all(), { a: "dog" });
  assert.equal(pending.undo(), "a");
  assert.equal(pending.size, 0);
  assert.equal(pending.canUndo(), false);
  assert.deepEqual(changed, ["a", "a", "b", "b", "a", "a"]);
});

test("they survive a reload, each dataset has its own, and none are left once they are sent", () => {
  const kept = storage();
  corrections(ID, none, kept).choose("a", null, "cat");
  assert.equal(corrections("another", none, kept).size, 0);

  const again = corrections(ID, none, kept);
  assert.equal(again.get("a"), null);
  assert.equal(again.get("b"), undefined);
  again.clear();
  assert.equal(again.size, 0);
  assert.equal(kept.items.size, 0);
});

test("without storage, with a full one, or with rubbish in it, the page still corrects", () => {
  const full = { ...storage(), setItem: () => { throw new Error("full"); } };
  for (const kept of [null, full, { ...storage(), getItem: () => "{" }]) {
    const pending = corrections(ID, none, kept);
    pending.choose("a", "dog", "cat");
    assert.deepEqual(pending.all(), { a: "dog" });
  }
});

test("a picture may have any label, also that of what every object has", () => {
  const pending = corrections(ID, none, storage());
  pending.choose("a", "__proto__", "constructor");

  assert.equal(pending.get("a"), "__proto__");
});
