/**
 * Frames that are written and read one by one beside a session's own: what stompy's `Frame` does with its socket.
 *
 * @module
 */
import type { ReadOptions } from "./conversation.ts";
import type { StompError } from "./errors.ts";
import type { Frame } from "./frame.ts";
import { Inbox } from "./inbox.ts";

/** Keeps track of what was written by hand, so that the answers find their way back and nothing else is kept. */
export class RawFrames {
  readonly #inbox: Inbox<Frame>;
  readonly #receipts = new Set<string>();

  /** `onFull` is called when too much waits to be read, and when there is room again. */
  constructor(onFull: (full: boolean) => void) {
    this.#inbox = new Inbox<Frame>(onFull);
  }

  /** How many receipts are open. */
  get openReceipts(): number {
    return this.#receipts.size;
  }

  /** Notes a frame that is about to be written. */
  wrote(frame: Frame): void {
    const receipt = frame.headers["receipt"];
    if (receipt !== undefined) this.#receipts.add(receipt);
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

  /** Takes a message of a subscription that was made by hand. */
  deliver(message: Frame): void {
    this.#inbox.put(message);
  }

  /** Gives the next frame. */
  read(options: ReadOptions): Promise<Frame | undefined> {
    return this.#inbox.take(options, "a frame");
  }

  /** Nothing more will come. */
  end(error: StompError): void {
    this.#receipts.clear();
    this.#inbox.end(error);
  }
}
