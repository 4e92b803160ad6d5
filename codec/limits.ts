/**
 * The limits of what a decoder accepts.
 *
 * @module
 */
import { checkLimit } from "../base/checks.ts";

/** Limits of what a decoder accepts. Exceeding one is an error before memory is spent on it. */
export interface DecoderLimits {
  /**
   * Bytes of command line and header lines of one frame, the empty line included.
   *
   * @default {65_536 (64 KiB)}
   */
  maxHeaderBytes?: number | undefined;
  /**
   * Header lines of one frame.
   *
   * @default {1_000}
   */
  maxHeaders?: number | undefined;
  /**
   * Bytes of one body.
   *
   * @default {134_217_728 (128 MiB)}
   */
  maxBodyBytes?: number | undefined;
}

/** Checked limits, with the defaults. */
export type Limits = { readonly [name in keyof DecoderLimits]-?: number };

/**
 * Checks limits, and adds the defaults.
 *
 * @throws {RangeError} when one is not a number, or is negative.
 */
export function completeLimits(limits: DecoderLimits): Limits {
  const { maxHeaderBytes = 1 << 16, maxHeaders = 1000, maxBodyBytes = 1 << 27 } = limits;
  const complete = { maxHeaderBytes, maxHeaders, maxBodyBytes };
  for (const [name, value] of Object.entries(complete)) checkLimit("decode", name, value, 0);
  return complete;
}
