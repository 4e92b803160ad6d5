/**
 * `Frame`: one STOMP frame as a value, its encoding, and the verbs of stompy's `Frame`, which only delegate.
 *
 * @module
 */
import { mayHaveBody } from "./protocol.ts";
import { FrameVerbs, type SocketOf } from "./frame_verbs.ts";
import type { ReadOptions, WaitOptions } from "../base/timers.ts";
import { assertBody, checkCharset, encodeHead, type FrameParts, toHeaders } from "./encoder.ts";
import { showControls, StompError, UnknownBrokerResponseError } from "../base/errors.ts";
import { type FrameHeaders, headerRules, parseHeaders, type Version } from "./headers.ts";
import { setInspect } from "../base/inspect.ts";
import type { Fifo, IntermediateMessageQueue } from "../base/fifo.ts";
import type { FrameView } from "./frame_view.ts";
import { type Bytes, charsetOf, decodeLenient, ownText, unshared } from "./text.ts";

/** A connection that carries frames: what stompy calls `sock`. `openSocket(url)` gives one, and `Stomp` has one. */
export interface FrameSocket extends SocketOf<Frame> {}

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

const EMPTY = new Uint8Array(0);
const textEncoder = new TextEncoder();
const SECRET_HEADERS = new Set(["passcode"]);
const INSPECT_BODY_BYTES = 64;

let receiptCount = 0;

/** Where a decoder found a frame, while headers and body are still read from there. */
export let viewOf: (frame: Frame) => FrameView | undefined;

/**
 * Command and header lines of a frame as they go over the wire, without the empty line. Throws a `TypeError` when the
 * version cannot carry the frame.
 */
export let encodeHeadOf: (frame: Frame, version: Version, bodyLength: number) => string;

