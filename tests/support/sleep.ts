/**
 * A machine that sleeps.
 *
 * @module
 */

/**
 * Runs `work` on a machine that sleeps for an hour whenever it calls `sleep`: the calendar goes on without the clock, as
 * on Linux and macOS.
 */
export async function onSleepyMachine(work: (sleep: () => void) => Promise<void>): Promise<void> {
  const { now } = Date;
  let slept = 0;
  Date.now = () => now() + slept;
  try {
    await work(() => slept += 3_600_000);
  } finally {
    Date.now = now;
  }
}
