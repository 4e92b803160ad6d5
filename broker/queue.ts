/**
 * The embedded broker's queues: messages in order, and who takes them. Knows neither connections nor frames.
 *
 * @module
 */
import { encodeHeader, type FrameHeaders, headerRules, parseHeaders } from "../codec/headers.ts";
import type { Version } from "../codec/protocol.ts";
import { Fifo } from "../base/fifo.ts";

/** Headers of a SEND that say something to the broker, or that only the broker may write on a MESSAGE. */
const NOT_THE_USERS = new Set([
  "destination",
  "content-length",
  "receipt",
  "transaction",
  "subscription",
  "message-id",
  "ack",
  "redelivered",
]);

/** What a message costs beside its bytes, roughly: a million empty ones are not free. */
const OVERHEAD = 256;

/** What a place in a queue costs, with all that is noted of a delivery, roughly. */
const ENTRY = 128;

const WIRE = headerRules("MESSAGE", "1.2");

/** Memory that several messages share. */
export interface Holding {
  /** Notes that one more is in it. Returns by how many bytes the memory in use grows. */
  hold(): number;
  /** Notes that one is done with. Returns how many bytes that frees. */
  release(): number;
}

/** Bytes that a text takes in memory: engines use two for each unit where one alone is beyond Latin-1. */
export function textBytes(text: string): number {
  return /[^\0-\xff]/.test(text) ? 2 * text.length : text.length;
}

/** A message that waits for its consumers. Holds memory of its own, and no view on what it was received in. */
export class StoredMessage {
  /** The `message-id`: no other message of this broker has it. */
  readonly id: string;
  /** The octets. */
  readonly body: Uint8Array;
  /** Bytes that it counts for, its body among them. */
  readonly size: number;
  /** The sender's header lines as they go over the wire in 1.2. */
  readonly #lines: string;
  readonly #escaped: boolean;
  readonly #block: Holding | undefined;
  #holders = 0;

  /** Makes a message of the headers of a SEND; `body` becomes the message's own, or is in a block with others. */
  constructor(id: string, headers: FrameHeaders, body: Uint8Array, block?: Holding) {
    let lines = "";
    for (const name in headers) {
      if (!NOT_THE_USERS.has(name)) lines += encodeHeader(name, headers[name]!, WIRE);
    }
    this.id = id;
    this.body = body;
    this.#lines = lines;
    // The search also turns the joined pieces, which are slices of a whole received chunk, into one string.
    this.#escaped = lines.includes("\\");
    this.#block = block;
    this.size = textBytes(lines) + (block === undefined ? body.buffer.byteLength : body.length) + OVERHEAD;
  }

