/**
 * `#assert` under Bun and Node, and under Deno where JSR cannot be reached: the names and semantics of `@std/assert` on
 * top of `node:assert/strict`, which makes the messages and the diffs.
 *
 * @module
 */
import strict, { AssertionError } from "node:assert/strict";

export { AssertionError };

// deno-lint-ignore no-explicit-any
type AnyConstructor = abstract new (...args: any[]) => any;
// deno-lint-ignore no-explicit-any
type ErrorConstructor<E extends Error> = abstract new (...args: any[]) => E;
type Falsy = false | 0 | 0n | "" | null | undefined;

/** Throws an `AssertionError` with `message`, followed by the caller's message. */
function throwFailure(message: string, msg: string | undefined): never {
  throw new AssertionError({ message: msg ? `${message}: ${msg}` : message, stackStartFn: throwFailure });
}

/** Runs an assertion of Node's and puts `msg` before its message, which it would drop if it were given `msg`. */
function check(assertion: () => void, msg: string | undefined): void {
  try {
    assertion();
  } catch (error) {
    if (msg && error instanceof Error) error.message = `${msg}: ${error.message}`;
    throw error;
  }
}

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  return String(value);
}

/**
 * Returns a copy for which Node's strict comparison gives the result of `@std/assert`: an object without a prototype
 * becomes a plain one, and -0 becomes 0.
 */
