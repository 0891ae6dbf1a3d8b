import { offerSignOut } from "../web/session.js";
import { start } from "./lib/router.js";
import { compare } from "./views/compare.js";
import { comparison } from "./views/comparison.js";
import { comparisons } from "./views/comparisons.js";
import { dataset } from "./views/dataset.js";
import { models } from "./views/models.js";
import { pictures } from "./views/pictures.js";
import { training } from "./views/training.js";
import { trainings } from "./views/trainings.js";

const root = document.getElementById("main");
document.getElementById("skip").addEventListener("click", () => root.focus());
// A file that misses the drop zone must not replace the page.
for (const type of ["dragover", "drop"]) window.addEventListener(type, (event) => event.preventDefault());

offerSignOut(document.querySelector("header nav"));
start(root, { "": pictures, datasets: dataset, trainings: trainingOrAll, models, compare, comparisons: comparisonOrAll });

function comparisonOrAll(context) {
  return context.parts.length ? comparison(context) : comparisons(context);
}

function trainingOrAll(context) {
  return context.parts.length ? training(context) : trainings(context);
}
