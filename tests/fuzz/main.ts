/**
 * `deno task fuzz`: the properties of the codec, a million times.
 *
 * @module
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { PROPERTIES, type Property } from "./properties.ts";

const HELP = `deno task fuzz [options]

Tries the properties of the codec on random frames and octets.

  --runs 1000000   how many cases, over all properties
  --seed 42        where to begin, to do again what another run did; printed by every run
  --help           this text
`;

/** Cases between two reports of progress. */
const BLOCK = 10_000;

function readArgs(args: string[]): { runs: number; seed: number; help: boolean } {
  const { values } = parseArgs({
    args,
    options: { runs: { type: "string" }, seed: { type: "string" }, help: { type: "boolean" } },
  });
  const number = (name: "runs" | "seed", fallback: number) => {
    const text = values[name];
    if (text === undefined) return fallback;
    if (!/^\d{1,9}$/.test(text)) throw new TypeError(`Cannot take --${name} "${text}": it has to be a whole number`);
    return Number(text);
  };
  return {
    runs: number("runs", 1_000_000),
    seed: number("seed", Math.floor(Math.random() * 1e9)),
    help: values.help ?? false,
  };
}

/** Tries a property; returns what refutes it. */
function tryProperty({ name, check }: Property, runs: number, seed: number): string | undefined {
  const start = performance.now();
  const seconds = () => ((performance.now() - start) / 1000).toFixed(1);
  let done = 0;
  // In blocks, so that memory does not add up and progress shows.
  for (let block = 0; done < runs; block++) {
    const { cases, refutation } = check(Math.min(BLOCK, runs - done), seed + block);
    done += cases;
    if (refutation !== undefined) return `${name}: refuted after ${done} cases\n${refutation}`;
    if (process.stdout.isTTY) process.stdout.write(`\r${name}: ${done} of ${runs} cases, ${seconds()} s`);
  }
  console.log(`${process.stdout.isTTY ? "\r" : ""}${name}: ${done} cases, ${seconds()} s`);
  return undefined;
}

function main(): boolean {
  const { runs, seed, help } = readArgs(process.argv.slice(2));
  if (help) {
    console.log(HELP);
    return true;
  }
  console.log(`seed ${seed}`);
  let left = runs;
  for (const [i, property] of PROPERTIES.entries()) {
    const share = Math.floor(left / (PROPERTIES.length - i));
    left -= share;
    const refutation = tryProperty(property, share, seed);
    if (refutation === undefined) continue;
    console.error(`${refutation}\nAgain: deno task fuzz --runs ${runs} --seed ${seed}`);
    return false;
  }
  console.log(`${runs} cases, nothing refuted`);
  return true;
}

try {
  process.exitCode = main() ? 0 : 1;
} catch (error) {
  if (!(error instanceof TypeError)) throw error;
  console.error(`${error.message}\n\n${HELP}`);
  process.exitCode = 2;
}