function normalize(value: unknown, seen: Map<object, unknown> = new Map()): unknown {
  if (value === 0) return 0;
  if (typeof value !== "object" || value === null) return value;
  const known = seen.get(value);
  if (known !== undefined) return known;
  if (Array.isArray(value)) {
    const copy: unknown[] = [];
    seen.set(value, copy);
    for (const item of value) copy.push(normalize(item, seen));
    return copy;
  }
  if (value instanceof Map && Object.getPrototypeOf(value) === Map.prototype) {
    const copy = new Map<unknown, unknown>();
    seen.set(value, copy);
    for (const [key, item] of value) copy.set(normalize(key, seen), normalize(item, seen));
    return copy;
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) return value;
  const copy: Record<PropertyKey, unknown> = {};
  seen.set(value, copy);
  for (const key of Reflect.ownKeys(value)) {
    const property = Object.getOwnPropertyDescriptor(value, key)!;
    if (!property.enumerable) continue;
    // Not an assignment: a header may be called `__proto__`.
    Object.defineProperty(copy, key, {
      value: normalize(Reflect.get(value, key), seen),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return copy;
}

/** Returns the part of `actual` that has the keys of `expected`, in depth. */
function pick(actual: unknown, expected: unknown, seen: Map<object, unknown> = new Map()): unknown {
  if (typeof actual !== "object" || actual === null || typeof expected !== "object" || expected === null) return actual;
  if (ArrayBuffer.isView(actual) || [RegExp, Date, Map, Set].some((type) => actual instanceof type)) return actual;
  const known = seen.get(actual);
  if (known !== undefined) return known;
  const copy: Record<PropertyKey, unknown> = Object.create(null);
  seen.set(actual, copy);
  for (const key of [...Object.keys(expected), ...Object.getOwnPropertySymbols(expected)]) {
    if (key in actual) copy[key] = pick(Reflect.get(actual, key), Reflect.get(expected, key), seen);
  }
  return copy;
}

/** Asserts that `expr` is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError({ message: msg || "Expected a truthy value", stackStartFn: assert });
}

/** Asserts that `expr` is falsy. */
export function assertFalse(expr: unknown, msg?: string): asserts expr is Falsy {
  if (expr) throwFailure(`Expected ${show(expr)} to be falsy`, msg);
}

/** Asserts that the values are equal in depth, byte arrays by their content. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  check(() => strict.deepStrictEqual(normalize(actual), normalize(expected)), msg);
}

/** Asserts that the values are not equal in depth. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  check(() => strict.notDeepStrictEqual(normalize(actual), normalize(expected)), msg);
}

/** Asserts that the values are the same by `Object.is`. */
export function assertStrictEquals<T>(actual: unknown, expected: T, msg?: string): asserts actual is T {
  check(() => strict.strictEqual(actual, expected), msg);
}

/** Asserts that the values are not the same by `Object.is`. */
export function assertNotStrictEquals<T>(actual: T, expected: T, msg?: string): void {
  check(() => strict.notStrictEqual(actual, expected), msg);
}

/** Asserts that `actual` has all keys of `expected` with equal values. It may have more. */
export function assertObjectMatch(
  // deno-lint-ignore no-explicit-any
  actual: Record<PropertyKey, any>,
  expected: Record<PropertyKey, unknown>,
  msg?: string,
): void {
  assertEquals(pick(actual, expected), pick(expected, expected), msg);
}

/** Asserts that `actual` has each of the `expected` items. */
export function assertArrayIncludes<T>(actual: ArrayLike<T>, expected: ArrayLike<T>, msg?: string): void {
  const items = Array.from(actual);
  const missing = Array.from(expected).filter((item) => !items.some((other) => equal(other, item)));
  if (missing.length > 0) throwFailure(`Expected [${items.map(show)}] to include [${missing.map(show)}]`, msg);
}

function equal(a: unknown, b: unknown): boolean {
  try {
    assertEquals(a, b);
    return true;
  } catch {
    return false;
  }
}

/** Asserts that the value is neither `null` nor `undefined`. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  if (actual === undefined || actual === null) throwFailure(`Expected ${actual} to be a value`, msg);
}

/** Asserts that the value is an instance of the class. */
export function assertInstanceOf<T extends AnyConstructor>(
  actual: unknown,
  expectedType: T,
  msg?: string,
): asserts actual is InstanceType<T> {
  if (!(actual instanceof expectedType)) throwFailure(`Expected ${show(actual)} to be of ${expectedType.name}`, msg);
}

/** Asserts that the value is not an instance of the class. */
export function assertNotInstanceOf<A, T>(
  actual: A,
  // deno-lint-ignore no-explicit-any
  unexpectedType: abstract new (...args: any[]) => T,
  msg?: string,
): asserts actual is Exclude<A, T> {
  if (actual instanceof unexpectedType) {
    throwFailure(`Expected ${show(actual)} not to be of ${unexpectedType.name}`, msg);
  }
}

/** Asserts that the text matches the pattern. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  check(() => strict.match(actual, expected), msg);
}

/** Asserts that the text does not match the pattern. */
export function assertNotMatch(actual: string, expected: RegExp, msg?: string): void {
  check(() => strict.doesNotMatch(actual, expected), msg);
}

/** Asserts that the text contains `expected`. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (!actual.includes(expected)) throwFailure(`Expected ${show(actual)} to include ${show(expected)}`, msg);
}

/** Asserts that `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) throwFailure(`Expected ${show(actual)} > ${show(expected)}`, msg);
}

/** Asserts that `actual >= expected`. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual >= expected)) throwFailure(`Expected ${show(actual)} >= ${show(expected)}`, msg);
}

/** Asserts that `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) throwFailure(`Expected ${show(actual)} < ${show(expected)}`, msg);
}

/** Asserts that `actual <= expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual <= expected)) throwFailure(`Expected ${show(actual)} <= ${show(expected)}`, msg);
}

/** Asserts that the numbers differ by at most `tolerance`. The default is a ten-millionth of `expected`. */
export function assertAlmostEquals(actual: number, expected: number, tolerance?: number, msg?: string): void {
  if (Object.is(actual, expected)) return;
  const max = tolerance ?? (Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  if (!(Math.abs(expected - actual) <= max)) throwFailure(`Expected ${actual} to be ${expected} within ${max}`, msg);
}

/** Asserts that the value is an error, of the given class and with the given text in its message, if any. */
export function assertIsError<E extends Error = Error>(
  error: unknown,
  ErrorClass?: ErrorConstructor<E>,
  msgMatches?: string | RegExp,
  msg?: string,
): asserts error is E {
  if (!(error instanceof Error)) throwFailure(`Expected ${show(error)} to be an Error`, msg);
  if (ErrorClass && !(error instanceof ErrorClass)) {
    throwFailure(`Expected an error of ${ErrorClass.name}, was ${error.constructor.name} (${show(error)})`, msg);
  }
  const matches = typeof msgMatches === "string"
    ? error.message.includes(msgMatches)
    : msgMatches?.test(error.message) ?? true;
  if (!matches) {
    throwFailure(`Expected the error's message to include ${show(msgMatches)}, was ${show(error.message)}`, msg);
  }
}

/** Merges the two signatures of `assertThrows` and `assertRejects`. */
function expectation<E extends Error>(
  classOrMsg: ErrorConstructor<E> | string | undefined,
  msgIncludes: string | undefined,
  msg: string | undefined,
): { verify: (error: unknown) => void; msg: string | undefined } {
  if (typeof classOrMsg === "string") return { verify: () => {}, msg: classOrMsg };
  // Without a class anything may be thrown, and @std/assert does not check the message either.
  return { verify: (error) => classOrMsg && assertIsError(error, classOrMsg, msgIncludes, msg), msg };
}

/** Asserts that the function throws, and returns what it threw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Asserts that the function throws an error of the class with the text in its message, and returns the error. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: ErrorConstructor<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  classOrMsg?: ErrorConstructor<E> | string,
  msgIncludes?: string,
  msg?: string,
): unknown {
  const expected = expectation(classOrMsg, msgIncludes, msg);
  try {
    fn();
  } catch (error) {
    expected.verify(error);
    return error;
  }
  return throwFailure("Expected the function to throw", expected.msg);
}

/** Asserts that the function's promise rejects, and resolves to what it rejected with. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
/** Asserts that the function's promise rejects with an error of the class with the text in its message. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: ErrorConstructor<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  classOrMsg?: ErrorConstructor<E> | string,
  msgIncludes?: string,
  msg?: string,
): Promise<unknown> {
  const expected = expectation(classOrMsg, msgIncludes, msg);
  let promise: PromiseLike<unknown> | undefined;
  try {
    promise = fn();
  } catch (error) {
    throwFailure(`Expected the function to reject, it threw ${show(error)}`, expected.msg);
  }
  if (typeof promise?.then !== "function") throwFailure("Expected the function to return a promise", expected.msg);
  try {
    await promise;
  } catch (error) {
    expected.verify(error);
    return error;
  }
  return throwFailure("Expected the function to reject", expected.msg);
}

/** Always fails. */
export function fail(msg?: string): never {
  throwFailure("Failed assertion", msg);
}

/** Always fails, for a line that must not be reached. */
export function unreachable(reason?: string): never {
  throwFailure("Unreachable", reason);
}
