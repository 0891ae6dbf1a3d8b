/* Files that people drop, each with its path in the folder it came from. */

/** The files of a drop, also those in folders. Call it inside the event; later they are gone. */
export async function dropped(transfer) {
  const loose = [...transfer.files].map((file) => ({ file, path: file.name }));
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return loose; // e.g. an image dragged from another page
  const found = [];
  for (const entry of entries) await collect(entry, found);
  return found;
}

async function collect(entry, found) {
  if (entry.isFile) {
    const file = await outcome(entry, (resolve, reject) => entry.file(resolve, reject));
    found.push({ file, path: entry.fullPath.replace(/^\//, "") });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // A reader returns up to a hundred entries at a time, and none at the end.
    const batch = await outcome(entry, (resolve, reject) => reader.readEntries(resolve, reject));
    if (!batch.length) return;
    for (const child of batch) await collect(child, found);
  }
}

/** Turn the browser's two callbacks into a promise; its own error does not name the file. */
async function outcome(entry, begin) {
  try {
    return await new Promise(begin);
  } catch {
    throw new Error(`${entry.fullPath.replace(/^\//, "")} can't be read.`);
  }
}
