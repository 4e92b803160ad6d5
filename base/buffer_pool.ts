/**
 * Memory that is used again.
 *
 * @module
 */

/**
 * Buffers that no one uses at the moment. The process keeps the last `maxBuffers` of them, and drops older ones; a
 * thousand idle connections hold none.
 */
export class BufferPool {
  readonly #maxBuffers: number;
  readonly #free: Uint8Array<ArrayBuffer>[] = []; // the one that was given back last is at the end

  /** Creates an empty pool. */
  constructor(maxBuffers: number) {
    this.#maxBuffers = maxBuffers;
  }

  /**
   * Takes the buffer that was given back last, of those that have `minBytes` to `maxBytes` bytes. Its contents are
   * whatever they were.
   *
   * @returns `undefined` when there is none.
   */
  take(minBytes: number = 0, maxBytes: number = Infinity): Uint8Array<ArrayBuffer> | undefined {
    const free = this.#free;
    const at = free.findLastIndex(({ length }) => length >= minBytes && length <= maxBytes);
    if (at === free.length - 1) return free.pop();
    return at < 0 ? undefined : free.splice(at, 1)[0];
  }

  /** Gives a buffer back. No one may use it, or a view on it, from then on. */
  give(buffer: Uint8Array<ArrayBuffer>): void {
    if (buffer.length === 0) return;
    this.#free.push(buffer);
    if (this.#free.length > this.#maxBuffers) this.#free.shift();
  }
}
