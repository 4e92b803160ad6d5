/**
 * The results of several rounds, and comparisons between them.
 *
 * @module
 */
import type { Measured } from "./jobs.ts";

/** Returns the median; `NaN` without values. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** One run, summarized over the rounds. */
export interface Summary {
  /** The median rate per second. */
  rate: number;
  /** The median CPU time per item, in microseconds. */
  cpu: number;
  /** The median memory in bytes, for runs that measure it. */
  bytes?: number;
}

/** The rounds of one workload in one runtime. */
export class Results {
  readonly #rounds: Map<string, Measured>[];
  readonly #peers: readonly string[];

  /** Creates the results from the measurements of each round, by label. */
  constructor(rounds: Map<string, Measured>[], peers: readonly string[]) {
    this.#rounds = rounds;
    this.#peers = peers;
  }

  /** The labels that have a measurement. */
  get labels(): string[] {
    return [...new Set(this.#rounds.flatMap((round) => [...round.keys()]))];
  }

  /** Summarizes a run over the rounds. */
  summary(label: string): Summary {
    const all = this.#of(label);
    const bytes = all.map((one) => one.bytes).filter((bytes) => bytes !== undefined);
    return {
      rate: median(all.map(rateOf)),
      cpu: median(all.map((one) => one.cpu / one.count * 1e6)),
      ...(bytes.length > 0 && { bytes: median(bytes) }),
    };
  }

  /** Returns the memory of a run in bytes. */
  bytes(label: string): number {
    return this.summary(label).bytes ?? NaN;
  }

  /**
   * Returns how many times as fast a run is as another. Each round is compared by itself, because a disturbance affects
   * all runs of a round.
   */
  ratio(label: string, other: string): number {
    return this.#compare(label, other, (one, two) => rateOf(one) / rateOf(two));
  }

  /** Returns how many times as much a run does per second of CPU time. */
  cpuRatio(label: string, other: string): number {
    return this.#compare(label, other, (one, two) => (two.cpu / two.count) / (one.cpu / one.count));
  }

  /** Returns how many seconds more a run takes per item. */
  longer(label: string, other: string): number {
    return this.#compare(label, other, (one, two) => one.seconds / one.count - two.seconds / two.count);
  }

  /** Returns the fastest other client. */
  bestPeer(): string {
    return this.#peers.toSorted((a, b) => (this.summary(b).rate || 0) - (this.summary(a).rate || 0))[0]!;
  }

  /** Returns the other client with the least CPU time. */
  leanestPeer(): string {
    return this.#peers.toSorted((a, b) => (this.summary(a).cpu || Infinity) - (this.summary(b).cpu || Infinity))[0]!;
  }

  #of(label: string): Measured[] {
    return this.#rounds.map((round) => round.get(label)).filter((one) => one !== undefined);
  }

  #compare(label: string, other: string, compare: (one: Measured, two: Measured) => number): number {
    const values: number[] = [];
    for (const round of this.#rounds) {
      const one = round.get(label);
      const two = round.get(other);
      if (one && two) values.push(compare(one, two));
    }
    return median(values);
  }
}

function rateOf({ count, seconds }: Measured): number {
  return count / seconds;
}
