/* Pictures that people have given a label, as the trainer takes them. */

/**
 * A label that the trainer reads from the name of a folder as it is: a few plain words. It passes over
 * folders such as `lost+found`, and shows no control characters.
 */
const isFolder = (label) => /^[\p{L}\p{N}][\p{L}\p{M}\p{N} _-]{0,99}$/u.test(label);

/**
 * The forms to post one after the other, for lessons `[{file, name, label}]`.
 *
 * One is enough, unless there are several labels and one of them could not be the name of a folder.
 */
export function formsOf(lessons) {
  const byLabel = grouped(lessons, ({ label }) => label);
  const labels = [...byLabel.keys()];
  if (labels.length > 1 && labels.every(isFolder)) return [folders(lessons)];
  return labels.map((label) => oneLabel(label, byLabel.get(label)));
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
  lessons.forEach(({ file, name }, number) => form.append("files", file, fileName(number, name)));
  return form;
}

function folders(lessons) {
  const form = new FormData();
  lessons.forEach(({ file, name, label }, number) => form.append("files", file, `${label}/${fileName(number, name)}`));
  return form;
}

/** The name of a picture's file; two of the same name stay apart, and it has no folder. */
const fileName = (number, name) => `${number + 1}-${name.split(/[/\\]/).at(-1)}`;

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
