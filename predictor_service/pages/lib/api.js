/* The predictor's HTTP API. Paths are relative, so that the page works wherever a proxy puts it. */

import { authorized } from "../../web/session.js";

const TOP = 5;
const RETRIES = 8;
const UNREACHABLE = "The predictor can't be reached. Is it still running?";
const STRANGE = "What answers here is not the predictor, perhaps a page of a proxy.";
const PATIENCE_SECONDS = 30;
/** Statuses with which a proxy says that it can't reach the predictor, or this that it ends. */
const AWAY = [502, 503, 504];

/** The models of the store, served or not. */
export async function models() {
  const signal = AbortSignal.timeout(1000 * PATIENCE_SECONDS);
  const { models: found } = await call("v1/models", { signal, headers: { Accept: "application/json" } });
  if (!Array.isArray(found)) throw away(STRANGE);
  return found;
}

/** What the page needs to know of the installation: `{trainer_url}`. */
export function about() {
  return call("v1/about", { signal: AbortSignal.timeout(1000 * PATIENCE_SECONDS), headers: { Accept: "application/json" } });
}

/**
 * The prediction for an image: `{model, version, label, probability, top}`.
 *
 * The bytes are sent as they are. If the queue is full, the request is sent again.
 */
export function predict(picture, model) {
  return ask(picture, `model=${encodeURIComponent(model)}&top=${TOP}`);
}

/** Where an image speaks for a label: `{label, score, rest, grid, png}`. */
export async function explain(picture, model, label) {
  const query = `model=${encodeURIComponent(model)}&top=1&explain=${encodeURIComponent(label)}`;
  const { heat } = await ask(picture, query);
  if (!heat) throw away(STRANGE);
  return heat;
}

async function ask(picture, query) {
  const path = `v1/predict?${query}`;
  const options = { method: "POST", body: picture, headers: { "Content-Type": "application/octet-stream" } };
  for (let left = RETRIES; ; left -= 1) {
    try {
      const { predictions } = await call(path, options);
      if (!predictions?.length) throw away(STRANGE);
      return predictions[0];
    } catch (error) {
      if (error.status !== 503 || left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000 * error.retryAfter));
    }
  }
}

async function call(path, options) {
  let response;
  try {
    response = await authorized(path, options);
  } catch (error) {
    throw away(error.name === "TimeoutError" ? `The predictor has not answered for ${PATIENCE_SECONDS} seconds.` : UNREACHABLE);
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  throw response.ok ? away(STRANGE) : problem(response, body);
}

/** An error of which `away` is true: it is not about the request, and may pass. */
function away(message) {
  return Object.assign(new Error(message), { away: true });
}

function problem(response, body) {
  const said = body?.errors?.[0]?.detail ?? body?.detail;
  const error = new Error(said ?? `The predictor answered with status ${response.status}.`);
  error.status = response.status;
  error.away = AWAY.includes(response.status);
  error.retryAfter = Number(response.headers.get("Retry-After")) || 1;
  return error;
}
