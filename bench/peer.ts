/**
 * The load peer: a minimal broker in a separate process. It builds its bytes in advance and understands just enough
 * STOMP, so that the client is the bottleneck. The destination selects what it does:
 *
 * - SUBSCRIBE `/receive/<count>/<size>/<headers>/<broker>`: sends messages as fast as the socket accepts them, in the
 *   format of that broker, `rabbitmq` or `activemq`.
 * - SUBSCRIBE `/chunks/<size>/<part>`: sends one message, in writes of `part` bytes.
 * - SUBSCRIBE `/many/<count>/<size>`: sends messages to all such subscriptions in turn, after SEND `/go`.
 * - SUBSCRIBE `/echo`: sends every SEND back as a message.
 * - SEND `/sync/<sends>/<acks>`: an ERROR unless that many SEND and ACK have arrived since the last one.
 * - SEND to anything else, and ACK: counted.
 *
 * Any frame may ask for a receipt. Prints its port, and serves until its standard input ends.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createServer, type Socket } from "node:net";
import process from "node:process";
import { textOf } from "./text.ts";

/** The approximate size of one write. */
const BLOCK_BYTES = 1 << 19;

const SESSION = "session-kV1aXRnRcJj2Y2hYyOFPwQ";

/** Returns the head of a MESSAGE in the format of RabbitMQ, with that many headers. */
function messageHead(subscription: string, index: number, size: number, headers: number, ack: boolean): string {
  const id = `T_${subscription}@@${SESSION}@@${index}`;
  let head = `MESSAGE\nsubscription:${subscription}\ndestination:/queue/bench\nmessage-id:${id}\nredelivered:false\n` +
    `persistent:true\ntimestamp:${1735689600 + index}\n`;
  if (ack) head += `ack:${id}\n`;
  for (let i = 8; i < headers; i++) head += `property-${i}:value-${i}\n`;
  return `${head}content-type:text/plain\ncontent-length:${size}\n\n`;
}

/** Returns the head of a MESSAGE in the format of ActiveMQ: ids full of escapes, and no content-length for text. */
function activemqHead(subscription: string, index: number, ack: boolean): string {
  const id = `ID\\cbroker-44771-1735689600000`;
  return `MESSAGE\nexpires:0\ndestination:/queue/bench\n${ack ? `ack:${id}-6\\c${index}\n` : ""}` +
    `subscription:${subscription}\npriority:4\nmessage-id:${id}-5\\c87\\c-1\\c1\\c${index}\n` +
    `content-type:text/plain\ntimestamp:${1735689600000 + index}\npersistent:true\n\n`;
}

/** Consecutive frames. */
interface Block {
  bytes: Uint8Array;
  /** The end offset of each frame. */
  ends: number[];
}

/** Makes a block of frames that differ only in their heads. */
function blockOf(frames: number, size: number, headFor: (index: number) => string): Block {
  const parts: string[] = [];
  const ends: number[] = [];
  const rest = `${textOf(size)}\0`;
  let length = 0;
  for (let i = 0; i < frames; i++) {
    const head = headFor(i);
    parts.push(head, rest);
    ends.push(length += head.length + rest.length);
  }
  return { bytes: Buffer.from(parts.join(""), "latin1"), ends };
}

