/* The predictor's page: images in, probabilities out. */

import { offerSignOut } from "../web/session.js";
import { predict } from "./lib/api.js";
import { queue } from "./lib/queue.js";
import { watch } from "./lib/watch.js";
import { camera } from "./parts/camera.js";
import { intake } from "./parts/intake.js";
import { modelPanel } from "./parts/models.js";
import { results } from "./parts/results.js";

const AT_ONCE = 4;
const part = (id) => document.getElementById(id);

const jobs = queue(AT_ONCE, classify);
const board = results(part("results"), (entries) => entries.forEach(enqueue), jobs.remove);
const panel = modelPanel(part("model"), () => {
  board.refresh(panel.chosen());
  jobs.open(panel.chosen() !== null);
});
const { button, element } = camera(addPictures);
intake(part("intake"), addPictures, button);
part("intake").append(element);
offerSignOut(document.querySelector("header nav"));
const look = watch(panel.show, panel.fail);

function addPictures(pictures) {
  board.add(pictures).forEach(enqueue);
}

function enqueue(entry) {
  entry.wait();
  jobs.add(entry);
}

async function classify(entry) {
  entry.work();
  const model = panel.chosen();
  try {
    const prediction = await predict(entry.file, model.name);
    entry.answer(prediction);
    if (prediction.version !== model.version) look();
  } catch (error) {
    entry.fail(error);
  }
}
