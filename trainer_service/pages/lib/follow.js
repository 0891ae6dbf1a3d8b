/* The events of a training, from its beginning, until its result. */

import { passes } from "./again.js";
import { get } from "./api.js";

const TYPES = ["state", "progress", "epoch", "strength", "tune_estimate", "tune_progress", "tune_epoch", "warning", "result"];
const PAGE = 10000;
const RETRY_MILLISECONDS = 3000;
/** A stream that has been silent for so long may have lost its trainer, which no browser tells. */
const SILENT_MILLISECONDS = 20000;

/**
 * Call `onEvent` with each event as it happens; those of the past come first.
 *
 * It goes on automatically after an interruption, which `onConnection(false)` reports. `onEnd` gets
 * the error if the trainer does not know the training any more.
 */
export function follow(id, { onEvent, onConnection, onEnd }, signal) {
  let source;
  let timer;
  let last = 0;

  function open() {
    listen();
    source = new EventSource(`v1/trainings/${id}/events?after=${last}`);
    for (const type of TYPES) {
      source.addEventListener(type, (message) => {
        if (type === "result") close();
        else listen();
        last = Number(message.lastEventId);
        onEvent(JSON.parse(message.data));
      });
    }
    source.addEventListener("open", () => {
      listen();
      onConnection(true);
    });
    source.addEventListener("error", () => {
      onConnection(false);
      // A browser gives up if the answer is not a stream: a proxy's 502, or an ended session.
      if (source.readyState === EventSource.CLOSED) later();
    });
  }

  function later(milliseconds = RETRY_MILLISECONDS) {
    clearTimeout(timer);
    timer = setTimeout(reopen, milliseconds);
  }

  const listen = () => later(SILENT_MILLISECONDS);

  function close() {
    clearTimeout(timer);
    source.close();
  }

  async function reopen() {
    try {
      await get(`v1/trainings/${id}`, signal); // asks for the key, if that is what is missing
    } catch (error) {
      if (signal.aborted) return;
      if (!passes(error)) {
        close();
        return onEnd(error);
      }
      onConnection(false);
      return later();
    }
    source.close();
    open();
  }

  signal.addEventListener("abort", close);
  open();
}

/** All events so far. */
export async function history(id, signal) {
  const events = [];
  for (let after = 0; ; ) {
    const page = await get(`v1/trainings/${id}/events?after=${after}&limit=${PAGE}`, signal);
    events.push(...page.events);
    if (page.events.length < PAGE) return events;
    after = page.after;
  }
}
