import assert from "node:assert/strict";
import { test } from "node:test";

import { sameSettings } from "../page/app/lib/same_settings.js";

test("a training is asked for again as it was, on another dataset and as that is read", () => {
  const request = { model: "pets", dataset: null, reading: { merge_alike: true }, tune: "off", views: 1, early_stopping: { patience: 3 }, seed: 0 };

  assert.deepEqual(sameSettings(request, "child"), { model: "pets", tune: "off", views: 1, early_stopping: { patience: 3 }, seed: 0, dataset: "child" });
});
