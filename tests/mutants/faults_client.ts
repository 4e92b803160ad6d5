/**
 * Faults in `client/`.
 *
 * @module
 */
import type { Fault } from "./fault.ts";

/** The faults. */
export const CLIENT_FAULTS: readonly Fault[] = [
  {
    file: "client/sender.ts",
    name: "a message has headers of the broker before",
    from: "for (const name of this.#named) delete headers[name];",
    to: "",
    tests: ["reconnect"],
  },
  {
    file: "client/sender.ts",
    name: "`expires` counts from the transmission",
    from: "{ ...options, expires: new Date(Date.now() + expires) } : options",
    to: "options : options",
    tests: ["reconnect"],
  },
  {
    file: "client/dialer.ts",
    name: "the user of the options wins over `credentials()`",
    from: "given.username ?? asked?.username ?? options.username ??",
    to: "given.username ?? options.username ?? asked?.username ??",
    tests: ["keeper"],
  },
  {
    file: "client/dialer.ts",
    name: "the password of the URL wins over the options",
    from: "given.password ?? asked?.password ?? options.password ?? address.passcode",
    to: "given.password ?? asked?.password ?? address.passcode ?? options.password",
    tests: ["keeper"],
  },
  {
    file: "client/settlement.ts",
    name: "an ACK passes though a later one is in an open transaction",
    from: "for (const { number } of this.#tentative ?? []) to = Math.max(to, number);",
    to: "",
    tests: ["settlement"],
  },
  {
    file: "client/settlement.ts",
    name: "a drain waits for a transaction whose connection is gone",
    from: "    this.#tentative?.clear();\n",
    to: "",
    tests: ["settlement"],
  },
  {
    file: "client/settlement.ts",
    name: "a drain in mode client waits for messages of a lost connection",
    from: "    this.#lastTaken = this.#to;\n",
    to: "",
    tests: ["settlement", "drain"],
  },
  {
    file: "client/request.ts",
    name: "a refused queue for replies is used again",
    from: "if (this.#queue?.session === session) this.#queue = undefined; // the next request tries again",
    to: "",
    tests: ["request"],
  },
  {
    file: "client/subscriptions.ts",
    name: "refusals of a SUBSCRIBE count on after a success",
    from: "      () => void (entry.refusal = undefined),",
    to: "      () => {},",
    tests: ["resubscribe"],
  },
  {
    file: "client/subscriptions.ts",
    name: "a subscription that is full at a reconnect does not hold",
    from: "if (subscription.full && !entry.byConf) session.hold(subscription, subscription.blocked);",
    to: "",
    tests: ["blocked"],
  },
  {
    file: "client/outbox.ts",
    name: "a message that was aborted is sent",
    from: "if (outgoing.settled || outgoing.signal?.aborted) return true;",
    to: "if (outgoing.settled) return true;",
    tests: ["outbox"],
  },
  {
    file: "client/outbox.ts",
    name: "the bytes of unconfirmed messages have no limit",
    from: "this.#accepted.size < this.#maxMessages && this.#bytes < this.#maxBytes",
    to: "this.#accepted.size < this.#maxMessages",
    tests: ["outbox", "blocked", "stomp"],
  },
  {
    file: "client/trial.ts",
    name: "suspects are sent together",
    from: "if (this.#open.size >= this.#window || !this.#suspects.has(message)) return false;",
    to: "if (!this.#suspects.has(message)) return false;",
    tests: ["outbox"],
  },
  {
    file: "client/consume.ts",
    name: "in mode client a message is handled while one is held",
    from: `if (this.#held > MAX_HELD || this.#subscription.ackMode === "client") await held;`,
    to: "if (this.#held > MAX_HELD) await held;",
    tests: ["worker", "consume"],
  },
  {
    file: "client/consume.ts",
    name: "the pauses before refusals do not grow",
    from: "FIRST_PAUSE * 2 ** (again - 1)",
    to: "FIRST_PAUSE",
    tests: ["worker", "consume"],
  },
  {
    file: "client/keeper.ts",
    name: "a refused token ends the client",
    from: "&& refused === refusal && !this.#dialer.renewsCredentials) throw error;",
    to: "&& refused === refusal) throw error;",
    tests: ["keeper", "keeper_clock"],
  },
  {
    file: "client/keeper.ts",
    name: "short sessions begin the waits from the start for ever",
    from: "this.#short = lasted >= STABLE ? 0 : this.#short + 1;",
    to: "this.#short = lasted >= STABLE ? 0 : 1;",
    tests: ["keeper_clock", "keeper"],
  },
  {
    file: "client/subscription.ts",
    name: "messages of a lost connection can be taken",
    from: `if (this.ackMode !== "auto") this.#dropQueued();`,
    to: "",
    tests: ["reconnect", "subscription"],
  },
  {
    file: "client/by_hand.ts",
    name: "the frame of the caller gets an id",
    from: "return new Frame().buildFrame({ command, headers: { ...headers, id } });",
    to: "return Object.assign(headers, { id }), new Frame().buildFrame({ command, headers });",
    tests: ["stompy"],
  },
];
