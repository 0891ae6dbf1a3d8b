/* Asks the other service of the installation, which is of another origin. */

import { askForKey } from "./key_dialog.js";

const PATIENCE_SECONDS = 120;
const UNAUTHORIZED = 401;

/**
 * `{url, ask(path, options, signal), file(path)}` for the service `name`, e.g. "trainer"; `ask`
 * returns its JSON, `file` what it sends as a blob.
 *
 * If it needs a key, that is asked for, and kept in memory until the page is closed. Errors have a
 * `status`, which is 0 if no answer came.
 */
export function otherService(name, url) {
  const base = url.replace(/\/+$/, "");
  let key = null;
  let asking = null;

  const call = async (path, options, signal, secret) => {
    const headers = { Accept: "application/json", ...options.headers, ...(secret && { Authorization: `Bearer ${secret}` }) };
    const patience = AbortSignal.timeout(1000 * PATIENCE_SECONDS);
    try {
      return await fetch(`${base}/${path}`, { ...options, headers, credentials: "omit", signal: signal ? AbortSignal.any([signal, patience]) : patience });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw fault(error.name === "TimeoutError"
        ? `The ${name} has not answered for ${PATIENCE_SECONDS} seconds.`
        : `The ${name} at ${base} can't be asked from this page. Is it running, and does its setting HEADSTART_ALLOWED_ORIGINS list ${location.origin}?`, 0);
    }
  };
  const check = async (secret) => {
    if (!/^[!-~]+$/.test(secret)) return "This API key is not valid."; // a header could not carry it
    try {
      const response = await call("v1/models", {}, undefined, secret);
      return response.status === UNAUTHORIZED ? await said(response, name) : null;
    } catch (error) {
      return error.message;
    }
  };
  const signIn = async () => {
    const words = `The ${name} needs a key. It is kept until this page is closed or reloaded.`;
    key = await askForKey({ title: `The ${name}'s API key`, words, check, button: "Use it", closable: true });
    if (key === null) throw fault(`The ${name} needs a key, and none was given.`, UNAUTHORIZED);
  };
  const answer = async (path, options, signal) => {
    let response = await call(path, options, signal, key);
    while (response.status === UNAUTHORIZED) {
      asking ??= signIn().finally(() => (asking = null));
      await asking;
      response = await call(path, options, signal, key);
    }
    if (!response.ok) throw fault(await said(response, name), response.status);
    return response;
  };
  return {
    url: base,
    ask: async (path, options = {}, signal) => (await answer(path, options, signal)).json(),
    file: async (path) => (await answer(path, {})).blob(),
  };
}

const fault = (message, status) => Object.assign(new Error(message), { status });

async function said(response, name) {
  const body = await response.json().catch(() => null);
  return body?.errors?.[0]?.detail ?? body?.detail ?? `The ${name} answered with status ${response.status}.`;
}
