/* The predictor's HTTP API. Paths are relative, so that the page works wherever a proxy puts it. */

import { authorized } from "../../web/session.js";

const TOP = 5;
const RETRIES = 8;
const UNREACHABLE = "The predictor can't be reached. Is it still running?";

/** The models of the store, served or not. */
export async function models() {
  return (await call("v1/models", { headers: { Accept: "application/json" } })).models;
}

/**
 * The prediction for an image: `{model, version, label, probability, top}`.
 *
 * The bytes are sent as they are. If the queue is full, the request is sent again.
 */
export async function predict(picture, model) {
  const path = `v1/predict?model=${encodeURIComponent(model)}&top=${TOP}`;
  const options = { method: "POST", body: picture, headers: { "Content-Type": "application/octet-stream" } };
  for (let left = RETRIES; ; left -= 1) {
    try {
      return (await call(path, options)).predictions[0];
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
  } catch {
    throw new Error(UNREACHABLE);
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  throw problem(response, body);
}

function problem(response, body) {
  const said = body?.errors?.[0]?.detail ?? body?.detail;
  const error = new Error(said ?? `The predictor answered with status ${response.status}.`);
  error.status = response.status;
  error.retryAfter = Number(response.headers.get("Retry-After")) || 1;
  return error;
}
