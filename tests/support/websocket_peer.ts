/**
 * A WebSocket server for tests, frame by frame over a plain socket. It shows the type of each message, can send what a
 * correct server would not, and needs no package, so it is the same in all runtimes.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type net from "node:net";
import type tls from "node:tls";
import { concat, Peer } from "./sockets.ts";

/** How the server answers the handshake. */
export interface WebSocketPeerOptions {
  /** Options for TLS. The default is no TLS. */
  tls?: tls.TlsOptions | undefined;
  /** The subprotocol to answer with, or `null` for none. The default is the first one offered. */
  protocol?: string | null | undefined;
  /** An HTTP response to send instead of that of the handshake. */
  answer?: string | undefined;
  /** Whether to take part in the closing handshake. Default `true`. */
  answersClose?: boolean | undefined;
}

/** A received message. */
export interface WebSocketMessage {
  /** Whether it is a text message. */
  isText: boolean;
  /** The payload. */
  bytes: Uint8Array;
}

export const OPCODES = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** A server that accepts WebSockets and does nothing with them by itself. */
export class WebSocketPeer {
  readonly #peer: Peer;
  readonly #options: WebSocketPeerOptions;

  private constructor(peer: Peer, options: WebSocketPeerOptions) {
    this.#peer = peer;
    this.#options = options;
  }

  /** Listens on a free port of 127.0.0.1. */
  static async listen(options: WebSocketPeerOptions = {}): Promise<WebSocketPeer> {
    return new WebSocketPeer(await Peer.listen(options.tls), options);
  }

  /** The port. */
  get port(): number {
    return this.#peer.port;
  }

  /** Accepts the next connection and answers its handshake. */
  async accept(): Promise<WebSocketEnd> {
    const socket = await this.#peer.accept();
    return await WebSocketEnd.open(socket, this.#options);
  }

  /** Destroys all connections and stops listening. */
  close(): Promise<void> {
    return this.#peer.close();
  }
}

/** The server's end of one WebSocket. */
export class WebSocketEnd {
  /** The request line and the header lines. */
  readonly request: string;
  /** The socket. */
  readonly socket: net.Socket;
  /** The code of the received close frame. */
  closeCode: number | undefined;
  /** The number of received messages, read by the test or not. */
  received = 0;
  readonly #options: WebSocketPeerOptions;
  readonly #messages: WebSocketMessage[] = [];
  readonly #ended = Promise.withResolvers<void>();
  #wake: () => void = () => {};
  #over = false;
  #bytes: Uint8Array;
  #fragments: Uint8Array[] = [];
  #isText = false;

  private constructor(socket: net.Socket, request: string, rest: Uint8Array, options: WebSocketPeerOptions) {
    this.socket = socket;
    this.request = request;
    this.#bytes = rest;
    this.#options = options;
  }

  /** Reads a request and answers it. */
  static async open(socket: net.Socket, options: WebSocketPeerOptions): Promise<WebSocketEnd> {
    let bytes: Uint8Array = new Uint8Array(0);
    let end = -1;
    await new Promise<void>((resolve) => {
      const onData = (chunk: Uint8Array) => {
        bytes = concat([bytes, chunk]);
        end = Buffer.from(bytes).indexOf("\r\n\r\n");
        if (end < 0) return;
        socket.off("data", onData);
        socket.pause();
        resolve();
      };
      socket.on("data", onData);
      socket.once("close", () => resolve());
      socket.resume();
    });
    const request = Buffer.from(bytes.subarray(0, end)).toString("latin1");
    const self = new WebSocketEnd(socket, request, bytes.subarray(end + 4), options);
    self.#answer();
    return self;
  }

  /** Returns the value of a header of the request. */
  header(name: string): string | undefined {
    return new RegExp(`^${name}: *(.*)$`, "im").exec(this.request)?.[1]?.trim();
  }

  /** Sends a message in one frame. */
  send(data: string | Uint8Array): void {
    if (typeof data === "string") this.frame(OPCODES.text, encoder.encode(data));
    else this.frame(OPCODES.binary, data);
  }

  /** Sends a frame. Resolves when the system has taken it. */
  frame(opcode: number, payload: Uint8Array, fin = true): Promise<void> {
    return new Promise((resolve) => this.socket.write(frameOf(opcode, payload, fin), () => resolve()));
  }

  /** Sends a close frame and then FIN. */
  close(code: number, reason = ""): void {
    const bytes = encoder.encode(reason);
    const payload = new Uint8Array(bytes.length + 2);
    payload.set([code >> 8, code & 255]);
    payload.set(bytes, 2);
    this.socket.end(frameOf(OPCODES.close, payload, true));
  }

