/**
 * The turns of the event loop.
 *
 * @module
 */

/** The timer functions that not every runtime has. */
interface TurnTimers {
  setImmediate?: (callback: () => void) => unknown;
  clearImmediate?: (handle: unknown) => void;
}

/**
 * Calls back once the event loop has had a chance to look at sockets and timers. Unlike a timer of 0 ms, this waits no
 * millisecond.
 *
 * @returns what cancels it.
 */
export function afterMacrotask(callback: () => void): () => void {
  // Asked for here and not above: under Deno the mention of these loads what is behind them, for 8 ms.
  const { setImmediate, clearImmediate } = globalThis as TurnTimers;
  if (setImmediate && clearImmediate) {
    const handle = setImmediate(callback);
    return () => clearImmediate(handle);
  }
  // Browsers: a message to oneself is the shortest way round.
  const { port1, port2 } = new MessageChannel();
  const close = () => {
    port1.onmessage = null;
    port1.close();
  };
  port1.onmessage = () => {
    close();
    callback();
  };
  port2.postMessage(undefined);
  return close;
}
