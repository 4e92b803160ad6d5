/**
 * The far end of a connection as a script of bytes: it writes what it is told, escapes nothing, and shows frames as they
 * came over the wire. It shares no code with the library, so that the two cannot agree on a mistake. Every wait has a
 * deadline.
 *
 * @module
 */
import { createConnection, type Socket } from "node:net";
import type { Transport } from "../../transport/transport.ts";

/** Milliseconds that anything may take. */
const DEADLINE = 10_000;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A frame as it came. */
export interface RawFrame {
  /** The first line. */
  command: string;
  /** The header lines, not unescaped. */
  lines: string[];
  /** The body as text. */
  body: string;
  /** The body. */
  octets: Uint8Array;
  /** The value of the first header of that name, not unescaped. */
  get(name: string): string | undefined;
}

/** Bytes both ways. */
interface Pipe {
  /** Resolves when there is room for more. */
  write(bytes: Uint8Array): Promise<void>;
  /** The next bytes; `undefined` after the far end's FIN; rejects when the connection broke. */
  read(): Promise<Uint8Array | undefined>;
  /** Sends FIN. */
  finish(): Promise<void>;
  /** Ends both directions at once. */
  close(): Promise<void>;
}

/** One end of a connection that speaks in bytes. */
export class RawPeer {
  /** How many line ends came between frames. */
  heartbeats = 0;
  readonly #pipe: Pipe;
  #received: Uint8Array = new Uint8Array(0);
  #reading: Promise<boolean> | undefined;

  private constructor(pipe: Pipe) {
    this.#pipe = pipe;
  }

  /** Connects over TCP. */
  static async tcp(port: number): Promise<RawPeer> {
    const socket = createConnection({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    await within(
      "connection",
      new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject)),
    );
    return new RawPeer(socketPipe(socket));
  }

  /** Takes one end of a pair in memory. */
  static over(transport: Transport): RawPeer {
    const reader = transport.readable.getReader();
    const writer = transport.writable.getWriter();
    writer.closed.catch(() => {});
    return new RawPeer({
      write: (bytes) => writer.write(bytes),
      read: async () => (await reader.read()).value,
      finish: () => writer.close(),
      close: () => transport.close(),
    });
  }

