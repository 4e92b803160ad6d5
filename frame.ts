/**
 * `Frame`: one STOMP frame as a value, its encoding, and the verbs of stompy's `Frame`, which only delegate.
 *
 * @module
 */
import { mayHaveBody } from "./commands.ts";
import { Conversation, type ReadOptions, type SocketOf, type WaitOptions } from "./conversation.ts";
import { UnknownBrokerResponseError } from "./errors.ts";
import {
  assertVersion,
  encodeHeader,
  findHeader,
  type HeaderRules,
  headerRules,
  type Headers,
  parseHeaders,
  type Version,
} from "./headers.ts";
import { showAs } from "./inspect.ts";
import type { Fifo, IntermediateMessageQueue } from "./queue.ts";
import { type Chunk, decodeLenient, decodeStrict } from "./text.ts";

export type { ReadOptions, WaitOptions } from "./conversation.ts";
export type { Headers, Version } from "./headers.ts";

/** A connection that carries frames: what stompy calls `sock`. `openSocket(url)` gives one, and `Stomp` has one. */
export interface FrameSocket extends SocketOf<Frame> {}

/** What goes into a frame. */
export interface FrameParts {
  /** The command, for example `SEND`. */
  command: string;
  /** The headers. Numbers and booleans are written as text; a header that is `undefined` is left out. */
  headers?: Readonly<Record<string, string | number | boolean | undefined>> | undefined;
  /** The body; text goes out as UTF-8. */
  body?: string | Uint8Array | undefined;
}

/** How a frame is built. */
export interface BuildFrameOptions {
  /** Adds a `receipt` header with a fresh id, unless there is one. Default `false`. */
  wantReceipt?: boolean | undefined;
  /**
   * `false` leaves `content-length` out, which ActiveMQ takes as "this is a text message". The body must then not
   * hold a NUL. Default `true`.
   */
  contentLength?: boolean | undefined;
}

/** Who connects. */
export interface ConnectFrameOptions extends WaitOptions {
  /** The `login` header. */
  username?: string | undefined;
  /** The `passcode` header. */
  password?: string | undefined;
  /** The `client-id` header, which ActiveMQ needs for durable topic subscriptions. */
  clientId?: string | undefined;
}

/** Where a decoder found a frame: offsets into the chunk that holds it. */
export interface FrameLocation {
  /** The bytes the offsets refer to. */
  chunk: Chunk;
  /** The LF that ends the command line; the header lines follow it. */
  head: number;
  /** Behind the LF of the last header line. */
  headEnd: number;
  /** Whether the header lines are ASCII. */
  ascii: boolean;
  /** How the header lines are read. */
  rules: HeaderRules;
}

const EMPTY = new Uint8Array(0);
const textEncoder = new TextEncoder();
const SECRET_HEADERS = new Set(["passcode"]);
const INSPECT_BODY_BYTES = 64;

let receiptCount = 0;

/**
 * A STOMP frame: a command, headers and a body.
 *
 * ```ts
 * import { Frame } from "@x/stompy/frame";
 *
 * const frame = new Frame().buildFrame({ command: "SEND", headers: { destination: "/queue/a" }, body: "hi" });
 * console.log(frame.asString()); // SEND, destination:/queue/a, content-length:2, an empty line, hi, NUL
 * ```
 */
export class Frame {
  /** The command, for example `MESSAGE`. */
  command = "";
  #headers: Headers | undefined;
  #body: Uint8Array | string | undefined;
  #contentLength = true;
  // Where a decoder found the frame. Headers and body are cut out when somebody asks: most headers are never read.
  #chunk: Chunk | undefined;
  #head = 0;
  #headEnd = 0;
  #bodyStart = 0;
  #bodyEnd = 0;
  #rules: HeaderRules | undefined;
  #block: string | undefined;
  #conversation: Conversation<Frame> | undefined;

  /** Creates an empty frame; `sock` is the connection that its verbs use. */
  constructor(sock?: FrameSocket) {
    if (sock !== undefined) this.#talk.sock = sock;
  }