  /** Resolves to the next message. Fails when the connection ends before it. */
  async next(): Promise<WebSocketMessage> {
    while (this.#messages.length === 0) {
      if (this.#over) throw new Error("Expected a message, and the connection ended");
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.#messages.shift()!;
  }

  /** Resolves to the text of the next message. Fails if it is binary. */
  async nextText(): Promise<string> {
    const { isText, bytes } = await this.next();
    if (!isText) throw new Error(`Expected text, received ${bytes.length} bytes`);
    return decoder.decode(bytes);
  }

  /** Waits for the end, and resolves to the payloads that came before it as one array. */
  async rest(): Promise<Uint8Array> {
    await this.#ended.promise;
    return concat(this.#messages.splice(0).map(({ bytes }) => bytes));
  }

  #answer(): void {
    const { socket } = this;
    const { answer, protocol = this.header("sec-websocket-protocol")?.split(/, */)[0] } = this.#options;
    if (answer !== undefined) return void socket.end(answer);
    const accept = createHash("sha1").update(`${this.header("sec-websocket-key")}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
    const lines = [
      "HTTP/1.1 101 Switching Protocols",
      "Upgrade: websocket",
      "Connection: Upgrade",
      `Sec-WebSocket-Accept: ${accept.digest("base64")}`,
      ...(protocol === null || protocol === undefined ? [] : [`Sec-WebSocket-Protocol: ${protocol}`]),
    ];
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    socket.on("data", (chunk: Uint8Array) => {
      this.#bytes = this.#bytes.length === 0 ? chunk : concat([this.#bytes, chunk]);
      this.#read();
    });
    const onEnd = () => {
      this.#over = true;
      this.#ended.resolve();
      this.#wake();
      if (this.#options.answersClose !== false) socket.end();
    };
    socket.on("end", onEnd);
    socket.on("close", onEnd);
    socket.resume();
    this.#read();
  }

  #read(): void {
    for (;;) {
      const found = readFrame(this.#bytes);
      if (found === undefined) return;
      this.#bytes = found.rest;
      this.#onFrame(found.opcode, found.payload, found.fin);
    }
  }

  #onFrame(opcode: number, payload: Uint8Array, fin: boolean): void {
    if (opcode === OPCODES.close) {
      this.closeCode = payload.length < 2 ? 1005 : payload[0]! << 8 | payload[1]!;
      if (this.#options.answersClose !== false) this.socket.end(frameOf(OPCODES.close, payload, true));
    } else if (opcode <= OPCODES.binary) {
      if (opcode !== OPCODES.continuation) this.#isText = opcode === OPCODES.text;
      this.#fragments.push(payload);
      if (!fin) return;
      this.#messages.push({ isText: this.#isText, bytes: concat(this.#fragments) });
      this.#fragments = [];
      this.received++;
      this.#wake();
    }
  }
}

/** Returns a frame as a server sends it, without a mask. */
function frameOf(opcode: number, payload: Uint8Array, fin: boolean): Uint8Array {
  const { length } = payload;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65536 ? 4 : 10);
  head[0] = opcode | (fin ? 0x80 : 0);
  if (length < 126) head[1] = length;
  else if (length < 65536) {
    head[1] = 126;
    head.writeUInt16BE(length, 2);
  } else {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(length), 2);
  }
  return concat([head, payload]);
}

/** Returns the first frame of the bytes, unmasked, or `undefined` when it is not complete. */
function readFrame(bytes: Uint8Array) {
  if (bytes.length < 2) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let length = bytes[1]! & 127;
  let at = 2;
  if (length === 126) {
    if (bytes.length < 4) return undefined;
    length = view.getUint16(2);
    at = 4;
  } else if (length === 127) {
    if (bytes.length < 10) return undefined;
    length = Number(view.getBigUint64(2));
    at = 10;
  }
  if ((bytes[1]! & 0x80) === 0) throw new Error("A frame is not masked, as a client's must be");
  const mask = bytes.subarray(at, at + 4);
  at += 4;
  if (bytes.length < at + length) return undefined;
  const payload = bytes.slice(at, at + length);
  for (let i = 0; i < length; i++) payload[i]! ^= mask[i & 3]!;
  return { opcode: bytes[0]! & 15, fin: (bytes[0]! & 0x80) !== 0, payload, rest: bytes.subarray(at + length) };
}
