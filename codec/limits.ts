/**
 * The limits of what a decoder accepts.
 *
 * @module
 */
import type { UnknownBrokerResponseError } from "../base/errors.ts";
import { malformed } from "./headers.ts";

/** What a decoder accepts at most. What is over a limit is an error before memory is spent on it. */
export interface DecoderLimits {
  /** Bytes of command line and header lines of one frame, the empty line included. Default 65,536 (64 KiB). */
  maxHeaderBytes?: number | undefined;
  /** Header lines of one frame. Default 1,000. */
  maxHeaders?: number | undefined;
  /** Bytes of one body. Default 134,217,728 (128 MiB). */
  maxBodyBytes?: number | undefined;
}

/** The limits, checked and complete. */
export type Limits = { readonly [name in keyof DecoderLimits]-?: number };

const LIMITS = ["maxHeaderBytes", "maxHeaders", "maxBodyBytes"] as const;

/**
 * Completes limits.
 *
 * @throws {RangeError} when one is no number, or negative.
 */
export function completeLimits(limits: DecoderLimits): Limits {
  const { maxHeaderBytes = 1 << 16, maxHeaders = 1000, maxBodyBytes = 1 << 27 } = limits;
  const complete = { maxHeaderBytes, maxHeaders, maxBodyBytes };
  for (const name of LIMITS) {
    const value: unknown = complete[name];
    if (typeof value !== "number" || !(value >= 0)) {
      throw new RangeError(`Cannot use ${name} ${value}: a limit is a number of 0 or more, or Infinity`);
    }
  }
  return complete;
}

/** The error for a body that is over the limit. */
export function bodyTooLarge(size: string, limit: number): UnknownBrokerResponseError {
  return malformed(`its body of ${size} is over the limit of ${limit} bytes (maxBodyBytes)`);
}
