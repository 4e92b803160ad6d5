/**
 * Where the beginning of a frame is kept while its chunk is let go.
 *
 * @module
 */
import { type Bytes, Chunk } from "./text.ts";

/** What is allocated at least. */
const LEAST = 1 << 9;

/** What is used again at most. */
const MOST = 1 << 14;

/** Memory that nobody has anything in, the last used one last: a connection has some only while a frame is cut. */
const ROOMS: Bytes[] = [];
const MOST_ROOMS = 16;

const NO_ROOM: Bytes = new Uint8Array(0);

/** Bytes that come one behind the other. Their memory is used again: every chunk may end inside of a frame. */
export class ReassemblyBuffer {
  #room = NO_ROOM;
  #length = 0;
  #chunk: Chunk | undefined;

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  /** Begins with what is between `start` and `end`. */
  begin(bytes: Uint8Array, start: number, end: number): void {
    this.#room = ROOMS.pop() ?? NO_ROOM;
    this.#length = 0;
    this.append(bytes, start, end);
  }

  /** Adds what is between `start` and `end`. Room doubles, so that single bytes cost linear time. */
  append(bytes: Uint8Array, start: number, end: number): void {
    const length = this.#length + end - start;
    if (length > this.#room.length) {
      const room = new Uint8Array(Math.max(LEAST, length, this.#room.length * 2));
      room.set(this.#room.subarray(0, this.#length));
      this.#room = room;
    }
    this.#room.set(bytes.subarray(start, end), this.#length);
    this.#length = length;
  }

  /** Keeps only so many of the bytes. */
  cut(length: number): void {
    this.#length = length;
  }

  /** What there is. */
  chunk(): Chunk {
    return this.#chunk = new Chunk(this.#room.subarray(0, this.#length), { isBorrowed: true });
  }

  /** Ends it. The chunk that was given out last says the same as before. */
  end(): void {
    const room = this.#room;
    if (room.length <= MOST) {
      this.#chunk?.moveOut();
      giveRoom(room);
    }
    this.#chunk = undefined;
    this.#room = NO_ROOM;
    this.#length = 0;
  }
}

function giveRoom(room: Bytes): void {
  if (room.length === 0) return;
  ROOMS.push(room);
  if (ROOMS.length > MOST_ROOMS) ROOMS.shift();
}
