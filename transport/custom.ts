/**
 * Custom transports: a function of the program opens the connection, for whatever the library cannot do by itself.
 *
 * @module
 */
import { describeType } from "../base/checks.ts";
import { ConnectionError } from "../base/errors.ts";
import { addressText, type ParsedAddress } from "./address.ts";
import type { DirectIo } from "./socket_transport.ts";
import { StreamIo } from "./stream_io.ts";
import type { Transport, TransportFactory, TransportRequest, TransportStreams } from "./transport.ts";

/** How long a custom transport may take to close, in milliseconds. */
const CLOSE_TIMEOUT_MS = 1000;

/**
 * Opens a connection by a function of the program. A connection that it opens after the signal has aborted is closed.
 *
 * @throws {ConnectionError} when the function fails, with its error as the cause. A `ConnectionError` that it throws is passed on.
 * @throws {TypeError} when it returns no streams.
 * @throws the reason of the signal.
 */
export async function openCustom(
  factory: TransportFactory,
  address: ParsedAddress,
  request: TransportRequest,
): Promise<Transport> {
  const { signal } = request;
  const peer = addressText(address);
  const { login: _login, passcode: _passcode, ...where } = address;
  const opening = (async () => await factory(where, request))();
  let streams: TransportStreams;
  try {
    streams = await untilAborted(opening, signal);
  } catch (cause) {
    if (signal.aborted) {
      opening.then((late) => completeTransport(late, peer).close()).catch(() => {});
      throw signal.reason;
    }
    if (cause instanceof ConnectionError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ConnectionError(`Cannot connect to ${peer}: transport() failed: ${why}`, { cause });
  }
  return completeTransport(streams, peer);
}

function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
    if (signal.aborted) abort();
  });
}

/**
 * Makes a transport from what a custom function returned.
 *
 * @throws {TypeError} that says what is wrong with it.
 */
export function completeTransport(given: TransportStreams, peer: string): Transport {
  const fail = (problem: string) => new TypeError(`Cannot use what transport() returned: ${problem}`);
  if (typeof given !== "object" || given === null) {
    throw fail(`it is ${describeType(given)}, but must be an object with readable and writable`);
  }
  // A transport of the library, whose streams must not be touched when it is used directly.
  if (isTransport(given)) return given;
  const { readable, writable } = given;
  if (!isStream(readable, "getReader")) throw fail(problemOf("readable", "ReadableStream", given, readable));
  if (!isStream(writable, "getWriter")) throw fail(problemOf("writable", "WritableStream", given, writable));
  if (readable.locked || writable.locked) throw fail(`its ${readable.locked ? "readable" : "writable"} is locked`);
  if (given.peer !== undefined && typeof given.peer !== "string") {
    throw fail(`its peer is ${describeType(given.peer)}, but must be text`);
  }
  if (given.close !== undefined && typeof given.close !== "function") {
    throw fail(`its close is ${describeType(given.close)}, but must be a function`);
  }
  return new CustomTransport(given, given.peer ?? peer);
}

function isTransport(given: TransportStreams): given is Transport {
  const { direct, close, peer } = given as Partial<Transport>;
  return typeof direct === "function" && typeof close === "function" && typeof peer === "string";
}

function isStream(value: unknown, method: "getReader" | "getWriter"): boolean {
  return typeof value === "object" && value !== null && typeof Reflect.get(value, method) === "function";
}

function problemOf(name: string, type: string, given: object, value: unknown): string {
  const problem = `its ${name} is ${describeType(value)}, but must be a ${type}`;
  if ("pipe" in given) return `${problem}; Duplex.toWeb(socket) of node:stream makes both`;
  if ("readyState" in given) return `${problem}; the URL of a WebSocket is ws:// or wss://, and needs no transport`;
  return problem;
}

/** The streams of a program as a transport that always closes. */
class CustomTransport implements Transport {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly peer: string;
  readonly #given: TransportStreams;
  #io: StreamIo | undefined;
  #closing: Promise<void> | undefined;

  constructor(given: TransportStreams, peer: string) {
    this.#given = given;
    this.readable = given.readable;
    this.writable = given.writable;
    this.peer = peer;
  }

  direct(): DirectIo {
    return this.#io ??= new StreamIo(this);
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  /** Waits a second at most: nothing else can free what the program has not freed by then. */
  async #close(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, CLOSE_TIMEOUT_MS));
    const steps = [async () => await this.#given.close?.(), () => this.#abandon()];
    await Promise.race([Promise.allSettled(steps.map(async (step) => await step())), late]);
    clearTimeout(timer);
  }

  async #abandon(): Promise<void> {
    if (this.#io !== undefined) await this.#io.abandon();
    else await Promise.allSettled([this.readable.cancel(), this.writable.abort()]);
  }
}
