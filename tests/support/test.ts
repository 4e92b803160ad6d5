/**
 * The interface of `#test`. `test_deno.ts`, `test_bun.ts` and `test_node.ts` implement it with the test runner of their
 * runtime, so that its reports, filters and sanitizers apply.
 *
 * @module
 */

/** A test. */
export interface TestDefinition {
  /** The name: what is true when the test passes. */
  name: string;
  /** The test, which fails when it throws or rejects. */
  fn: () => void | Promise<void>;
  /** Whether the test is registered but not run, for what a runtime cannot do. Default `false`. */
  ignore?: boolean;
  /** Milliseconds after which the test fails. Default {@linkcode TEST_TIMEOUT_MS}. */
  timeout?: number;
}

/** Registers a test. */
export interface Test {
  (name: string, fn: TestDefinition["fn"]): void;
  (definition: TestDefinition): void;
}

/** The default timeout of a test in milliseconds. Only a test that hangs takes this long. */
export const TEST_TIMEOUT_MS = 30_000;

/** Makes a `test` function from the function that registers a test with the runtime. */
export function testWith(register: (definition: Required<TestDefinition>) => void): Test {
  return (nameOrDefinition: string | TestDefinition, fn?: TestDefinition["fn"]) => {
    if (typeof nameOrDefinition === "string") {
      if (fn === undefined) throw new TypeError(`Cannot register test "${nameOrDefinition}": it has no function`);
      register({ name: nameOrDefinition, fn, ignore: false, timeout: TEST_TIMEOUT_MS });
    } else {
      register({ ignore: false, timeout: TEST_TIMEOUT_MS, ...nameOrDefinition });
    }
  };
}
