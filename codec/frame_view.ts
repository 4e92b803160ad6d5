/**
 * A frame as it was found in received bytes. Headers, body and text are cut out when somebody asks for them, because of
 * most frames only some of it is ever read.
 *
 * @module
 */
import {
  findEscapedHeader,
  findHeader,
  type FrameHeaders,
  type HeaderRules,
  isPlainHeader,
  parseHeaders,
} from "./headers.ts";
import type { HeaderLayout } from "./header_layout.ts";
import { charsetOf, decodeStrict, ownText } from "./text.ts";
import type { Bytes } from "./bytes.ts";
import { Chunk } from "./chunk.ts";

/** What is known of a head: most of them say the same as one before. */
export interface HeadInfo {
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
  readonly names: HeaderLayout | undefined;
}

/** Where the parts of a frame are, and how to read them. */
export class FrameView {
  readonly #facts: HeadInfo;
  #chunk: Chunk;
  #head: number;
  #headEnd: number;
  #bodyChunk: Chunk;
  #bodyStart: number;
  #bodyEnd: number;
  /** The id of the subscription, where the decoder has seen it. */
  subscription: string | undefined;
  #block: string | undefined;

  /**
   * Remembers where a head and a body are: often in the same chunk.
   *
   * @param head the LF that ends the command line; the header lines follow it
   * @param headEnd behind the LF of the last header line
   */
  constructor(
    facts: HeadInfo,
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
  headers(): FrameHeaders {
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

  /** Size of header lines and body in bytes. */
  get size(): number {
    return this.#headEnd - this.#head + this.#bodyEnd - this.#bodyStart;
  }

  /** The chunk that the frame keeps in memory. One whose head was cut off has a second one, of its own. */
  get chunk(): Chunk {
    return this.#bodyChunk;
  }

  /** The body: a view on its chunk, or a copy where that has only text any more. */
  body(): Bytes {
    return this.#bodyChunk.view(this.#bodyStart, this.#bodyEnd);
  }

  /** The body as UTF-8 text. */
  text(): string {
    return this.#bodyChunk.text(this.#bodyStart, this.#bodyEnd);
  }

  /** The header lines, with the LF before the first of them. */
  #lines(): string {
    return this.#block ??= this.#facts.ascii
      ? this.#chunk.latin1(this.#head, this.#headEnd)
      : decodeStrict(this.#chunk.view(this.#head, this.#headEnd));
  }

  /** Copies the frame to `at` in `bytes`, which `chunk` wraps, and lets go of the chunks that it was in. */
  moveTo(chunk: Chunk, bytes: Bytes, at: number): void {
    const bodyAt = at + this.#headEnd - this.#head;
    this.#chunk.copy(this.#head, this.#headEnd, bytes, at);
    this.#bodyChunk.copy(this.#bodyStart, this.#bodyEnd, bytes, bodyAt);
    this.#bodyEnd += bodyAt - this.#bodyStart;
    this.#bodyStart = bodyAt;
    this.#head = at;
    this.#headEnd = bodyAt;
    this.#chunk = this.#bodyChunk = chunk;
    // Both may be slices of the old chunk's text.
    this.#block = undefined;
    this.subscription = this.subscription && ownText(this.subscription);
  }
}

/** Bytes of a chunk that frames are moved to, unless a single frame is larger. */
const MOVED = 1 << 16;

/** Moves frames, in the order in which they will be let go of, into chunks that hold nothing else. */
export function moveOut(frames: readonly FrameView[]): void {
  let from = 0;
  while (from < frames.length) {
    let to = from;
    let length = 0;
    do length += frames[to++]!.size; while (to < frames.length && length + frames[to]!.size <= MOVED);
    const bytes = new Uint8Array(length);
    // Kept as bytes: a text of all of them would double what they take.
    const chunk = new Chunk(bytes, "owned");
    let at = 0;
    for (; from < to; from++) {
      const frame = frames[from]!;
      frame.moveTo(chunk, bytes, at);
      at += frame.size;
    }
  }
}
