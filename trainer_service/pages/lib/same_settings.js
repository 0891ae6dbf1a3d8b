/* Trains again as before, on another dataset. */

/** The request for a training with the settings of another one. */
export function sameSettings(request, datasetId) {
  const settings = Object.entries(request).filter(([name, value]) => value !== null && !["dataset", "reading"].includes(name));
  return { ...Object.fromEntries(settings), dataset: datasetId };
}
