// What happens to runs right now: one connection a tab, closed while nobody looks.

import { address, banner } from "./page.js";

/**
 * Calls `changed(state)` whenever one of the runs has gone on: {uuid, name, status, seq, epochs}.
 * What is dropped connects again by itself and says what it had last.
 */
export function follow(runs, changed) {
  let source = null;

  function open() {
    if (source || document.hidden) return;
    source = new EventSource(address("/api/v1/live", { run: runs }));
    source.addEventListener("open", () => banner(""));
    source.addEventListener("run", (event) => {
      banner("");
      changed(JSON.parse(event.data));
    });
    source.addEventListener("store", (event) => banner(JSON.parse(event.data).away));
    source.addEventListener("error", () => {
      banner("The server does not answer. The page goes on when it does.");
      // A refusal ends an EventSource for good; the server may yet come back.
      if (source?.readyState === EventSource.CLOSED) {
        close();
        setTimeout(open, 2000);
      }
    });
  }

  function close() {
    source?.close();
    source = null;
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
}

/** A function that calls `act`, never twice at once nor more often than every so many milliseconds. */
export function calmly(act, pause) {
  let busy = false, again = false;
  return async function run() {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      await act();
    } finally {
      setTimeout(() => {
        busy = false;
        if (again) {
          again = false;
          run();
        }
      }, pause);
    }
  };
}
