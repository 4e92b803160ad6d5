/**
 * Received frames that wait to be taken: how many bytes they are, and how much memory they keep.
 *
 * @module
 */
import type { Meter } from "../base/bounded_queue.ts";
import { type Frame, viewOf } from "../codec/frame.ts";
import { type FrameView, moveOut } from "../codec/frame_view.ts";
import type { Chunk } from "../codec/chunk.ts";

/** Bytes that wait in all queues of a client before nothing more is read. */
const MAX_BYTES = 1 << 26;

/** Bytes by which kept memory may exceed twice what waits before frames are moved. A chunk has up to 512 KiB. */
const SLACK = 1 << 20;

/** Memory that waiting frames keep. */
interface Kept {
  /** Bytes of it. */
  readonly size: number;
  /** Bytes of the frames that wait in it. */
  used: number;
}

/**
 * Counts the frames that wait in several queues. A frame keeps the whole chunk that it came in, so a few small frames
 * can keep a lot of memory. When more than twice the size of the frames is kept, those of sparse chunks are copied out.
 */
export class Backlog implements Meter<Frame> {
  readonly #onFull: (full: boolean, frame?: Frame) => void;
  #queues: Set<Iterable<Frame>> | undefined; // since a frame had to wait
  #maxBytes = MAX_BYTES;
  #full = false;
  #told = false; // that it is full, since half of that waited
  #bytes = 0;
  #kept = 0; // bytes of memory, at most: what was taken meanwhile is found out by a review
  // Of the frame that was added last: the next one is mostly in the same.
  #chunk: Chunk | undefined;
  #memory: object | undefined;

  /**
   * Calls `onFull` when too much waits, and when there is room again. It also gets the last frame, when the backlog has
   * become full for the first time since half of that waited.
   */
  constructor(onFull: (full: boolean, frame?: Frame) => void = () => {}) {
    this.#onFull = onFull;
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of memory that they keep, at most. */
  get kept(): number {
    return this.#kept;
  }

  /** Whether so much waits that nothing more is to be read. */
  get full(): boolean {
    return this.#full;
  }

  /** Counts the frames of a queue from now on, which may hold `bytes` by itself. */
  enter(queue: Iterable<Frame>, bytes: number): void {
    (this.#queues ??= new Set()).add(queue);
    this.#maxBytes = Math.max(this.#maxBytes, bytes);
  }

  /** Counts the frames of a queue no more. */
  leave(queue: Iterable<Frame>): void {
    if (!this.#queues?.delete(queue)) return;
    for (const frame of queue) this.remove(frame);
  }

  /** A frame begins to wait. Returns its size. */
  add(frame: Frame): number {
    const received = viewOf(frame);
    if (received === undefined) return 0;
    const { size, chunk } = received;
    this.#bytes += size;
    if (chunk !== this.#chunk) this.#addChunk(chunk);
    if (this.#bytes >= this.#maxBytes && !this.#full) {
      this.#full = true;
      const isNews = !this.#told;
      this.#told = true;
      this.#onFull(true, isNews ? frame : undefined);
    }
    return size;
  }

  /** It waits no more. Returns its size. */
  remove(frame: Frame): number {
    const size = viewOf(frame)?.size ?? 0;
    this.#bytes -= size;
    if (this.#bytes === 0) {
      this.#kept = 0;
      this.#chunk = this.#memory = undefined;
    }
    if (this.#told) this.#onLess();
    return size;
  }

  #onLess(): void {
    if (this.#bytes * 2 <= this.#maxBytes) this.#told = false;
    if (!this.#full || this.#bytes >= this.#maxBytes) return;
    this.#full = false;
    this.#onFull(false);
  }

  #addChunk(chunk: Chunk): void {
    this.#chunk = chunk;
    const { memory } = chunk;
    if (memory === this.#memory) return;
    this.#memory = memory;
    this.#kept += chunk.memorySize;
    if (this.#kept > this.#bytes * 2 + SLACK) this.#review(chunk.memorySize);
  }

  /** Finds out what is kept, and moves frames if it is too much. The memory that is being read is left alone. */
  #review(current: number): void {
    const all = new Map<object, Kept>();
    this.#eachOutside((received, memory) => {
      const kept = all.get(memory);
      if (kept === undefined) all.set(memory, { size: received.chunk.memorySize, used: received.size });
      else kept.used += received.size;
    });
    let total = current;
    for (const { size } of all.values()) total += size;
    if (total > this.#bytes * 2) {
      const moved: FrameView[] = [];
      this.#eachOutside((received, memory) => {
        const { size, used } = all.get(memory)!;
        if (used * 2 < size) moved.push(received);
      });
      moveOut(moved);
      for (const { size, used } of all.values()) if (used * 2 < size) total -= size - used;
    }
    this.#kept = total;
  }

  #eachOutside(visit: (received: FrameView, memory: object) => void): void {
    for (const queue of this.#queues!) {
      for (const frame of queue) {
        const received = viewOf(frame);
        if (received === undefined) continue;
        const { memory } = received.chunk;
        if (memory !== this.#memory) visit(received, memory);
      }
    }
  }
}
