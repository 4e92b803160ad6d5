/**
 * Messages as the embedded broker keeps them, and the memory that their bodies share.
 *
 * @module
 */
import { encodeHeader, type FrameHeaders, headerRules, parseHeaders } from "../codec/headers.ts";
import type { Version } from "../codec/protocol.ts";

/** Headers of a SEND that are meant for the broker, or that only the broker may write on a MESSAGE. */
const BROKER_HEADERS = new Set([
  "destination",
  "content-length",
  "receipt",
  "transaction",
  "subscription",
  "message-id",
  "ack",
  "redelivered",
]);

/** Roughly what a message costs beside its bytes: a million empty ones are not free. */
const MESSAGE_OVERHEAD_BYTES = 256;

const RULES_1_2 = headerRules("MESSAGE", "1.2");

/** Returns the bytes that a text takes in memory: engines use two per unit if any unit is beyond Latin-1. */
export function textBytes(text: string): number {
  return /[^\0-\xff]/.test(text) ? 2 * text.length : text.length;
}

/** A message that waits for its consumers. It owns its memory and is not a view on a received chunk. */
export class StoredMessage {
  /** The `message-id`, unique within the broker. */
  readonly id: string;
  /** The body. */
  readonly body: Uint8Array;
  /** Bytes that count towards the broker's limits, including the body. */
  readonly size: number;
  /** The sender's header lines as 1.2 writes them. */
  readonly #lines: string;
  readonly #hasEscapes: boolean;
  readonly #block: Block | undefined;
  #references = 0;

  /** Creates a message from the headers of a SEND. It takes over `body`, which may be part of a shared block. */
  constructor(id: string, headers: FrameHeaders, body: Uint8Array, block?: Block) {
    let lines = "";
    for (const name in headers) {
      if (!BROKER_HEADERS.has(name)) lines += encodeHeader(name, headers[name]!, RULES_1_2);
    }
    this.id = id;
    this.body = body;
    this.#lines = lines;
    // The search also turns the joined pieces, which are slices of a whole received chunk, into one string.
    this.#hasEscapes = lines.includes("\\");
    this.#block = block;
    this.size = textBytes(lines) + (block === undefined ? body.buffer.byteLength : body.length) +
      MESSAGE_OVERHEAD_BYTES;
  }

  /** Adds a reference. Returns by how many bytes the memory in use grows. */
  retain(): number {
    if (this.#references++ > 0) return 0;
    return this.#block === undefined ? this.size : this.size - this.body.length + this.#block.retain();
  }

  /** Drops a reference. Returns how many bytes that frees. */
  release(): number {
    if (--this.#references > 0) return 0;
    return this.#block === undefined ? this.size : this.size - this.body.length + this.#block.release();
  }

  /** Returns the sender's header lines for a receiver of a version, without those that it cannot carry. */
  lines(version: Version): string {
    // Without escapes the versions agree.
    if (version === "1.2" || !this.#hasEscapes) return this.#lines;
    const rules = headerRules("MESSAGE", version);
    const headers = parseHeaders(this.#lines, RULES_1_2);
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

const EMPTY_BODY = new Uint8Array(0);

/**
 * Copies bodies out of the chunks that they arrived in: a message may wait for a long time, and a view would keep
 * 64 KiB in memory with it. Small bodies share a block, because a separate buffer costs more than a small body. One of
 * them keeps the whole block alive, so the block counts until the last of them is released.
 */
export class BodySlab {
  readonly #blockBytes: number;
  #block: Block;
  #used = 0;

  /** Creates a slab with blocks of that many bytes. */
  constructor(blockBytes: number) {
    this.#blockBytes = blockBytes;
    this.#block = new Block(0);
  }

  /** Creates a message with a copy of the body. */
  createMessage(id: string, headers: FrameHeaders, body: Uint8Array): StoredMessage {
    const { length } = body;
    if (length === 0) return new StoredMessage(id, headers, EMPTY_BODY);
    if (length > this.#blockBytes / 8) {
      // A large body that arrived in pieces has its own memory already.
      return new StoredMessage(id, headers, length * 2 > body.buffer.byteLength ? body : body.slice());
    }
    if (this.#used + length > this.#block.bytes.length) {
      this.#block = new Block(this.#blockBytes);
      this.#used = 0;
    }
    const start = this.#used;
    this.#used += length;
    const { bytes } = this.#block;
    bytes.set(body, start);
    return new StoredMessage(id, headers, bytes.subarray(start, this.#used), this.#block);
  }
}

/** Memory that many small bodies share, counted by reference. */
class Block {
  readonly bytes: Uint8Array;
  #references = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }

  retain(): number {
    return this.#references++ > 0 ? 0 : this.bytes.length;
  }

  release(): number {
    return --this.#references > 0 ? 0 : this.bytes.length;
  }
}
