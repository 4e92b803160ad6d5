/**
 * Checks of the options that mean the same on every broker: before anything is written, and whichever broker it is.
 *
 * @module
 */
import { checkDelay, checkExpiry, checkType, checkWhole } from "../base/checks.ts";
import type { PortableSendOptions, PortableSubscribeOptions } from "./dialect.ts";

/**
 * Checks the options of a message.
 *
 * @throws {RangeError} when a number is out of its range, or the message has expired already.
 * @throws {TypeError} when an option is of another type.
 */
export function checkMessageOptions(options: PortableSendOptions): void {
  const what = "send";
  const { persistent, priority, expires, delay, replyTo, correlationId, deduplicationId } = options;
  // Most are not given, and this is done for each message.
  if (persistent !== undefined) checkType(what, "persistent", persistent, "boolean");
  if (priority !== undefined) checkWhole(what, "priority", priority, 0, 9);
  if (expires !== undefined) checkExpiry(what, "expires", expires);
  if (delay !== undefined) checkDelay(what, "delay", delay);
  if (replyTo !== undefined) checkType(what, "replyTo", replyTo, "string");
  if (correlationId !== undefined) checkType(what, "correlationId", correlationId, "string");
  if (deduplicationId !== undefined) checkType(what, "deduplicationId", deduplicationId, "string");
}

/**
 * Checks the options of a subscription.
 *
 * @throws {RangeError} when the prefetch is no whole number of 1 or more.
 * @throws {TypeError} when an option is of another type.
 */
export function checkConsumerOptions(options: PortableSubscribeOptions): void {
  const what = "subscribe";
  checkWhole(what, "prefetch", options.prefetch, 1);
  checkType(what, "durable", options.durable, "string", "a string, the name of the subscription");
  checkType(what, "selector", options.selector, "string");
  checkType(what, "exclusive", options.exclusive, "boolean");
}
