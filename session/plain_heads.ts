/**
 * The fast way to send: of most messages, destination and type are those of many others, so these lines are encoded once
 * for a connection, and only copied after that.
 *
 * @module
 */
import { encodeHead } from "../codec/encode.ts";
import {
  encodeName,
  encodeValue,
  type HeaderEntries,
  type HeaderRules,
  headerRules,
  type Headers,
  type Version,
} from "../codec/headers.ts";

/** How many are kept; who sends to more destinations gains less. */
const KEPT = 1000;

const textEncoder = new TextEncoder();

/** Heads of SEND frames, for a connection: their beginnings, and what more there is of some. */
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
   * The beginning of a SEND: the lines of the command, the destination and the `content-type`, if there is one.
   *
   * @throws {TypeError} when the version cannot carry the destination or the type.
   */
  of(destination: string, contentType: string | undefined): Uint8Array {
    return this.#byType.get(contentType)?.get(destination) ?? this.#add(destination, contentType);
  }

  /**
   * Further headers as they are written: names and values by turns.
   *
   * @throws {TypeError} when the version cannot carry a header.
   */
  encode(headers: HeaderEntries): string[] {
    const encoded: string[] = [];
    for (const [name, value] of headers) {
      encoded.push(encodeName(name, this.#rules), encodeValue(name, value, this.#rules));
    }
    return encoded;
  }

  #add(destination: string, contentType: string | undefined): Uint8Array {
    const headers: Headers = contentType === undefined ? { destination } : { destination, "content-type": contentType };
    const text = encodeHead("SEND", headers, 0, true, this.#version).slice(0, -1); // without the empty line
    const head = textEncoder.encode(text);
    if (this.#kept === KEPT) {
      this.#byType.clear();
      this.#kept = 0;
    }
    let heads = this.#byType.get(contentType);
    if (heads === undefined) this.#byType.set(contentType, heads = new Map());
    heads.set(destination, head);
    this.#kept++;
    return head;
  }
}
