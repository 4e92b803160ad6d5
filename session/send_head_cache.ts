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
import type { QueueMaker } from "./queue_maker.ts";

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
  /** Whether the caller gave the `content-type`. Default `false`. */
  readonly hasOwnType?: boolean | undefined;
  /** Whether the caller asked for a receipt explicitly. Default `false`. */
  readonly demandsReceipt?: boolean | undefined;
}

/** The encoded heads of the SEND frames of one connection, without receipt, size and body. */
export class SendHeadCache {
  readonly #version: Version;
  readonly #dialect: Dialect;
  readonly #queues: QueueMaker;
  readonly #rules: HeaderRules;
  #plain: HeadsByDestination;
  #persistent: HeadsByDestination | undefined;

  /** Creates an empty cache for a connection of that version to that broker. */
  constructor(version: Version, dialect: Dialect, queues: QueueMaker) {
    this.#version = version;
    this.#dialect = dialect;
    this.#queues = queues;
    this.#rules = headerRules("SEND", version);
    this.#plain = new HeadsByDestination(version, [], queues);
  }

  /**
   * Returns the beginning of a SEND: the command line, `destination`, `content-type` if there is one, the header that
   * makes the message persistent by default, and the declaration of the queue.
   *
   * @throws {TypeError} when the version cannot carry the destination or the type.
   * @throws {UnsupportedByBrokerError} when the broker cannot honour the declaration.
   */
  headFor({ destination, contentType, persistent }: SendParts): Uint8Array {
    if (!persistent) return this.#plain.get(destination, contentType);
    this.#persistent ??= new HeadsByDestination(this.#version, this.#dialect.persistentByDefault, this.#queues);
    return this.#persistent.get(destination, contentType);
  }

  /**
   * Returns the beginning of a SEND that has further headers. These take precedence over the same headers in the
   * declaration of the queue.
   *
   * @param head what `headFor` returned.
   */
  headBeside({ destination, contentType, persistent, headers }: SendParts, head: Uint8Array): Uint8Array {
    if (headers.length === 0 || !this.#queues.mayRepeat(destination, headers)) return head;
    const all = [
      ...(persistent ? this.#dialect.persistentByDefault : []),
      ...this.#queues.headersFor("SEND", destination),
    ];
    const others = all.filter(([name]) => !headers.some(([own]) => own === name));
    return encodeSend(destination, contentType, others, this.#version);
  }

  /** Forgets all heads: a queue was declared. */
  clear(): void {
    this.#plain = new HeadsByDestination(this.#version, [], this.#queues);
    this.#persistent = undefined;
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
      if (name === "persistent" && this.#queues.spoils(name, value)) continue;
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
  readonly #queues: QueueMaker;
  readonly #byType = new Map<string | undefined, Map<string, Uint8Array<ArrayBuffer>>>();
  #count = 0;
  // The last one, since most messages go where the one before them went: two comparisons in place of two look-ups.
  #lastDestination = "";
  #lastType: string | undefined;
  #last = new Uint8Array(0);

  constructor(version: Version, extra: HeaderEntries, queues: QueueMaker) {
    this.#version = version;
    this.#extra = extra;
    this.#queues = queues;
  }

  get(destination: string, contentType: string | undefined): Uint8Array {
    if (destination === this.#lastDestination && contentType === this.#lastType) return this.#last;
    this.#last = this.#byType.get(contentType)?.get(destination) ?? this.#add(destination, contentType);
    this.#lastDestination = destination;
    this.#lastType = contentType;
    return this.#last;
  }

  #add(destination: string, contentType: string | undefined): Uint8Array<ArrayBuffer> {
    const more = [...this.#extra, ...this.#queues.headersFor("SEND", destination)];
    const head = encodeSend(destination, contentType, more, this.#version);
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

function encodeSend(
  destination: string,
  contentType: string | undefined,
  more: HeaderEntries,
  version: Version,
): Uint8Array<ArrayBuffer> {
  const headers: FrameHeaders = { destination, ...Object.fromEntries(more) };
  if (contentType !== undefined) headers["content-type"] = contentType;
  return textEncoder.encode(encodeHead("SEND", headers, 0, true, version));
}
