/**
 * A frame as it was found in received bytes. Headers, body and text are cut out when somebody asks for them, because of
 * most frames only some of it is ever read.
 *
 * @module
 */
import {
  findEscapedHeader,
  findHeader,
  type HeaderRules,
  type Headers,
  isPlainHeader,
  parseHeaders,
} from "./headers.ts";
import { charsetOf, type Chunk, decodeStrict } from "./text.ts";

/** Where the parts of a frame are, and how to read them. */
export class Received {
  /** How the header lines are read. */
  readonly rules: HeaderRules;
  readonly #chunk: Chunk;
  readonly #head: number;
  readonly #headEnd: number;
  readonly #ascii: boolean;
  #block: string | undefined;
  #bodyChunk: Chunk;
  #bodyStart = 0;
  #bodyEnd = 0;
  /** Whether the content-type has parameters, of which one may be a charset. */
  hasParameters = false;
  /** The id of the subscription, where the decoder has seen it. */
  subscription: string | undefined = undefined;

  /**
   * Remembers where a head is; the body is empty until {@linkcode placeBody} says more.
   *
   * @param head the LF that ends the command line; the header lines follow it
   * @param headEnd behind the LF of the last header line
   * @param ascii whether the header lines are ASCII; otherwise they have been checked to be UTF-8
   */
  constructor(chunk: Chunk, head: number, headEnd: number, ascii: boolean, rules: HeaderRules) {
    this.#chunk = this.#bodyChunk = chunk;
    this.#head = head;
    this.#headEnd = headEnd;
    this.#ascii = ascii;
    this.rules = rules;
  }

  /** Says where the body is: often in the chunk that has the head as well. */
  placeBody(chunk: Chunk, start: number, end: number): void {
    this.#bodyChunk = chunk;
    this.#bodyStart = start;
    this.#bodyEnd = end;
  }

  /** All headers. */
  headers(): Headers {
    return parseHeaders(this.#lines().slice(1), this.rules);
  }

  /** One header, read without the others where that can be. */
  header(name: string): string | undefined {
    // A name that may be escaped on the wire, or that may be only the beginning of a longer one there, has to be read.
    return isPlainHeader(name) ? findHeader(this.#lines(), name, this.rules) : this.headers()[name];
  }

  /** One header as it is on the wire; its name is one that is never escaped. */
  escapedHeader(name: string): string | undefined {
    return findEscapedHeader(this.#lines(), name, this.rules);
  }

  /** The charset that the body is said to be in; `undefined` when that is UTF-8, or nothing is said. */
  charset(): string | undefined {
    return this.hasParameters ? charsetOf(findHeader(this.#lines(), "content-type", this.rules)) : undefined;
  }

  /** Size of the body in bytes. */
  get bodyLength(): number {
    return this.#bodyEnd - this.#bodyStart;
  }

  /** The body: a view on its chunk, or a copy where that has only text any more. */
  body(): Uint8Array {
    return this.#bodyChunk.part(this.#bodyStart, this.#bodyEnd);
  }

  /** The body as UTF-8 text. */
  text(): string {
    return this.#bodyChunk.text(this.#bodyStart, this.#bodyEnd);
  }

  /** The header lines, with the LF before the first of them. */
  #lines(): string {
    return this.#block ??= this.#ascii
      ? this.#chunk.latin1(this.#head, this.#headEnd)
      : decodeStrict(this.#chunk.part(this.#head, this.#headEnd));
  }
}
