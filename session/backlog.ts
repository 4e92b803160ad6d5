/**
 * Counts the received frames that wait in queues: their bytes, and the memory that they retain.
 *
 * @module
 */
import type { Meter } from "../base/bounded_queue.ts";
import { type Frame, viewOf } from "../codec/frame.ts";
import { type FrameView, moveOut } from "../codec/frame_view.ts";
import type { Chunk } from "../codec/chunk.ts";

/** Bytes that may wait in all queues of a client before reading stops. */
const MAX_QUEUED_BYTES = 1 << 26;

/** Frames are moved when they retain this many bytes beyond twice their size. A chunk has up to 512 KiB. */
const SLACK_BYTES = 1 << 20;

/** Memory that waiting frames retain. */
interface RetainedMemory {
  /** Its size in bytes. */
  readonly size: number;
  /** Bytes of the waiting frames in it. */
  used: number;
}

/**
 * Counts the frames that wait in several queues. A frame retains the whole chunk that it arrived in, so a few small frames
 * can retain a lot of memory. When the frames retain more than twice their size, those in sparse chunks are copied out.
 */
export class Backlog implements Meter<Frame> {
  readonly #onFull: (full: boolean, frame?: Frame) => void;
  #queues: Set<Iterable<Frame>> | undefined; // made when the first frame waits
  #maxBytes = MAX_QUEUED_BYTES;
  #full = false;
  #hasReported = false; // reset once less than half of the limit waits
  #bytes = 0;
  #retained = 0; // an upper bound; a review corrects it
  // Those of the frame before: the next one is usually in the same chunk.
  #chunk: Chunk | undefined;
  #memory: object | undefined;

  /**
   * Calls `onFull` when too much waits, and when there is capacity again. `onFull` also gets the last frame when the
   * backlog is full for the first time since less than half of the limit waited.
   */
  constructor(onFull: (full: boolean, frame?: Frame) => void = () => {}) {
    this.#onFull = onFull;
  }

  /** Bytes of the waiting frames. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Upper bound of the bytes of memory that they retain. */
  get retained(): number {
    return this.#retained;
  }

  /** Whether so much waits that reading should stop. */
  get full(): boolean {
    return this.#full;
  }

  /** Counts the frames of a queue from now on. The queue alone may hold `bytes`. */
  enter(queue: Iterable<Frame>, bytes: number): void {
    (this.#queues ??= new Set()).add(queue);
    this.#maxBytes = Math.max(this.#maxBytes, bytes);
  }

  /** Stops counting the frames of a queue. */
  leave(queue: Iterable<Frame>): void {
    if (!this.#queues?.delete(queue)) return;
    for (const frame of queue) this.remove(frame);
  }

  /** Counts a frame that is queued. Returns its size in bytes. */
  add(frame: Frame): number {
    const received = viewOf(frame);
    if (received === undefined) return 0;
    const { size, chunk } = received;
    this.#bytes += size;
    if (chunk !== this.#chunk) this.#addChunk(chunk);
    if (this.#bytes >= this.#maxBytes && !this.#full) {
      this.#full = true;
      const isFirst = !this.#hasReported;
      this.#hasReported = true;
      this.#onFull(true, isFirst ? frame : undefined);
    }
    return size;
  }

  /** Counts a frame that leaves its queue. Returns its size in bytes. */
  remove(frame: Frame): number {
    const size = viewOf(frame)?.size ?? 0;
    this.#bytes -= size;
    if (this.#bytes === 0) {
      this.#retained = 0;
      this.#chunk = this.#memory = undefined;
    }
    if (this.#hasReported) this.#onRemoved();
    return size;
  }

  #onRemoved(): void {
    if (this.#bytes * 2 <= this.#maxBytes) this.#hasReported = false;
    if (!this.#full || this.#bytes >= this.#maxBytes) return;
    this.#full = false;
    this.#onFull(false);
  }

  #addChunk(chunk: Chunk): void {
    this.#chunk = chunk;
    const { memory } = chunk;
    if (memory === this.#memory) return;
    this.#memory = memory;
    this.#retained += chunk.memorySize;
    if (this.#retained > this.#bytes * 2 + SLACK_BYTES) this.#review(chunk.memorySize);
  }

  /** Measures the retained memory, and moves frames when it is too much. Skips the chunk that is being decoded. */
  #review(current: number): void {
    const all = new Map<object, RetainedMemory>();
    this.#eachOutside((received, memory) => {
      const retained = all.get(memory);
      if (retained === undefined) all.set(memory, { size: received.chunk.memorySize, used: received.size });
      else retained.used += received.size;
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
    this.#retained = total;
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
