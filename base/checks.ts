/**
 * Checks of arguments. Each throws at once, with an error that names the option, its value, and what is allowed.
 *
 * @module
 */

/** Which numbers an option allows. */
interface NumberRule {
  /** The rule in words, for the error message. */
  readonly text: string;
  readonly min: number;
  readonly max?: number | undefined;
}

const TIME: NumberRule = { text: "0 or more milliseconds, or Infinity", min: 0 };
const DELAY: NumberRule = { text: "0 or more milliseconds", min: 0, max: Number.MAX_SAFE_INTEGER };
const EXPIRY: NumberRule = { ...DELAY, text: `${DELAY.text}, or a Date in the future` };

/**
 * Checks an option that is a whole number.
 *
 * @param action What fails otherwise: "subscribe to /queue/a".
 * @throws {RangeError} when it is set and is not a whole number from `min` to `max`.
 */
export function checkInteger(action: string, name: string, value: unknown, min: number, max?: number): void {
  if (value === undefined) return;
  if (Number.isSafeInteger(value) && value as number >= min && value as number <= (max ?? Infinity)) return;
  const range = max === undefined ? `of ${min} or more` : `from ${min} to ${max}`;
  throw rangeError(action, name, value, { text: `a whole number ${range}`, min, max });
}

/**
 * Checks an option that is a number or `Infinity`.
 *
 * @throws {RangeError} when it is set and is not a number of `min` or more.
 */
export function checkLimit(action: string, name: string, value: unknown, min: number = 1): void {
  if (value === undefined || (typeof value === "number" && value >= min)) return;
  throw rangeError(action, name, value, { text: `a number of ${min} or more, or Infinity`, min });
}

/**
 * Checks an option in milliseconds that may be `Infinity`.
 *
 * @throws {RangeError} when it is set and is not 0 or more.
 */
export function checkTime(action: string, name: string, value: unknown): void {
  checkNumber(action, name, value, TIME);
}

/**
 * Checks an option in milliseconds that must be finite, because it is written into a header.
 *
 * @throws {RangeError} when it is set and is not a finite number of 0 or more.
 */
export function checkDelay(action: string, name: string, value: unknown): void {
  checkNumber(action, name, value, DELAY);
}

/**
 * Checks when something expires: milliseconds from now, or a `Date`.
 *
 * @throws {RangeError} when it is set and is in the past, or is not a time.
 */
export function checkExpiry(action: string, name: string, value: unknown): void {
  if (!(value instanceof Date)) return checkNumber(action, name, value, EXPIRY);
  const ago = Date.now() - value.getTime();
  if (ago <= 0) return;
  const state = Number.isNaN(ago)
    ? "an invalid Date, but must be a Date in the future"
    : `${value.toISOString()}, ${ago} ms ago: the message has expired already`;
  throw new RangeError(`Cannot ${action}: ${name} is ${state}`);
}

/**
 * Checks the type of an option.
 *
 * @param expected What is allowed, for the error message. Default "a string" and the like.
 * @throws {TypeError} when it is set and has another type.
 */
export function checkType(
  action: string,
  name: string,
  value: unknown,
  type: "string" | "boolean" | "function" | "object",
  expected: string = `a ${type}`,
): void {
  if (value === undefined || (typeof value === type && value !== null)) return;
  throw new TypeError(`Cannot ${action}: ${name} is ${describeType(value)}, but must be ${expected}`);
}

/**
 * Checks a signal. Signals of other realms and of polyfills pass.
 *
 * @throws {TypeError} when it is set and is not an `AbortSignal`.
 */
export function checkSignal(signal: unknown): void {
  if (signal === undefined || signal === null || isSignal(signal)) return;
  const hint = isSignal((signal as { signal?: unknown }).signal) ? ": pass its signal" : "";
  throw new TypeError(`Cannot wait: signal is ${describeType(signal)}, but must be an AbortSignal${hint}`);
}

/** Describes the type of a value for error messages, and never its contents, which may be a secret. */
export function describeType(value: unknown): string {
  if (value === null) return "null";
  if (value === undefined) return "undefined";
  if (typeof value !== "object") return `of type ${typeof value}`;
  const name = value.constructor?.name ?? "object";
  return `${/^[AEIOU]/i.test(name) ? "an" : "a"} ${name}`;
}

function checkNumber(action: string, name: string, value: unknown, rule: NumberRule): void {
  if (value === undefined) return;
  if (typeof value === "number" && value >= rule.min && value <= (rule.max ?? Infinity)) return;
  throw rangeError(action, name, value, rule);
}

function rangeError(action: string, name: string, value: unknown, { text, min, max }: NumberRule): RangeError {
  const isNumber = typeof value === "number";
  const shown = isNumber ? value : typeof value === "string" ? JSON.stringify(value) : describeType(value);
  const expected = isNumber && value < min
    ? `the minimum is ${min}`
    : isNumber && max !== undefined && value > max
    ? `the maximum is ${max}`
    : `but must be ${text}`;
  return new RangeError(`Cannot ${action}: ${name} is ${shown}, ${expected}`);
}

function isSignal(value: unknown): boolean {
  const signal = value as Partial<AbortSignal> | null | undefined;
  return typeof signal?.aborted === "boolean" && typeof signal.addEventListener === "function";
}
