/* The events of a training, from its beginning, until its result. */

import { get } from "./api.js";

const TYPES = ["state", "progress", "epoch", "warning", "result"];
const PAGE = 10000;

/**
 * Call `onEvent` with each event as it happens; those of the past come first.
 *
 * The browser resumes by itself after an interruption; `onConnection(false)` tells of one.
 */
export function follow(id, onEvent, onConnection, signal) {
  const source = new EventSource(`v1/trainings/${id}/events`);
  for (const type of TYPES) {
    source.addEventListener(type, (message) => {
      if (type === "result") source.close();
      onEvent(JSON.parse(message.data));
    });
  }
  source.addEventListener("open", () => onConnection(true));
  source.addEventListener("error", () => onConnection(source.readyState === EventSource.CLOSED));
  signal.addEventListener("abort", () => source.close());
}

/** All events that there are. */
export async function history(id, signal) {
  const events = [];
  for (let after = 0; ; ) {
    const page = await get(`v1/trainings/${id}/events?after=${after}&limit=${PAGE}`, signal);
    events.push(...page.events);
    if (page.events.length < PAGE) return events;
    after = page.after;
  }
}
