/**
 * STOMP over WebSocket, through the `WebSocket` that the runtime itself has: in browsers the only way.
 *
 * What is sent goes out as one message for each frame, as text where it is UTF-8, because ActiveMQ Classic ignores
 * binary messages and takes no more than one frame out of a message. RabbitMQ reads messages as one stream of bytes, so
 * it gets as many frames in a message as there are at hand, which is up to twice as fast. What is received may be cut in
 * any way, text or binary.
 *
 * Two things a socket can do are missing. A WebSocket cannot be asked to wait with what it receives: what nobody reads
 * is kept, and above {@linkcode MAX_UNREAD} bytes the connection is given up. And there is no half of it to be closed:
 * closing `writable` sends what was written, and ends both directions.
 *
 * @module
 */
import { type SocketDriver, SocketTransport } from "./socket_transport.ts";
import { ConnectionError } from "../base/errors.ts";
import { type Version, VERSIONS } from "../codec/protocol.ts";
import { Fifo } from "../base/fifo.ts";
import { decodeStrict } from "../codec/text.ts";
import { addressText, type SocketAddress, type Transport } from "./transport.ts";
import { closeReason, handshakeError, type Link, openLink } from "./websocket_runtimes.ts";
import { MessageCutter } from "./websocket_messages.ts";

/** Where to connect, and how. */
export interface WebSocketAddress extends SocketAddress {
  /** Path and query as they go on the wire. Default `/`. */
  path?: string | undefined;
  /** The versions to offer, as subprotocols. Default all. */
  versions?: readonly Version[] | undefined;
  /** In the place of {@linkcode MAX_UNREAD}. */
  maxUnread?: number | undefined;
  /** In the place of {@linkcode KEEP_ALIVE}. */
  keepAlive?: number | undefined;
}

/**
 * Bytes that may be kept because nobody reads them: 64 MiB. Who acknowledges messages and names a `prefetch` never comes
 * near; in mode `auto` a broker sends all it has. What was received before is still given out, then the connection ends
 * with a `ConnectionError`.
 */
export const MAX_UNREAD: number = 64 * 1024 * 1024;

/** Above this many bytes that the WebSocket has not sent yet, a write waits… */
const HIGH_WATER = 1024 * 1024;
/** …until there are no more than this. */
const LOW_WATER = HIGH_WATER / 2;

/** Milliseconds between looks at how much is left. There is no event for it. */
const POLL = 2;

/** Milliseconds that the far end has to answer when a connection is closed. */
const CLOSE_TIMEOUT = 1000;

/**
 * Milliseconds after which it is looked whether anything was sent. If not, a line end is, which STOMP allows between
 * frames: RabbitMQ and many a proxy end a WebSocket on which nothing comes for a minute, whatever was agreed on.
 */
export const KEEP_ALIVE: number = 20_000;

const encoder = new TextEncoder();

/**
 * Opens a WebSocket. Rejects with a `ConnectionError` that names the address and keeps the cause; with a `TypeError`
 * where a TLS option is one that this runtime's WebSocket cannot take.
 */