/** One connection. */
class Peer {
  readonly #socket: Socket;
  #rest = "";
  #out = "";
  #sends = 0;
  #acks = 0;
  #echo: string | undefined; // the subscription for messages that are sent back
  readonly #many: string[] = []; // subscriptions that get messages in turn
  #onGo: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (bytes) => this.#read(bytes));
    socket.on("error", () => socket.destroy());
  }

  #read(bytes: Buffer): void {
    const text = this.#rest + bytes.toString("latin1");
    let at = 0;
    let receipt = text.indexOf("\nreceipt:");
    for (let end = text.indexOf("\0"); end >= 0; end = text.indexOf("\0", at)) {
      while (text.charCodeAt(at) === 10) at++;
      const wantsReceipt = receipt >= 0 && receipt < end;
      if (text.startsWith("ACK", at)) this.#acks++;
      else if (text.startsWith("SEND", at)) {
        this.#sends++;
        if (this.#echo !== undefined) this.#sendBack(text.slice(at, end));
        if (this.#onGo !== undefined) this.#onGo();
        if (wantsReceipt) this.#checkSync(text, at);
      } else this.#command(text.slice(at, end));
      if (wantsReceipt) {
        this.#out += `RECEIPT\nreceipt-id:${text.slice(receipt + 9, text.indexOf("\n", receipt + 9))}\n\n\0`;
        receipt = text.indexOf("\nreceipt:", end);
      }
      at = end + 1;
    }
    this.#rest = text.slice(at);
    if (this.#out === "") return;
    this.#socket.write(this.#out, "latin1");
    this.#out = "";
  }

  #sendBack(frame: string): void {
    const body = frame.slice(frame.indexOf("\n\n") + 2);
    this.#out += `${messageHead(this.#echo!, this.#sends, body.length, 8, false)}${body}\0`;
  }

  #checkSync(text: string, start: number): void {
    const at = text.indexOf("\ndestination:", start) + 13; // every SEND has one
    if (!text.startsWith("/sync/", at)) return;
    const [sends, acks] = text.slice(at + 6, text.indexOf("\n", at)).split("/").map(Number);
    this.#sends--; // the sync message itself
    if (this.#sends !== sends || this.#acks !== acks) {
      this.#out += `ERROR\nmessage:there were ${this.#sends} SEND and ${this.#acks} ACK\n\n\0`;
    }
    this.#sends = this.#acks = 0;
  }

  #command(frame: string): void {
    const [command, ...lines] = frame.slice(0, frame.indexOf("\n\n")).split(/\r?\n/);
    const headers = new Map(lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]));
    if (command === "CONNECT" || command === "STOMP") {
      this.#out += `CONNECTED\nversion:1.2\nserver:RabbitMQ/4.0.5\nsession:${SESSION}\nheart-beat:10000,10000\n\n\0`;
    } else if (command === "SUBSCRIBE") {
      const { id = "", destination = "", ack = "auto" } = Object.fromEntries(headers);
      this.#subscribe(id, destination, ack !== "auto");
    }
  }

  #subscribe(id: string, destination: string, ack: boolean): void {
    const [, kind, one, two, three, broker] = destination.split("/");
    const [first = 0, second = 0, third = 0] = [Number(one), Number(two), Number(three)];
    if (kind === "echo") this.#echo = id;
    if (kind === "receive") {
      const headFor = (index: number) => {
        return broker === "activemq" ? activemqHead(id, index, ack) : messageHead(id, index, second, third, ack);
      };
      const most = Math.ceil(BLOCK_BYTES / (headFor(0).length + second + 1));
      this.#stream(first, blockOf(Math.min(first, most), second, headFor));
    }
    if (kind === "chunks") this.#sendInChunks(messageHead(id, 1, first, 8, false), first, second);
    if (kind === "many") {
      this.#many.push(id);
      this.#onGo = () => {
        const ids = this.#many.splice(0);
        this.#onGo = undefined;
        const frames = Math.ceil(2000 / ids.length) * ids.length; // about a block, with each id equally often
        const headFor = (index: number) => messageHead(ids[index % ids.length]!, index, second, 8, false);
        this.#stream(first, blockOf(frames, second, headFor));
      };
    }
  }

  #stream(count: number, { bytes, ends }: Block): void {
    let left = count;
    const next = () => {
      if (left <= 0 || this.#socket.destroyed) return;
      const part = left >= ends.length ? bytes : bytes.subarray(0, ends[left - 1]);
      left -= ends.length;
      this.#socket.write(part, next);
    };
    setImmediate(next); // after the receipt of the SUBSCRIBE
  }

  #sendInChunks(head: string, size: number, part: number): void {
    const chunk = Buffer.from(textOf(part), "latin1");
    let left = size;
    const next = () => {
      if (this.#socket.destroyed) return;
      if (left <= 0) return void this.#socket.write("\0");
      const length = Math.min(left, part);
      left -= length;
      // One write per turn of the event loop, so that each is a separate packet.
      this.#socket.write(chunk.subarray(0, length), () => setImmediate(next));
    };
    setImmediate(() => this.#socket.write(head, "latin1", next));
  }
}

const server = createServer((socket) => void new Peer(socket));
server.listen(0, "127.0.0.1", 1024, () => console.log((server.address() as { port: number }).port));
process.stdin.on("end", () => process.exit());
process.stdin.resume();
