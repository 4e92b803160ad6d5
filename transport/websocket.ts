/**
 * STOMP over WebSocket, through the `WebSocket` of the runtime: in browsers the only way.
 *
 * Each frame is sent as one message, as text where it is UTF-8: ActiveMQ Classic ignores binary messages, and both it and
 * stomp-broker-js take one frame out of a message and drop the rest of it. RabbitMQ reads messages as one stream of bytes,
 * so it gets as many frames in a message as were written together, which is up to twice as fast. A frame above
 * `maxMessageBytes` is cut into several messages. Received bytes may be cut in any way, text or binary.
 *
 * Two abilities of a socket are missing. A WebSocket cannot be told to stop receiving: bytes that are not read are kept,
 * and above {@linkcode MAX_UNREAD_BYTES} the connection is given up. And it cannot be closed in one direction: closing
 * `writable` sends what was written, and ends both directions.
 *
 * @module
 */
import { LF } from "../codec/bytes.ts";
import { type SocketDriver, SocketTransport } from "./socket_transport.ts";
import { ConnectionError } from "../base/errors.ts";
import type { Version } from "../codec/protocol.ts";
import { Fifo } from "../base/fifo.ts";
import { addressText } from "./address.ts";
import type { SocketAddress, Transport } from "./transport.ts";
import { cutMessage, textOrBytes } from "./websocket_messages.ts";
import { protocolsOf, toHttpHeaders, type WebSocketOptions } from "./websocket_options.ts";
import { closeReason, handshakeError, type Link, openLink } from "./websocket_runtimes.ts";

/** Where to connect, and how. */
export interface WebSocketAddress extends SocketAddress, WebSocketOptions {
  /**
   * Path and query as they go on the wire.
   *
   * @default {"/"}
   */
  path?: string | undefined;
  /**
   * The versions to offer, as subprotocols.
   *
   * @default {["1.0", "1.1", "1.2"]}
   */
  versions?: readonly Version[] | undefined;
  /**
   * Bytes that may be unread.
   *
   * @default {MAX_UNREAD_BYTES}
   */
  maxUnread?: number | undefined;
  /**
   * Milliseconds between checks whether anything was sent.
   *
   * @default {KEEP_ALIVE_MS}
   */
  keepAlive?: number | undefined;
}

/**
 * Bytes that may be unread: 64 MiB. A client that acknowledges messages and names a `prefetch` never comes near it; in
 * mode `auto` a broker sends all it has. Beyond it, what was received before is still delivered, then the connection ends
 * with a `ConnectionError`.
 */
export const MAX_UNREAD_BYTES: number = 64 * 1024 * 1024;

/** Above this many bytes that the WebSocket has not sent yet, a write is pending… */
const HIGH_WATER_BYTES = 1024 * 1024;
/** …until there are no more than this. */
const LOW_WATER_BYTES = HIGH_WATER_BYTES / 2;

/** Time between checks of how much is left to send. There is no event for it. */
const POLL_MS = 2;

/** How long the peer may take to answer when a connection is closed. */
const CLOSE_TIMEOUT_MS = 1000;

/**
 * After this time without a write, a line end is sent, which STOMP allows between frames: RabbitMQ and many proxies end a
 * WebSocket on which nothing comes for a minute, whatever heart-beats were agreed on.
 */
export const KEEP_ALIVE_MS: number = 20_000;

const encoder = new TextEncoder();
const LINE_END = Uint8Array.of(LF);

/**
 * Opens a WebSocket.
 *
 * @throws {ConnectionError} that names the address and keeps the cause.
 * @throws {TypeError} for a TLS option that the WebSocket of this runtime cannot take.
 */
