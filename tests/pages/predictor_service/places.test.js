import assert from "node:assert/strict";
import { test } from "node:test";

import { places } from "../page/app/lib/places.js";

const grid = (heat) => Array.from({ length: 14 }, (_, y) => Array.from({ length: 14 }, (_, x) => heat(x, y)));

test("heat in one place is named", () => {
  assert.equal(places(grid((x, y) => (x < 3 && y < 3 ? 1 : 0))), "at the top left");
  assert.equal(places(grid((x, y) => (x > 10 && y > 10 ? 1 : -5))), "at the bottom right");
  assert.equal(places(grid((x, y) => (x > 5 && x < 8 && y > 5 && y < 8 ? 1 : 0))), "at the centre");
});

test("the hottest of several places comes first", () => {
  assert.equal(places(grid((x, y) => (y > 3 ? 0 : x < 3 ? 2 : x > 10 ? 3 : 0))), "at the top right and the top left");
});

test("even heat is all over the picture, however much it is", () => {
  assert.equal(places(grid(() => 2)), "all over the picture");
  assert.equal(places(grid((x, y) => (x + y) % 2)), "all over the picture");
});
