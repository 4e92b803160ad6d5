/**
 * Faults in `broker/`.
 *
 * @module
 */
import type { Fault } from "./fault.ts";

/** The faults. */
export const BROKER_FAULTS: readonly Fault[] = [
  {
    file: "broker/outstanding.ts",
    name: "an aborted ACK in mode client-individual settles the message for good",
    from: "else this.#items.get(span.first - this.#base)!.open = true;",
    to: "",
    tests: ["embedded_broker/transaction"],
  },
  {
    file: "broker/core.ts",
    name: "an aborted ACK settles the message for good",
    from: "abort: () => consumer.reopen(spans) }",
    to: "abort: () => {} }",
    tests: ["embedded_broker/transaction"],
  },
  {
    file: "broker/core.ts",
    name: "a message goes round once less",
    from: "++entry.nacks > maxRedeliveries",
    to: "++entry.nacks >= maxRedeliveries",
    tests: [
      "embedded_broker/queue",
      "embedded_broker/subscribe",
      "embedded_broker/disconnect",
      "embedded_broker/model",
    ],
  },
  {
    file: "broker/core.ts",
    name: "a passcode alone lets in",
    from: "if (!isLogin || !isPasscode) {",
    to: "if (!isLogin && !isPasscode) {",
    tests: ["embedded_broker/connect"],
  },
  {
    file: "broker/same_text.ts",
    name: "a text is the same as one that repeats it",
    from: "let difference = some.length ^ others.length;",
    to: "let difference = 0;",
    tests: ["embedded_broker/connect", "client/secrets"],
  },
  {
    file: "broker/outstanding.ts",
    name: "an ACK in mode client closes what comes after it",
    from: "if (span.last > place) open.push({ first: place + 1, last: span.last });",
    to: "",
    tests: ["embedded_broker/subscribe", "embedded_broker/transaction", "embedded_broker/model"],
  },
  {
    file: "broker/outstanding.ts",
    name: "a reopened span is not joined with the next one",
    from: "const joinsAbove = above !== undefined && above.first === span.last + 1;",
    to: "const joinsAbove = false;",
    tests: ["embedded_broker/outstanding"],
  },
  {
    file: "broker/queue.ts",
    name: "what comes back is not in order",
    from: "if (heap[child]!.place > last.place) break;",
    to: "break;",
    tests: ["embedded_broker/queue"],
  },
  {
    file: "broker/queue.ts",
    name: "what comes back does not say so",
    from: "entry.redelivered = true;",
    to: "",
    tests: ["embedded_broker/subscribe", "embedded_broker/transaction"],
  },
  {
    file: "broker/store.ts",
    name: "a slow subscriber of a topic has no limit",
    from: "if (queue.bytes < this.#limits.maxBacklogBytes) queue.add(message);\n      else taker.tooSlow();",
    to: "queue.add(message);",
    tests: ["embedded_broker/disconnect"],
  },
  {
    file: "broker/store.ts",
    name: "a name that nobody uses stays counted",
    from: "this.count(-OVERHEAD - textBytes(queue.name));",
    to: "",
    tests: ["embedded_broker/disconnect"],
  },
  {
    file: "broker/peer.ts",
    name: "an ended subscription stays counted",
    from: "this.#store.free(consumer.size);",
    to: "",
    tests: ["embedded_broker/disconnect"],
  },
  {
    file: "broker/consumer.ts",
    name: "one message more than the prefetch is sent",
    from: "this.#outstanding.size < this.#prefetch",
    to: "this.#outstanding.size <= this.#prefetch",
    tests: ["embedded_broker/subscribe", "embedded_broker/flow_control"],
  },
  {
    file: "broker/core.ts",
    name: "a second subscription with the same id takes the place of the first",
    from: "if (peer.subscription(id, destination) !== undefined) {",
    to: "if (peer.subscription(id, destination) !== undefined && id === undefined) {",
    tests: ["embedded_broker/subscribe"],
  },
  {
    file: "broker/core.ts",
    name: "a receipt that a 1.0 frame cannot carry passes",
    from: "if (receipt !== undefined && !peer.carries(receipt)) throw",
    to: "if (false) throw",
    tests: ["embedded_broker/connect", "embedded_broker/send", "embedded_broker/disconnect"],
  },
  {
    file: "broker/queue.ts",
    name: "a subscriber that is passed over is never asked again",
    from: "        taker.inLine = false;\n        taker.passedOver();",
    to: "        taker.passedOver();",
    tests: ["embedded_broker/flow_control", "embedded_broker/subscribe", "embedded_broker/queue"],
  },
  {
    file: "broker/peer.ts",
    name: "a client that reads nothing is read for ever",
    from: "    this.#paused = true;\n    this.#wire.pause();",
    to: "    this.#paused = true;",
    tests: ["embedded_broker/flow_control"],
  },
  {
    file: "broker/store.ts",
    name: "a small body keeps a block of another's",
    from: "if (this.#used + length > this.#block.bytes.length) {",
    to: "if (this.#used + length >= this.#block.bytes.length * 2) {",
    tests: ["embedded_broker/send", "embedded_broker/disconnect", "embedded_broker/model"],
  },
  {
    file: "broker/broker.ts",
    name: "a client that says nothing stays",
    from: "this.#cancelDeadline = clock.after(connectTimeout, () => {",
    to: "this.#cancelDeadline = clock.after(Infinity, () => {",
    tests: ["embedded_broker/connect"],
  },
];
