import assert from "node:assert/strict";
import { test } from "node:test";

import { askedFor, removalText, whereNow } from "../page/app/parts/model_life/words.js";

const record = { id: "mine", model: "pets", version: 3 };
const version = (more = {}) => ({ version: 3, training_id: "mine", alias: null, note: null, ...more });
const models = (name, more) => [{ name: "birds", versions: [version({ training_id: "other" })] }, { name, versions: [version(more)] }];

test("nothing is said of a version that is where it was published", () => {
  assert.equal(whereNow(record, models("pets")), null);
});

test("the name that the model has by now, the alias and the note are told", () => {
  assert.equal(whereNow(record, models("dogs", { alias: "champion", note: "For the shop." })),
    "The model pets is called dogs by now. Version 3 has the alias champion. Note: For the shop.");
});

test("a version that is gone is told, also if another one has its number", () => {
  assert.match(whereNow(record, [{ name: "pets", versions: [version({ training_id: "other" })] }]), /Version 3 of pets has been removed/);
});

test("a version is asked for by its alias, or else by its number", () => {
  assert.equal(askedFor("pets", version({ alias: "champion" })), "?model=pets@champion");
  assert.equal(askedFor("pets", version()), "?model=pets@3");
});

test("it is told when something is removed, by which setting, and what keeps it", () => {
  const removal = { kind: "features", count: 1, bytes: 1_500_000, at: "2026-01-01T00:00:00Z", setting: "HEADSTART_KEEP_FEATURES_DAYS", held: null };
  const now = Date.parse(removal.at);
  assert.match(removalText(removal, now), /^Features: 1.5\sMB \(1 item\) within ten minutes, by HEADSTART_KEEP_FEATURES_DAYS\.$/);
  assert.match(removalText({ ...removal, count: 2, held: "Kept." }, now - 1), /\(2 items\) from .* on, .*\. Kept\.$/);
});
