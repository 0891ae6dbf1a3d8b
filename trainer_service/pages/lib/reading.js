/* How a dataset was read, in words, and what to send to have it read in another way. */

const KINDS = {
  folders: "Labels are the names of folders.",
  "file names": "Labels are the beginnings of the file names.",
  table: "Labels are read from a table.",
};
const PARTS = { train: "training", validation: "validation", test: "test" };

/** Where the labels come from; records of older versions only know the kind. */
export const layoutText = (layout) => layout?.text || KINDS[layout?.kind] || "";

/** Which folders, tables or values are which part of the split; empty if there is none. */
export function splitText(splits) {
  return Object.entries(splits ?? {})
    .map(([name, part]) => (part ? `${name} is for ${PARTS[part] ?? part}` : `${name} is left out`))
    .join(", ");
}

/** The doubt in the error of a training, without the request that settles it; null if there is none. */
export function doubtIn(detail, id) {
  const request = `: PUT /v1/datasets/${id}/reading`;
  return detail.includes(request) ? `${detail.slice(0, detail.indexOf(request)).replace(`dataset ${id}: `, "")}.` : null;
}

/** The tables of a dataset that may hold labels, each with the columns that are known. */
export function tablesOf({ layout, unused }) {
  const { tables = [], image_column: image, label_columns: labels = [], split_column: split } = layout ?? {};
  const used = tables.map((name) => ({ name, columns: [...new Set([...labels, image, split].filter(Boolean))] }));
  const others = (unused ?? []).filter(({ columns }) => columns?.length).map(({ name, columns }) => ({ name, columns }));
  return [...used, ...others.filter(({ name }) => !tables.includes(name))];
}

/**
 * The new names of labels to send, where some labels have been renamed before.
 *
 * `before` are the names sent then, `changes` the new names of labels as they are called now, and
 * `labels` what these are. A label that others are merged into is named too, so that a later
 * change of its name finds it among them.
 */
export function renamed(before, changes, labels) {
  const made = new Set(Object.values(before));
  const names = new Map(Object.entries(before).map(([old, name]) => [old, changes.get(name) ?? name]));
  for (const [label, name] of changes) {
    if (!made.has(label)) names.set(label, name);
    if (labels.includes(name) && !made.has(name) && !changes.has(name)) names.set(name, name);
  }
  return Object.fromEntries(names);
}

/** The folders and values whose part of the split can be chosen, each with its part now; what is left out has "none". */
export function partsOf({ layout, splits, reading }) {
  const tables = layout?.tables ?? [];
  const found = Object.entries(splits ?? {}).filter(([name]) => !tables.includes(name));
  return Object.entries({ ...Object.fromEntries(found.map(([name, part]) => [name, part ?? "none"])), ...reading?.splits });
}

/**
 * The parts of the split to send: those that were sent before, and those that are another now.
 *
 * `chosen` and `found` are pairs of a name and a part; an empty part leaves it to the reader.
 */
export function chosenParts(before, chosen, found) {
  const parts = new Map(found);
  const named = chosen.map(([name, part]) => [name.trim(), part]).filter(([name, part]) => name && part);
  return Object.fromEntries(named.filter(([name, part]) => Object.hasOwn(before, name) || parts.get(name) !== part));
}

/**
 * The reading that a user has chosen by hand, as a change to the one before.
 *
 * `chosen` has the values of the form as text, whether labels that look alike are merged, and the
 * parts of the split. New names of labels are kept only while the labels come from the same place.
 */
export function chosenReading(before, chosen) {
  const labels = chosen.labels || null;
  const isTable = labels === "table";
  const where = {
    labels,
    level: labels === "folders" && chosen.level ? Number(chosen.level) : null,
    table: (isTable && chosen.table) || null,
    columns: {
      image: (isTable && chosen.imageColumn.trim()) || null,
      label: (isTable && chosen.labelColumn.trim()) || null,
      split: (isTable && chosen.splitColumn.trim()) || null,
    },
  };
  const same = Object.entries(where).every(([name, value]) => JSON.stringify(value) === JSON.stringify(before[name] ?? null));
  const ignore = chosen.ignore.split("\n").map((line) => line.trim()).filter(Boolean);
  return { ...before, ...where, ignore, splits: chosen.splits, merge_alike: chosen.mergeAlike, rename: same ? before.rename : {}, confirm: false };
}

/** Whether a user has decided anything on how a dataset is read. */
export function isDecided(reading) {
  const { merge_alike: mergeAlike = true, ...others } = reading ?? {};
  const says = (value) => (value && typeof value === "object" ? Object.values(value).some(says) : Boolean(value));
  return !mergeAlike || Object.values(others).some(says);
}
