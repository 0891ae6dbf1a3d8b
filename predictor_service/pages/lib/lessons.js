/* Pictures that people have given a label, as the trainer takes them. */

/**
 * A label that the trainer reads from the name of a folder as it is: a few plain words. It passes over
 * folders such as `lost+found`, and shows no control characters.
 */
const isFolder = (label) => /^[\p{L}\p{N}][\p{L}\p{M}\p{N} _-]{0,99}$/u.test(label);

/**
 * What to post one after the other, `[{form, lessons}]`, for lessons `[{id, file, name, label}]`.
 *
 * One form is enough, unless there are several labels and one of them could not be the name of a
 * folder. A picture's file begins with the lesson's id, by which it is found again.
 */
export function formsOf(lessons) {
  const byLabel = grouped(lessons, ({ label }) => label);
  const labels = [...byLabel.keys()];
  if (labels.length > 1 && labels.every(isFolder)) return [{ form: folders(lessons), lessons }];
  return labels.map((label) => ({ form: oneLabel(label, byLabel.get(label)), lessons: byLabel.get(label) }));
}

/**
 * Which lessons a trainer has refused, and why: a Map from their ids to sentences.
 *
 * `rejected` has the files that its dataset does not use, in it or an earlier one.
 */
export function refusedOf(lessons, rejected) {
  const why = new Map(rejected.map(({ name, verdict, detail }) => [idOf(name), detail ? `${verdict}, ${detail}` : verdict]));
  return new Map(lessons.filter(({ id }) => why.has(id)).map(({ id }) => [id, why.get(id)]));
}

/** The items by what `key` returns for them, in a Map. */
export function grouped(items, key) {
  const groups = new Map();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}

function oneLabel(label, lessons) {
  const form = new FormData();
  form.append("label", label);
  for (const { id, file, name } of lessons) form.append("files", file, fileName(id, name));
  return form;
}

function folders(lessons) {
  const form = new FormData();
  for (const { id, file, name, label } of lessons) form.append("files", file, `${label}/${fileName(id, name)}`);
  return form;
}

/** The name of a picture's file; two of the same name stay apart, and it has no folder. */
const fileName = (id, name) => `${id}-${leaf(name)}`;

const idOf = (name) => leaf(name).split("-")[0];
const leaf = (name) => name.split(/[/\\]/).at(-1);

/** The path to post pictures to; what a manifest says is the id of a dataset never leads elsewhere. */
export const imagesOf = (dataset) => `v1/datasets/${encodeURIComponent(dataset)}/images`;

const PREFIX = "headstart.taught.";

/**
 * Which dataset the next pictures are added to: `{of(dataset), added(dataset, child)}`.
 *
 * Each addition makes a new dataset, so the next one is added to that, until a version is served
 * that was trained on it. `storage` is `sessionStorage`, or null where a browser forbids it.
 */
export function newestDatasets(storage) {
  const remembered = new Map();
  const read = (dataset) => {
    try {
      return remembered.get(dataset) ?? storage?.getItem(PREFIX + dataset);
    } catch {
      return null;
    }
  };
  return {
    of: (dataset) => read(dataset) ?? dataset,
    added(dataset, child) {
      remembered.set(dataset, child);
      try {
        storage?.setItem(PREFIX + dataset, child);
      } catch {
        // It is remembered as long as the page.
      }
    },
  };
}
