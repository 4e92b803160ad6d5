/**
 * `openSocket`: a connection whose frames are written and read one by one, as by stompy's `Frame`.
 *
 * @module
 */
import { type ParsedAddress, parseUrl } from "../transport/address.ts";
import { openTransport, type OpenTransportOptions } from "../transport/open.ts";
import type { ReadOptions } from "../base/timers.ts";
import type { DecoderLimits } from "../codec/limits.ts";
import { ConnectionError, NotConnectedError, type StompError, UnknownBrokerResponseError } from "../base/errors.ts";
import type { Frame, FrameSocket } from "../codec/frame.ts";
import { isVersion, type Version } from "../codec/protocol.ts";
import { Backlog } from "./backlog.ts";
import { BoundedQueue } from "../base/bounded_queue.ts";
import { FrameConnection } from "../connection/frame_connection.ts";
import type { Transport } from "../transport/transport.ts";

/** Options of {@linkcode openSocket}. */
export interface OpenSocketOptions extends OpenTransportOptions, DecoderLimits {}

/**
 * Opens a connection without sending CONNECT, which `frame.connect(sock)` does.
 *
 * @throws {TypeError} when the URL or an option is invalid.
 * @throws {ConnectionError} when the connection cannot be made; a `ConnectionTimeoutError` when the time is over.
 *
 * @example
 * ```ts
 * import { Frame, openSocket } from "@x/stompy";
 *
 * const sock = await openSocket("stomp://localhost:61613");
 * const frame = new Frame();
 * await frame.connect(sock, { username: "guest", password: "guest" });
 * await frame.sendFrame(new Frame().buildFrame({ command: "DISCONNECT" }));
 * await sock.close();
 * ```
 */
export async function openSocket(url: string | URL, options: OpenSocketOptions = {}): Promise<FrameSocket> {
  const address = parseUrl(url, options.transport !== undefined);
  return new RawSocket(await openTransport(address, options), address, options);
}

class RawSocket implements FrameSocket {
  readonly host: string;
  readonly #socket: FrameConnection;
  readonly #queue: BoundedQueue<Frame>;

  constructor(transport: Transport, address: ParsedAddress, limits: DecoderLimits) {
    this.host = address.host;
    this.#socket = new FrameConnection(transport, limits);
    this.#queue = new BoundedQueue<Frame>(new Backlog(), (fill) => {
      if (fill === "free") this.#socket.resume();
      else this.#socket.pause();
    });
    this.#socket.start({
      onFrame: (frame) => this.#onFrame(frame),
      onEnd: (error) => this.#queue.end(error ?? closedByBroker(this.#socket.peer)),
    });
  }

  get version(): Version {
    return this.#socket.version;
  }

  async writeFrame(frame: Frame): Promise<void> {
    await this.#socket.send(frame);
  }

  readFrame(options: ReadOptions = {}): Promise<Frame | undefined> {
    return this.#queue.take(options, "a frame");
  }

  close(): Promise<void> {
    this.#queue.end(new NotConnectedError("Cannot read frame: the socket is closed"));
    return this.#socket.end();
  }

  #onFrame(frame: Frame): void {
    if (frame.command === "CONNECTED") {
      // Without a version it is 1.0 ("Protocol Negotiation" in the 1.2 text), whose brokers pad values with spaces.
      const version = frame.headers["version"]?.trim() ?? "1.0";
      if (!isVersion(version)) {
        const what = `the broker chose version ${JSON.stringify(version)}`;
        this.#queue.end(new UnknownBrokerResponseError(`Cannot go on with ${this.#socket.peer}: ${what}`, { frame }));
        this.#socket.close();
        return;
      }
      this.#socket.version = version;
    }
    this.#queue.put(frame);
  }
}

function closedByBroker(peer: string): StompError {
  return new ConnectionError(`Connection to ${peer} lost: the broker closed it`);
}
