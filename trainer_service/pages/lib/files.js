/* Files that people drop or choose, each with its path in the folder it came from. */

const PICTURE = /\.(jpe?g|jpe|jfif|png|webp|gif|bmp|dib|tiff?|heic|heif|avif|jp2|jxl|csv|tsv)$/i;

/** The files of an `<input>`: `[{file, path}]`. */
export function chosen(input) {
  return [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
}

/** The files of a drop, those of folders too. Call it inside of the event: later they are gone. */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, path: file.name }));
  const found = [];
  for (const entry of entries) await collect(entry, found);
  return found;
}

/** The form that sends files: one that is no picture is an archive, all else is a folder's. */
export function formOf(files) {
  const form = new FormData();
  if (files.length === 1 && !PICTURE.test(files[0].file.name) && !files[0].path.includes("/")) {
    form.append("archive", files[0].file, files[0].file.name);
  } else {
    for (const { file, path } of files) form.append("files", file, path);
  }
  return form;
}

/** What is wrong with sending these files, or null; said before minutes are spent on it. */
export function refusal(files, limits) {
  const size = files.reduce((sum, { file }) => sum + file.size, 0);
  if (!files.length) return "There is no file in it.";
  if (files.length > limits.max_upload_files) {
    return `It has ${files.length} files, and this trainer takes at most ${limits.max_upload_files} at once. Pack them into a zip archive.`;
  }
  if (size > limits.max_upload_bytes) {
    return `It has ${size} bytes, and this trainer takes at most ${limits.max_upload_bytes} (HEADSTART_MAX_UPLOAD_BYTES).`;
  }
  return null;
}

async function collect(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ file, path: entry.fullPath.replace(/^\//, "") });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // A reader hands out a hundred at a time, and none when there are no more.
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!batch.length) return;
    for (const child of batch) await collect(child, found);
  }
}
