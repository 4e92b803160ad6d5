/**
 * Frames that a caller writes and reads one by one beside the session's own, as stompy's `Frame` does with its socket.
 *
 * @module
 */
import type { ReadOptions } from "../base/timers.ts";
import type { StompError } from "../base/errors.ts";
import type { Frame } from "../codec/frame.ts";
import { Backlog } from "./backlog.ts";
import { BoundedQueue, type QueueFill } from "../base/bounded_queue.ts";
import type { Dispatcher, MessageSink } from "./dispatcher.ts";

/** Tracks the raw frames of a session, so that their answers reach the caller and no other frames are kept. */
export class RawFrames {
  /** The receipt ids that a caller awaits. */
  readonly receipts: Set<string> = new Set();
  readonly #dispatcher: Dispatcher;
  readonly #queue: BoundedQueue<Frame>;
  readonly #onAwait: () => void;

  /**
   * Starts without frames.
   *
   * @param onFill called when the queue of frames to read is full, and when it has capacity again
   * @param onAwait called when a caller starts waiting for a frame
   */
  constructor(dispatcher: Dispatcher, onFill: (fill: QueueFill) => void, onAwait: () => void) {
    this.#dispatcher = dispatcher;
    this.#queue = new BoundedQueue<Frame>(new Backlog(), onFill);
    this.#onAwait = onAwait;
  }

  /** Whether a caller waits for a receipt. A receipt whose reader has given up does not count. */
  get awaitsReceipt(): boolean {
    return this.receipts.size > 0 && this.#queue.awaited;
  }

  /**
   * Tracks a frame that `write` writes. Tracks nothing when `write` throws.
   *
   * @throws {TypeError} for frames that begin and end a connection.
   * @throws {SubscriptionError} when a SUBSCRIBE names an id that is in use.
   */
  write<T>(frame: Frame, write: () => T): T {
    checkRawFrame(frame);
    const { command, headers } = frame;
    const receipt = headers["receipt"];
    const destination = headers["destination"] ?? "";
    const id = headers["id"] ?? destination;
    let sink: MessageSink | undefined;
    if (command === "SUBSCRIBE") {
      sink = { id, destination, deliver: (message) => this.#queue.put(message) };
      this.#dispatcher.add(sink);
    }
    try {
      const result = write();
      if (receipt !== undefined) this.receipts.add(receipt);
      if (command === "UNSUBSCRIBE") {
        const ended = this.#dispatcher.get(id);
        if (ended) this.#dispatcher.remove(ended);
      }
      return result;
    } catch (error) {
      if (sink) this.#dispatcher.remove(sink);
      throw error;
    }
  }

  /** Queues a RECEIPT or ERROR if it answers a raw frame. Returns whether it does. */
  answer(frame: Frame): boolean {
    const id = frame.headers["receipt-id"];
    const isAnswer = id === undefined ? frame.command === "ERROR" && this.receipts.size > 0 : this.receipts.has(id);
    if (!isAnswer) return false;
    if (id === undefined) this.receipts.clear();
    else this.receipts.delete(id);
    this.#queue.put(frame);
    return true;
  }

  /** Returns the next frame. */
  read(options: ReadOptions): Promise<Frame | undefined> {
    const frame = this.#queue.take(options, "a frame");
    if (this.#queue.awaited) this.#onAwait();
    return frame;
  }

  /** Fails the readers: no more frames will come. */
  end(error: StompError): void {
    this.receipts.clear();
    this.#queue.end(error);
  }
}

/**
 * Checks that a caller may write a frame. CONNECT and DISCONNECT are for the client.
 *
 * @throws {TypeError} when the frame begins or ends a connection.
 */
export function checkRawFrame({ command }: Frame): void {
  if (command === "CONNECT" || command === "STOMP") {
    throw new TypeError(`Cannot send ${command}: the session is connected already`);
  }
  if (command === "DISCONNECT") {
    throw new TypeError("Cannot send DISCONNECT: the session is a client's, call its disconnect()");
  }
}
