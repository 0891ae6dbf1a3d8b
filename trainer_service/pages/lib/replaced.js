/* Which training another one, or a dataset, follows. `records` are trainings, the newest first. */

const lineOf = ({ dataset }) => dataset.root ?? dataset.id;

/** The newest training that succeeded on a dataset or on one of its line; null if there is none. */
export const newestOn = ({ id, root }, records) =>
  records.find((record) => record.state === "succeeded" && lineOf(record) === (root ?? id)) ?? null;

/** Whether two trainings can be compared image by image: their datasets are the same, or were made of the same. */
export const areComparable = (one, other) =>
  one.state === "succeeded" && other.state === "succeeded" && one.id !== other.id && lineOf(one) !== null && lineOf(one) === lineOf(other);

/**
 * The training whose model a training has replaced: the newest before it of the same model and the
 * same line of datasets; null if there is none.
 */
export function replacedBy(record, records) {
  const isBefore = ({ created_at: at }) => Date.parse(at) < Date.parse(record.created_at);
  return records.find((other) => other.model === record.model && isBefore(other) && areComparable(record, other)) ?? null;
}
