/**
 * Checks the options that mean the same on every broker, before anything is written and whichever broker it is.
 *
 * @module
 */
import { checkExpiry, checkInteger, checkType } from "../base/checks.ts";
import { readDuration } from "../base/duration.ts";
import type { PortableSendOptions, PortableSubscribeOptions } from "./dialect.ts";

/**
 * Checks the options of a message.
 *
 * @throws {RangeError} when a number is out of its range, or the message has expired already.
 * @throws {TypeError} when an option has another type.
 */
export function checkMessageOptions(options: PortableSendOptions): void {
  const action = "send";
  const { persistent, priority, expires, delay, replyTo, correlationId, deduplicationId, group, filterValue } = options;
  // Runs for each message, and most messages have none of these.
  if (persistent !== undefined) checkType(action, "persistent", persistent, "boolean");
  if (priority !== undefined) checkInteger(action, "priority", priority, 0, 9);
  if (expires !== undefined) checkExpiry(action, "expires", expires);
  if (delay !== undefined) readDuration(action, "delay", delay);
  if (replyTo !== undefined) checkType(action, "replyTo", replyTo, "string");
  if (correlationId !== undefined) checkType(action, "correlationId", correlationId, "string");
  if (deduplicationId !== undefined) checkType(action, "deduplicationId", deduplicationId, "string");
  if (group !== undefined) checkType(action, "group", group, "string");
  if (filterValue !== undefined) checkType(action, "filterValue", filterValue, "string");
}

/**
 * Checks the options of a subscription.
 *
 * @throws {RangeError} when the prefetch is not a whole number of 1 or more.
 * @throws {TypeError} when an option has another type.
 */
export function checkSubscribeOptions(options: PortableSubscribeOptions): void {
  const action = "subscribe";
  checkInteger(action, "prefetch", options.prefetch, 1);
  checkType(action, "durable", options.durable, "string", "the name of the subscription, a string");
  checkType(action, "selector", options.selector, "string");
  checkType(action, "exclusive", options.exclusive, "boolean");
  checkType(action, "browse", options.browse, "boolean");
}
