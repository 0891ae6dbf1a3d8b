/* The predictor's page: images in, probabilities out. */

import { otherService } from "../web/other_service.js";
import { offerSignOut } from "../web/session.js";
import { about, predict } from "./lib/api.js";
import { queue } from "./lib/queue.js";
import { watch } from "./lib/watch.js";
import { camera } from "./parts/camera.js";
import { intake } from "./parts/intake.js";
import { modelPanel } from "./parts/models.js";
import { results } from "./parts/results.js";
import { teaching } from "./parts/teaching.js";

const AT_ONCE = 4;
/** An image is sent so often, as long as the predictor itself answers meanwhile. */
const TRIES = 3;
const part = (id) => document.getElementById(id);

const jobs = queue(AT_ONCE, classify);
const board = results(part("results"), {
  again: (entries) => entries.forEach(enqueue),
  onRemove: forget,
  below: (entry) => (school ? school.offer(entry, panel.chosen()) : null),
  trainer: () => trainer,
});
const panel = modelPanel(part("model"), () => {
  board.refresh(panel.chosen());
  settle();
});
const { button, element } = camera(addPictures);
intake(part("intake"), addPictures, button);
part("intake").append(element);
offerSignOut(document.querySelector("header nav"));
let answers = true;
let [school, trainer] = [null, null];
const look = watch(
  async (models) => {
    await findSchool();
    panel.show(models);
    settle(true);
  },
  (error) => {
    panel.fail(error);
    settle(false);
  },
);

/** Learn where the trainer is, before the first image is classified; the next look asks again if that fails. */
async function findSchool() {
  if (school) return;
  const found = await about().catch(() => null);
  if (!found) return;
  if (school) return; // another look was quicker
  trainer = found.trainer_url && otherService("trainer", found.trainer_url);
  school = teaching(trainer);
  part("results").after(school.element);
}

function forget(entry) {
  jobs.remove(entry);
  school?.forget(entry);
}

/** Work on the images as long as the predictor answers and has the model. */
function settle(now = answers) {
  answers = now;
  jobs.open(answers && panel.chosen() !== null);
}

function addPictures(pictures) {
  board.add(pictures).forEach(enqueue);
}

function enqueue(entry) {
  entry.wait(panel.chosen() ? "Waits for its turn." : "Waits for a model.");
  entry.tries = 0;
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
    entry.tries += 1;
    if (!error.away || entry.tries === TRIES) return entry.fail(error);
    entry.wait(`${error.message} It is sent again once the predictor answers.`);
    settle(false);
    jobs.add(entry);
    look();
  }
}
