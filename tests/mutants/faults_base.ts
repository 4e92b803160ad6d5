/**
 * Faults in `base/`.
 *
 * @module
 */
import type { Fault } from "./fault.ts";

/** The faults. */
export const BASE_FAULTS: readonly Fault[] = [
  {
    file: "base/backoff.ts",
    name: "the waits between attempts do not grow",
    from: "Math.min(this.#step++, MAX_DOUBLINGS)",
    to: "Math.min(this.#step, MAX_DOUBLINGS)",
    tests: ["base/backoff"],
  },
  {
    file: "base/backoff.ts",
    name: "the waits between attempts have no maximum",
    from: "Math.min(maxDelay, delay *",
    to: "Math.min(Infinity, delay *",
    tests: ["base/backoff"],
  },
  {
    file: "base/backoff.ts",
    name: "a wait is longer than the time that is left",
    from: "return Math.min(this.#random() * max, left);",
    to: "return this.#random() * max;",
    tests: ["base/backoff", "client/reconnector_clock"],
  },
  {
    file: "base/timers.ts",
    name: "a busy process times out before it has read",
    from: "if (clock.now() - due < LATE_MS) {",
    to: "{",
    tests: ["base/timers", "client/outbox"],
  },
  {
    file: "base/timers.ts",
    name: "each step of a call gets the time of all steps",
    from: "Math.max(0, end - clock.now());",
    to: "timeout;",
    tests: ["base/timers"],
  },
  {
    file: "base/timers.ts",
    name: "a signal keeps the listeners of waits that have ended",
    from: `signal?.removeEventListener("abort", onAbort);`,
    to: "",
    tests: ["client/abort"],
  },
  {
    file: "base/bounded_queue.ts",
    name: "a first waiter that times out takes the second along",
    from: "if (this.#waiter === waiter) this.#waiter = this.#waiters?.shift();",
    to: "if (this.#waiter === waiter) this.#waiter = undefined;",
    tests: ["base/bounded_queue"],
  },
  {
    file: "base/bounded_queue.ts",
    name: "a later waiter that times out still gets an item",
    from: "else this.#waiters?.remove(waiter);",
    to: "",
    tests: ["base/bounded_queue"],
  },
  {
    file: "base/bounded_queue.ts",
    name: "queued bytes are not counted",
    from: "this.#bytes += bytes;",
    to: "",
    tests: ["base/bounded_queue"],
  },
  {
    file: "base/bounded_queue.ts",
    name: "a queue that has ended takes more items",
    from: "if (this.#ended) return;\n    const waiter",
    to: "const waiter",
    tests: ["base/bounded_queue", "api/shutdown_drain"],
  },
  {
    file: "base/fifo.ts",
    name: "an item removed at the head leaves its slot there",
    from: "if (offset === 0) this.#skipRemoved(index);",
    to: "",
    tests: ["base/fifo"],
  },
  {
    file: "base/sequence_map.ts",
    name: "a number that is skipped counts as an entry",
    from: "    this.#reserve();\n    this.#next++;\n  }",
    to: "    this.#reserve();\n    this.#next++;\n    this.#size++;\n  }",
    tests: ["base/sequence_map"],
  },
  {
    file: "base/errors.ts",
    name: "a line feed of a broker reaches the terminal",
    from: 'if (char === "\\n") return "\\\\n";',
    to: 'if (char === "\\n") return char;',
    tests: ["cli/error_messages", "api/secrets", "client/status"],
  },
  {
    file: "base/errors.ts",
    name: "printing an error prints the body of its frame",
    from: `Object.defineProperty(this, "frame", { enumerable: false });`,
    to: "",
    tests: ["base/inspect", "api/secrets"],
  },
  {
    file: "base/bounded_queue.ts",
    name: "a full queue that ends still stops reading",
    from: '    this.#bytes = 0;\n    this.#setFill("free");',
    to: "    this.#bytes = 0;",
    tests: ["base/bounded_queue", "session/read_gate"],
  },
  {
    file: "base/timers.ts",
    name: "an aborted signal does not end a delay",
    from: "const onAbort = () => end(false);",
    to: "const onAbort = () => {};",
    tests: ["base/timers", "work/worker", "work/worker_consume"],
  },
  {
    file: "base/bounded_queue.ts",
    name: "items that were queued before the end are lost",
    from: "if (this.#items !== undefined) this.#meter.leave(this.#items);",
    to: "if (this.#items !== undefined) this.#meter.leave(this.#items), this.#items.clear();",
    tests: ["base/bounded_queue"],
  },
  {
    file: "base/fifo.ts",
    name: "an item that is in a queue twice is removed twice",
    from: `if (typeof known === "number" || known.length === 0) this.#slots.delete(item);`,
    to: "this.#slots.delete(item);",
    tests: ["base/fifo"],
  },
];
