/* The trainer's HTTP API. Paths are relative, so that the page works wherever a proxy puts it. */

import { authorized, signIn } from "../../web/session.js";

/** What the API, or the network, answered instead: `message` is meant for people. */
export class ApiError extends Error {
  constructor(message, status = 0, errors = []) {
    super(message);
    this.status = status;
    this.errors = errors;
  }
}

const UNREACHABLE = "The trainer can't be reached. Is it still running?";

export function get(path, signal) {
  return call(path, { signal, headers: { Accept: "application/json" } });
}

/** The records that a path lists, at most `most` of them if there are more than fit into a page. */
export async function list(path, signal, most = Infinity) {
  const records = [];
  for (let url = path; url && records.length < most; ) {
    const answer = await send(url, { signal, headers: { Accept: "application/json" } });
    records.push(...answer.body);
    const next = /<([^>]*)>; rel="next"/.exec(answer.headers.get("Link") ?? "");
    url = next && path + next[1];
  }
  return records;
}

export function post(path, body = {}) {
  return call(path, json("POST", body));
}

export function put(path, body) {
  return call(path, json("PUT", body));
}

/**
 * Post a form and tell how much of it is sent.
 *
 * `fetch` does not tell, hence XMLHttpRequest. `onProgress` gets the bytes sent and in all.
 */
export function upload(path, form, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded, event.total));
    request.addEventListener("load", () => {
      const body = parsed(request.responseText);
      if (request.status < 300) resolve(body);
      else if (request.status === 401) signIn().then(() => upload(path, form, onProgress, signal)).then(resolve, reject);
      else reject(problem(request.status, body));
    });
    request.addEventListener("error", () => reject(new ApiError("The upload was interrupted. " + UNREACHABLE)));
    request.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/** A small copy of a picture: a few kilobytes. */
export function thumbnailUrl(datasetId, sha256) {
  return `${imageUrl(datasetId, sha256)}/thumbnail`;
}

export function imageUrl(datasetId, sha256) {
  return `v1/datasets/${datasetId}/images/${sha256}`;
}

function json(method, body) {
  return {
    method,
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json", Accept: "application/json" },
  };
}

async function call(path, options) {
  return (await send(path, options)).body;
}

async function send(path, options) {
  let response;
  try {
    response = await authorized(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(UNREACHABLE);
  }
  const body = parsed(await response.text());
  if (!response.ok) throw problem(response.status, body);
  return { body, headers: response.headers };
}

function problem(status, body) {
  const message = body?.detail ?? `The trainer answered with status ${status}.`;
  return new ApiError(message, status, body?.errors ?? []);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
