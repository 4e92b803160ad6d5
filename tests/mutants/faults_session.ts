/**
 * Faults in `session/`.
 *
 * @module
 */
import type { Fault } from "./fault.ts";

/** The faults. */
export const SESSION_FAULTS: readonly Fault[] = [
  {
    file: "session/receipts.ts",
    name: "a receipt id made by hand is used twice",
    from: "while (this.#others.has(String(own.next)) || this.#owner.isTaken(String(own.next))) own.skip();",
    to: "while (this.#others.has(String(own.next))) own.skip();",
    tests: ["session"],
  },
  {
    file: "session/receipts.ts",
    name: "a RECEIPT behind an ERROR is believed",
    from: "this.filter(ids, ({ isSend }) => !isSend)",
    to: "this.filter(ids, () => false)",
    tests: ["outbox", "session"],
  },
  {
    file: "session/receipts.ts",
    name: "what was asked for is not taken back when nobody waits",
    from: "if (takeBack) this.#owner.send(takeBack());",
    to: "",
    tests: ["session"],
  },
  {
    file: "session/plain_heads.ts",
    name: "heads of messages are kept without a bound",
    from: "if (this.#kept === KEPT) {",
    to: "if (this.#kept < 0) {",
    tests: ["plain_heads"],
  },
  {
    file: "session/reading.ts",
    name: "a full queue has no second limit",
    from: "(this.blocked || !this.#awaitsAnswer)",
    to: "!this.#awaitsAnswer",
    tests: ["blocked"],
  },
  {
    file: "session/reading.ts",
    name: "a reply that is awaited does not count as an answer",
    from: "this.#replies > 0 || ",
    to: "",
    tests: ["blocked"],
  },
  {
    file: "session/backlog.ts",
    name: "what waits keeps its chunks",
    from: "if (used * 2 < size) moved.push(received);",
    to: "",
    tests: ["backlog"],
  },
  {
    file: "session/backlog.ts",
    name: "a larger limit of one queue does not count",
    from: "this.#maxBytes = Math.max(this.#maxBytes, bytes);",
    to: "",
    tests: ["backlog"],
  },
  {
    file: "session/complaints.ts",
    name: "an ERROR is blamed on the only receipt though a send had none",
    from: "const isOnly = ids.length === 1 && !unconfirmed;",
    to: "const isOnly = ids.length === 1;",
    tests: ["outbox", "session"],
  },
  {
    file: "session/complaints.ts",
    name: "an ERROR explains an end long after",
    from: "<= RECENT_ERROR_MS ? this.#last",
    to: "<= Infinity ? this.#last",
    tests: ["session"],
  },
  {
    file: "session/progress.ts",
    name: "one look is enough to call a broker blocked",
    from: "const LOOKS = 2;",
    to: "const LOOKS = 1;",
    tests: ["progress"],
  },
  {
    file: "session/give_back.ts",
    name: "what comes while messages are given back stays there",
    from: "if (messages.length === 0) return receipt;",
    to: "return receipt;",
    tests: ["give_back"],
  },
  {
    file: "session/session.ts",
    name: "a SUBSCRIBE that is given up is not taken back",
    from: "if (isGivenUp) this.#takeBack(target);\n      else",
    to: "",
    tests: ["session"],
  },
  {
    file: "session/transactions.ts",
    name: "a BEGIN that was refused keeps its name",
    from: "      this.#ids.delete(id);\n      this.#told.delete(id);",
    to: "      this.#told.delete(id);",
    tests: ["session", "transaction"],
  },
  {
    file: "session/frame_limits.ts",
    name: "the content-length does not count as a header",
    from: "const headers = lines + (size > 0 ? 1 : 0);",
    to: "const headers = lines;",
    tests: ["frame_limits"],
  },
  {
    file: "session/handshake.ts",
    name: "the version of CONNECTED is not the one that is spoken",
    from: "socket.version = agreement.version;",
    to: "",
    tests: ["handshake", "session"],
  },
];
