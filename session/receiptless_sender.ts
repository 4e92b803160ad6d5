/**
 * Sends the frames of a connection to a broker that gives no receipts, except for DISCONNECT. A frame that would wait for
 * a receipt counts as confirmed once it is written.
 *
 * @module
 */
import { ConnectionError, StompError, UnsupportedByBrokerError } from "../base/errors.ts";
import type { Frame } from "../codec/frame.ts";
import { FrameSender } from "./frame_sender.ts";
import type { ReceiptWaiter } from "./receipts.ts";
import type { SendParts } from "./send_head_cache.ts";

/** A sender that asks for a receipt only with DISCONNECT. */
export class ReceiptlessSender extends FrameSender {
  /**
   * Sends a message, and tells the waiter when it is written. Throws as `FrameSender.confirm`.
   *
   * @throws {UnsupportedByBrokerError} when the caller asked for a receipt.
   */
  override confirm(frame: Frame, waiter: ReceiptWaiter, isDemanded?: boolean): string {
    if (frame.command === "DISCONNECT") return super.confirm(frame, waiter);
    if (isDemanded || frame.command !== "SEND" || frame.headers["receipt"] !== undefined) this.#refuse();
    settle(this.send(frame), waiter);
    return "";
  }

  /** As {@linkcode FrameSender.sendFast}. */
  override sendFast(message: SendParts): Promise<void> | undefined {
    const { usualType } = this.dialect;
    if (usualType === undefined || message.hasOwnType) return super.sendFast(message);
    return super.sendFast(withType(message, usualType(message.body)));
  }

  /** As {@linkcode confirm}. */
  override confirmFast(message: SendParts, waiter: ReceiptWaiter): string {
    if (message.demandsReceipt) this.#refuse();
    settle(this.sendFast(message), waiter);
    return "";
  }

  #refuse(): never {
    const { family, lacks } = this.dialect;
    throw new UnsupportedByBrokerError("receipt", family, lacks!.receipts!);
  }
}

/** Tells a waiter later, as a RECEIPT would. */
function settle(ready: Promise<void> | undefined, waiter: ReceiptWaiter): void {
  Promise.resolve(ready).then(
    () => waiter.confirmed(undefined),
    (cause) => {
      const message = `Cannot send ${waiter.describe()}: the connection broke before it was written`;
      waiter.failed(cause instanceof StompError ? cause : new ConnectionError(message, { cause }), "lost");
    },
  );
}

function withType(message: SendParts, contentType: string | undefined): SendParts {
  const { destination, headers, persistent, options, body, demandsReceipt } = message;
  return {
    destination,
    contentType,
    headers: headers.filter(([name]) => name !== "content-type"),
    persistent,
    options,
    body,
    hasOwnType: true,
    demandsReceipt,
  };
}
