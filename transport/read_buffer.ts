/**
 * Memory to read into, for runtimes that read into the caller's memory.
 *
 * @module
 */

const FIRST_BLOCK_BYTES = 512;
const USUAL_BLOCK_BYTES = 4 * 1024;
const MAX_BLOCK_BYTES = 64 * 1024;

/** A read of at most this many bytes is copied out: the heart-beats of a day must not use up a block. */
const MAX_HEARTBEAT_BYTES = 2;

/**
 * Blocks of memory, filled by one read after the other. Frames keep views on what was read, so it is never written to
 * again, unless it is released: small reads share a block instead of taking one each. The first block is for CONNECTED,
 * and enough for a thousand idle connections; blocks grow while single reads fill them.
 */
export class ReadBuffer {
  readonly #target: () => Uint8Array | undefined;
  #ownTarget: Uint8Array | undefined; // set while a read goes to memory of the sink
  #block = new Uint8Array(FIRST_BLOCK_BYTES);
  #used = 0;
  #isFilled = false;
  #mayRelease = false;

  /** Creates an empty buffer; `target` is asked before each read whether the sink has memory for the next bytes. */
  constructor(target: () => Uint8Array | undefined = () => undefined) {
    this.#target = target;
  }

  /** The memory to read into next. */
  get space(): Uint8Array {
    this.#ownTarget = this.#target();
    if (this.#ownTarget !== undefined) return this.#ownTarget;
    const { length } = this.#block;
    this.#mayRelease = false; // from here on a read may be under way, to the memory behind it
    // With less than half of the block left, reads would become too small to be worth their system call.
    if (length - this.#used < length / 2) {
      const size = this.#isFilled ? Math.min(length * 8, MAX_BLOCK_BYTES) : Math.max(length, USUAL_BLOCK_BYTES);
      this.#block = new Uint8Array(size);
      this.#used = 0;
    }
    return this.#used === 0 ? this.#block : this.#block.subarray(this.#used);
  }

  /** Returns the first `length` bytes of {@linkcode ReadBuffer.space}, which have just been read. */
  take(length: number): Uint8Array {
    if (this.#ownTarget !== undefined) return this.#ownTarget.subarray(0, length);
    const start = this.#used;
    if (length <= MAX_HEARTBEAT_BYTES) return this.#block.slice(start, start + length);
    this.#used += length;
    this.#isFilled = this.#used === this.#block.length;
    this.#mayRelease = true;
    return this.#block.subarray(start, this.#used);
  }

  /**
   * Lets the next read overwrite what {@linkcode ReadBuffer.take} returned last. Does nothing once
   * {@linkcode ReadBuffer.space} was read again.
   */
  release(bytes: Uint8Array): void {
    const isLast = bytes.buffer === this.#block.buffer && bytes.byteOffset + bytes.length === this.#used;
    const mayGrow = this.#isFilled && this.#block.length < MAX_BLOCK_BYTES;
    if (this.#mayRelease && isLast && !mayGrow) this.#used = bytes.byteOffset;
    this.#mayRelease = false; // the bytes before these are not the last ones that were returned
  }
}
