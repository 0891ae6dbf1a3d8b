import assert from "node:assert/strict";
import { test } from "node:test";

import { cutsOf } from "../page/app/parts/start/tune_choice.js";
import { described, estimated, lines, tunedOrNot } from "../page/app/parts/curves/tuning.js";

const plain = (text) => text.replaceAll("\u00a0", " ");
const ROWS = [{ val_loss: 0.5, val_accuracy: 0.8 }, { val_loss: null, val_accuracy: null }];
const FROZEN = { loss: 0.6, accuracy: 0.75 };

test("layers are offered from the last to the whole network, with how much of it they train", () => {
  const architecture = { cuts: { pixels: 2000, early: 1500, late: 250 }, tail: "late" };
  assert.deepEqual(cutsOf(architecture).map(([name, text]) => [name, plain(text)]), [
    ["late", "late: 13 %"],
    ["early", "early: 75 %"],
    ["pixels", "pixels: 100 %"],
  ]);
});

test("the level of before is as long as the epochs that there will be", () => {
  const [tuned, before] = lines(ROWS, FROZEN, 4, "loss");
  assert.deepEqual(tuned.values, [0.5, null]);
  assert.deepEqual(before.values, [0.6, 0.6, 0.6, 0.6]);
  assert.deepEqual(lines(ROWS, FROZEN, 2, "accuracy").map(({ values }) => values), [[0.8, null], [0.75, 0.75]]);
});

test("as long as it is not known, there is no level", () => {
  assert.deepEqual(lines(ROWS, null, 4, "loss").map(({ name }) => name), ["tuned"]);
});

test("an estimate is a sentence", () => {
  const estimate = { seconds: 200.4, views_seconds: 65, epoch_seconds: 16.92, epochs: 8, bytes: 1.2e8 };
  assert.equal(plain(estimated(estimate)),
    "This will take 3 min 20 s at most: 1 min 5 s for views of the images, and 17 s for each of 8 epochs. The views take 120.0 MB on disk.");
  assert.equal(plain(estimated({ ...estimate, seconds: 16.92, views_seconds: 0, epochs: 1, bytes: 0 })),
    "This will take 17 s at most: 17 s for the epoch.");
});

test("what was done is a line", () => {
  const info = { cut: "block_12_add", epochs: 8, best_epoch: 3, views: 6, augment: ["crop", "colour"], learning_rate: 1e-4, seconds: 75 };
  assert.equal(plain(described(info)),
    "The layers behind block_12_add · 8 epochs · published: epoch 3 · 6 views of each image (crop, colour) · learning rate 0.0001 · 1 min 15 s.");
  assert.equal(described({ ...info, cut: "pixels", epochs: 0, best_epoch: 0, seconds: 0 }), "All of the network · learning rate 0.0001.");
});

test("a table says whether a training has tuned", () => {
  const told = (tune, info) => tunedOrNot({ request: { tune }, tune: info });
  assert.deepEqual([told("off", null), told(undefined, null), told("tail", null)], ["no", "no", "not yet"]);
  assert.equal(told("tail", { published: true, cut: "late" }), "yes, from late on");
  assert.equal(told({}, { published: false, cut: "late" }), "tried, but not published");
});