export async function connectWebSocket(address: WebSocketAddress): Promise<Transport> {
  const { tls, signal, path = "/", versions = VERSIONS } = address;
  signal?.throwIfAborted();
  const peer = addressText(address);
  // Newest first: it is the server that chooses, but some take the first they know.
  const protocols = VERSIONS.filter((known) => versions.includes(known)).reverse().map((version) =>
    `v${version.replace(".", "")}.stomp`
  );
  const fail = (cause: unknown, link?: Link) => handshakeError(peer, cause, protocols, link);
  let link: Link;
  try {
    link = await openLink({ url: `${tls === undefined ? "ws" : "wss"}://${peer}${path}`, address, protocols });
  } catch (cause) {
    if (cause instanceof TypeError && cause.message.startsWith("Cannot ")) throw cause;
    throw fail(cause);
  }
  const { socket } = link;
  socket.binaryType = "arraybuffer";
  return await new Promise((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const settle = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      socket.onopen = socket.onclose = null;
      socket.onerror = () => {}; // some runtimes tell twice
    };
    const refuse = (error: unknown) => {
      settle();
      link.giveUp();
      reject(error);
    };
    const onFailure = (event: Event) => refuse(signal?.aborted ? signal.reason : fail(link.causeOf(event), link));
    const abort = () => {
      // The event that says it is gone comes soon; in Bun before 1.4 it does not come at all.
      timer = setTimeout(() => refuse(signal!.reason), CLOSE_TIMEOUT);
      socket.close();
    };
    socket.onopen = () => {
      settle();
      // In the very event, as messages may follow in the next.
      const { transport } = new WebSocketChannel(link, peer, address);
      // Browsers, Bun and Node refuse such a server themselves; so shall Deno, for one program to work in all of them.
      const speaksStomp = protocols.includes(socket.protocol);
      if (speaksStomp && !signal?.aborted) return resolve(transport);
      const unknown = new Error(`its subprotocol is ${JSON.stringify(socket.protocol)}`);
      const reason = signal?.aborted ? signal.reason : fail(unknown, link);
      transport.close().then(() => reject(reason));
    };
    socket.onerror = socket.onclose = onFailure;
    signal?.addEventListener("abort", abort, { once: true });
    if (signal?.aborted) abort(); // meanwhile
  });
}

/** An open WebSocket as a transport. */
class WebSocketChannel implements SocketDriver {
  readonly transport: SocketTransport;
  readonly #link: Link;
  readonly #socket: WebSocket;
  readonly #cutter: MessageCutter = new MessageCutter((message) => this.#sendFrame(message));
  readonly #closed = Promise.withResolvers<void>();
  /** What was received and not taken yet. */
  readonly #unread = new Fifo<Uint8Array>();
  #unreadBytes = 0;
  readonly #maxUnread: number;
  #wanted = false;
  #delivering = false;
  /** How reading ends, once all that was received is taken. */
  #ending: { cause: unknown } | undefined;
  /** Whether the broker reads messages as one stream; nothing is known before it has spoken. */
  #takesStream: boolean | undefined;
  #writing: { timer: ReturnType<typeof setTimeout>; reject: (error: ConnectionError) => void } | undefined;
  /** What the runtime said of an error. The event that ends the connection comes behind it. */
  #error: Event | undefined;
  /** Whether something was sent since it was last looked. True at first: CONNECT is about to be. */
  #hasSent = true;
  readonly #keepAlive: ReturnType<typeof setInterval>;

