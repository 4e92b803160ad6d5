/**
 * A frame as it was found in received bytes. Headers, body and text are cut out when they are read, because programs read
 * only a part of most frames.
 *
 * @module
 */
import type { Bytes } from "./bytes.ts";
import { Chunk } from "./chunk.ts";
import {
  findEscapedHeader,
  findHeader,
  type FrameHeaders,
  type HeaderLayout,
  type HeaderRules,
  isPlainHeader,
  parseHeaders,
} from "./headers.ts";
import { charsetOf, decodeStrict, ownText } from "./text.ts";

/** What the parser found in a head. Heads that match a template share one. */
export interface HeadInfo {
  /** The command. */
  readonly command: string;
  /** How the header lines are read. */
  readonly rules: HeaderRules;
  /** The LF after the command, counted from the beginning of the head. */
  readonly commandEnd: number;
  /** The `content-length`; -1 when there is none. */
  readonly contentLength: number;
  /** Whether the `content-type` has parameters, of which one may be a charset. */
  readonly hasParameters: boolean;
  /** Whether the header lines are ASCII; otherwise they were checked to be UTF-8. */
  readonly ascii: boolean;
  /** The `subscription`, where it is plain ASCII on the wire. */
  readonly subscription: string | undefined;
  /** The names of the headers, where the head matches a template. */
  readonly layout: HeaderLayout | undefined;
}

/** Where the parts of a frame are, and how to read them. */
export class FrameView {
  readonly #info: HeadInfo;
  #chunk: Chunk;
  #head: number;
  #headEnd: number;
  #bodyChunk: Chunk;
  #bodyStart: number;
  #bodyEnd: number;
  /** The id of the subscription, where the decoder has read it. */
  subscription: string | undefined;
  #block: string | undefined;

  /**
   * Notes where head and body are: often in the same chunk.
   *
   * @param head the LF that ends the command line; the header lines follow it
   * @param headEnd after the LF of the last header line
   */
  constructor(
    info: HeadInfo,
    subscription: string | undefined,
    chunk: Chunk,
    head: number,
    headEnd: number,
    bodyChunk: Chunk,
    bodyStart: number,
    bodyEnd: number,
  ) {
    this.#info = info;
    this.#chunk = chunk;
    this.#head = head;
    this.#headEnd = headEnd;
    this.#bodyChunk = bodyChunk;
    this.#bodyStart = bodyStart;
    this.#bodyEnd = bodyEnd;
    this.subscription = subscription;
  }

  /** Decodes all headers. */
  headers(): FrameHeaders {
    const { layout, rules } = this.#info;
    const block = this.#lines().slice(1);
    return layout === undefined ? parseHeaders(block, rules) : layout.parse(block, rules);
  }

  /** Returns one header, without decoding the others where that is possible. */
  header(name: string): string | undefined {
    // A name that may be escaped on the wire, or may be the beginning of a longer one there, needs all headers.
    return isPlainHeader(name) ? findHeader(this.#lines(), name, this.#info.rules) : this.headers()[name];
  }

  /** Returns one header as it is on the wire; its name must be one that is never escaped. */
  escapedHeader(name: string): string | undefined {
    return findEscapedHeader(this.#lines(), name, this.#info.rules);
  }

  /** Returns the charset that the `content-type` names; `undefined` when that is UTF-8 or it names none. */
  charset(): string | undefined {
    return this.#info.hasParameters
      ? charsetOf(findHeader(this.#lines(), "content-type", this.#info.rules))
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

  /** The chunk that the frame keeps in memory. A frame whose head was cut also keeps a small one for the head. */
  get chunk(): Chunk {
    return this.#bodyChunk;
  }

  /** Returns the body: a view on its chunk where that allows one, otherwise a copy. */
  body(): Bytes {
    return this.#bodyChunk.view(this.#bodyStart, this.#bodyEnd);
  }

  /** Returns the body as UTF-8 text. */
  text(): string {
    return this.#bodyChunk.text(this.#bodyStart, this.#bodyEnd);
  }

  /** The header lines, with the LF before the first of them. */
  #lines(): string {
    return this.#block ??= this.#info.ascii
      ? this.#chunk.latin1(this.#head, this.#headEnd)
      : decodeStrict(this.#chunk.view(this.#head, this.#headEnd));
  }

  /** Copies the frame to `at` in `bytes`, which `chunk` wraps, so that it no longer keeps the chunks it was in. */
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

/** Size of the chunks that frames are moved to, unless a single frame is larger. */
const MOVED_CHUNK_BYTES = 1 << 16;

/** Moves frames, in the order in which they will be freed, into chunks that hold nothing else. */
export function moveOut(frames: readonly FrameView[]): void {
  let from = 0;
  while (from < frames.length) {
    let to = from;
    let length = 0;
    do length += frames[to++]!.size; while (to < frames.length && length + frames[to]!.size <= MOVED_CHUNK_BYTES);
    const bytes = new Uint8Array(length);
    const chunk = new Chunk(bytes, "owned"); // without a text of the whole, which would double its memory
    let at = 0;
    for (; from < to; from++) {
      const frame = frames[from]!;
      frame.moveTo(chunk, bytes, at);
      at += frame.size;
    }
  }
}
