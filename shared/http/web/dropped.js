/* Files that people drop, each with its path in the folder it came from. */

/** The files of a drop, those of folders too. Call it inside of the event: later they are gone. */
export async function dropped(transfer) {
  const loose = [...transfer.files].map((file) => ({ file, path: file.name }));
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return loose; // e.g. a picture dragged from another page
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
    // A reader hands out a hundred at a time, and none when there are no more.
    const batch = await outcome(entry, (resolve, reject) => reader.readEntries(resolve, reject));
    if (!batch.length) return;
    for (const child of batch) await collect(child, found);
  }
}

/** What a browser hands to one of two functions; what it says of a fault names no file. */
async function outcome(entry, begin) {
  try {
    return await new Promise(begin);
  } catch {
    throw new Error(`${entry.fullPath.replace(/^\//, "")} can't be read.`);
  }
}
