/* How the choice of a head goes: one of layers has epochs, a regression has strengths in their place. */

import { curves } from "./history.js";
import { strengthCurves } from "./strengths.js";

/** The rows of a report's history that are epochs. */
export const epochsOf = (rows) => rows.filter(({ strength }) => strength === undefined);

const strengthsOf = (rows) => rows.filter(({ strength }) => strength !== undefined);

/** The curves of either kind: `{elements, add(event), showHistory(rows), explain(text)}`. */
export function headCurves() {
  const [epochs, strengths] = [curves(), strengthCurves()];
  return {
    elements: [strengths.element, epochs.element],
    add: (event) => (event.type === "strength" ? strengths : epochs).add(event),
    /** Show the history of an ended training, as its report has it. */
    showHistory(rows) {
      strengths.showHistory(strengthsOf(rows));
      epochs.showHistory(epochsOf(rows));
    },
    explain: strengths.explain,
  };
}
