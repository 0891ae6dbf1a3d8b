import assert from "node:assert/strict";
import { test } from "node:test";

import { queue } from "../page/app/lib/queue.js";

const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A queue whose work ends when `end(item)` is called; `begun` lists what was started. */
function observed(width) {
  const begun = [];
  const ends = new Map();
  const work = (item) => {
    begun.push(item);
    return new Promise((resolve) => ends.set(item, resolve));
  };
  return { ...queue(width, work), begun, end: (item) => ends.get(item)() };
}

test("nothing is begun while the queue is closed", async () => {
  const work = observed(2);
  work.add("a");
  assert.deepEqual(work.begun, []);

  work.open(true);
  assert.deepEqual(work.begun, ["a"]);
});

test("so many pieces are worked on at a time, in their order", async () => {
  const work = observed(2);
  work.open(true);
  for (const item of ["a", "b", "c", "d"]) work.add(item);
  assert.deepEqual(work.begun, ["a", "b"]);

  work.end("b");
  await settled();
  assert.deepEqual(work.begun, ["a", "b", "c"]);
});

test("what is taken out is not begun", async () => {
  const work = observed(1);
  work.open(true);
  for (const item of ["a", "b", "c"]) work.add(item);
  work.remove("b");

  work.end("a");
  await settled();
  assert.deepEqual(work.begun, ["a", "c"]);
});
