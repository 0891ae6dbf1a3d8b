/* Tries again what has failed for a reason that passes. */

import { put } from "../../web/dom.js";
import { waiting } from "./router.js";

const TRIES = 6;
const FIRST_MILLISECONDS = 500;
const LONGEST_MILLISECONDS = 30000;
/** Whoever asks for a longer wait is not waited for. */
const MOST_SECONDS = 60;
/** Told by the trainer, by a proxy that has lost it (502, 504), or, as 0, by nobody. */
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
 * Send what makes something, and make it once, however often it has to be sent.
 *
 * `send` gets the headers that say that it is the same; `onTrouble` gets words while it is waited.
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
 * Return what `ask` returns, however long it takes until the trainer can be asked.
 *
 * Meanwhile `place` says so. Other errors than the trainer's absence or trouble are thrown.
 */
export async function persist(ask, place, signal) {
  for (let wait = FIRST_MILLISECONDS; ; wait = Math.min(2 * wait, LONGEST_MILLISECONDS)) {
    try {
      const found = await ask();
      put(place);
      return found;
    } catch (error) {
      if (!PASSING.includes(error.status) && !(error.status >= 500)) throw error;
      tell(place, `${error.message} Trying again …`);
    }
    await pause(wait, signal);
  }
}

/** What is told again and again is told to people who do not see the page once. */
function tell(place, text) {
  if (place.textContent !== text) put(place, waiting(text));
}

function mayBeSentAgain({ status, message, retryAfter }) {
  if (status === 409) return message.includes("Idempotency-Key is being answered now");
  return PASSING.includes(status) && retryAfter <= MOST_SECONDS;
}

/** `crypto.randomUUID` is missing where the page comes without TLS from another machine. */
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
