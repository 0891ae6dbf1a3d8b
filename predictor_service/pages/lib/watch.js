/* Asks which models are served, again and again, while the page is visible. */

import { models } from "./api.js";

const EAGER = 2000;
const CALM = 5000;

/**
 * Call `onModels` with the models, or `onFault` with the error, at every look.
 *
 * While a model is loaded, or none is served, it looks more often. Returns a function that looks now.
 */
export function watch(onModels, onFault) {
  let timer = null;
  let looking = false;

  const look = async () => {
    clearTimeout(timer);
    if (looking) return;
    looking = true;
    let pause = EAGER;
    try {
      const found = await models();
      await onModels(found);
      if (found.some((model) => model.version !== null) && found.every((model) => model.loading === null)) pause = CALM;
    } catch (error) {
      onFault(error);
    }
    looking = false;
    if (!document.hidden) timer = setTimeout(look, pause);
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else look();
  });
  look();
  return look;
}