  constructor(link: Link, peer: string, options: Pick<WebSocketAddress, "maxUnread" | "keepAlive">) {
    this.#link = link;
    this.#maxUnread = options.maxUnread ?? MAX_UNREAD;
    this.#keepAlive = setInterval(() => this.#beat(), options.keepAlive ?? KEEP_ALIVE);
    this.transport = new SocketTransport(peer, this);
    const socket = this.#socket = link.socket;
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      this.#receive(typeof data === "string" ? encoder.encode(data) : new Uint8Array(data));
    };
    socket.onerror = (event) => this.#error = event;
    socket.onclose = (event) => this.#onClose(event);
  }

  pull(): void {
    this.#wanted = true;
    this.#deliver();
  }

  write(bytes: Uint8Array): Promise<void> | void {
    this.#checkOpen();
    this.#hasSent = true;
    if (this.#takesStream && !this.#cutter.pending) this.#socket.send(bytes as Uint8Array<ArrayBuffer>);
    else this.#cutter.push(bytes);
    if (this.#socket.bufferedAmount > HIGH_WATER) return this.#untilSent(LOW_WATER);
  }

  async shutdown(): Promise<void> {
    this.#checkOpen();
    this.#cutter.finish();
    if (this.#socket.bufferedAmount > 0) await this.#untilSent(0);
    this.#socket.close(1000);
  }

  async destroy(): Promise<void> {
    clearInterval(this.#keepAlive);
    this.#unread.clear();
    this.#stopWriting();
    if (this.#socket.readyState !== WebSocket.CLOSED) {
      this.#socket.close(1000);
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => timer = setTimeout(resolve, CLOSE_TIMEOUT));
      await Promise.race([this.#closed.promise, late]);
      clearTimeout(timer);
    }
    this.#link.giveUp();
  }

  #sendFrame(message: Uint8Array): void {
    let text: string;
    try {
      text = decodeStrict(message);
    } catch {
      return this.#socket.send(message as Uint8Array<ArrayBuffer>);
    }
    this.#socket.send(text);
  }

  #checkOpen(): void {
    // A WebSocket takes what is sent to it when it is closed, and says nothing.
    if (this.#socket.readyState !== WebSocket.OPEN) throw this.#hungUp();
  }

  #hungUp(): ConnectionError {
    return this.transport.writeFailed(new Error("the connection is closed"));
  }

  /** Waits until the WebSocket has no more than `most` bytes left to send. */
  #untilSent(most: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (this.#socket.readyState !== WebSocket.OPEN) return this.#stopWriting();
        if (this.#socket.bufferedAmount > most) {
          this.#writing!.timer = setTimeout(look, POLL);
          return;
        }
        this.#writing = undefined;
        resolve();
      };
      this.#writing = { timer: setTimeout(look, POLL), reject };
    });
  }

  #stopWriting(): void {
    if (this.#writing === undefined) return;
    const { timer, reject } = this.#writing;
    this.#writing = undefined;
    clearTimeout(timer);
    reject(this.#hungUp());
  }

  #receive(bytes: Uint8Array): void {
    if (this.#ending !== undefined || bytes.length === 0) return;
    this.#takesStream ??= readsStream(bytes);
    if (this.#unreadBytes > this.#maxUnread) return this.#overflow();
    this.#unread.push(bytes);
    this.#unreadBytes += bytes.length;
    this.#deliver();
  }

  /** Hands over while that is wanted, then the end, if there is one. */
  #deliver(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    while (this.#wanted && this.#unread.length > 0) {
      const bytes = this.#unread.shift()!;
      this.#unreadBytes -= bytes.length;
      this.#wanted = this.transport.deliver(bytes);
    }
    this.#delivering = false;
    if (this.#ending === undefined || this.#unread.length > 0) return;
    if (this.#ending.cause === undefined) this.transport.atEnd();
    else this.transport.fail(this.#ending.cause);
  }

  #overflow(): void {
    const cause = new Error(
      `more than ${this.#maxUnread} bytes wait to be read, and a WebSocket cannot hold the broker back: ` +
        "subscribe with acknowledgements and a prefetch",
    );
    this.#end(cause);
    this.transport.writeFailed(cause);
    this.#stopWriting();
    this.#socket.close(1000);
  }

  #beat(): void {
    if (!this.#hasSent && !this.#cutter.pending && this.#socket.readyState === WebSocket.OPEN) this.#socket.send("\n");
    this.#hasSent = false;
  }

  #onClose(event: CloseEvent): void {
    clearInterval(this.#keepAlive);
    this.#closed.resolve();
    const reason = closeReason(event, this.#error);
    this.#end(reason);
    if (reason !== undefined) this.transport.writeFailed(reason);
    this.#stopWriting();
  }

  #end(cause: Error | undefined): void {
    this.#ending ??= { cause };
    this.#deliver();
  }
}

/** Whether these bytes are the CONNECTED of a broker that is known to read messages as one stream of bytes. */
function readsStream(bytes: Uint8Array): boolean {
  const text = String.fromCharCode(...bytes.subarray(0, 512));
  return /^CONNECTED\r?\n(.+\n)*server:RabbitMQ\//.test(text);
}