  /** Sends text as UTF-8, or bytes. Resolves when there is room for more. */
  write(data: string | Uint8Array): Promise<void> {
    return within("room to write", this.#pipe.write(typeof data === "string" ? encoder.encode(data) : data));
  }

  /** Sends CONNECT for one version with further header lines, and takes CONNECTED. */
  async connect(version: string, lines = ""): Promise<RawFrame> {
    await this.write(`CONNECT\naccept-version:${version}\nhost:test\n${lines}\n\0`);
    return await this.frame("CONNECTED");
  }

  /** Takes the next frame; fails unless it has that command. */
  async frame(command?: string): Promise<RawFrame> {
    const frame = await within(`a frame ${command ?? ""}`, this.#frame());
    if (frame === undefined) throw new Error(`Expected a frame ${command ?? ""}, and the connection ended`);
    if (command !== undefined && frame.command !== command) {
      throw new Error(`Expected ${command}, received ${show(frame)}`);
    }
    return frame;
  }

  /** Takes so many frames. */
  async frames(count: number, command?: string): Promise<RawFrame[]> {
    const frames: RawFrame[] = [];
    while (frames.length < count) frames.push(await this.frame(command));
    return frames;
  }

  /** Takes messages until there is none, and returns their bodies: a frame with a receipt goes before and behind. */
  async settled(): Promise<RawFrame[]> {
    await this.write("SEND\ndestination:/topic/nobody\nreceipt:settled\n\n\0");
    const frames: RawFrame[] = [];
    for (;;) {
      const frame = await this.frame();
      if (frame.command === "RECEIPT" && frame.get("receipt-id") === "settled") return frames;
      frames.push(frame);
    }
  }

  /** Takes ERROR, and the end of the connection behind it. */
  async refusal(): Promise<RawFrame> {
    const error = await this.frame("ERROR");
    await this.ended();
    return error;
  }

  /** Waits for the far end's FIN; fails when there is another frame before it. */
  async ended(): Promise<void> {
    const frame = await within("the end", this.#frame());
    if (frame !== undefined) throw new Error(`Expected the end, received ${show(frame)}`);
  }

  /** Waits for the end, in order or not, and returns the frames before it. */
  async rest(): Promise<RawFrame[]> {
    const frames: RawFrame[] = [];
    try {
      for (let frame; (frame = await within("the end", this.#frame())) !== undefined;) frames.push(frame);
    } catch (error) {
      if (error instanceof DeadlineError) throw error;
    }
    return frames;
  }

  /** Takes bytes, of any frame or none. */
  async bytes(): Promise<void> {
    if (!await within("bytes", this.#read())) throw new Error("Expected bytes, and the connection ended");
  }

  /** Sends FIN. */
  finish(): Promise<void> {
    return within("FIN to be sent", this.#pipe.finish());
  }

  /** Ends the connection at once. */
  close(): Promise<void> {
    return within("the socket to close", this.#pipe.close());
  }

  /** Reads on. Returns whether there was more. */
  #read(): Promise<boolean> {
    return this.#reading ??= this.#pipe.read().then((bytes) => {
      if (bytes === undefined) return false;
      const joined = new Uint8Array(this.#received.length + bytes.length);
      joined.set(this.#received);
      joined.set(bytes, this.#received.length);
      this.#received = joined;
      return true;
    }).finally(() => this.#reading = undefined);
  }

  async #frame(): Promise<RawFrame | undefined> {
    for (;;) {
      while (this.#received[0] === 10) {
        this.#received = this.#received.subarray(1);
        this.heartbeats++;
      }
      const found = cutFrame(this.#received);
      if (found !== undefined) {
        this.#received = this.#received.subarray(found.size);
        return found.frame;
      }
      if (!await this.#read()) {
        if (this.#received.length > 0) throw new Error(`Ended inside a frame: ${decoder.decode(this.#received)}`);
        return undefined;
      }
    }
  }
}

/** The first frame of some bytes, when all of it is there. */
function cutFrame(bytes: Uint8Array): { frame: RawFrame; size: number } | undefined {
  let headEnd = -1;
  for (let at = 0; at + 1 < bytes.length; at++) {
    if (bytes[at] === 10 && bytes[at + 1] === 10) {
      headEnd = at;
      break;
    }
  }
  if (headEnd < 0) return undefined;
  const [command = "", ...lines] = decoder.decode(bytes.subarray(0, headEnd)).split("\n");
  const get = (name: string) => lines.find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1);
  const start = headEnd + 2;
  const length = get("content-length");
  const end = length === undefined ? bytes.indexOf(0, start) : start + Number(length);
  if (end < 0 || end >= bytes.length) return undefined;
  if (bytes[end] !== 0) throw new Error(`No NUL behind the body of ${command} ${lines}`);
  const octets = bytes.slice(start, end);
  return { frame: { command, lines, body: decoder.decode(octets), octets, get }, size: end + 1 };
}

function show({ command, lines, body }: RawFrame): string {
  return JSON.stringify([command, ...lines, "", body].join("\n"));
}

class DeadlineError extends Error {}

async function within<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new DeadlineError(`Waited ${DEADLINE} ms for ${what}`)), DEADLINE);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Nothing is taken out of the socket before someone reads, so that the far end feels a peer that does not. */
function socketPipe(socket: Socket): Pipe {
  let broken: Error | undefined;
  let ended = false;
  let closed = false;
  let wake = () => {};
  const changed = () => new Promise<void>((resolve) => wake = resolve);
  socket.on("readable", () => wake());
  socket.on("end", () => {
    ended = true;
    wake();
  });
  socket.on("error", (error) => {
    broken = error;
    wake();
  });
  socket.on("close", () => {
    closed = true;
    wake();
  });
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => socket.write(bytes, (error) => error ? reject(error) : resolve())),
    async read() {
      for (;;) {
        const bytes = socket.read() as Uint8Array | null;
        if (bytes !== null) return bytes;
        if (broken) throw broken;
        if (ended || closed) return undefined;
        await changed();
      }
    },
    finish: () => new Promise((resolve) => socket.end(() => resolve())),
    close: () =>
      new Promise((resolve) => {
        if (closed) return resolve();
        socket.once("close", () => resolve());
        socket.destroy();
      }),
  };
}
