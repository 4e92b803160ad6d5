/**
 * Faults in `broker/`.
 *
 * @module
 */
import type { Fault } from "./fault.ts";

/** The faults. */
export const BROKER_FAULTS: readonly Fault[] = [
  {
    file: "broker/broker_outstanding.ts",
    name: "an aborted ACK in mode client-individual settles the message for good",
    from: "else this.#items.get(span.first - this.#base)!.open = true;",
    to: "",
    tests: ["broker_transaction"],
  },
  {
    file: "broker/broker_core.ts",
    name: "an aborted ACK settles the message for good",
    from: "abort: () => consumer.reopen(spans) }",
    to: "abort: () => {} }",
    tests: ["broker_transaction"],
  },
  {
    file: "broker/broker_core.ts",
    name: "a message goes round once less",
    from: "++entry.nacks > maxRedeliveries",
    to: "++entry.nacks >= maxRedeliveries",
    tests: ["broker_queue", "broker_subscribe", "broker_end", "broker_model"],
  },
  {
    file: "broker/broker_core.ts",
    name: "a passcode alone lets in",
    from: "if (!isLogin || !isPasscode) {",
    to: "if (!isLogin && !isPasscode) {",
    tests: ["broker_connect"],
  },
  {
    file: "broker/same_text.ts",
    name: "a text is the same as one that repeats it",
    from: "let difference = some.length ^ others.length;",
    to: "let difference = 0;",
    tests: ["broker_connect", "secrets"],
  },
  {
    file: "broker/broker_outstanding.ts",
    name: "an ACK in mode client closes what comes after it",
    from: "if (span.last > place) open.push({ first: place + 1, last: span.last });",
    to: "",
    tests: ["broker_subscribe", "broker_transaction", "broker_model"],
  },
  {
    file: "broker/broker_outstanding.ts",
    name: "a reopened span is not joined with the next one",
    from: "const joinsAbove = above !== undefined && above.first === span.last + 1;",
    to: "const joinsAbove = false;",
    tests: ["broker_outstanding"],
  },
  {
    file: "broker/broker_queue.ts",
    name: "what comes back is not in order",
    from: "if (heap[child]!.place > last.place) break;",
    to: "break;",
    tests: ["broker_queue"],
  },
  {
    file: "broker/broker_queue.ts",
    name: "what comes back does not say so",
    from: "entry.redelivered = true;",
    to: "",
    tests: ["broker_subscribe", "broker_transaction"],
  },
  {
    file: "broker/broker_store.ts",
    name: "a slow subscriber of a topic has no limit",
    from: "if (queue.bytes < this.#limits.maxBacklogBytes) queue.add(message);\n      else taker.tooSlow();",
    to: "queue.add(message);",
    tests: ["broker_end"],
  },
  {
    file: "broker/broker_store.ts",
    name: "a name that nobody uses stays counted",
    from: "this.count(-OVERHEAD - textBytes(queue.name));",
    to: "",
    tests: ["broker_end"],
  },
  {
    file: "broker/broker_peer.ts",
    name: "an ended subscription stays counted",
    from: "this.#store.free(consumer.size);",
    to: "",
    tests: ["broker_end"],
  },
  {
    file: "broker/broker_consumer.ts",
    name: "one message more than the prefetch is sent",
    from: "this.#outstanding.size < this.#prefetch",
    to: "this.#outstanding.size <= this.#prefetch",
    tests: ["broker_subscribe", "broker_flow"],
  },
  {
    file: "broker/broker_core.ts",
    name: "a second subscription with the same id takes the place of the first",
    from: "if (peer.subscription(id, destination) !== undefined) {",
    to: "if (peer.subscription(id, destination) !== undefined && id === undefined) {",
    tests: ["broker_subscribe"],
  },
  {
    file: "broker/broker_core.ts",
    name: "a receipt that a 1.0 frame cannot carry passes",
    from: "if (receipt !== undefined && !peer.carries(receipt)) throw",
    to: "if (false) throw",
    tests: ["broker_connect", "broker_send", "broker_end"],
  },
  {
    file: "broker/broker_queue.ts",
    name: "a subscriber that is passed over is never asked again",
    from: "        taker.inLine = false;\n        taker.passedOver();",
    to: "        taker.passedOver();",
    tests: ["broker_flow", "broker_subscribe", "broker_queue"],
  },
  {
    file: "broker/broker_peer.ts",
    name: "a client that reads nothing is read for ever",
    from: "    this.#paused = true;\n    this.#wire.pause();",
    to: "    this.#paused = true;",
    tests: ["broker_flow"],
  },
  {
    file: "broker/broker_store.ts",
    name: "a small body keeps a block of another's",
    from: "if (this.#used + length > this.#block.bytes.length) {",
    to: "if (this.#used + length >= this.#block.bytes.length * 2) {",
    tests: ["broker_send", "broker_end", "broker_model"],
  },
  {
    file: "broker/broker.ts",
    name: "a client that says nothing stays",
    from: "this.#cancelDeadline = clock.after(connectTimeout, () => {",
    to: "this.#cancelDeadline = clock.after(Infinity, () => {",
    tests: ["broker_connect"],
  },
];
