/* The classes that a model is to answer, as people write them: a line for each label. */

/**
 * What the trainer is sent as `classes`: a list if no line has a colon, else an object with the
 * classes of each label; null if there is nothing.
 *
 *     cat: tabby cat, tiger cat
 *     zebra
 */
export function classesOf(text) {
  const lines = text.split("\n").filter((line) => line.trim());
  if (!lines.length) return null;
  if (!lines.some((line) => line.includes(":"))) return lines.flatMap(names);
  const groups = {};
  for (const line of lines) {
    const [label, classes = label] = line.split(/:(.*)/s);
    const key = label.trim();
    groups[key] = [...(groups[key] ?? []), ...names(classes)];
  }
  return groups;
}

const names = (text) => text.split(",").map((name) => name.trim()).filter(Boolean);
