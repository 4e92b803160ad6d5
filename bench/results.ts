/**
 * What came out of several rounds, and how it is compared.
 *
 * @module
 */
import type { Measured } from "./jobs.ts";

/** The middle value; of an even number, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** What one run comes to over the rounds. */
export interface Summary {
  /** Per second, median. */
  rate: number;
  /** Microseconds of processor time for each, median. */
  cpu: number;
  /** Bytes of memory, median, where the run is about that. */
  bytes?: number;
}

/** The rounds of one workload in one runtime. */
export class Results {
  readonly #rounds: Map<string, Measured>[];
  readonly #peers: readonly string[];

  /** Takes what was measured in each round, by label. */
  constructor(rounds: Map<string, Measured>[], peers: readonly string[]) {
    this.#rounds = rounds;
    this.#peers = peers;
  }

  /** The labels for which there is something. */
  get labels(): string[] {
    return [...new Set(this.#rounds.flatMap((round) => [...round.keys()]))];
  }

  /** What a run comes to. */
  summary(label: string): Summary {
    const all = this.#of(label);
    const bytes = all.map((one) => one.bytes).filter((bytes) => bytes !== undefined);
    return {
      rate: median(all.map(rateOf)),
      cpu: median(all.map((one) => one.cpu / one.count * 1e6)),
      ...(bytes.length > 0 && { bytes: median(bytes) }),
    };
  }

  /** Bytes of memory. */
  bytes(label: string): number {
    return this.summary(label).bytes ?? NaN;
  }

  /** How many times as fast. Each round is compared by itself: what disturbs a round disturbs all that is in it. */
  ratio(label: string, other: string): number {
    return this.#compare(label, other, (one, two) => rateOf(one) / rateOf(two));
  }

  /** How many times as much in a second of processor time. */
  cpuRatio(label: string, other: string): number {
    return this.#compare(label, other, (one, two) => (two.cpu / two.count) / (one.cpu / one.count));
  }

  /** How many seconds more. */
  longer(label: string, other: string): number {
    return this.#compare(label, other, (one, two) => one.seconds / one.count - two.seconds / two.count);
  }

  /** The other client that is fastest here. */
  bestPeer(): string {
    return this.#peers.toSorted((a, b) => (this.summary(b).rate || 0) - (this.summary(a).rate || 0))[0]!;
  }

  /** The other client that takes the least processor time here. */
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