  /**
   * Makes a frame of a decoder's finding. `body` is given when the body lies outside the chunk.
   *
   * @internal
   */
  static found<F extends Frame>(
    type: new () => F,
    command: string,
    at: FrameLocation,
    bodyStart: number,
    bodyEnd: number,
    body?: Uint8Array,
  ): F {
    const frame = new type();
    frame.command = command;
    frame.#chunk = at.chunk;
    frame.#head = at.head;
    frame.#headEnd = at.headEnd;
    frame.#rules = at.rules;
    if (!at.ascii) frame.#block = decodeStrict(at.chunk.bytes.subarray(at.head, at.headEnd));
    frame.#bodyStart = bodyStart;
    frame.#bodyEnd = bodyEnd;
    frame.#body = body;
    return frame;
  }

  /** The headers, decoded. Of a repeated header the first counts. The object has no prototype. */
  get headers(): Headers {
    return this.#headers ??= this.#chunk
      ? parseHeaders(this.#headerBlock().slice(1), this.#rules!)
      : Object.create(null) as Headers;
  }

  /** Replaces the headers. */
  set headers(headers: Headers) {
    this.#headers = headers;
  }

  /** One header, for who needs only that: the others are not decoded for it. */
  header(name: string): string | undefined {
    if (this.#headers !== undefined || this.#chunk === undefined) return this.headers[name];
    return findHeader(this.#headerBlock(), name, this.#rules!);
  }

  /**
   * The body, octet for octet. A received body is a view on the chunk that it came in (64 KiB or so), which stays in
   * memory as long as the view: `body.slice()` or {@linkcode detach} lets go of it.
   */
  get body(): Uint8Array {
    const body = this.#body;
    if (body === undefined) {
      return this.#body = this.#chunk ? this.#chunk.bytes.subarray(this.#bodyStart, this.#bodyEnd) : EMPTY;
    }
    return typeof body === "string" ? this.#body = textEncoder.encode(body) : body;
  }

  /** Replaces the body. */
  set body(body: Uint8Array) {
    this.#body = body;
  }

  /** Size of the body in bytes. */
  get bodyLength(): number {
    if (this.#body === undefined) return this.#bodyEnd - this.#bodyStart;
    return this.body.length;
  }

  /**
   * The body as text: in the `charset` of `content-type`, else UTF-8, where octets that are no UTF-8 become U+FFFD.
   *
   * @throws {RangeError} when the charset is one that the runtime does not know; `body` still has the octets.
   */
  text(): string {
    const body = this.#body;
    if (typeof body === "string") return body;
    const chunk = this.#chunk;
    if (chunk !== undefined) {
      if (this.#headerBlock().includes("charset=")) return this.#textIn(this.header("content-type"));
      if (body === undefined) return chunk.text(this.#bodyStart, this.#bodyEnd);
      return decodeLenient(body);
    }
    return this.#textIn(this.headers["content-type"]);
  }

  /**
   * The body parsed as JSON. `T` is what the caller says it is: nothing checks it.
   *
   * @throws {SyntaxError} when the body is not JSON.
   */
  json<T = unknown>(): T {
    const text = this.text();
    return JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text) as T;
  }

  /**
   * Copies headers and body out of the chunk that the frame was received in, so that keeping the frame keeps nothing
   * else. Worth it for the few of many messages that are kept for long.
   *
   * @returns the frame itself.
   */
  detach(): this {
    if (this.#chunk === undefined) return this;
    const headers: Headers = Object.create(null);
    // A slice of a string keeps the whole string; a trip through bytes makes a new one.
    for (const name in this.headers) {
      headers[decodeLenient(textEncoder.encode(name))] = decodeLenient(textEncoder.encode(this.headers[name]!));
    }
    const body = this.body.slice();
    this.#headers = headers;
    this.#body = body;
    this.#chunk = undefined;
    this.#block = undefined;
    return this;
  }

  /**
   * Fills this frame.
   *
   * @param parts command, headers and body; the object is left as it was.
   * @returns the frame itself.
   * @throws {TypeError} when the body is neither text nor `Uint8Array`, or a header is an object.
   */
  buildFrame(parts: FrameParts, options: BuildFrameOptions = {}): this {
    const { body } = parts;
    if (body !== undefined && body !== null && typeof body !== "string" && !(body instanceof Uint8Array)) {
      throw new TypeError(`Cannot build frame: the body is ${kindOf(body)}, and has to be a string or a Uint8Array`);
    }
    this.command = parts.command;
    this.#headers = plainHeaders(parts.headers);
    this.#body = body ?? undefined;
    this.#chunk = undefined;
    this.#block = undefined;
    this.#bodyStart = this.#bodyEnd = 0;
    this.#contentLength = options.contentLength ?? true;
    if (options.wantReceipt && !("receipt" in this.#headers)) {
      const session = this.#conversation?.session?.["session"];
      this.#headers["receipt"] = `${session ? `${session}-` : ""}frame-${++receiptCount}`;
    }
    return this;
  }

  /**
   * The frame as it goes over the wire.
   *
   * `content-length` is written for every body, with the right number whatever the headers say, unless the frame was
   * built with `contentLength: false`.
   *
   * @throws {TypeError} when the version cannot carry the frame: nothing of it may be sent then.
   */
  encode(version: Version = this.#conversation?.sock?.version ?? "1.2"): Uint8Array {
    const body = this.body;
    const head = textEncoder.encode(this.encodeHead(version, body.length));
    const out = new Uint8Array(head.length + body.length + 1); // the last byte stays NUL
    out.set(head);
    out.set(body, head.length);
    return out;
  }

  /**
   * Command and headers as they go over the wire, up to the empty line.
   *
   * @internal
   */
  encodeHead(version: Version, bodyLength: number): string {
    assertVersion(version);
    const { command } = this;
    if (!/^[A-Z]+$/.test(command)) {
      throw new TypeError(`Cannot encode frame: ${JSON.stringify(command)} is no command`);
    }
    if (bodyLength > 0 && !mayHaveBody(command)) {
      throw new TypeError(`Cannot encode frame: ${command} takes no body, and has one of ${bodyLength} bytes`);
    }
    const rules = headerRules(command, version);
    const { headers } = this;
    let head = `${command}\n`;
    let sized = false;
    for (const name in headers) {
      if (name === "content-length") {
        if (!this.#contentLength) continue;
        sized = true;
        head += `content-length:${bodyLength}\n`;
      } else {
        head += encodeHeader(name, headers[name]!, rules);
      }
    }
    if (!this.#contentLength) {
      if (this.body.includes(0)) {
        throw new TypeError("Cannot encode frame: its body has a NUL, and contentLength is false");
      }
    } else if (bodyLength > 0 && !sized) {
      head += `content-length:${bodyLength}\n`;
    }
    return head + "\n";
  }

  // The verbs of stompy's Frame, from here on.

  /** The connection that the verbs use. */
  get sock(): FrameSocket | undefined {
    return this.#conversation?.sock;
  }

  /** Sets the connection that the verbs use. */
  set sock(sock: FrameSocket | undefined) {
    this.#talk.sock = sock;
  }

  /** The headers of CONNECTED, once {@linkcode connect} has succeeded. */
  get session(): Headers | undefined {
    return this.#conversation?.session;
  }

  /** Messages that arrived while a reply was awaited. */
  get iqueue(): IntermediateMessageQueue<Frame> {
    return this.#talk.iqueue;
  }

  /** Replies that arrived while a message was awaited. */
  get rqueue(): Fifo<Frame> {
    return this.#talk.rqueue;
  }

  /** The frame as text, NUL included: what would be sent to a broker. */
  asString(version?: Version): string {
    return decodeLenient(this.encode(version));
  }

  /**
   * Connects: sends CONNECT over `sock`, waits for CONNECTED, and keeps its headers as {@linkcode session}.
   *
   * @throws {BrokerErrorResponse} when the broker refuses.
   * @throws {UnknownBrokerResponseError} when it answers with anything but CONNECTED.
   */
  async connect(sock: FrameSocket, options: ConnectFrameOptions = {}): Promise<void> {
    this.sock = sock;
    this.buildFrame({
      command: "CONNECT",
      headers: {
        "accept-version": "1.0,1.1,1.2",
        host: sock.host,
        login: options.username,
        passcode: options.password,
        "client-id": options.clientId,
      },
    });
    await this.sendFrame(this);
    const reply = await this.getReply(options);
    if (reply?.command !== "CONNECTED") {
      throw new UnknownBrokerResponseError(`Cannot connect: the broker answered ${reply?.command ?? "nothing"}`, {
        frame: reply,
      });
    }
    this.#talk.session = reply.headers;
  }

  /** Takes the next MESSAGE; replies that come before it are kept for {@linkcode getReply}. */
  getMessage(options: ReadOptions = {}): Promise<Frame | undefined> {
    return this.#talk.getMessage(options);
  }

  /** Takes the next frame that is no MESSAGE; messages that come before it are kept for {@linkcode getMessage}. */
  getReply(options: ReadOptions = {}): Promise<Frame | undefined> {
    return this.#talk.getReply(options);
  }

  /**
   * Takes the next frame off the socket, whatever it is.
   *
   * @throws {BrokerErrorResponse} when it is ERROR.
   * @throws {NotConnectedError} when there is no socket.
   */
  parseFrame(options: ReadOptions = {}): Promise<Frame | undefined> {
    return this.#talk.parseFrame(options);
  }

  /** The command of a frame given as text. */
  parseCommand(text: string): string {
    return text.split(/\r?\n/, 1)[0] ?? "";
  }

  /** The headers of a block of header lines given as text, read as the connection's version says. */
  parseHeaders(text: string): Headers {
    const version = this.#conversation?.sock?.version ?? "1.2";
    return parseHeaders(text.replace(/\r?\n$/, ""), headerRules("MESSAGE", version));
  }

  /**
   * Sends a frame.
   *
   * @returns the reply, when the frame asked for a receipt.
   */
  sendFrame(frame: Frame, options: WaitOptions = {}): Promise<Frame | undefined> {
    return this.#talk.sendFrame(frame, options);
  }

  /** What `JSON.stringify` makes of a frame: the body as text, and no passcode. */
  toJSON(): { command: string; headers: Headers; body: string } {
    return { command: this.command, headers: withoutSecrets(this.headers), body: this.text() };
  }

  #headerBlock(): string {
    return this.#block ??= this.#chunk!.latin1.slice(this.#head, this.#headEnd);
  }

  #textIn(contentType: string | undefined): string {
    const charset = contentType && /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(contentType)?.[1];
    if (!charset || /^utf-?8$/i.test(charset)) return decodeLenient(this.body);
    return new TextDecoder(charset, { ignoreBOM: true }).decode(this.body);
  }

  get #talk(): Conversation<Frame> {
    return this.#conversation ??= new Conversation<Frame>();
  }
}

showAs(Frame, (frame) => {
  const { length } = frame.body;
  const text = decodeLenient(frame.body.subarray(0, INSPECT_BODY_BYTES));
  return {
    frame: frame.command,
    headers: withoutSecrets(frame.headers),
    body: length > INSPECT_BODY_BYTES ? `${text}… (${length} bytes)` : text,
  };
});

function plainHeaders(given: FrameParts["headers"]): Headers {
  const headers: Headers = Object.create(null);
  for (const name of Object.keys(given ?? {})) {
    const value = given![name];
    if (value === undefined) continue;
    if (typeof value === "object" || typeof value === "function" || typeof value === "symbol") {
      throw new TypeError(`Cannot build frame: header ${JSON.stringify(name)} is ${kindOf(value)}, and has to be text`);
    }
    headers[name] = String(value);
  }
  return headers;
}

function withoutSecrets(headers: Headers): Headers {
  const shown: Headers = Object.create(null);
  for (const name in headers) shown[name] = SECRET_HEADERS.has(name) ? "…" : headers[name]!;
  return shown;
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return typeof value === "object" ? `a ${value.constructor?.name ?? "object"}` : `of type ${typeof value}`;
}
