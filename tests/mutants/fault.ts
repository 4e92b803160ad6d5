/**
 * The type of a fault, which the mutation test puts into the code for the tests to find.
 *
 * @module
 */

/** A fault in the code. */
export interface Fault {
  /** The module to change. The fault counts for the folder of the module. */
  file: string;
  /** The effect in a few words, unique among all faults. */
  name: string;
  /** The text to replace. It must occur in the module exactly once. */
  from: string;
  /** The replacement. */
  to: string;
  /** The test files that must fail: `base/fifo` is `tests/base/fifo_test.ts`. */
  tests: string[];
}
