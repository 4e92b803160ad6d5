/**
 * Memory that is reused.
 *
 * @module
 */

/** Keeps the last `maxBuffers` unused buffers of the process for reuse, so that a thousand idle connections hold none. */
export class BufferPool {
  readonly #maxBuffers: number;
  readonly #free: Uint8Array<ArrayBuffer>[] = []; // the last one that was given back is at the end

  /** Creates an empty pool. */
  constructor(maxBuffers: number) {
    this.#maxBuffers = maxBuffers;
  }

  /**
   * Takes the last buffer that was given back, of those with `minBytes` to `maxBytes` bytes. Its contents are undefined.
   *
   * @returns `undefined` when there is none.
   */
  take(minBytes: number = 0, maxBytes: number = Infinity): Uint8Array<ArrayBuffer> | undefined {
    const free = this.#free;
    for (let i = free.length - 1; i >= 0; i--) {
      const { length } = free[i]!;
      if (length >= minBytes && length <= maxBytes) return i === free.length - 1 ? free.pop() : free.splice(i, 1)[0];
    }
    return undefined;
  }

  /** Gives a buffer back. Nothing may use it, or a view of it, from then on. */
  give(buffer: Uint8Array<ArrayBuffer>): void {
    if (buffer.length === 0) return;
    this.#free.push(buffer);
    if (this.#free.length > this.#maxBuffers) this.#free.shift();
  }
}
