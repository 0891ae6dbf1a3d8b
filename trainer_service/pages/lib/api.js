/* The trainer's HTTP API. Paths are relative, so that the page works wherever a proxy puts it. */

import { authorized, signIn } from "../../web/session.js";
import { once } from "./again.js";
import { unreadable } from "./files.js";

/** An error of the API or, with status 0, of the network; `message` is meant for people. */
export class ApiError extends Error {
  constructor(message, status = 0, errors = [], retryAfter = 0) {
    super(message);
    this.status = status;
    this.errors = errors;
    this.retryAfter = retryAfter;
  }
}

const UNREACHABLE = "The trainer can't be reached. Is it still running?";
const STRANGE = "What answers here is not the trainer, perhaps a page of a proxy.";
const PATIENCE_SECONDS = 30;

export function get(path, signal) {
  return call(path, { signal, headers: { Accept: "application/json" } });
}

/** The records of a list, from as many of its pages as are needed for `most` records. */
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

/** Post a request that creates something once; `onTrouble` is called before it is sent again. */
export function create(path, body, onTrouble) {
  const options = json("POST", body);
  return once((headers) => call(path, { ...options, headers: { ...options.headers, ...headers } }), onTrouble);
}

export function put(path, body) {
  return call(path, json("PUT", body));
}

export function patch(path, body) {
  return call(path, json("PATCH", body));
}

/** Remove what a path names; there is no answer but that it is gone. */
export function del(path) {
  return call(path, { method: "DELETE", headers: { Accept: "application/json" } });
}

/**
 * Post a form, as `create` does. `onProgress` gets the number of bytes sent and the number of all.
 */
export function upload(path, form, onProgress, onTrouble, signal) {
  return once((headers) => sendForm(path, form, headers, onProgress, signal), onTrouble, signal);
}

/** Uses XMLHttpRequest, since `fetch` does not report how much has been sent. */
function sendForm(path, form, headers, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded, event.total));
    request.addEventListener("load", () => {
      const body = parsed(request.responseText);
      if (request.status < 300 && body !== null) resolve(body);
      else if (request.status < 300) reject(new ApiError(STRANGE));
      else if (request.status === 401) signIn().then(() => sendForm(path, form, headers, onProgress, signal)).then(resolve, reject);
      else reject(problem(request.status, body, request.getResponseHeader("Retry-After")));
    });
    request.addEventListener("error", () => interruption(form).then(reject));
    request.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/** The reason of an interrupted upload: a file that can't be read, or else the connection. */
async function interruption(form) {
  const file = await unreadable(form);
  if (file) return new Error(`${file.name} can't be read, or has changed since it was chosen.`);
  return new ApiError("The upload was interrupted. " + UNREACHABLE);
}

/** A small copy of an image: a few kilobytes. */
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
  const patience = AbortSignal.timeout(1000 * PATIENCE_SECONDS);
  const signal = options.signal ? AbortSignal.any([options.signal, patience]) : patience;
  let response;
  let text;
  try {
    response = await authorized(path, { ...options, signal });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(error.name === "TimeoutError" ? `The trainer has not answered for ${PATIENCE_SECONDS} seconds.` : UNREACHABLE);
  }
  const body = parsed(text);
  if (!response.ok) throw problem(response.status, body, response.headers.get("Retry-After"));
  if (body === null && response.status !== 204) throw new ApiError(STRANGE);
  return { body, headers: response.headers };
}

function problem(status, body, retryAfter) {
  const message = body?.detail ?? `The trainer answered with status ${status}.`;
  return new ApiError(message, status, body?.errors ?? [], Number(retryAfter) || 0);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
