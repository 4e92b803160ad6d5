/**
 * Simulates a machine that is suspended.
 *
 * @module
 */

/**
 * Runs `work` with a function that suspends the machine for an hour: `Date.now()` jumps and the monotonic clock does not,
 * as on Linux and macOS.
 */
export async function withSleepingMachine(work: (sleep: () => void) => Promise<void>): Promise<void> {
  const { now } = Date;
  let slept = 0;
  Date.now = () => now() + slept;
  try {
    await work(() => slept += 3_600_000);
  } finally {
    Date.now = now;
  }
}