/** The body, if it is text, and the only thing to add to the other headers is its `content-length`. */
export let textToSend: (frame: Frame) => string | undefined;

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
  #headers: FrameHeaders | undefined;
  #body: Bytes | string | undefined;
  #contentLength = true;
  // Where a decoder found the frame: what nobody has read or replaced is still there.
  #received: FrameView | undefined;
  #conversation: FrameVerbs<Frame> | undefined;

  static {
    viewOf = (frame) => frame.#received;
    encodeHeadOf = (frame, version, bodyLength) => {
      const head = encodeHead(frame.command, frame.headers, bodyLength, frame.#contentLength, version);
      if (!frame.#contentLength && frame.body.includes(0)) {
        throw new TypeError("Cannot encode frame: its body has a NUL, and contentLength is false");
      }
      return head;
    };
    textToSend = (frame) => {
      const body = frame.#body;
      const isSimple = typeof body === "string" && frame.#contentLength && mayHaveBody(frame.command);
      return isSimple && !("content-length" in frame.headers) ? body : undefined;
    };
  }

  /** Creates an empty frame; `sock` is the connection that its verbs use. */
  constructor(sock?: FrameSocket) {
    if (sock !== undefined) this.#talk.sock = sock;
  }

  /**
   * Makes a frame of a decoder's finding.
   *
   * @internal
   */
  static found<F extends Frame>(type: new () => F, command: string, received: FrameView): F {
    const frame = new type();
    frame.command = command;
    frame.#received = received;
    return frame;
  }

  /** The headers, decoded. Of a repeated header the first counts. The object has no prototype. */
  get headers(): FrameHeaders {
    return this.#headers ??= this.#received?.headers() ?? Object.create(null) as FrameHeaders;
  }

  /** Replaces the headers. */
  set headers(headers: FrameHeaders) {
    this.#headers = headers;
  }

  /** One header, for who needs only that: the others are not decoded for it. */
  header(name: string): string | undefined {
    return this.#headers !== undefined || this.#received === undefined
      ? this.headers[name]
      : this.#received.header(name);
  }

  /**
   * One header of a received frame as it is on the wire, while nobody has read or replaced the headers.
   *
   * @internal
   */
  escapedHeader(name: string): string | undefined {
    return this.#headers === undefined ? this.#received?.escapedHeader(name) : undefined;
  }

  /**
   * The `subscription` header of a received frame, which its decoder has at hand.
   *
   * @internal
   */
  get subscriptionId(): string | undefined {
    return this.#received?.subscription ?? this.header("subscription");
  }

  /**
   * The body, octet for octet. A received frame holds on to the chunk that it came in (64 KiB or so; 512 KiB in Bun): to
   * its bytes, on which the body is a view, or, where those were all ASCII and are read over, to its text, from which the
   * body is made when it is first asked for. {@linkcode detach} lets go of the chunk; `body.slice()` is a copy that holds
   * on to nothing.
   */
  get body(): Uint8Array<ArrayBuffer> {
    const body = this.#body;
    if (body === undefined) return this.#body = this.#received?.body() ?? EMPTY;
    return typeof body === "string" ? this.#body = textEncoder.encode(body) : body;
  }

  /** Replaces the body. */
  set body(body: Uint8Array) {
    assertBody(body);
    this.#body = body === undefined || body === null ? EMPTY : unshared(body);
  }

  /** Size of the body in bytes. */
  get bodyLength(): number {
    return this.#body === undefined ? this.#received?.bodyLength ?? 0 : this.body.length;
  }

  /**
   * The body as text: in the `charset` of `content-type`, else UTF-8, where octets that are no UTF-8 become U+FFFD.
   *
   * @throws {StompError} when the charset is one that the runtime does not know; `body` still has the octets.
   */
  text(): string {
    const body = this.#body;
    if (typeof body === "string") return body;
    const isRead = this.#headers !== undefined || this.#received === undefined;
    const charset = isRead ? charsetOf(this.headers["content-type"]) : this.#received!.charset();
    if (charset !== undefined) return this.#decode(charset);
    return body === undefined ? this.#received?.text() ?? "" : decodeLenient(body);
  }

  #decode(charset: string): string {
    let decoder: TextDecoder;
    try {
      decoder = new TextDecoder(charset, { ignoreBOM: true });
    } catch (cause) {
      const what = `the charset ${showControls(charset)} is unknown here; its body has the octets`;
      throw new StompError(`Cannot read ${this.command} as text: ${what}`, { cause, frame: this });
    }
    return decoder.decode(this.body);
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
    if (this.#received === undefined) return this;
    const headers: FrameHeaders = Object.create(null);
    for (const name in this.headers) headers[ownText(name)] = ownText(this.headers[name]!);
    const body = this.body.slice();
    this.#headers = headers;
    this.#body = body;
    this.#received = undefined;
    return this;
  }

  /**
   * Fills this frame.
   *
   * @param parts command, headers and body; the object is left as it was.
   * @returns the frame itself.
   * @throws {TypeError} when the body is neither text nor `Uint8Array`, or text that the `content-type` says to be in
   * another charset than UTF-8; when a header is an object.
   */
  buildFrame(parts: FrameParts, options: BuildFrameOptions = {}): this {
    const { command, body } = parts;
    assertBody(body);
    const headers = toHeaders(parts.headers);
    checkCharset(body, headers["content-type"]);
    this.command = command;
    this.#headers = headers;
    this.#body = typeof body === "string" ? body : body && unshared(body);
    this.#received = undefined;
    this.#contentLength = options.contentLength ?? true;
    if (options.wantReceipt && !("receipt" in headers)) {
      const session = this.#conversation?.session?.["session"];
      headers["receipt"] = `${session ? `${session}-` : ""}frame-${++receiptCount}`;
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
  encode(version: Version = this.#conversation?.sock?.version ?? "1.2"): Uint8Array<ArrayBuffer> {
    const body = this.body;
    const head = textEncoder.encode(`${encodeHeadOf(this, version, body.length)}\n`);
    const out = new Uint8Array(head.length + body.length + 1); // the last byte stays NUL
    out.set(head);
    out.set(body, head.length);
    return out;
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
  get session(): FrameHeaders | undefined {
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
        frame: reply && this.#talk.toShow(reply),
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
  parseHeaders(text: string): FrameHeaders {
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
  toJSON(): { command: string; headers: FrameHeaders; body: string } {
    let body: string;
    try {
      body = this.text();
    } catch {
      body = decodeLenient(this.body); // who writes a log must not fail on a charset
    }
    return { command: this.command, headers: withoutSecrets(this.headers), body };
  }

  get #talk(): FrameVerbs<Frame> {
    return this.#conversation ??= new FrameVerbs<Frame>();
  }
}

setInspect(Frame, (frame) => {
  const { length } = frame.body;
  const text = decodeLenient(frame.body.subarray(0, INSPECT_BODY_BYTES));
  return {
    frame: frame.command,
    headers: withoutSecrets(frame.headers),
    body: length > INSPECT_BODY_BYTES ? `${text}… (${length} bytes)` : text,
  };
});

function withoutSecrets(headers: FrameHeaders): FrameHeaders {
  const shown: FrameHeaders = Object.create(null);
  for (const name in headers) shown[name] = SECRET_HEADERS.has(name) ? "…" : headers[name]!;
  return shown;
}
