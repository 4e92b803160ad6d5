/**
 * Makes the queues that a client has declared, on one connection: adds the declaration to frames, and first makes the
 * queues that theirs lead to. The broker makes a queue with the first frame of a connection to it.
 *
 * @module
 */
import { UnsupportedByBrokerError } from "../base/errors.ts";
import { Frame } from "../codec/frame.ts";
import type { HeaderEntries } from "../codec/headers.ts";
import { type Dialect, queueHeaders } from "../dialects/dialect.ts";
import type { Declarations } from "../dialects/queue.ts";

const NO_HEADERS: HeaderEntries = [];

/** A SEND to the queue in which the message waits for its delay. */
export interface DelayedSend {
  /** The queue. */
  readonly destination: string;
  /** Its declaration. */
  readonly declaration: HeaderEntries;
}

/** The queues of one connection. */
export class QueueMaker {
  readonly #declarations: Declarations;
  readonly #dialect: Dialect;
  readonly #write: (frame: Frame) => void;
  readonly #made = new Set<string>();

  /** Creates a maker that has made nothing yet. `write` sends a frame before the one that is being prepared. */
  constructor(declarations: Declarations, dialect: Dialect, write: (frame: Frame) => void) {
    this.#declarations = declarations;
    this.#dialect = dialect;
    this.#write = write;
  }

  /** Whether the queue of a destination is declared. */
  isDeclared(destination: string): boolean {
    return this.#declarations.get(destination) !== undefined;
  }

  /** Whether {@linkcode headersFor} may return a header that a message has as well. */
  mayRepeat(destination: string, headers: HeaderEntries): boolean {
    if (this.isDeclared(destination)) return true;
    return this.#dialect.routing?.("SEND", destination).some(([name]) => headers.some(([own]) => own === name)) ??
      false;
  }

  /**
   * Returns the headers with which a SEND or SUBSCRIBE names the kind of its destination and declares its queue. Makes the
   * queue for dead letters first.
   *
   * @throws {UnsupportedByBrokerError} when the broker cannot honour the declaration.
   */
  headersFor(command: "SEND" | "SUBSCRIBE", destination: string): HeaderEntries {
    const dialect = this.#dialect;
    const routing = dialect.routing?.(command, destination) ?? NO_HEADERS;
    const queue = this.#declarations.get(destination);
    if (queue === undefined) return routing;
    const headers = queueHeaders(queue, dialect);
    const commands = dialect.queueMaking?.commands(destination) ?? [];
    if (typeof commands === "string") throw new UnsupportedByBrokerError("queue", dialect.family, commands);
    if (!commands.includes(command)) return routing;
    if (typeof queue.deadLetter === "string") this.#make(queue.deadLetter);
    return [...routing, ...headers];
  }

  /** Adds the declaration to a SUBSCRIBE, whose own headers take precedence. Throws as {@linkcode headersFor}. */
  completeSubscribe({ headers }: Frame): void {
    for (const [name, value] of this.headersFor("SUBSCRIBE", headers["destination"] ?? "")) headers[name] ??= value;
  }

  /** Whether the broker delays a message in another queue, to which it has to be sent. */
  get delaysInQueues(): boolean {
    return this.#dialect.queueMaking !== undefined;
  }

  /** Whether a header has to be left out, because with it the queue of the message would end with the connection. */
  spoils(header: string, value: string | undefined): boolean {
    return value !== undefined && this.#dialect.queueMaking?.spoils(header, value) === true;
  }

  /** Whether a header is part of the declaration of a queue. */
  declares(header: string): boolean {
    return this.#dialect.queueMaking?.declares(header) === true;
  }

  /**
   * Returns the queue in which a message waits. Makes its destination first: a message that moves to a missing queue is
   * lost.
   *
   * @param declaration what the sender itself declares of the destination.
   * @throws {UnsupportedByBrokerError} when nothing can be delayed on its way to this destination.
   * @throws {RangeError} when the destination has too many delays.
   */
  delay(destination: string, milliseconds: number, declaration: HeaderEntries): DelayedSend {
    const queue = this.#dialect.queueMaking!.delayQueue(destination, milliseconds);
    if (typeof queue === "string") throw new UnsupportedByBrokerError("delay", this.#dialect.family, queue);
    this.#declarations.noteDelay(destination, milliseconds);
    this.#make(destination, declaration);
    return { destination: queue.destination, declaration: queue.headers };
  }

  /** Makes a destination, once for a connection. */
  #make(destination: string, given: HeaderEntries = NO_HEADERS): void {
    if (this.#made.has(destination)) return;
    this.#made.add(destination); // first, because two queues may lead to each other
    try {
      const headers = [...this.headersFor("SEND", destination), ...given];
      for (const parts of this.#dialect.queueMaking?.make(destination, headers) ?? []) {
        this.#write(new Frame().buildFrame(parts));
      }
    } catch (error) {
      this.#made.delete(destination);
      throw error;
    }
  }
}
