/**
 * The fast way to send: of most messages, destination and type are those of many others, so these lines are encoded once
 * for a connection, and only copied after that.
 *
 * @module
 */
import { encodeHead } from "../codec/encoder.ts";
import {
  type BrokerFamily,
  messageHeaders,
  persistentByDefault,
  type PortableSendOptions,
} from "../dialects/dialect.ts";
import {
  encodeName,
  encodeValue,
  type FrameHeaders,
  type HeaderEntries,
  type HeaderRules,
  headerRules,
  type Version,
} from "../codec/headers.ts";

/** How many are kept; who sends to more destinations gains less. */
const KEPT = 1000;

const textEncoder = new TextEncoder();

/** A message of which no frame is made. */
export interface SendParts {
  /** Where it goes. */
  readonly destination: string;
  /** Its `content-type`, if that is not among the headers. */
  readonly contentType: string | undefined;
  /** Further headers, but for `destination`, `receipt` and `content-length`. */
  readonly headers: HeaderEntries;
  /** Whether it has to survive a restart of the broker because its sender waits for the receipt and says nothing else. */
  readonly persistent: boolean;
  /** What has another name on each broker. */
  readonly options: PortableSendOptions | undefined;
  /** The body. */
  readonly body: string | Uint8Array;
}

/** What is written of SEND frames on a connection, but for receipt, size and body. */
export class SendHeadCache {
  readonly #version: Version;
  readonly #family: BrokerFamily;
  readonly #rules: HeaderRules;
  readonly #usual: HeadsByDestination;
  #persistent: HeadsByDestination | undefined;

  /** For a connection of that version to that broker. */
  constructor(version: Version, family: BrokerFamily) {
    this.#version = version;
    this.#family = family;
    this.#rules = headerRules("SEND", version);
    this.#usual = new HeadsByDestination(version, []);
  }

  /**
   * The beginning of a SEND: the lines of the command, the destination, the `content-type`, if there is one, and what
   * makes it persistent, if that is the default for it.
   *
   * @throws {TypeError} when the version cannot carry the destination or the type.
   */
  of({ destination, contentType, persistent }: SendParts): Uint8Array {
    if (!persistent) return this.#usual.of(destination, contentType);
    this.#persistent ??= new HeadsByDestination(this.#version, persistentByDefault(this.#family));
    return this.#persistent.of(destination, contentType);
  }

  /**
   * Further headers as they are written, names and values by turns. What an option is called here counts more than a
   * header.
   *
   * @throws {TypeError} when the version cannot carry a header.
   */
  headersOf({ headers, options }: SendParts): readonly string[] {
    if (options === undefined) return headers.length === 0 ? NO_MORE : this.#encode(headers);
    const named = messageHeaders(options, this.#family);
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

const NO_MORE: readonly string[] = [];

/** Beginnings of heads, by destination and `content-type`. */
class HeadsByDestination {
  readonly #version: Version;
  readonly #extra: HeaderEntries;
  readonly #byType = new Map<string | undefined, Map<string, Uint8Array>>();
  #kept = 0;

  /** Each of them with `extra` header lines. */
  constructor(version: Version, extra: HeaderEntries) {
    this.#version = version;
    this.#extra = extra;
  }

  of(destination: string, contentType: string | undefined): Uint8Array {
    return this.#byType.get(contentType)?.get(destination) ?? this.#add(destination, contentType);
  }

  #add(destination: string, contentType: string | undefined): Uint8Array {
    const headers: FrameHeaders = { destination, ...Object.fromEntries(this.#extra) };
    if (contentType !== undefined) headers["content-type"] = contentType;
    const head = textEncoder.encode(encodeHead("SEND", headers, 0, true, this.#version));
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
