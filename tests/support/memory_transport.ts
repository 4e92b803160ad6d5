/**
 * A pair of transports in memory, for tests without sockets.
 *
 * @module
 */
import { ConnectionError } from "../../base/errors.ts";
import { Fifo } from "../../base/fifo.ts";
import { type SocketDriver, SocketTransport } from "../../transport/socket_transport.ts";
import type { Transport } from "../../transport/transport.ts";

/** Options of {@linkcode memoryPair}. */
export interface MemoryPairOptions {
  /**
   * A write is pending while the peer has more than this many bytes unread.
   *
   * @default 65_536
   */
  highWaterMark?: number;
}

/**
 * Returns two transports; what is written to one is read from the other. They behave as sockets do: a write is copied, and
 * stays pending while the peer does not read; closing `writable` ends the peer's `readable` and leaves the other direction
 * open. After `close` the peer still reads what was written before, then the end, and its writes reject with a
 * `ConnectionError`.
 */
export function memoryPair(options: MemoryPairOptions = {}): [Transport, Transport] {
  const ends = [new MemoryEnd(options.highWaterMark), new MemoryEnd(options.highWaterMark)] as const;
  ends[0].peer = ends[1];
  ends[1].peer = ends[0];
  return [ends[0].transport, ends[1].transport];
}

/** One end of a pair, with the bytes that were written to it and not read yet. */
class MemoryEnd implements SocketDriver {
  readonly transport: SocketTransport = new SocketTransport("memory", this);
  peer!: MemoryEnd;
  readonly #highWaterMark: number;
  readonly #unread = new Fifo<Uint8Array>();
  #size = 0;
  #isWanted = false;
  #isScheduled = false;
  #hasEnded = false;
  #isClosed = false;
  /** The write of the peer that waits until enough was read. */
  #pendingWrite: { resolve: () => void; reject: (error: ConnectionError) => void } | undefined;

  constructor(highWaterMark = 64 * 1024) {
    this.#highWaterMark = highWaterMark;
  }

  pull(): void {
    this.#isWanted = true;
    this.#schedule();
  }

  write(bytes: Uint8Array): Promise<void> | void {
    if (this.peer.#isClosed) throw this.#closedError();
    return this.peer.#receive(new Uint8Array(bytes)); // a copy; `slice` of a `Buffer` is a view
  }

  shutdown(): void {
    this.peer.#end();
  }

  destroy(): void {
    this.#isClosed = true;
    this.#unread.clear();
    this.#pendingWrite?.reject(this.peer.#closedError());
    this.peer.#pendingWrite?.reject(this.#closedError());
    this.peer.#end();
  }

  #receive(bytes: Uint8Array): Promise<void> | void {
    this.#unread.push(bytes);
    this.#size += bytes.length;
    this.#schedule();
    if (this.#size > this.#highWaterMark) {
      return new Promise((resolve, reject) => this.#pendingWrite = { resolve, reject });
    }
  }

  #end(): void {
    this.#hasEnded = true;
    this.#isWanted ||= this.#unread.length === 0;
    this.#schedule();
  }

  /** Hands over in a microtask: two ends that answer each other would otherwise nest their calls ever deeper. */
  #schedule(): void {
    if (this.#isScheduled || !this.#isWanted) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      while (this.#isWanted && this.#unread.length > 0) {
        const bytes = this.#unread.shift()!;
        this.#size -= bytes.length;
        this.#isWanted = this.transport.deliver(bytes);
      }
      if (this.#size <= this.#highWaterMark) this.#pendingWrite?.resolve();
      if (this.#hasEnded && this.#unread.length === 0) this.transport.atEnd();
    });
  }

  #closedError(): ConnectionError {
    return this.transport.writeFailed(new Error("the peer has closed the connection"));
  }
}
