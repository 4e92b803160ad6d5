/**
 * A peer that a test scripts in bytes: it writes what the test says, escapes nothing, and shows frames as they came over
 * the wire. It shares no code with the library, so that the two cannot agree on a mistake. Every wait has a deadline.
 *
 * @module
 */
import { createConnection, type Socket } from "node:net";
import type { Transport } from "../../transport/transport.ts";

/** Milliseconds for each wait. */
const WAIT_TIMEOUT_MS = 10_000;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A frame as it came over the wire. */
export interface RawFrame {
  /** The first line. */
  command: string;
  /** The header lines, not unescaped. */
  lines: string[];
  /** The body as text. */
  body: string;
  /** The body. */
  octets: Uint8Array;
  /** Returns the value of the first header of that name, not unescaped. */
  get(name: string): string | undefined;
}

/** A connection as bytes in both directions. */
interface Pipe {
  /** Resolves when the pipe accepts more. */
  write(bytes: Uint8Array): Promise<void>;
  /** Resolves to the next bytes, or to `undefined` after the peer's FIN. Rejects when the connection broke. */
  read(): Promise<Uint8Array | undefined>;
  /** Sends FIN. */
  finish(): Promise<void>;
  /** Closes both directions at once. */
  close(): Promise<void>;
}

/** One end of a connection, scripted in bytes. */
export class RawPeer {
  /** The number of line ends received between frames. */
  heartbeats = 0;
  readonly #pipe: Pipe;
  #received: Uint8Array = new Uint8Array(0); // the used part of `#memory`
  #memory: Uint8Array = new Uint8Array(1 << 12);
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

  /** Uses one end of a pair in memory. */
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

  /** Sends text as UTF-8, or bytes. Resolves when the connection accepts more. */
  write(data: string | Uint8Array): Promise<void> {
    return within(
      "the connection to accept more",
      this.#pipe.write(typeof data === "string" ? encoder.encode(data) : data),
    );
  }

  /** Sends CONNECT for one version with further header lines, and reads CONNECTED. */
  async connect(version: string, lines = ""): Promise<RawFrame> {
    await this.write(`CONNECT\naccept-version:${version}\nhost:test\n${lines}\n\0`);
    return await this.frame("CONNECTED");
  }

  /** Reads the next frame. Fails unless it has the given command, if any. */
  async frame(command?: string): Promise<RawFrame> {
    const frame = await within(`a frame ${command ?? ""}`, this.#frame());
    if (frame === undefined) throw new Error(`Expected a frame ${command ?? ""}, and the connection ended`);
    if (command !== undefined && frame.command !== command) {
      throw new Error(`Expected ${command}, received ${show(frame)}`);
    }
    return frame;
  }

  /** Reads `count` frames. */
  async frames(count: number, command?: string): Promise<RawFrame[]> {
    const frames: RawFrame[] = [];
    while (frames.length < count) frames.push(await this.frame(command));
    return frames;
  }

  /** Returns all frames that the broker sends before the RECEIPT for a SEND that goes out now. */
  async framesBeforeReceipt(): Promise<RawFrame[]> {
    await this.write("SEND\ndestination:/topic/nobody\nreceipt:settled\n\n\0");
    const frames: RawFrame[] = [];
    for (;;) {
      const frame = await this.frame();
      if (frame.command === "RECEIPT" && frame.get("receipt-id") === "settled") return frames;
      frames.push(frame);
    }
  }

  /** Reads ERROR and the end of the connection after it. */
  async refusal(): Promise<RawFrame> {
    const error = await this.frame("ERROR");
    await this.ended();
    return error;
  }

  /** Waits for the peer's FIN. Fails when a frame comes before it. */
  async ended(): Promise<void> {
    const frame = await within("the end", this.#frame());
    if (frame !== undefined) throw new Error(`Expected the end, received ${show(frame)}`);
  }

  /** Waits for the end of the connection, by FIN or by an error, and returns the frames before it. */
  async rest(): Promise<RawFrame[]> {
    const frames: RawFrame[] = [];
    try {
      for (let frame; (frame = await within("the end", this.#frame())) !== undefined;) frames.push(frame);
    } catch (error) {
      if (error instanceof WaitTimeoutError) throw error;
    }
    return frames;
  }

  /** Waits for bytes, whether or not they are part of a frame. */
  async bytes(): Promise<void> {
    if (!await within("bytes", this.#read())) throw new Error("Expected bytes, and the connection ended");
  }

  /** Sends FIN. */
  finish(): Promise<void> {
    return within("FIN to be sent", this.#pipe.finish());
  }

  /** Closes the connection at once. */
  close(): Promise<void> {
    return within("the socket to close", this.#pipe.close());
  }

  /** Reads more bytes. Resolves to `false` at the end. */
  #read(): Promise<boolean> {
    return this.#reading ??= this.#pipe.read().then((bytes) => {
      if (bytes === undefined) return false;
      this.#keep(bytes);
      return true;
    }).finally(() => this.#reading = undefined);
  }

  #keep(bytes: Uint8Array): void {
    const end = this.#received.byteOffset + this.#received.length;
    const length = this.#received.length + bytes.length;
    if (end + bytes.length > this.#memory.length) {
      const memory = length * 2 > this.#memory.length ? new Uint8Array(length * 2) : this.#memory;
      memory.set(this.#received);
      this.#memory = memory;
      this.#received = memory.subarray(0, this.#received.length);
    }
    const { byteOffset } = this.#received;
    this.#memory.set(bytes, byteOffset + this.#received.length);
    this.#received = this.#memory.subarray(byteOffset, byteOffset + length);
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

/** Returns the first frame of the bytes, or `undefined` when it is not complete. */
function cutFrame(bytes: Uint8Array): { frame: RawFrame; size: number } | undefined {
  let headEnd = bytes.indexOf(10);
  while (headEnd >= 0 && bytes[headEnd + 1] !== 10) headEnd = bytes.indexOf(10, headEnd + 1);
  if (headEnd < 0) return undefined;
  const [command = "", ...lines] = decoder.decode(bytes.subarray(0, headEnd)).split("\n");
  const get = (name: string) => lines.find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1);
  const start = headEnd + 2;
  const length = get("content-length");
  const end = length === undefined ? bytes.indexOf(0, start) : start + Number(length);
  if (end < 0 || end >= bytes.length) return undefined;
  if (bytes[end] !== 0) throw new Error(`No NUL after the body of ${command} ${lines}`);
  const octets = bytes.slice(start, end);
  return { frame: { command, lines, body: decoder.decode(octets), octets, get }, size: end + 1 };
}

function show({ command, lines, body }: RawFrame): string {
  return JSON.stringify([command, ...lines, "", body].join("\n"));
}

class WaitTimeoutError extends Error {}

async function within<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new WaitTimeoutError(`Waited ${WAIT_TIMEOUT_MS} ms for ${what}`)), WAIT_TIMEOUT_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Takes nothing out of the socket before `read()`, so that the other side notices a peer that does not read. */
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
