/**
 * `Frame`: one STOMP frame as a value, and its encoding.
 *
 * @module
 */
import { showControls, StompError, textOf } from "../base/errors.ts";
import type { Fifo } from "../base/fifo.ts";
import { setInspect } from "../base/inspect.ts";
import type { ReadOptions, WaitOptions } from "../base/timers.ts";
import { type Bytes, unshared } from "./bytes.ts";
import { assertBody, checkCharset, encodeHead, type FrameParts, toHeaders } from "./encoder.ts";
import { type ConnectFrameOptions, FrameVerbs, type IntermediateMessageQueue, type SocketOf } from "./frame_verbs.ts";
import type { FrameView } from "./frame_view.ts";
import { type FrameHeaders, headerRules, parseHeaders } from "./headers.ts";
import { hideSecrets } from "./mask.ts";
import { mayHaveBody, type Version } from "./protocol.ts";
import { charsetOf, decodeCharset, decodeLenient, ownText } from "./text.ts";

/** A connection that carries frames: stompy's `sock`. `openSocket(url)` returns one, and `Stomp` has one. */
export interface FrameSocket extends SocketOf<Frame> {}

/** Options of {@linkcode Frame.buildFrame}. */
export interface BuildFrameOptions {
  /**
   * Whether to add a `receipt` header with a new id, unless there is one.
   *
   * @default {false}
   */
  wantReceipt?: boolean | undefined;
  /**
   * Whether to write `content-length`. ActiveMQ takes a message without it as a text message. A body without it must not
   * hold a NUL.
   *
   * @default {true}
   */
  contentLength?: boolean | undefined;
}

const EMPTY = new Uint8Array(0);
const textEncoder = new TextEncoder();
const MAX_INSPECTED_BODY_BYTES = 64;

let receiptCount = 0;

/** Returns where a decoder found a frame, while headers or body are still read from there. */
export let viewOf: (frame: Frame) => FrameView | undefined;

/** Makes a frame of what a decoder found. */
export let receivedFrame: <F extends Frame>(type: new () => F, command: string, view: FrameView) => F;

/** Returns a header of a received frame as it is on the wire; `undefined` once its headers were read or replaced. */
export let escapedHeaderOf: (frame: Frame, name: string) => string | undefined;

/** Returns the `subscription` header of a frame; of a received one the decoder has usually read it already. */
export let subscriptionOf: (frame: Frame) => string | undefined;

/**
 * Returns the command line and the header lines of a frame as they go over the wire, without the empty line. Throws a
 * `TypeError` when the version cannot carry the frame.
 */
export let encodeHeadOf: (frame: Frame, version: Version, bodyLength: number) => string;

/** Returns the body if it is text, and if nothing but its `content-length` has to be added to the headers. */
export let textToSend: (frame: Frame) => string | undefined;

