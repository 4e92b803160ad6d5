/**
 * What brokers lack of STOMP.
 *
 * @module
 */
import { UnsupportedByBrokerError } from "../base/errors.ts";
import type { AckMode } from "../codec/protocol.ts";

/** What a broker lacks, each with the reason for error messages. */
export interface Lacks {
  /** RECEIPTs for frames other than DISCONNECT. Nothing waits for them. */
  readonly receipts?: string;
  /** ACK and NACK, and with them all ack modes but `auto`. */
  readonly acknowledgements?: string;
  /** A NACK that gives a message back or moves it to a dead letter queue: here NACK drops it. */
  readonly nack?: string;
  /** Transactions. */
  readonly transactions?: string;
  /** A queue for replies that is known to exist before the request is sent. */
  readonly replies?: string;
}

/**
 * Checks that a broker does not lack what an option needs.
 *
 * @throws {UnsupportedByBrokerError} when it does.
 */
export function checkHas(
  what: keyof Lacks,
  option: string,
  { family, lacks }: { readonly family: string; readonly lacks?: Lacks },
): void {
  const reason = lacks?.[what];
  if (reason !== undefined) throw new UnsupportedByBrokerError(option, family, reason);
}

/**
 * Checks that a broker has an ack mode.
 *
 * @throws {UnsupportedByBrokerError} when it takes no acknowledgements.
 */
export function checkAcknowledges(mode: AckMode, dialect: Parameters<typeof checkHas>[2]): void {
  if (mode !== "auto") checkHas("acknowledgements", "ack", dialect);
}
