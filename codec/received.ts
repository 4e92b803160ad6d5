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
import type { KnownNames } from "./known_names.ts";
import { charsetOf, type Chunk, decodeStrict } from "./text.ts";

/** What is known of a head: most of them say the same as one before. */
export interface HeadFacts {
  /** The command. */
  readonly command: string;
  /** How the header lines are read. */
  readonly rules: HeaderRules;
  /** Where the LF behind the command is, from the beginning of the head. */
  readonly commandEnd: number;
  /** The `content-length`; -1 when there is none. */
  readonly contentLength: number;
  /** Whether the `content-type` has parameters, of which one may be a charset. */
  readonly hasParameters: boolean;
  /** Whether the header lines are ASCII; otherwise they have been checked to be UTF-8. */
  readonly ascii: boolean;
  /** The `subscription`, where it is written as it is. */
  readonly subscription: string | undefined;
  /** The names, of heads that are of a known form. */
  readonly names: KnownNames | undefined;
}

/** Where the parts of a frame are, and how to read them. */
export class Received {
  readonly #facts: HeadFacts;
  readonly #chunk: Chunk;
  readonly #head: number;
  readonly #headEnd: number;
  readonly #bodyChunk: Chunk;
  readonly #bodyStart: number;
  readonly #bodyEnd: number;
  /** The id of the subscription, where the decoder has seen it. */
  readonly subscription: string | undefined;
  #block: string | undefined;

  /**
   * Remembers where a head and a body are: often in the same chunk.
   *
   * @param head the LF that ends the command line; the header lines follow it
   * @param headEnd behind the LF of the last header line
   */
  constructor(
    facts: HeadFacts,
    subscription: string | undefined,
    chunk: Chunk,
    head: number,
    headEnd: number,
    bodyChunk: Chunk,
    bodyStart: number,
    bodyEnd: number,
  ) {
    this.#facts = facts;
    this.#chunk = chunk;
    this.#head = head;
    this.#headEnd = headEnd;
    this.#bodyChunk = bodyChunk;
    this.#bodyStart = bodyStart;
    this.#bodyEnd = bodyEnd;
    this.subscription = subscription;
  }

  /** All headers. */
  headers(): Headers {
    const { names, rules } = this.#facts;
    const block = this.#lines().slice(1);
    return names === undefined ? parseHeaders(block, rules) : names.parse(block, rules);
  }

  /** One header, read without the others where that can be. */
  header(name: string): string | undefined {
    // A name that may be escaped on the wire, or that may be only the beginning of a longer one there, has to be read.
    return isPlainHeader(name) ? findHeader(this.#lines(), name, this.#facts.rules) : this.headers()[name];
  }

  /** One header as it is on the wire; its name is one that is never escaped. */
  escapedHeader(name: string): string | undefined {
    return findEscapedHeader(this.#lines(), name, this.#facts.rules);
  }

  /** The charset that the body is said to be in; `undefined` when that is UTF-8, or nothing is said. */
  charset(): string | undefined {
    return this.#facts.hasParameters
      ? charsetOf(findHeader(this.#lines(), "content-type", this.#facts.rules))
      : undefined;
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
    return this.#block ??= this.#facts.ascii
      ? this.#chunk.latin1(this.#head, this.#headEnd)
      : decodeStrict(this.#chunk.part(this.#head, this.#headEnd));
  }
}