/**
 * A STOMP frame: a command, headers and a body.
 *
 * @example
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
  #view: FrameView | undefined; // of a received frame: what was not read or replaced is still there
  #usedVerbs: FrameVerbs<Frame> | undefined; // made when a verb is used: few frames have any use for them

  static {
    viewOf = (frame) => frame.#view;
    receivedFrame = (type, command, view) => {
      const frame = new type();
      frame.command = command;
      frame.#view = view;
      return frame;
    };
    escapedHeaderOf = (frame, name) => frame.#headers === undefined ? frame.#view?.escapedHeader(name) : undefined;
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
    subscriptionOf = (frame) => frame.#view?.subscription ?? frame.header("subscription");
  }

  /** Creates an empty frame; `sock` is the connection that its verbs use. */
  constructor(sock?: FrameSocket) {
    if (sock !== undefined) this.sock = sock;
  }

  /** The headers, decoded. Of a repeated header the first counts. The object has no prototype. */
  get headers(): FrameHeaders {
    return this.#headers ??= this.#view?.headers() ?? Object.create(null) as FrameHeaders;
  }

  /** Replaces the headers. */
  set headers(headers: FrameHeaders) {
    this.#headers = headers;
  }

  /** Returns one header without decoding the others. */
  header(name: string): string | undefined {
    return this.#headers !== undefined || this.#view === undefined ? this.headers[name] : this.#view.header(name);
  }

  /**
   * The body in bytes.
   *
   * A received frame keeps the chunk that it came in in memory (64 KiB or so; 512 KiB in Bun): its bytes, on which the
   * body is a view, or, where the chunk was ASCII and its memory is in use again, its text, from which the body is made
   * when it is first read. {@linkcode detach} frees the chunk; `body.slice()` is a copy that keeps nothing else.
   */
  get body(): Uint8Array<ArrayBuffer> {
    const body = this.#body;
    if (body === undefined) return this.#body = this.#view?.body() ?? EMPTY;
    return typeof body === "string" ? this.#body = textEncoder.encode(body) : body;
  }

  /** Replaces the body. */
  set body(body: Uint8Array) {
    assertBody(body);
    this.#body = body === undefined || body === null ? EMPTY : unshared(body);
  }

  /** Size of the body in bytes. */
  get bodyLength(): number {
    return this.#body === undefined ? this.#view?.bodyLength ?? 0 : this.body.length;
  }

  /**
   * Returns the body as text: in the `charset` of `content-type`, otherwise as UTF-8, where bytes that are not UTF-8
   * become U+FFFD.
   *
   * @throws {StompError} when the runtime does not know the charset; `body` still has the bytes.
   */
  text(): string {
    const body = this.#body;
    if (typeof body === "string") return body;
    const isRead = this.#headers !== undefined || this.#view === undefined;
    const charset = isRead ? charsetOf(this.headers["content-type"]) : this.#view!.charset();
    if (charset !== undefined) return this.#decode(charset);
    return body === undefined ? this.#view?.text() ?? "" : decodeLenient(body);
  }

  #decode(charset: string): string {
    try {
      return decodeCharset(this.body, charset);
    } catch (cause) {
      const what = `the charset ${showControls(charset)} is unknown here; its body has the octets`;
      throw new StompError(`Cannot read ${this.command} as text: ${what}`, { cause, frame: this });
    }
  }

  /**
   * Parses the body as JSON. `T` is what the caller expects: nothing checks it.
   *
   * @throws {SyntaxError} when the body is not JSON.
   */
  json<T = unknown>(): T {
    const text = this.text();
    return JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text) as T;
  }

  /**
   * Copies headers and body out of the chunk that the frame came in, so that keeping the frame keeps nothing else in
   * memory. Worth it for the few of many messages that are kept for long.
   *
   * @returns the frame itself.
   */
  detach(): this {
    if (this.#view === undefined) return this;
    const headers: FrameHeaders = Object.create(null);
    for (const name in this.headers) headers[ownText(name)] = ownText(this.headers[name]!);
    const body = this.body.slice();
    this.#headers = headers;
    this.#body = body;
    this.#view = undefined;
    return this;
  }

  /**
   * Fills this frame.
   *
   * @example
   * ```ts
   * import { Frame } from "@x/stompy/frame";
   *
   * const headers = { destination: "/queue/a", persistent: true };
   * const frame = new Frame().buildFrame({ command: "SEND", headers, body: "hi" }, { wantReceipt: true });
   * console.log(frame.header("receipt")); // frame-1
   * ```
   * @param parts command, headers and body; the object is not changed.
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
    this.#view = undefined;
    this.#contentLength = options.contentLength ?? true;
    if (options.wantReceipt && !("receipt" in headers)) {
      const session = this.#usedVerbs?.session?.["session"];
      headers["receipt"] = `${session ? `${session}-` : ""}frame-${++receiptCount}`;
    }
    return this;
  }

  /**
   * Returns the frame as it goes over the wire.
   *
   * Every body gets a `content-length` with the right number, whatever the headers say, unless the frame was built with
   * `contentLength: false`.
   *
   * @param version the version of the connection; without it that of `sock`, otherwise `"1.2"`.
   * @throws {TypeError} when the version cannot carry the frame.
   */
  encode(version: Version = this.#usedVerbs?.sock?.version ?? "1.2"): Uint8Array<ArrayBuffer> {
    const body = this.body;
    const head = textEncoder.encode(`${encodeHeadOf(this, version, body.length)}\n`);
    const out = new Uint8Array(head.length + body.length + 1); // the last byte stays NUL
    out.set(head);
    out.set(body, head.length);
    return out;
  }

  /**
   * Returns the frame as text, NUL included, as {@linkcode encode} would send it.
   *
   * @throws {TypeError} when the version cannot carry the frame.
   */
  asString(version?: Version): string {
    return decodeLenient(this.encode(version));
  }

  /** Returns what `JSON.stringify` writes: the body as text, and no passcode. */
  toJSON(): { command: string; headers: FrameHeaders; body: string } {
    const body = textOf(this) ?? decodeLenient(this.body); // writing a log must not fail on a charset
    return { command: this.command, headers: hideSecrets(this.headers), body };
  }

  // The verbs of stompy's `Frame`.

  /** The connection that the verbs use. */
  get sock(): FrameSocket | undefined {
    return this.#usedVerbs?.sock;
  }

  /** Sets the connection that the verbs use. */
  set sock(sock: FrameSocket | undefined) {
    this.#verbs.sock = sock;
  }

  /** The headers of CONNECTED, once {@linkcode connect} has succeeded. */
  get session(): FrameHeaders | undefined {
    return this.#usedVerbs?.session;
  }

  /** Messages that arrived while a reply was awaited. */
  get iqueue(): IntermediateMessageQueue<Frame> {
    return this.#verbs.iqueue;
  }

  /** Replies that arrived while a message was awaited. */
  get rqueue(): Fifo<Frame> {
    return this.#verbs.rqueue;
  }

  /**
   * Connects: sends CONNECT over `sock`, waits for CONNECTED, and keeps its headers as {@linkcode session}.
   *
   * @example
   * ```ts
   * import { Frame, openSocket } from "@x/stompy";
   *
   * const sock = await openSocket("stomp://localhost:61613");
   * const frame = new Frame();
   * await frame.connect(sock, { username: "guest", password: "guest" });
   * const send = { command: "SEND", headers: { destination: "/queue/a", receipt: "r1" }, body: "hi" };
   * console.log((await frame.sendFrame(new Frame().buildFrame(send)))?.command); // RECEIPT
   * await sock.close();
   * ```
   * @throws {BrokerErrorResponse} when the broker refuses.
   * @throws {UnknownBrokerResponseError} when it answers with anything but CONNECTED.
   */
  async connect(sock: FrameSocket, options: ConnectFrameOptions = {}): Promise<void> {
    this.sock = sock;
    const headers = {
      "accept-version": "1.0,1.1,1.2",
      host: sock.host,
      login: options.username,
      passcode: options.password,
      "client-id": options.clientId,
    };
    await this.#verbs.connect(this.buildFrame({ command: "CONNECT", headers }), options);
  }

  /**
   * Takes the next MESSAGE; replies that come before it are kept for {@linkcode getReply}.
   *
   * @returns the message; `undefined` with `nb` when none is waiting.
   * @throws {BrokerErrorResponse} when an ERROR comes first.
   */
  getMessage(options: ReadOptions = {}): Promise<Frame | undefined> {
    return this.#verbs.getMessage(options);
  }

  /**
   * Takes the next frame that is not a MESSAGE; messages that come before it are kept for {@linkcode getMessage}.
   *
   * @returns the reply; `undefined` with `nb` when none is waiting.
   * @throws {BrokerErrorResponse} when an ERROR comes first.
   */
  getReply(options: ReadOptions = {}): Promise<Frame | undefined> {
    return this.#verbs.getReply(options);
  }

  /**
   * Takes the next frame off the socket, whatever it is.
   *
   * @throws {BrokerErrorResponse} when it is ERROR.
   * @throws {NotConnectedError} when there is no socket.
   */
  parseFrame(options: ReadOptions = {}): Promise<Frame | undefined> {
    return this.#verbs.parseFrame(options);
  }

  /** Returns the command of a frame given as text. */
  parseCommand(text: string): string {
    return text.split(/\r?\n/, 1)[0] ?? "";
  }

  /** Parses a block of header lines given as text, by the rules of the connection's version. */
  parseHeaders(text: string): FrameHeaders {
    return parseHeaders(text.replace(/\r?\n$/, ""), headerRules("MESSAGE", this.sock?.version ?? "1.2"));
  }

  /**
   * Sends a frame.
   *
   * @returns the RECEIPT, when the frame asks for one.
   * @throws {BrokerErrorResponse} when an ERROR comes before the RECEIPT.
   * @throws {NotConnectedError} when there is no socket.
   */
  sendFrame(frame: Frame, options: WaitOptions = {}): Promise<Frame | undefined> {
    return this.#verbs.sendFrame(frame, options);
  }

  get #verbs(): FrameVerbs<Frame> {
    return this.#usedVerbs ??= new FrameVerbs<Frame>();
  }
}

setInspect(Frame, (frame) => {
  const { length } = frame.body;
  const text = decodeLenient(frame.body.subarray(0, MAX_INSPECTED_BODY_BYTES));
  return {
    frame: frame.command,
    headers: hideSecrets(frame.headers),
    body: length > MAX_INSPECTED_BODY_BYTES ? `${text}… (${length} bytes)` : text,
  };
});
