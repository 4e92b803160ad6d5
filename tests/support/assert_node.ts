/**
 * `#assert` under Bun, Node, and Deno where JSR cannot be reached: the names and the meaning of `@std/assert` over
 * `node:assert/strict`, which makes the messages and the diffs.
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

/** Fails with `message`, followed by the caller's own words. */
function refuse(message: string, msg: string | undefined): never {
  throw new AssertionError({ message: msg ? `${message}: ${msg}` : message, stackStartFn: refuse });
}

/** Runs one of node's assertions; its message would be lost if `msg` were given to it. */
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
 * The value as `@std/assert` compares it, in a form that node's strict comparison agrees with: an object without a
 * prototype counts as a plain one, and -0 as 0.
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
    // Defined, not assigned: a header may be called `__proto__`.
    Object.defineProperty(copy, key, {
      value: normalize(Reflect.get(value, key), seen),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return copy;
}

/** What `actual` has of the keys of `expected`, in depth. */
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
  if (expr) refuse(`Expected ${show(expr)} to be falsy`, msg);
}

/** Asserts that the values are equal in depth; byte arrays by content. */
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

/** Asserts that all of `expected` is in `actual`, which may have more. */
export function assertObjectMatch(
  // deno-lint-ignore no-explicit-any
  actual: Record<PropertyKey, any>,
  expected: Record<PropertyKey, unknown>,
  msg?: string,
): void {
  assertEquals(pick(actual, expected), pick(expected, expected), msg);
}

/** Asserts that `actual` has every one of the `expected` items. */
export function assertArrayIncludes<T>(actual: ArrayLike<T>, expected: ArrayLike<T>, msg?: string): void {
  const items = Array.from(actual);
  const missing = Array.from(expected).filter((item) => !items.some((other) => equal(other, item)));
  if (missing.length > 0) refuse(`Expected [${items.map(show)}] to include [${missing.map(show)}]`, msg);
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
  if (actual === undefined || actual === null) refuse(`Expected ${actual} to be a value`, msg);
}

/** Asserts that the value is an instance of the class. */
export function assertInstanceOf<T extends AnyConstructor>(
  actual: unknown,
  expectedType: T,
  msg?: string,
): asserts actual is InstanceType<T> {
  if (!(actual instanceof expectedType)) refuse(`Expected ${show(actual)} to be of ${expectedType.name}`, msg);
}

/** Asserts that the value is not an instance of the class. */
export function assertNotInstanceOf<A, T>(
  actual: A,
  // deno-lint-ignore no-explicit-any
  unexpectedType: abstract new (...args: any[]) => T,
  msg?: string,
): asserts actual is Exclude<A, T> {
  if (actual instanceof unexpectedType) refuse(`Expected ${show(actual)} not to be of ${unexpectedType.name}`, msg);
}

/** Asserts that the text matches the pattern. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  check(() => strict.match(actual, expected), msg);
}

/** Asserts that the text does not match the pattern. */
export function assertNotMatch(actual: string, expected: RegExp, msg?: string): void {
  check(() => strict.doesNotMatch(actual, expected), msg);
}

/** Asserts that the text has `expected` in it. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (!actual.includes(expected)) refuse(`Expected ${show(actual)} to include ${show(expected)}`, msg);
}

/** Asserts that `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) refuse(`Expected ${show(actual)} > ${show(expected)}`, msg);
}

/** Asserts that `actual >= expected`. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual >= expected)) refuse(`Expected ${show(actual)} >= ${show(expected)}`, msg);
}

/** Asserts that `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) refuse(`Expected ${show(actual)} < ${show(expected)}`, msg);
}

/** Asserts that `actual <= expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual <= expected)) refuse(`Expected ${show(actual)} <= ${show(expected)}`, msg);
}

/** Asserts that the numbers differ by `tolerance` at most: by default a ten-millionth of `expected`. */
export function assertAlmostEquals(actual: number, expected: number, tolerance?: number, msg?: string): void {
  if (Object.is(actual, expected)) return;
  const most = tolerance ?? (Number.isFinite(expected) ? Math.abs(expected * 1e-7) : 1e-7);
  if (!(Math.abs(expected - actual) <= most)) refuse(`Expected ${actual} to be ${expected} within ${most}`, msg);
}

/** Asserts that the value is an error, of this class, with this in its message. */
export function assertIsError<E extends Error = Error>(
  error: unknown,
  ErrorClass?: ErrorConstructor<E>,
  msgMatches?: string | RegExp,
  msg?: string,
): asserts error is E {
  if (!(error instanceof Error)) refuse(`Expected ${show(error)} to be an Error`, msg);
  if (ErrorClass && !(error instanceof ErrorClass)) {
    refuse(`Expected an error of ${ErrorClass.name}, was ${error.constructor.name} (${show(error)})`, msg);
  }
  const matches = typeof msgMatches === "string"
    ? error.message.includes(msgMatches)
    : msgMatches?.test(error.message) ?? true;
  if (!matches) refuse(`Expected the error's message to include ${show(msgMatches)}, was ${show(error.message)}`, msg);
}

/** Both forms of the arguments of `assertThrows` and `assertRejects`, as one. */
function expectation<E extends Error>(
  classOrMsg: ErrorConstructor<E> | string | undefined,
  msgIncludes: string | undefined,
  msg: string | undefined,
): { verify: (error: unknown) => void; msg: string | undefined } {
  if (typeof classOrMsg === "string") return { verify: () => {}, msg: classOrMsg };
  // Without a class anything may be thrown, errors or not; @std/assert then does not look at the message either.
  return { verify: (error) => classOrMsg && assertIsError(error, classOrMsg, msgIncludes, msg), msg };
}

/** Asserts that the function throws; returns what it threw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Asserts that the function throws an error of this class with this in its message; returns the error. */
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
  return refuse("Expected the function to throw", expected.msg);
}

/** Asserts that the promise of the function rejects; resolves to what it rejected with. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
/** Asserts that the promise of the function rejects with an error of this class with this in its message. */
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
    refuse(`Expected the function to reject, it threw ${show(error)}`, expected.msg);
  }
  if (typeof promise?.then !== "function") refuse("Expected the function to return a promise", expected.msg);
  try {
    await promise;
  } catch (error) {
    expected.verify(error);
    return error;
  }
  return refuse("Expected the function to reject", expected.msg);
}

/** Fails. */
export function fail(msg?: string): never {
  refuse("Failed assertion", msg);
}

/** Fails: this line must not be reached. */
export function unreachable(reason?: string): never {
  refuse("Unreachable", reason);
}
