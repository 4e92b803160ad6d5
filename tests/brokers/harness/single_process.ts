/**
 * A broker that is one process: what the harness does with it, whichever broker it is.
 *
 * @module
 */
import type { StartedBroker } from "./broker.ts";
import { onFreePorts, releasePorts } from "./ports.ts";
import type { Program, Programs } from "./programs.ts";

/** A broker that runs in one process. */
export abstract class SingleProcess {
  /** Starts its process. */
  protected readonly programs: Programs;
  /** The ports that it listens on. */
  protected readonly ports: readonly number[];
  /** The process that was started last. */
  protected program: Program | undefined;

  /** Prepares a broker that is not running yet. */
  constructor(programs: Programs, ports: readonly number[]) {
    this.programs = programs;
    this.ports = ports;
  }

  /** Starts it and waits until it answers. */
  abstract start(): Promise<void>;

  /** The id of its process while that runs. */
  get pid(): number | undefined {
    return this.program?.isRunning ? this.program.pid : undefined;
  }

  /** Ends it with SIGKILL. */
  async kill(): Promise<void> {
    if (this.program) await this.programs.kill(this.program);
  }

  /** Ends it in order. */
  async stop(): Promise<void> {
    if (this.program) await this.programs.stop(this.program);
  }

  /** Removes its folder and gives its ports back. */
  async close(): Promise<void> {
    await this.programs.close();
    releasePorts(this.ports);
  }
}

/** Creates a broker and starts it, on other ports if another process takes one meanwhile. */
export function startOnFreePorts<B extends SingleProcess>(create: () => Promise<B>): Promise<B> {
  return onFreePorts(async () => {
    const broker = await create();
    try {
      await broker.start();
      return broker;
    } catch (error) {
      await broker.close();
      throw error;
    }
  });
}

/** Returns what tests get of a broker that runs. */
export function startedBroker(
  broker: SingleProcess,
  details: Pick<StartedBroker, "urls" | "username" | "password" | "caCerts" | "caFile" | "harness">,
): StartedBroker {
  const stop = async () => {
    await broker.stop();
    await broker.close();
  };
  return {
    ...details,
    get pid() {
      return broker.pid;
    },
    kill: () => broker.kill(),
    async restart() {
      await broker.stop();
      await broker.start();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