export async function connectWebSocket(address: WebSocketAddress): Promise<Transport> {
  const { tls, signal, path = "/", versions } = address;
  signal?.throwIfAborted();
  const peer = addressText(address);
  const protocols = protocolsOf(address, versions);
  const headers = toHttpHeaders(address.headers);
  const fail = (cause: unknown, link?: Link) => handshakeError(peer, cause, protocols, link);
  let link: Link;
  try {
    const url = `${tls === undefined ? "ws" : "wss"}://${peer}${path}`;
    link = await openLink({ url, address, protocols, headers });
  } catch (cause) {
    if (cause instanceof TypeError && cause.message.startsWith("Cannot ")) throw cause;
    throw fail(cause);
  }
  const { socket } = link;
  socket.binaryType = "arraybuffer";
  return await new Promise((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stopWaiting = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      socket.onopen = socket.onclose = null;
      socket.onerror = () => {}; // some runtimes report an error twice
    };
    const refuse = (error: unknown) => {
      stopWaiting();
      link.giveUp();
      reject(error);
    };
    const onFailure = (event: Event) => refuse(signal?.aborted ? signal.reason : fail(link.causeOf(event), link));
    const abort = () => {
      // The event of its end comes soon; in Bun before 1.4 it does not come at all.
      timer = setTimeout(() => refuse(signal!.reason), CLOSE_TIMEOUT_MS);
      socket.close();
    };
    socket.onopen = () => {
      stopWaiting();
      // Within this event: the next one may be a message.
      const { transport } = new WebSocketDriver(link, peer, address);
      // Browsers, Bun and Node refuse a server without the subprotocol themselves. Deno does not, so it is done here.
      const isOffered = protocols.length === 0 ? socket.protocol === "" : protocols.includes(socket.protocol);
      if (isOffered && !signal?.aborted) return resolve(transport);
      const unknown = new Error(`its subprotocol is ${JSON.stringify(socket.protocol)}`);
      const reason = signal?.aborted ? signal.reason : fail(unknown, link);
      transport.close().then(() => reject(reason));
    };
    socket.onerror = socket.onclose = onFailure;
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort(); // while the link was opened
  });
}

/** An open WebSocket as a transport. */
class WebSocketDriver implements SocketDriver {
  readonly transport: SocketTransport;
  readonly wantsFrameEnds = true;
  readonly #link: Link;
  readonly #socket: WebSocket;
  readonly #closed = Promise.withResolvers<void>();
  readonly #unread = new Fifo<Uint8Array>();
  #unreadBytes = 0;
  readonly #maxUnread: number;
  #isWanted = false;
  #isDelivering = false;
  /** How reading ends, after what was received before. */
  #end: { cause: unknown } | undefined;
  /** Whether the broker reads messages as one stream. `undefined` until it has sent something. */
  #takesStream: boolean | undefined;
  readonly #sendsBinary: boolean;
  #maxMessageBytes: number;
  readonly #isLimitGiven: boolean;
  #pendingWrite: { timer: ReturnType<typeof setTimeout>; reject: (error: ConnectionError) => void } | undefined;
  /** The last error event. The event that ends the connection follows it. */
  #error: Event | undefined;
  /** Whether anything was sent since the last check. True at first: CONNECT follows at once. */
  #hasSent = true;
  readonly #keepAlive: ReturnType<typeof setInterval>;

