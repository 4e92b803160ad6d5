/**
 * A fault that is put into the code by hand, for the tests to find.
 *
 * @module
 */

/** A fault. */
export interface Fault {
  /** The module that it is put into. Its folder is the folder that the fault counts for. */
  file: string;
  /** What is wrong then, in a few words. No other fault has this name. */
  name: string;
  /** The text that is replaced. It stands in the module once. */
  from: string;
  /** What stands there instead. */
  to: string;
  /** The test files that have to find it: `queue` is `tests/base/fifo_test.ts`. */
  tests: string[];
}
