/**
 * What `#test` offers in every runtime; `test_deno.ts`, `test_bun.ts` and `test_node.ts` register with the runtime's own
 * test runner, so that its reports, filters and sanitizers apply.
 *
 * @module
 */

/** A test. */
export interface TestDefinition {
  /** What is true when the test passes. */
  name: string;
  /** Passes when it returns, fails when it throws or rejects. */
  fn: () => void | Promise<void>;
  /** Registers the test and does not run it: for what one runtime cannot do. Default `false`. */
  ignore?: boolean;
  /** Milliseconds after which the test fails. Default {@linkcode DEADLINE}. */
  timeout?: number;
}

/** Registers a test. */
export interface Test {
  (name: string, fn: TestDefinition["fn"]): void;
  (definition: TestDefinition): void;
}

/** How long a test may take, in milliseconds, where it does not say: long for any test, short for a hung one. */
export const DEADLINE = 30_000;

/** Makes a `test` function out of the one thing that differs between runtimes. */
export function testWith(register: (definition: Required<TestDefinition>) => void): Test {
  return (nameOrDefinition: string | TestDefinition, fn?: TestDefinition["fn"]) => {
    if (typeof nameOrDefinition === "string") {
      if (fn === undefined) throw new TypeError(`Cannot register test "${nameOrDefinition}": it has no function`);
      register({ name: nameOrDefinition, fn, ignore: false, timeout: DEADLINE });
    } else {
      register({ ignore: false, timeout: DEADLINE, ...nameOrDefinition });
    }
  };
}