  /** Notes that one more keeps it. Returns by how many bytes the memory in use grows. */
  hold(): number {
    if (this.#holders++ > 0) return 0;
    return this.#block === undefined ? this.size : this.size - this.body.length + this.#block.hold();
  }

  /** Notes that one keeps it no longer. Returns how many bytes that frees. */
  release(): number {
    if (--this.#holders > 0) return 0;
    return this.#block === undefined ? this.size : this.size - this.body.length + this.#block.release();
  }

  /** The sender's header lines for a receiver of that version. What it cannot carry is left out. */
  lines(version: Version): string {
    // Where nothing is escaped, the versions agree.
    if (version === "1.2" || !this.#escaped) return this.#lines;
    const rules = headerRules("MESSAGE", version);
    const headers = parseHeaders(this.#lines, WIRE);
    let lines = "";
    for (const name in headers) {
      try {
        lines += encodeHeader(name, headers[name]!, rules);
      } catch {
        // A line feed or a CR would break the frame, and to refuse the message would punish the wrong side.
      }
    }
    return lines;
  }
}

/** A message in one queue. */
export class Entry {
  /** Its place in the queue: what came earlier has a lower number. */
  readonly place: number;
  /** The message; the queues of a topic's subscribers share it. */
  readonly message: StoredMessage;
  /** How often it was refused with NACK. */
  nacks = 0;
  /** Whether a consumer had it before. */
  redelivered = false;

  /** Puts a message at a place. */
  constructor(place: number, message: StoredMessage) {
    this.place = place;
    this.message = message;
  }
}

/** Someone who takes messages out of one queue. */
export interface Taker {
  /** Whether it can take another entry now. */
  readonly ready: boolean;
  /** The queue's note of whether the taker stands in line. */
  inLine: boolean;
  /** Takes an entry. */
  take(entry: Entry): void;
  /** Called when its turn came and it was not ready. It stands in line again after `queue.wake`. */
  passedOver(): void;
  /** Called when more waits for it than may: it is to leave. */
  tooSlow(): void;
}

/** What a queue tells whoever keeps it. */
export interface QueueKeeper {
  /** There may be something to hand out, or nothing left to keep. */
  touch(queue: Queue): void;
  /** So many bytes more are kept; negative when they are fewer. */
  count(bytes: number): void;
}

/** Messages in the order in which they came, and the takers among whom they are dealt out in turn. */
export class Queue {
  /** The destination that leads to it; `undefined` for the queue of one subscriber of a topic. */
  readonly name: string | undefined;
  /** Bytes of the messages that wait, or that were taken and not settled. */
  bytes = 0;
  /** How many messages that are. */
  messages = 0;
  /** The keeper's note of whether it has to be served. */
  touched = false;
  readonly #keeper: QueueKeeper;
  readonly #fresh = new Fifo<Entry>();
  readonly #returned = new Returned();
  readonly #line = new Fifo<Taker>();
  readonly #takers = new Set<Taker>();
  #places = 0;
  #closed = false;

  /** Creates an empty queue. */
  constructor(name: string | undefined, keeper: QueueKeeper) {
    this.name = name;
    this.#keeper = keeper;
  }

  /** Whether nothing is left that it has to be kept for. */
  get idle(): boolean {
    return this.messages === 0 && this.#takers.size === 0;
  }

  /** Adds a message at the end. */
  add(message: StoredMessage): void {
    this.#fresh.push(new Entry(++this.#places, message));
    this.messages++;
    this.bytes += message.size;
    this.#keeper.count(ENTRY + message.hold());
    this.#keeper.touch(this);
  }

  /** Puts an entry that was taken back to its old place. */
  putBack(entry: Entry): void {
    if (this.#closed) return this.#drop(entry);
    entry.redelivered = true;
    this.#returned.add(entry);
    this.#keeper.touch(this);
  }

  /** Forgets an entry that was taken: it is done with. */
  settle(entry: Entry): void {
    this.#drop(entry);
    if (this.idle) this.#keeper.touch(this);
  }

  /** Adds a taker, at the end of the line. */
  join(taker: Taker): void {
    this.#takers.add(taker);
    this.wake(taker);
  }

  /** Takes a taker out. What it has taken and not settled, it puts back itself. */
  leave(taker: Taker): void {
    this.#takers.delete(taker);
    if (taker.inLine) this.#line.remove(taker);
    taker.inLine = false;
    this.#keeper.touch(this);
  }

  /** Lets a taker stand in line again, now that it may be ready. */
  wake(taker: Taker): void {
    if (taker.inLine || !this.#takers.has(taker)) return;
    taker.inLine = true;
    this.#line.push(taker);
    this.#keeper.touch(this);
  }

  /** Hands out what waits, one to each taker in turn, as long as any is ready. */
  serve(): void {
    while (this.#returned.length > 0 || this.#fresh.length > 0) {
      const taker = this.#line.shift();
      if (taker === undefined) return;
      if (taker.ready) {
        this.#line.push(taker);
        taker.take((this.#returned.shift() ?? this.#fresh.shift())!);
      } else {
        taker.inLine = false;
        taker.passedOver();
      }
    }
  }

  /** Drops what waits. What was taken is dropped when it comes back. */
  close(): void {
    this.#closed = true;
    for (let entry; (entry = this.#returned.shift() ?? this.#fresh.shift()) !== undefined;) this.#drop(entry);
  }

  #drop({ message }: Entry): void {
    this.messages--;
    this.bytes -= message.size;
    this.#keeper.count(-ENTRY - message.release());
  }
}

/** Entries that came back, lowest place first: a binary heap, for a whole backlog may come back in any order. */
class Returned {
  readonly #heap: Entry[] = [];

  get length(): number {
    return this.#heap.length;
  }

  add(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]!.place < entry.place) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  shift(): Entry | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    const { length } = heap;
    if (length === 0 || last === undefined) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && heap[child + 1]!.place < heap[child]!.place) child++;
      if (heap[child]!.place > last.place) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}
