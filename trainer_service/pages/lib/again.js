/* Sends a request again that failed for a temporary reason. */

import { put } from "../../web/dom.js";
import { waiting } from "./messages.js";

const TRIES = 6;
const FIRST_MILLISECONDS = 500;
/** After so long without an answer, the page says that it waits. */
const SLOW_MILLISECONDS = 2000;
const LONGEST_MILLISECONDS = 30000;
/** If an answer asks for a longer wait, the request is not sent again. */
const MOST_SECONDS = 60;
/** Statuses of the trainer, or of a proxy that can't reach it (502, 504); 0 if no answer came. */
const PASSING = [0, 408, 502, 503, 504];

/** Sleep, unless `signal` ends it: then an AbortError is thrown. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}

/**
 * Send a request that creates something; sending it again does not create it twice.
 *
 * `send` gets headers that are the same for every try; `onTrouble` gets a sentence before each wait.
 */
export async function once(send, onTrouble, signal) {
  const headers = { "Idempotency-Key": newKey() };
  for (let number = 1; ; number += 1) {
    try {
      return await send(headers);
    } catch (error) {
      if (number === TRIES || !mayBeSentAgain(error)) throw error;
      onTrouble(`${error.message} Trying again …`);
      await pause(Math.max(FIRST_MILLISECONDS * 2 ** (number - 1), 1000 * error.retryAfter), signal);
    }
  }
}

/**
 * Return what `ask` returns; while the trainer can't answer, try again and say so in `place`.
 *
 * All other errors are thrown.
 */
export async function persist(ask, place, signal) {
  for (let wait = FIRST_MILLISECONDS; ; wait = Math.min(2 * wait, LONGEST_MILLISECONDS)) {
    const slow = setTimeout(() => signal?.aborted || tell(place, "Waiting for the trainer's answer …"), SLOW_MILLISECONDS);
    try {
      const found = await ask();
      put(place);
      return found;
    } catch (error) {
      if (!passes(error)) {
        put(place);
        throw error;
      }
      tell(place, `${error.message} Trying again …`);
    } finally {
      clearTimeout(slow);
    }
    await pause(wait, signal);
  }
}

/** Whether the reason of an error may pass, so that the same request may succeed later. */
export const passes = ({ status }) => PASSING.includes(status) || status >= 500;

/** Wait for some time, and until the page is in sight: a page that nobody sees asks nothing. */
export async function rest(milliseconds, signal) {
  await pause(milliseconds, signal);
  while (document.hidden) {
    await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    if (signal.aborted) throw new DOMException("stopped", "AbortError");
  }
}

/** Announce a message to screen readers only when it changes, not at every try. */
function tell(place, text) {
  if (place.textContent !== text) put(place, waiting(text));
}

function mayBeSentAgain({ status, message, retryAfter }) {
  if (status === 409) return message.includes("Idempotency-Key is being answered now");
  return PASSING.includes(status) && retryAfter <= MOST_SECONDS;
}

/** A random key. Pages from another machine without TLS do not have `crypto.randomUUID`. */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
