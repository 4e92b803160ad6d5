/**
 * Durations in options: milliseconds, or text with a unit.
 *
 * @module
 */
import { checkDelay } from "./checks.ts";

/** A duration: a number of milliseconds, or text with a unit, such as `"250ms"`, `"30s"`, `"10m"` or `"1h"`. */
export type Duration = number | `${number}${"ms" | "s" | "m" | "h"}`;

const PATTERN = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/;

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/**
 * Returns a duration in whole milliseconds.
 *
 * @param action What fails otherwise: "send".
 * @param name The name of the option.
 * @throws {RangeError} when it is neither 0 or more milliseconds nor text with a unit.
 */
export function readDuration(action: string, name: string, duration: unknown): number {
  const [, amount, unit] = typeof duration === "string" ? PATTERN.exec(duration) ?? [] : [];
  if (typeof duration === "string" && unit === undefined) {
    const expected = 'milliseconds, or text such as "250ms", "30s", "10m" or "1h"';
    throw new RangeError(`Cannot ${action}: ${name} is ${JSON.stringify(duration)}, but must be ${expected}`);
  }
  const milliseconds = unit === undefined ? duration : Number(amount) * UNIT_MS[unit]!;
  checkDelay(action, name, milliseconds);
  return Math.round(milliseconds as number);
}
