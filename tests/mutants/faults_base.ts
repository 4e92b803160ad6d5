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
    from: "Math.min(this.#step++, 30)",
    to: "Math.min(this.#step, 30)",
    tests: ["base/backoff"],
  },
  {
    file: "base/backoff.ts",
    name: "the waits between attempts have no bound",
    from: "Math.min(this.#maxDelay, this.#delay *",
    to: "Math.min(Infinity, this.#delay *",
    tests: ["base/backoff"],
  },
  {
    file: "base/backoff.ts",
    name: "a wait outlasts the time that is left",
    from: "return Math.min(this.#random() * bound, left);",
    to: "return this.#random() * bound;",
    tests: ["base/backoff", "client/reconnector_clock"],
  },
  {
    file: "base/timers.ts",
    name: "a process that was busy gives up before it has read",
    from: "if (clock.now() - due < LATE_MS) return end(timedOut());",
    to: "return end(timedOut());",
    tests: ["client/outbox"],
  },
  {
    file: "base/timers.ts",
    name: "each step of a call has the time of all steps",
    from: "const remaining = () => Math.max(0, end - clock.now());",
    to: "const remaining = () => timeout;",
    tests: ["base/timers"],
  },
  {
    file: "base/timers.ts",
    name: "a signal keeps what waited for it",
    from: `signal?.removeEventListener("abort", aborted);`,
    to: "",
    tests: ["client/abort"],
  },
  {
    file: "base/bounded_queue.ts",
    name: "who gives up first in line takes the second along",
    from: "if (this.#taker === taker) this.#taker = this.#takers?.shift();",
    to: "if (this.#taker === taker) this.#taker = undefined;",
    tests: ["base/bounded_queue"],
  },
  {
    file: "base/bounded_queue.ts",
    name: "who gives up in the middle of the line still gets an item",
    from: "else this.#takers?.remove(taker);",
    to: "",
    tests: ["base/bounded_queue"],
  },
  {
    file: "base/bounded_queue.ts",
    name: "bytes that wait are not counted",
    from: "this.#bytes += bytes;",
    to: "",
    tests: ["base/bounded_queue"],
  },
  {
    file: "base/bounded_queue.ts",
    name: "an inbox that has ended takes more",
    from: "if (this.#ended) return;\n    const taker",
    to: "const taker",
    tests: ["base/bounded_queue", "client/shutdown_drain"],
  },
  {
    file: "base/fifo.ts",
    name: "what is removed at the head leaves a hole there",
    from: "if (place === 0) this.#skipHoles(places);",
    to: "",
    tests: ["base/fifo"],
  },
  {
    file: "base/sequence_map.ts",
    name: "a number that is left out counts as a thing",
    from: "    this.#reserve();\n    this.#next++;\n  }",
    to: "    this.#reserve();\n    this.#next++;\n    this.#size++;\n  }",
    tests: ["base/sequence_map"],
  },
  {
    file: "base/errors.ts",
    name: "a line feed of a broker reaches the terminal",
    from: 'if (char === "\\n") return "\\\\n";',
    to: 'if (char === "\\n") return char;',
    tests: ["cli/error_messages", "client/secrets", "client/status"],
  },
  {
    file: "base/errors.ts",
    name: "printing an error prints the body of its frame",
    from: `Object.defineProperty(this, "frame", { enumerable: false });`,
    to: "",
    tests: ["base/inspect", "client/secrets"],
  },
  {
    file: "base/bounded_queue.ts",
    name: "a full queue that ends keeps the others waiting",
    from: '    this.#bytes = 0;\n    this.#set("room");',
    to: "    this.#bytes = 0;",
    tests: ["base/bounded_queue", "session/read_gate"],
  },
  {
    file: "base/timers.ts",
    name: "a delay ends without its signal",
    from: "const aborted = () => end(false);\n    const timer",
    to: "const aborted = () => {};\n    const timer",
    tests: ["client/worker", "client/worker_consume"],
  },
  {
    file: "base/bounded_queue.ts",
    name: "what was there before the end is lost",
    from: "if (this.#items !== undefined) this.#meter.leave(this.#items);",
    to: "if (this.#items !== undefined) this.#meter.leave(this.#items), this.#items.clear();",
    tests: ["base/bounded_queue"],
  },
  {
    file: "base/fifo.ts",
    name: "an item that is twice in a queue is removed twice",
    from: `if (typeof known === "number" || known.length === 0) this.#byItem.delete(item);`,
    to: "this.#byItem.delete(item);",
    tests: ["base/fifo"],
  },
];
