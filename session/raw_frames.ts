/**
 * Frames that are written and read one by one beside a session's own: what stompy's `Frame` does with its socket.
 *
 * @module
 */
import type { ReadOptions } from "../base/timers.ts";
import type { StompError } from "../base/errors.ts";
import type { Frame } from "../codec/frame.ts";
import { Backlog } from "./backlog.ts";
import { BoundedQueue, type QueueFill } from "../base/bounded_queue.ts";
import type { Dispatcher, MessageSink } from "./dispatcher.ts";

/** Keeps track of what was written by hand, so that the answers find their way back and nothing else is kept. */
export class RawFrames {
  readonly #targets: Dispatcher;
  readonly #inbox: BoundedQueue<Frame>;
  readonly #onAwait: () => void;
  readonly #receipts = new Set<string>();

  /**
   * `onFill` is called when too much waits to be read, and when there is room again; `onAwait` when somebody begins to
   * wait for a frame.
   */
  constructor(targets: Dispatcher, onFill: (fill: QueueFill) => void, onAwait: () => void) {
    this.#targets = targets;
    this.#inbox = new BoundedQueue<Frame>(new Backlog(), onFill);
    this.#onAwait = onAwait;
  }

  /** Whether somebody waits for a receipt. One whose reader has given up is not waited for. */
  get awaitsReceipt(): boolean {
    return this.#receipts.size > 0 && this.#inbox.awaited;
  }

  /**
   * Notes a frame while `write` writes it. When that throws, nothing was noted.
   *
   * @throws {TypeError} when the frame is one of those that begin and end a connection.
   * @throws {SubscriptionError} when a SUBSCRIBE names an id that is in use.
   */
  write<T>(frame: Frame, write: () => T): T {
    checkByHand(frame);
    const { command, headers } = frame;
    const receipt = headers["receipt"];
    const destination = headers["destination"] ?? "";
    const id = headers["id"] ?? destination;
    let target: MessageSink | undefined;
    if (command === "SUBSCRIBE") {
      target = { id, destination, deliver: (message) => this.#inbox.put(message) };
      this.#targets.add(target);
    }
    try {
      const result = write();
      if (receipt !== undefined) this.#receipts.add(receipt);
      if (command === "UNSUBSCRIBE") {
        const ended = this.#targets.get(id);
        if (ended) this.#targets.remove(ended);
      }
      return result;
    } catch (error) {
      if (target) this.#targets.remove(target);
      throw error;
    }
  }

  /** Whether the receipt of that id is awaited. */
  awaits(id: string): boolean {
    return this.#receipts.has(id);
  }

  /** Takes a RECEIPT, or an ERROR, if it answers a frame that was written by hand. */
  answer(frame: Frame): boolean {
    const id = frame.headers["receipt-id"];
    const mine = id === undefined ? frame.command === "ERROR" && this.#receipts.size > 0 : this.#receipts.has(id);
    if (!mine) return false;
    if (id === undefined) this.#receipts.clear();
    else this.#receipts.delete(id);
    this.#inbox.put(frame);
    return true;
  }

  /** Gives the next frame. */
  read(options: ReadOptions): Promise<Frame | undefined> {
    const frame = this.#inbox.take(options, "a frame");
    if (this.#inbox.awaited) this.#onAwait();
    return frame;
  }

  /** Nothing more will come. */
  end(error: StompError): void {
    this.#receipts.clear();
    this.#inbox.end(error);
  }
}

/** What begins and ends a connection is its client's to say. */
export function checkByHand({ command }: Frame): void {
  if (command === "CONNECT" || command === "STOMP") {
    throw new TypeError(`Cannot send ${command}: the session is connected already`);
  }
  if (command === "DISCONNECT") {
    throw new TypeError("Cannot send DISCONNECT: the session is a client's, whose disconnect says it");
  }
}
