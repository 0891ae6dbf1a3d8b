/* Says in words where in a picture something is. */

const ROWS = ["top", "middle", "bottom"];
const COLUMNS = ["left", "centre", "right"];
/** An area is named if it has this share of all heat: twice of what each has of even heat. */
const NAMED = 2 / 9;

/**
 * Where most of the heat is that is above the average, of a grid of rows of numbers.
 *
 * For example "at the top left and the top centre"; "all over the picture" if no area stands out.
 */
export function places(grid) {
  const numbers = grid.flat();
  const mean = numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
  const heat = Array(9).fill(0);
  grid.forEach((row, y) => row.forEach((value, x) => {
    heat[3 * third(y, grid.length) + third(x, row.length)] += Math.max(0, value - mean);
  }));
  const total = heat.reduce((sum, value) => sum + value, 0);
  const hot = [...heat.keys()].filter((area) => total > 0 && heat[area] >= NAMED * total);
  hot.sort((one, other) => heat[other] - heat[one]);
  return hot.length ? `at the ${hot.map(name).join(" and the ")}` : "all over the picture";
}

const third = (place, places) => Math.min(2, Math.floor((3 * (place + 0.5)) / places));

function name(area) {
  const [row, column] = [ROWS[Math.floor(area / 3)], COLUMNS[area % 3]];
  return area === 4 ? "centre" : `${row} ${column}`;
}
