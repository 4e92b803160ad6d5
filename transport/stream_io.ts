/**
 * `StreamIo`: both directions of a pair of Web Streams as plain calls, for transports that have nothing else.
 *
 * @module
 */
import { describeType } from "../base/checks.ts";
import { ConnectionError } from "../base/errors.ts";
import { type ByteSink, describeSocketError, type DirectIo } from "./socket_transport.ts";

/** A pair of streams, and the name of the peer for messages. */
export interface NamedStreams {
  /** What the peer sends. */
  readonly readable: ReadableStream<Uint8Array>;
  /** What goes to the peer. */
  readonly writable: WritableStream<Uint8Array>;
  /** The name of the peer. */
  readonly peer: string;
}

/** {@linkcode DirectIo} over Web Streams. */
export class StreamIo implements DirectIo {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #peer: string;
  #goOn: (() => void) | undefined;

  /**
   * Locks the streams.
   *
   * @throws {TypeError} when they are locked already.
   */
  constructor({ readable, writable, peer }: NamedStreams) {
    this.#reader = readable.getReader();
    this.#writer = writable.getWriter();
    this.#writer.closed.catch(() => {}); // each write reports the failure as well
    this.#reader.closed.catch(() => {});
    this.#peer = peer;
  }

  read(sink: ByteSink): void {
    this.#pump(sink).then(
      () => sink.done(undefined),
      (cause) => sink.done(this.#wrap("read from", cause)),
    );
  }

  resume(): void {
    this.#goOn?.();
    this.#goOn = undefined;
  }

  release(): void {}

  write(bytes: Uint8Array): Promise<void> {
    return this.#writer.write(bytes).catch((cause) => {
      throw this.#wrap("write to", cause);
    });
  }

  end(): Promise<void> {
    return this.#writer.close().catch((cause) => {
      throw this.#wrap("write to", cause);
    });
  }

  /** Gives up both directions. Rejects when a stream does. */
  async abandon(): Promise<void> {
    await Promise.all([this.#reader.cancel(), this.#writer.abort()]);
  }

  async #pump(sink: ByteSink): Promise<void> {
    while (true) {
      const { value, done } = await this.#reader.read();
      if (done) return;
      if (!sink.chunk(plainBytes(value))) await new Promise<void>((resolve) => this.#goOn = resolve);
    }
  }

  #wrap(action: string, cause: unknown): ConnectionError {
    if (cause instanceof ConnectionError) return cause;
    return new ConnectionError(`Cannot ${action} ${this.#peer}: ${describeSocketError(cause)}`, { cause });
  }
}

/** Returns a chunk as a `Uint8Array` and not as a `Buffer`, whose `slice` returns a view. */
function plainBytes(chunk: unknown): Uint8Array {
  if (!(chunk instanceof Uint8Array)) {
    throw new TypeError(`a chunk of its readable is ${describeType(chunk)}, but must be a Uint8Array`);
  }
  return chunk.constructor === Uint8Array ? chunk : new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length);
}
