import assert from "node:assert/strict";
import { test } from "node:test";

import { formOf, refusal } from "../page/app/lib/files.js";

const LIMITS = { max_upload_files: 3, max_upload_bytes: 10 };

const given = (path, size = 1) => {
  const name = path.split("/").at(-1);
  return { path, file: new File(["x".repeat(size)], name) };
};

test("one file that is no picture is sent as an archive", () => {
  const form = formOf([given("pets.zip")]);

  assert.deepEqual([...form.keys()], ["archive"]);
});

test("pictures, tables and whole folders are sent file by file, with their paths", () => {
  for (const files of [[given("cat.1.JPG")], [given("labels.csv")], [given("pets/notes.bin")], [given("a/1.png"), given("b/2.png")]]) {
    const form = formOf(files);

    assert.deepEqual([...new Set(form.keys())], ["files"]);
    assert.equal(form.getAll("files").length, files.length);
  }
});

test("what the trainer would refuse is refused before it is sent", () => {
  assert.match(refusal([], LIMITS), /no file/);
  assert.match(refusal(Array(4).fill(given("1.png")), LIMITS), /4 files.*at most 3/);
  assert.match(refusal([given("1.png", 11)], LIMITS), /11 bytes.*at most 10/);
  assert.equal(refusal([given("1.png", 10)], LIMITS), null);
});
