/* A queue that works on a few items at a time. */

/**
 * A queue: `{add(item), remove(item), open(yes)}`; while it is closed, no work begins.
 *
 * `work` gets an item and returns a promise that is always fulfilled.
 */
export function queue(width, work) {
  const waiting = [];
  let busy = 0;
  let isOpen = false;

  const next = () => {
    while (isOpen && busy < width && waiting.length) {
      busy += 1;
      work(waiting.shift()).finally(() => {
        busy -= 1;
        next();
      });
    }
  };
  return {
    add(item) {
      waiting.push(item);
      next();
    },
    remove(item) {
      const at = waiting.indexOf(item);
      if (at >= 0) waiting.splice(at, 1);
    },
    open(yes) {
      isOpen = yes;
      next();
    },
  };
}
