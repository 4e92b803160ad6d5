/**
 * The fast way to send: most messages have nothing but a destination and a body, so their header lines are encoded once
 * for a connection, and only copied after that.
 *
 * @module
 */
import { encodeHead } from "./encode.ts";
import type { Version } from "./headers.ts";
import { Fifo } from "./queue.ts";

/** How many destinations are kept; who sends to more gains less. */
const KEPT = 1000;

const textEncoder = new TextEncoder();

/** Encoded beginnings of SEND frames: all lines but `receipt` and `content-length`. */
export class PlainHeads {
  readonly #version: Version;
  readonly #texts = new Map<string, Uint8Array>();
  readonly #bytes = new Map<string, Uint8Array>();
  readonly #order = new Fifo<string>();

  /** For a connection of that version. */
  constructor(version: Version) {
    this.#version = version;
  }

  /**
   * The beginning of a SEND of text, which is `text/plain`, or of bytes, which are not said to be anything.
   *
   * @throws {TypeError} when the version cannot carry the destination.
   */
  of(destination: string, text: boolean): Uint8Array {
    const heads = text ? this.#texts : this.#bytes;
    return heads.get(destination) ?? this.#add(heads, destination, text);
  }

  #add(heads: Map<string, Uint8Array>, destination: string, text: boolean): Uint8Array {
    const headers = text ? { destination, "content-type": "text/plain" } : { destination };
    const head = encodeHead("SEND", headers, 0, true, this.#version);
    const bytes = textEncoder.encode(head.slice(0, -1)); // without the empty line
    heads.set(destination, bytes);
    this.#order.push(destination);
    if (this.#order.length > KEPT) {
      const oldest = this.#order.shift()!;
      this.#texts.delete(oldest);
      this.#bytes.delete(oldest);
    }
    return bytes;
  }
}