  constructor(link: Link, peer: string, options: Omit<WebSocketAddress, keyof SocketAddress>) {
    this.#link = link;
    this.#sendsBinary = options.binary ?? false;
    this.#maxMessageBytes = options.maxMessageBytes ?? Infinity;
    this.#isLimitGiven = options.maxMessageBytes !== undefined;
    this.#maxUnread = options.maxUnread ?? MAX_UNREAD_BYTES;
    this.#keepAlive = setInterval(() => this.#beat(), options.keepAlive ?? KEEP_ALIVE_MS);
    this.transport = new SocketTransport(peer, this);
    const socket = this.#socket = link.socket;
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      this.#receive(typeof data === "string" ? encoder.encode(data) : new Uint8Array(data));
    };
    socket.onerror = (event) => this.#error = event;
    socket.onclose = (event) => this.#onClose(event);
  }

  pull(): void {
    this.#isWanted = true;
    this.#deliver();
  }

  /** Without `frameEnds`, which is what `writable` gives, a write is a message. */
  write(bytes: Uint8Array, frameEnds: readonly number[] | undefined): Promise<void> | void {
    this.#checkOpen();
    this.#hasSent = true;
    if (this.#takesStream) this.#sendMessage(bytes, true);
    else if (frameEnds === undefined) this.#sendMessage(bytes);
    else this.#sendFrames(bytes, frameEnds);
    if (this.#socket.bufferedAmount > HIGH_WATER_BYTES) return this.#untilSent(LOW_WATER_BYTES);
  }

  limitMessages(maxBytes: number): void {
    if (!this.#isLimitGiven) this.#maxMessageBytes = maxBytes;
  }

  async shutdown(): Promise<void> {
    this.#checkOpen();
    if (this.#socket.bufferedAmount > 0) await this.#untilSent(0);
    this.#socket.close(1000);
  }

  async destroy(): Promise<void> {
    clearInterval(this.#keepAlive);
    this.#unread.clear();
    this.#rejectWrite();
    if (this.#socket.readyState !== WebSocket.CLOSED) {
      this.#socket.close(1000);
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => timer = setTimeout(resolve, CLOSE_TIMEOUT_MS));
      await Promise.race([this.#closed.promise, late]);
      clearTimeout(timer);
    }
    this.#link.giveUp();
  }

  #sendFrames(bytes: Uint8Array, frameEnds: readonly number[]): void {
    let start = 0;
    for (const end of frameEnds) {
      // A retracted frame is line ends now. One of them is a heart-beat; a message of many is not for all brokers.
      if (bytes[start] === LF) this.#sendLineEnd();
      else this.#sendMessage(bytes.subarray(start, end));
      start = end;
    }
  }

  #sendMessage(bytes: Uint8Array, isBinary: boolean = this.#sendsBinary): void {
    const message = isBinary ? bytes as Uint8Array<ArrayBuffer> : textOrBytes(bytes);
    if (bytes.length <= this.#maxMessageBytes) return this.#socket.send(message);
    const isText = typeof message === "string";
    for (const piece of cutMessage(bytes, isText, this.#maxMessageBytes)) this.#socket.send(piece);
  }

  #sendLineEnd(): void {
    this.#sendMessage(LINE_END);
  }

  #checkOpen(): void {
    // A WebSocket that is closed takes what is sent to it, and drops it silently.
    if (this.#socket.readyState !== WebSocket.OPEN) throw this.#closedError();
  }

  #closedError(): ConnectionError {
    return this.transport.writeFailed(new Error("the connection is closed"));
  }

  /** Resolves when the WebSocket has at most `maxBytes` left to send. */
  #untilSent(maxBytes: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = () => {
        if (this.#socket.readyState !== WebSocket.OPEN) return this.#rejectWrite();
        if (this.#socket.bufferedAmount > maxBytes) {
          this.#pendingWrite!.timer = setTimeout(check, POLL_MS);
          return;
        }
        this.#pendingWrite = undefined;
        resolve();
      };
      this.#pendingWrite = { timer: setTimeout(check, POLL_MS), reject };
    });
  }

  #rejectWrite(): void {
    if (this.#pendingWrite === undefined) return;
    const { timer, reject } = this.#pendingWrite;
    this.#pendingWrite = undefined;
    clearTimeout(timer);
    reject(this.#closedError());
  }

  #receive(bytes: Uint8Array): void {
    if (this.#end !== undefined || bytes.length === 0) return;
    this.#takesStream ??= readsStream(bytes);
    if (this.#unreadBytes > this.#maxUnread) return this.#overflow();
    this.#unread.push(bytes);
    this.#unreadBytes += bytes.length;
    this.#deliver();
  }

  /** Hands over chunks while they are wanted, then the end, if there is one. */
  #deliver(): void {
    if (this.#isDelivering) return;
    this.#isDelivering = true;
    while (this.#isWanted && this.#unread.length > 0) {
      const bytes = this.#unread.shift()!;
      this.#unreadBytes -= bytes.length;
      this.#isWanted = this.transport.deliver(bytes);
    }
    this.#isDelivering = false;
    if (this.#end === undefined || this.#unread.length > 0) return;
    if (this.#end.cause === undefined) this.transport.atEnd();
    else this.transport.fail(this.#end.cause);
  }

  #overflow(): void {
    const cause = new Error(
      `more than ${this.#maxUnread} bytes wait to be read, and a WebSocket cannot hold the broker back: ` +
        "subscribe with acknowledgements and a prefetch",
    );
    this.#endReading(cause);
    this.transport.writeFailed(cause);
    this.#rejectWrite();
    this.#socket.close(1000);
  }

  #beat(): void {
    if (!this.#hasSent && this.#socket.readyState === WebSocket.OPEN) this.#sendLineEnd();
    this.#hasSent = false;
  }

  #onClose(event: CloseEvent): void {
    clearInterval(this.#keepAlive);
    this.#closed.resolve();
    const reason = closeReason(event, this.#error);
    this.#endReading(reason);
    if (reason !== undefined) this.transport.writeFailed(reason);
    this.#rejectWrite();
  }

  #endReading(cause: Error | undefined): void {
    this.#end ??= { cause };
    this.#deliver();
  }
}

/** Whether these bytes are the CONNECTED of a broker that is known to read messages as one stream of bytes. */
function readsStream(bytes: Uint8Array): boolean {
  const text = String.fromCharCode(...bytes.subarray(0, 512));
  return /^CONNECTED\r?\n(.+\n)*server:RabbitMQ\//.test(text);
}
