/**
 * Messages that were given to the client and are not confirmed yet. They outlive a connection.
 *
 * @module
 */
import type { WaitOptions } from "./conversation.ts";
import { checkTimeout, onGiveUp } from "./deadline.ts";
import { ConnectionError, OutboxFullError, type StompError, TimeoutError } from "./errors.ts";
import type { Frame } from "./frame.ts";
import { Fifo } from "./queue.ts";
import type { ReceiptWaiter } from "./receipts.ts";
import type { Session } from "./session.ts";

/** How much a client holds that is not confirmed. */
export interface OutboxLimits {
  /** Messages. Default 10,000. */
  messages?: number | undefined;
  /** Bytes of bodies. Default 67,108,864 (64 MiB). */
  bytes?: number | undefined;
}

/** Makes the frame for a connection: the options of a message mean other headers on another broker. */
export type FrameMaker = (session: Session) => Frame;

/** One message on its way. */
class Outgoing implements ReceiptWaiter {
  readonly destination: string;
  readonly size: number;
  readonly due: number;
  readonly #makeFrame: FrameMaker;
  readonly #settled: (outgoing: Outgoing, error: unknown, receipt: Frame | undefined) => void;
  #session: Session | undefined;
  #receipt = "";

  constructor(
    destination: string,
    size: number,
    due: number,
    makeFrame: FrameMaker,
    settled: (outgoing: Outgoing, error: unknown, receipt: Frame | undefined) => void,
  ) {
    this.destination = destination;
    this.size = size;
    this.due = due;
    this.#makeFrame = makeFrame;
    this.#settled = settled;
  }

  /** Sends it over a connection. */
  transmit(session: Session): void {
    try {
      this.#receipt = session.confirm(this.#makeFrame(session), this);
      this.#session = session;
    } catch (error) {
      this.#settled(this, error, undefined);
    }
  }

  /** Nobody waits for it any more. */
  abandon(): void {
    this.#session?.giveUp(this.#receipt);
  }

  describe(): string {
    return `SEND to ${this.destination}`;
  }

  confirmed(receipt: Frame): void {
    this.#settled(this, undefined, receipt);
  }

  failed(error: StompError, lost: boolean): void {
    this.#session = undefined;
    // Lost with the connection: it waits for the next one.
    if (!lost) this.#settled(this, error, undefined);
  }
}

interface Entry {
  resolve: (receipt: Frame) => void;
  reject: (error: unknown) => void;
  stop: (() => void) | undefined;
}

/** The unconfirmed messages of a client, in the order they were sent. */
export class Outbox {
  readonly #entries = new Map<Outgoing, Entry>();
  readonly #maxMessages: number;
  readonly #maxBytes: number;
  readonly #timeout: number;
  readonly #onStalled: (pending: number) => void;
  readonly #waiting = new Fifo<() => void>(); // for room
  #bytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #idle: (() => void)[] = [];

  /** `timeout` is what holds for messages that bring none, in milliseconds. */
  constructor(limits: OutboxLimits, timeout: number, onStalled: (pending: number) => void) {
    this.#maxMessages = limits.messages ?? 10_000;
    this.#maxBytes = limits.bytes ?? 1 << 26;
    this.#timeout = checkTimeout(timeout);
    this.#onStalled = onStalled;
  }

  /** How many messages are not confirmed. */
  get size(): number {
    return this.#entries.size;
  }

  /** The bytes of their bodies. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether a message has to wait for its place. */
  get full(): boolean {
    return this.#waiting.length > 0 || this.#entries.size >= this.#maxMessages || this.#bytes >= this.#maxBytes;
  }

  /**
   * Takes a message. Resolves to its RECEIPT, over whichever connection that comes.
   *
   * @param session the connection, when there is one; else the message waits for `flush`.
   * @throws {OutboxFullError} when it is full, and the caller does not want to wait.
   * @throws {TimeoutError} when the time is over; the signal's reason when that has aborted.
   */
  send(
    destination: string,
    size: number,
    makeFrame: FrameMaker,
    session: () => Session | undefined,
    wait: WaitOptions & { wait?: boolean | undefined },
  ): Promise<Frame> {
    return new Promise((resolve, reject) => {
      wait.signal?.throwIfAborted();
      const own = wait.signal !== undefined || wait.timeout !== undefined;
      const timeout = own ? checkTimeout(wait.timeout ?? this.#timeout) : this.#timeout;
      const due = own || timeout === Infinity ? Infinity : performance.now() + timeout;
      const entry: Entry = { resolve, reject, stop: undefined };
      const outgoing = new Outgoing(destination, size, due, makeFrame, this.#settled);
      const place = () => {
        this.#entries.set(outgoing, entry);
        this.#bytes += size;
        if (due !== Infinity) this.#timer ??= setTimeout(this.#expire, timeout);
        const open = session();
        if (open) outgoing.transmit(open);
      };
      let given = false; // up, while it waited for its place
      if (own) {
        entry.stop = onGiveUp({ signal: wait.signal, timeout }, `the receipt of SEND to ${destination}`, (error) => {
          given = true;
          outgoing.abandon();
          this.#settled(outgoing, error, undefined);
          reject(error);
        });
      }
      if (!this.full) return place();
      if (wait.wait === false) {
        entry.stop?.();
        throw new OutboxFullError(
          `Cannot send to ${destination}: ${this.#entries.size} messages of ${this.#bytes} bytes are not confirmed yet`,
        );
      }
      if (this.#waiting.length === 0) this.#onStalled(this.#entries.size);
      this.#waiting.push(() => given || place());
    });
  }

  /** Sends everything again, in order, over a new connection. */
  flush(session: Session): void {
    for (const outgoing of [...this.#entries.keys()]) {
      if (!session.isOpen) return;
      outgoing.transmit(session);
    }
  }

  /** Resolves when everything is settled. */
  idle(): Promise<void> {
    if (this.#entries.size === 0 && this.#waiting.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Fails everything. */
  failAll(error: StompError): void {
    while (this.#entries.size > 0 || this.#waiting.length > 0) {
      for (const outgoing of [...this.#entries.keys()]) {
        this.#settled(
          outgoing,
          new ConnectionError(`Cannot confirm ${outgoing.describe()}: ${error.message}`, { cause: error }),
          undefined,
        );
      }
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  readonly #settled = (outgoing: Outgoing, error: unknown, receipt: Frame | undefined): void => {
    const entry = this.#entries.get(outgoing);
    if (entry === undefined) return;
    this.#entries.delete(outgoing);
    this.#bytes -= outgoing.size;
    entry.stop?.();
    if (receipt) entry.resolve(receipt);
    else entry.reject(error);
    while (this.#waiting.length > 0 && this.#entries.size < this.#maxMessages && this.#bytes < this.#maxBytes) {
      this.#waiting.shift()!();
    }
    if (this.#entries.size === 0 && this.#idle.length > 0) {
      const idle = this.#idle;
      this.#idle = [];
      for (const resolve of idle) resolve();
    }
  };

  /** One timer for all: messages with the common timeout are due in the order they were sent. */
  readonly #expire = (): void => {
    this.#timer = undefined;
    const now = performance.now();
    for (const outgoing of this.#entries.keys()) {
      if (outgoing.due === Infinity) continue;
      if (outgoing.due > now) {
        this.#timer = setTimeout(this.#expire, outgoing.due - now);
        return;
      }
      outgoing.abandon();
      this.#settled(
        outgoing,
        new TimeoutError(`Cannot wait longer for the receipt of ${outgoing.describe()}: ${this.#timeout} ms are over`),
        undefined,
      );
    }
  };
}
