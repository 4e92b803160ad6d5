/**
 * The fast way to send: of most messages, destination and type are those of many others, so these lines are encoded once
 * for a connection, and only copied after that.
 *
 * @module
 */
import { encodeHead } from "./encode.ts";
import { encodeHeader, type HeaderRules, headerRules, type Headers, type Version } from "./headers.ts";

/** How many are kept; who sends to more destinations gains less. */
const KEPT = 1000;

const textEncoder = new TextEncoder();

/** Encoded beginnings of SEND frames, and the lines that follow them. */
export class PlainHeads {
  readonly #version: Version;
  readonly #rules: HeaderRules;
  readonly #byType = new Map<string | undefined, Map<string, Uint8Array>>();
  #kept = 0;

  /** For a connection of that version. */
  constructor(version: Version) {
    this.#version = version;
    this.#rules = headerRules("SEND", version);
  }

  /**
   * The beginning of a SEND of something that is of that `content-type`, or not said to be anything.
   *
   * @throws {TypeError} when the version cannot carry the destination or the type.
   */
  of(destination: string, contentType: string | undefined): Uint8Array {
    return this.#byType.get(contentType)?.get(destination) ?? this.#add(destination, contentType);
  }

  /**
   * The lines of further headers.
   *
   * @throws {TypeError} when the version cannot carry them.
   */
  lines(headers: readonly (readonly [name: string, value: string])[]): string {
    let lines = "";
    for (const [name, value] of headers) lines += encodeHeader(name, value, this.#rules);
    return lines;
  }

  #add(destination: string, contentType: string | undefined): Uint8Array {
    const headers: Headers = contentType === undefined ? { destination } : { destination, "content-type": contentType };
    const head = encodeHead("SEND", headers, 0, true, this.#version);
    const bytes = textEncoder.encode(head.slice(0, -1)); // without the empty line
    if (this.#kept === KEPT) {
      this.#byType.clear();
      this.#kept = 0;
    }
    let heads = this.#byType.get(contentType);
    if (heads === undefined) this.#byType.set(contentType, heads = new Map());
    heads.set(destination, bytes);
    this.#kept++;
    return bytes;
  }
}
