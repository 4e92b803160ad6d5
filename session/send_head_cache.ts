/**
 * The fast way to send. Most messages share destination and type with many others, so these header lines are encoded
 * once for a connection and only copied after that.
 *
 * @module
 */
import { encodeHead } from "../codec/encoder.ts";
import { type Dialect, messageHeaders, type PortableSendOptions } from "../dialects/dialect.ts";
import {
  encodeName,
  encodeValue,
  type FrameHeaders,
  type HeaderEntries,
  type HeaderRules,
  headerRules,
} from "../codec/headers.ts";
import type { Version } from "../codec/protocol.ts";

/** Heads that a connection keeps. A program that sends to more destinations gains less. */
const MAX_HEADS = 1000;

const textEncoder = new TextEncoder();

/** A message that is sent without a `Frame` being made of it. */
export interface SendParts {
  /** The destination. */
  readonly destination: string;
  /** The `content-type`, unless it is among the headers. */
  readonly contentType: string | undefined;
  /** Further headers, without `destination`, `receipt` and `content-length`. */
  readonly headers: HeaderEntries;
  /** Whether the message is persistent by default: the sender waits for the receipt and says nothing else. */
  readonly persistent: boolean;
  /** Options whose header differs between brokers. */
  readonly options: PortableSendOptions | undefined;
  /** The body. */
  readonly body: string | Uint8Array;
}

/** The encoded heads of the SEND frames of one connection, without receipt, size and body. */
export class SendHeadCache {
  readonly #version: Version;
  readonly #dialect: Dialect;
  readonly #rules: HeaderRules;
  readonly #plain: HeadsByDestination;
  #persistent: HeadsByDestination | undefined;

  /** Creates an empty cache for a connection of that version to that broker. */
  constructor(version: Version, dialect: Dialect) {
    this.#version = version;
    this.#dialect = dialect;
    this.#rules = headerRules("SEND", version);
    this.#plain = new HeadsByDestination(version, []);
  }

  /**
   * Returns the beginning of a SEND: the command line, `destination`, `content-type` if there is one, and the header that
   * makes the message persistent by default.
   *
   * @throws {TypeError} when the version cannot carry the destination or the type.
   */
  headFor({ destination, contentType, persistent }: SendParts): Uint8Array {
    if (!persistent) return this.#plain.get(destination, contentType);
    this.#persistent ??= new HeadsByDestination(this.#version, this.#dialect.persistentByDefault);
    return this.#persistent.get(destination, contentType);
  }

  /**
   * Returns the further headers in encoded form, names and values by turns. Where an option and a header have the same
   * name, the option counts.
   *
   * @throws {TypeError} when the version cannot carry a header.
   */
  headersFor({ headers, options }: SendParts): readonly string[] {
    if (options === undefined) return headers.length === 0 ? NO_HEADERS : this.#encode(headers);
    const named = messageHeaders(options, this.#dialect);
    if (headers.length === 0) return this.#encode(named);
    const all = headers.map((entry) => named.find(([name]) => name === entry[0]) ?? entry);
    return this.#encode([...all, ...named.filter((entry) => !all.includes(entry))]);
  }

  #encode(headers: HeaderEntries): string[] {
    const encoded: string[] = [];
    for (const [name, value] of headers) {
      encoded.push(encodeName(name, this.#rules), encodeValue(name, value, this.#rules));
    }
    return encoded;
  }
}

const NO_HEADERS: readonly string[] = [];

/** Heads by `content-type` and destination, each with the same extra headers. */
class HeadsByDestination {
  readonly #version: Version;
  readonly #extra: HeaderEntries;
  readonly #byType = new Map<string | undefined, Map<string, Uint8Array<ArrayBuffer>>>();
  #count = 0;
  // The last one, since most messages go where the one before them went: two comparisons in place of two look-ups.
  #lastDestination = "";
  #lastType: string | undefined;
  #last = new Uint8Array(0);

  constructor(version: Version, extra: HeaderEntries) {
    this.#version = version;
    this.#extra = extra;
  }

  get(destination: string, contentType: string | undefined): Uint8Array {
    if (destination === this.#lastDestination && contentType === this.#lastType) return this.#last;
    this.#last = this.#byType.get(contentType)?.get(destination) ?? this.#add(destination, contentType);
    this.#lastDestination = destination;
    this.#lastType = contentType;
    return this.#last;
  }

  #add(destination: string, contentType: string | undefined): Uint8Array<ArrayBuffer> {
    const headers: FrameHeaders = { destination, ...Object.fromEntries(this.#extra) };
    if (contentType !== undefined) headers["content-type"] = contentType;
    const head = textEncoder.encode(encodeHead("SEND", headers, 0, true, this.#version));
    if (this.#count === MAX_HEADS) {
      this.#byType.clear();
      this.#count = 0;
    }
    let heads = this.#byType.get(contentType);
    if (heads === undefined) this.#byType.set(contentType, heads = new Map());
    heads.set(destination, head);
    this.#count++;
    return head;
  }
}
