/**
 * Checks of what a caller gives: each fails at once, with an error that names the option, its value, and what is allowed.
 *
 * @module
 */

/** What an option may be, as its error says it. */
interface Allowed {
  readonly words: string;
  readonly test: (value: number) => boolean;
}

const TIME: Allowed = { words: "0 or more milliseconds, or Infinity", test: (value) => value >= 0 };
const DELAY: Allowed = {
  words: "0 or more milliseconds",
  test: (value) => value >= 0 && value <= Number.MAX_SAFE_INTEGER,
};

/**
 * Checks a whole number.
 *
 * @param what what cannot be done otherwise: "subscribe to /queue/a".
 * @throws {RangeError} when it is given, and no whole number from `least` to `most`.
 */
export function checkWhole(what: string, name: string, value: unknown, least: number, most?: number): void {
  if (value === undefined) return;
  if (Number.isSafeInteger(value) && value as number >= least && (most === undefined || value as number <= most)) {
    return;
  }
  const range = most === undefined ? `of ${least} or more` : `from ${least} to ${most}`;
  throw refusal(what, name, value, `a whole number ${range}`);
}

/**
 * Checks a limit: a number of 1 or more, or `Infinity`.
 *
 * @throws {RangeError} when it is given, and no such number.
 */
export function checkLimit(what: string, name: string, value: unknown): void {
  check(what, name, value, { words: "a number of 1 or more, or Infinity", test: (value) => value >= 1 });
}

/**
 * Checks milliseconds; `Infinity` is allowed.
 *
 * @throws {RangeError} when they are given, and no such number.
 */
export function checkTime(what: string, name: string, value: unknown): void {
  check(what, name, value, TIME);
}

/**
 * Checks milliseconds that have to be a number that can be written down.
 *
 * @throws {RangeError} when they are given, and no such number.
 */
export function checkDelay(what: string, name: string, value: unknown): void {
  check(what, name, value, DELAY);
}

/**
 * Checks when something is over: milliseconds from now, or a moment.
 *
 * @throws {RangeError} when it is given, and over already, or no time at all.
 */
export function checkExpiry(what: string, name: string, value: unknown): void {
  if (!(value instanceof Date)) {
    return check(what, name, value, { ...DELAY, words: `${DELAY.words}, or a Date to come` });
  }
  const ago = Date.now() - value.getTime();
  if (Number.isNaN(ago)) throw refusal(what, name, "an invalid Date", "a Date to come", true);
  if (ago <= 0) return;
  throw new RangeError(
    `Cannot ${what}: ${name} is ${value.toISOString()}, ${ago} ms ago: the message has expired already`,
  );
}

/**
 * Checks the type of a value.
 *
 * @param meant how the error says what is allowed, default "a string" and the like.
 * @throws {TypeError} when it is given, and of another type.
 */
export function checkType(
  what: string,
  name: string,
  value: unknown,
  type: "string" | "boolean" | "function" | "object",
  meant: string = `a ${type}`,
): void {
  if (value === undefined || (typeof value === type && value !== null)) return;
  throw new TypeError(`Cannot ${what}: ${name} is ${kindOf(value)}, and has to be ${meant}`);
}

/**
 * Checks a signal. Those of other realms, and of polyfills, will do.
 *
 * @throws {TypeError} when it is given, and is none.
 */
export function checkSignal(signal: unknown): void {
  if (signal === undefined || signal === null || isSignal(signal)) return;
  const hint = isSignal((signal as { signal?: unknown }).signal) ? ": pass its signal" : "";
  throw new TypeError(`Cannot wait: signal is ${kindOf(signal)}, and has to be an AbortSignal${hint}`);
}

/** What a value is, for errors: never what is in it, which may be a secret. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (value === undefined) return "undefined";
  if (typeof value !== "object") return `of type ${typeof value}`;
  const name = value.constructor?.name ?? "object";
  return `${/^[AEIOU]/i.test(name) ? "an" : "a"} ${name}`;
}

function check(what: string, name: string, value: unknown, { words, test }: Allowed): void {
  if (value === undefined || (typeof value === "number" && test(value))) return;
  throw refusal(what, name, value, words);
}

function refusal(what: string, name: string, value: unknown, allowed: string, isShown = false): RangeError {
  const shown = isShown || typeof value === "number"
    ? value
    : typeof value === "string"
    ? JSON.stringify(value)
    : kindOf(value);
  return new RangeError(`Cannot ${what}: ${name} is ${shown}, and has to be ${allowed}`);
}

function isSignal(value: unknown): boolean {
  const signal = value as Partial<AbortSignal> | null | undefined;
  return typeof signal?.aborted === "boolean" && typeof signal.addEventListener === "function";
}
