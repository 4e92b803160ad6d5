/**
 * The cost of a `for await` loop alone: a socket of the runtime whose frames are cut at their NULs and passed to loops
 * as texts of the right size. No header is read and nothing is checked. Whatever a client does beyond that, such as
 * parsing the head and making a message that can be acknowledged, costs extra.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { look } from "../text.ts";
import { BareConnection, type OpenSocket, sendFrame } from "./bare_connection.ts";
import { type Connect, countdown } from "./candidate.ts";

const isBun = "Bun" in globalThis;
const runtime = "Deno" in globalThis ? "deno" : isBun ? "bun" : "node";
const { open } = await import(`./bare_${runtime}.ts`) as { open: OpenSocket };

const { latin1Slice } = Buffer.prototype as unknown as {
  latin1Slice(this: Uint8Array, start: number, end: number): string;
};

/** Up to this size V8 is faster at slicing the text of a chunk than at making a text from bytes for each message. */
const MAX_SLICED_BYTES = 1 << 12;

interface Item {
  text: string;
}

/** Passes items to one loop. */
class Items implements AsyncIterableIterator<Item> {
  #waiting: (Item | undefined)[] = [];
  #first = 0;
  #resolveNext: ((result: IteratorResult<Item>) => void) | undefined;

  put(value: Item): void {
    const resolveNext = this.#resolveNext;
    if (resolveNext === undefined) return void this.#waiting.push(value);
    this.#resolveNext = undefined;
    resolveNext({ done: false, value });
  }

  next(): Promise<IteratorResult<Item>> {
    const waiting = this.#waiting;
    if (this.#first === waiting.length) return new Promise((resolve) => this.#resolveNext = resolve);
    const value = waiting[this.#first]!;
    waiting[this.#first++] = undefined;
    if (this.#first === waiting.length) this.#first = waiting.length = 0;
    return Promise.resolve({ done: false, value });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** Cuts chunks into texts of `size`, for each of `all` in turn. */
function cutter(all: readonly Items[], size: number): (bytes: Uint8Array) => void {
  const ready = new Uint8Array(size).fill(120); // for bodies that two chunks share
  const readyText = () => latin1Slice.call(ready, 0, size);
  let turn = 0;
  const give = (text: string) => {
    all[turn]!.put({ text });
    if (++turn === all.length) turn = 0;
  };
  if (size <= MAX_SLICED_BYTES && !isBun) {
    return (bytes) => {
      const chunk = latin1Slice.call(bytes, 0, bytes.length);
      for (let at = chunk.indexOf("\0"); at >= 0; at = chunk.indexOf("\0", at + 1)) {
        give(at < size ? readyText() : chunk.slice(at - size, at));
      }
    };
  }
  return (bytes) => {
    for (let at = bytes.indexOf(0); at >= 0; at = bytes.indexOf(0, at + 1)) {
      give(at < size ? readyText() : latin1Slice.call(bytes, at - size, at));
    }
  };
}

/** Returns the body size in a destination. */
const sizeIn = (destination: string) => Number(destination.split("/")[3]);

function notMeasured(): never {
  throw new Error("Cannot measure this job: the loop only receives");
}

/** Connects a loop. */
export const connect: Connect = async (target) => {
  const connection = await BareConnection.open(open, target);
  return {
    async receive(destination, count) {
      const items = new Items();
      connection.onChunk = cutter([items], sizeIn(destination));
      connection.subscribe(destination, "auto");
      let left = count;
      for await (const { text } of items) {
        look(text);
        if (--left === 0) break;
      }
    },

    async receiveMany(destinations, count, go) {
      for (const destination of destinations) await connection.subscribe(destination, "auto");
      const all = destinations.map(() => new Items());
      return () => {
        connection.onChunk = cutter(all, sizeIn(destinations[0]!));
        const { done, tick } = countdown(count);
        for (const items of all) {
          (async () => {
            for await (const { text } of items) {
              look(text);
              tick();
            }
          })();
        }
        connection.sendText(sendFrame(go, ""));
        return done;
      };
    },

    receiveAndAck: notMeasured,
    send: notMeasured,
    sendWithReceipts: notMeasured,
    echo: notMeasured,
    close: () => connection.close(),
  };
};
