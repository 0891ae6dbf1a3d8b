/* What people say of models and versions, and what lies in the store, in words. */

import { bytes, plural, when, words } from "../../lib/format.js";

/** How a request to the predictor may ask for a version: by its alias, or else by its number. */
export const askedFor = (name, { alias, version }) => `?model=${name}@${alias ?? version}`;

/** Where the version of a training is by now, of the models of the trainer: a sentence, or null if nothing is to be said. */
export function whereNow(record, models) {
  const model = models.find(({ versions }) => versions.some((version) => version.training_id === record.id));
  if (!model) return `Version ${record.version} of ${record.model} has been removed, or can't be read.`;
  const { version, alias, note } = model.versions.find(({ training_id: id }) => id === record.id);
  const moved = model.name === record.model ? null : `The model ${record.model} is called ${model.name} by now.`;
  const named = alias ? `Version ${version} has the alias ${alias}.` : null;
  return [moved, named, note ? `Note: ${note}` : null].filter(Boolean).join(" ") || null;
}

/** What retention removes next of a kind, as a sentence. `now` is in milliseconds since 1970. */
export function removalText({ kind, count, bytes: size, at, setting, held }, now) {
  const due = Date.parse(at) <= now ? "within ten minutes" : `from ${when(at)} on`;
  const sentence = `${words(kind)}: ${bytes(size)} (${plural(count, "item")}) ${due}, by ${setting}.`;
  return held ? `${sentence} ${held}` : sentence;
}
