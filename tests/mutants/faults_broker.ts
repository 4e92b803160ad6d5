/**
 * Faults in `broker/`.
 *
 * @module
 */
import type { Fault } from "./fault.ts";

/** The faults. */
export const BROKER_FAULTS: readonly Fault[] = [
  {
    file: "broker/consumer.ts",
    name: "an aborted ACK in mode client-individual settles the message for good",
    from: "else this.#items.get(span.first - this.#base)!.isOpen = true;",
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
    name: "a message is redelivered once less than allowed",
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
    name: "a correct passcode alone is accepted",
    from: "if (!isLogin || !isPasscode) throw",
    to: "if (!isLogin && !isPasscode) throw",
    tests: ["embedded_broker/connect"],
  },
  {
    file: "broker/core.ts",
    name: "a text equals one that repeats it",
    from: "let difference = some.length ^ others.length;",
    to: "let difference = 0;",
    tests: ["embedded_broker/connect", "api/secrets"],
  },
  {
    file: "broker/consumer.ts",
    name: "an ACK in mode client closes what comes after it",
    from: "if (span.last > position) open.push({ first: position + 1, last: span.last });",
    to: "",
    tests: ["embedded_broker/subscribe", "embedded_broker/transaction", "embedded_broker/model"],
  },
  {
    file: "broker/consumer.ts",
    name: "a reopened span is not merged with the next one",
    from: "const joinsAbove = above !== undefined && above.first === span.last + 1;",
    to: "const joinsAbove = false;",
    tests: ["embedded_broker/consumer"],
  },
  {
    file: "broker/queue.ts",
    name: "requeued messages are out of order",
    from: "if (heap[child]!.position > last.position) break;",
    to: "break;",
    tests: ["embedded_broker/queue"],
  },
  {
    file: "broker/queue.ts",
    name: "a requeued message is not marked as redelivered",
    from: "entry.isRedelivered = true;",
    to: "",
    tests: ["embedded_broker/subscribe", "embedded_broker/transaction"],
  },
  {
    file: "broker/store.ts",
    name: "a slow subscriber of a topic has no limit",
    from: "if (queue.bytes < this.#limits.maxBacklogBytes) queue.add(message);\n      else consumer.onBacklogFull();",
    to: "queue.add(message);",
    tests: ["embedded_broker/disconnect"],
  },
  {
    file: "broker/store.ts",
    name: "an unused queue stays counted",
    from: "this.addBytes(-QUEUE_OVERHEAD_BYTES - textBytes(queue.name));",
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
    name: "a receipt that a 1.0 frame cannot carry is accepted",
    from: "if (receipt !== undefined && !peer.canCarry(receipt)) throw",
    to: "if (false) throw",
    tests: ["embedded_broker/connect", "embedded_broker/send", "embedded_broker/disconnect"],
  },
  {
    file: "broker/queue.ts",
    name: "a skipped consumer never returns to the rotation",
    from: "        consumer.inRotation = false;\n        consumer.onSkipped();",
    to: "        consumer.onSkipped();",
    tests: ["embedded_broker/flow_control", "embedded_broker/subscribe", "embedded_broker/queue"],
  },
  {
    file: "broker/peer.ts",
    name: "a client that reads nothing is read without limit",
    from: '    this.#output = "paused";\n    this.#wire.socket.pause();',
    to: '    this.#output = "paused";',
    tests: ["embedded_broker/flow_control"],
  },
  {
    file: "broker/stored_message.ts",
    name: "a small body is placed beyond the end of its block",
    from: "if (this.#used + length > this.#block.bytes.length) {",
    to: "if (this.#used + length >= this.#block.bytes.length * 2) {",
    tests: ["embedded_broker/send", "embedded_broker/disconnect", "embedded_broker/model"],
  },
  {
    file: "broker/broker.ts",
    name: "a client that sends nothing stays connected",
    from: "this.#cancelDeadline = clock.after(connectTimeout, () => {",
    to: "this.#cancelDeadline = clock.after(Infinity, () => {",
    tests: ["embedded_broker/connect"],
  },
];
