/**
 * The errors of this library.
 *
 * Every error that this library throws on purpose is a {@linkcode StompError}, a `TypeError` or `RangeError` for arguments
 * that can never work, or the `reason` of the caller's own `AbortSignal`. Messages follow one pattern: what could not be
 * done, a colon, and the state that prevents it.
 *
 * @module
 */

/** What an error reads of the frame that caused it; `Frame` has this shape. An interface, so that `base/` knows no STOMP. */
export interface ErrorFrame {
  /** The command, for example `ERROR`. */
  readonly command: string;
  /** The decoded headers. */
  readonly headers: Readonly<Record<string, string>>;
  /** Returns the body as text. */
  text(): string;
}

/** What an error carries besides its message. */
export interface StompErrorOptions {
  /** The underlying error. */
  cause?: unknown;
  /** The frame that caused the error. */
  frame?: ErrorFrame | undefined;
}

/** The base class of all errors of this library. */
export class StompError extends Error {
  /** The name of the class. */
  override name = "StompError";
  /** The frame that caused the error, for example the broker's ERROR frame; `undefined` where no frame did. */
  readonly frame: ErrorFrame | undefined;

  /** Creates an error from a message, a cause and the frame that caused it. */
  constructor(message: string, options: StompErrorOptions = {}) {
    // The message may quote a broker, and a terminal may print it.
    super(showControls(message), "cause" in options ? { cause: options.cause } : undefined);
    this.frame = options.frame;
    // A frame may hold a whole message body, which must not be printed with the error.
    Object.defineProperty(this, "frame", { enumerable: false });
  }
}

/**
 * Thrown when a connection cannot be opened, or is lost before the broker has answered. The client reconnects by itself;
 * for `connect()`, check the address and whether the broker runs, or set `reconnect.firstConnect`.
 *
 * @example
 * ```ts
 * import { ConnectionError, Stomp } from "@x/stompy";
 *
 * const stomp = new Stomp("stomp://localhost:61613", { connectTimeout: 2000 });
 * try {
 *   await stomp.connect();
 * } catch (error) {
 *   if (!(error instanceof ConnectionError)) throw error;
 *   console.error("Is the broker running?", error.message, error.cause);
 * }
 * await stomp.disconnect();
 * ```
 */
export class ConnectionError extends StompError {
  /** The name of the class. */
  override name = "ConnectionError";
}

/** Thrown when a connection cannot be opened within `connectTimeout` or `timeout`. Try again, or allow more time. */
export class ConnectionTimeoutError extends ConnectionError {
  /** The name of the class. */
  override name = "ConnectionTimeoutError";
}

/**
 * Thrown when the server answers the handshake of a WebSocket without opening one. Check the path of the URL; with status
 * 401 or 403, check user and password.
 */
export class HandshakeRefusedError extends ConnectionError {
  /** The name of the class. */
  override name = "HandshakeRefusedError";
  /** The HTTP status of the answer. */
  readonly status: number;

  /** Creates the error for an HTTP status. */
  constructor(message: string, status: number, options: StompErrorOptions = {}) {
    super(message, options);
    this.status = status;
  }
}

/** Thrown when a call needs a connection and the client was never connected, or is closed. Call `connect()` first. */
export class NotConnectedError extends StompError {
  /** The name of the class. */
  override name = "NotConnectedError";
}

/**
 * Thrown when the broker answers with an ERROR frame. `frame` has its headers and body: read there what the broker
 * refused.
 *
 * @example
 * ```ts
 * import { BrokerErrorResponse, Stomp } from "@x/stompy";
 *
 * await using stomp = await Stomp.connect("stomp://localhost:61613");
 * try {
 *   await stomp.send("/queue/orders", "one coffee");
 * } catch (error) {
 *   if (!(error instanceof BrokerErrorResponse)) throw error;
 *   console.error(error.message, error.frame?.headers, error.frame?.text());
 * }
 * ```
 */
export class BrokerErrorResponse extends StompError {
  /** The name of the class. */
  override name = "BrokerErrorResponse";

  /** Creates the error for an ERROR frame, with the text of its `message` header, or else the first line of its body. */
  constructor(frame: ErrorFrame, context = "Broker answered ERROR") {
    super(`${context}: ${quoteBroker(frame)}`, { frame });
  }
}

/**
 * Thrown when the peer sends bytes that are not STOMP, or a frame that the protocol does not allow at that point. Check
 * whether the port speaks STOMP.
 */
export class UnknownBrokerResponseError extends StompError {
  /** The name of the class. */
  override name = "UnknownBrokerResponseError";
}

/**
 * Thrown when a call does not finish within its `timeout`. Its `cause` says why, where the client knows; the message of a
 * `send()` says whether it was written.
 *
 * @example
 * ```ts
 * import { Stomp, TimeoutError } from "@x/stompy";
 *
 * await using stomp = await Stomp.connect("stomp://localhost:61613");
 * const orders = await stomp.subscribe("/queue/orders");
 * try {
 *   console.log(await orders.take({ timeout: 100 }));
 * } catch (error) {
 *   if (!(error instanceof TimeoutError)) throw error;
 *   console.log("No order within 100 ms");
 * }
 * ```
 */
export class TimeoutError extends StompError {
  /** The name of the class. */
  override name = "TimeoutError";
}

/**
 * Thrown when a transaction is unknown, has ended, is already open, or is lost with its connection. Begin a new one and
 * repeat its work.
 */
export class TransactionError extends StompError {
  /** The name of the class. */
  override name = "TransactionError";
}

/**
 * Thrown when a subscription's id is in use, the version lacks its ack mode, there is no such subscription, or the broker
 * has cancelled it. `cause` and `frame` have the broker's ERROR where there is one.
 */
export class SubscriptionError extends StompError {
  /** The name of the class. */
  override name = "SubscriptionError";
}

/**
 * Thrown by `ack()` and `nack()` when the message is acknowledged already, or came in ack mode `auto`. Acknowledge each
 * message once, in mode `client` or `client-individual`.
 */
export class AcknowledgeError extends StompError {
  /** The name of the class. */
  override name = "AcknowledgeError";
}

/**
 * Thrown when a message is acknowledged in a transaction after its connection was lost. The broker delivers it again, so
 * nothing was written. Outside transactions `ack()` and `nack()` resolve to `false` instead.
 */
export class StaleMessageError extends AcknowledgeError {
  /** The name of the class. */
  override name = "StaleMessageError";
}

/**
 * Thrown by `request()` when the handler at the other side threw. The message has the first line of the handler's error.
 */
export class RequestError extends StompError {
  /** The name of the class. */
  override name = "RequestError";
}

/**
 * Thrown when the broker cannot honour an option, before anything is sent. Leave the option out, or do what the message
 * says.
 *
 * @example
 * ```ts
 * import { Stomp, UnsupportedByBrokerError } from "@x/stompy";
 *
 * await using stomp = await Stomp.connect("stomp://localhost:61613");
 * try {
 *   await stomp.send("/queue/orders", "one coffee", { delay: 60_000 });
 * } catch (error) {
 *   if (!(error instanceof UnsupportedByBrokerError)) throw error;
 *   console.log(`${error.broker} has no ${error.option}, sending at once`);
 *   await stomp.send("/queue/orders", "one coffee");
 * }
 * ```
 */
export class UnsupportedByBrokerError extends StompError {
  /** The name of the class. */
  override name = "UnsupportedByBrokerError";
  /** The name of the option, for example `delay`. */
  readonly option: string;
  /** The broker, for example `rabbitmq`. */
  readonly broker: string;

  /** Creates the error; `reason` says why the broker cannot honour the option, or what to do instead. */
  constructor(option: string, broker: string, reason: string) {
    super(`Cannot use option ${option}: ${reason}`);
    this.option = option;
    this.broker = broker;
  }
}

/**
 * Thrown by `send()` with `wait: false` when the message would have to wait, for a place in the outbox or for a connection.
 * Send less, send later, or raise the limits of the option `outbox`.
 *
 * @example
 * ```ts
 * import { OutboxFullError, Stomp } from "@x/stompy";
 *
 * await using stomp = await Stomp.connect("stomp://localhost:61613", { outbox: { messages: 1000 } });
 * try {
 *   await stomp.send("/queue/metrics", "42", { wait: false });
 * } catch (error) {
 *   if (!(error instanceof OutboxFullError)) throw error;
 *   console.warn("Metric dropped:", error.message);
 * }
 * ```
 */
export class OutboxFullError extends StompError {
  /** The name of the class. */
  override name = "OutboxFullError";
}

/** Thrown by `Simple.getNowait()` when no message is available. */
export class Empty extends StompError {
  /** The name of the class. */
  override name = "Empty";
}

// Characters that a terminal interprets, that break the line, or that change the direction of the text around them.
// deno-lint-ignore no-control-regex
const CONTROLS = /[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Writes out the control characters of a text, as `\x1b` or `\u202e`, so that it stays one line of plain text. */
export function showControls(text: string): string {
  return text.replace(CONTROLS, (char) => {
    const code = char.charCodeAt(0);
    if (char === "\n") return "\\n";
    if (char === "\r") return "\\r";
    if (char === "\t") return "\\t";
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** Errors whose stack names the caller. An error that ends many calls names the first one. */
const withCallers = new WeakSet<StompError>();

/**
 * Adds the caller to the stack of the `StompError` that the promise rejects with: most errors are created in the callback
 * of a socket or a timer, whose stack does not mention the caller.
 */
export async function traced<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    addCaller(error);
    throw error;
  }
}

/**
 * Rejects with an error whose stack then names the function that awaits this promise, or one resolved with it. So a call
 * pays for its stack only when it fails. JavaScriptCore (Bun, Safari) does not trace through a resolved promise.
 */
export async function rejection(error: unknown): Promise<never> {
  // The engine links the other promise to this one in a separate microtask.
  await undefined;
  await undefined;
  addCaller(error);
  throw error;
}

/** At most this many stacks are extended in each window of time, because writing one takes 0.3 ms in Deno. */
const MAX_STACKS_PER_WINDOW = 100;

/** The length of the window in milliseconds. */
const STACK_WINDOW_MS = 1000;

let windowStart = -Infinity;
let stacksInWindow = 0;

/** Must run in an async function after an `await`: only then does its stack name the function that awaits it. */
function addCaller(error: unknown): void {
  if (!(error instanceof StompError) || withCallers.has(error)) return;
  const now = performance.now();
  if (now - windowStart >= STACK_WINDOW_MS) {
    windowStart = now;
    stacksInWindow = 0;
  }
  if (++stacksInWindow > MAX_STACKS_PER_WINDOW || error.stack === undefined) return;
  withCallers.add(error);
  const { stack } = error;
  const lines = new Error().stack?.split("\n") ?? [];
  // A line of a stack has file, line and column in parentheses, unless the function has no name.
  const isNew = (line: string) => !stack.includes(/\((.*)\)$/.exec(line)?.[1] ?? line);
  const callers = lines.filter((line) => /^ +at async /.test(line) && isNew(line));
  if (callers.length > 0) error.stack = [stack, ...callers].join("\n");
}

/** At most this many characters of an ERROR's text go into an error message. */
const MAX_QUOTED_LENGTH = 500;

/** Returns the text of an ERROR frame, on one line and of bounded length. */
function quoteBroker(frame: ErrorFrame): string {
  const header = frame.headers["message"]?.trim();
  const body = textOf(frame)?.trim() ?? "";
  // RabbitMQ may send an Erlang term, in which the reason is the quoted text.
  const quoted = /^Reason: \{[^"]*"([^"]+)"/.exec(body)?.[1];
  const firstLine = quoted ?? body.split(/[\r\n]/, 1)[0]!.trim();
  const words = header && firstLine && firstLine !== header ? `${header} (${firstLine})` : header || firstLine;
  if (!words) return "it gave no reason";
  const line = words.replace(/[ \t\r\n]+/g, " ");
  return line.length > MAX_QUOTED_LENGTH ? `${line.slice(0, MAX_QUOTED_LENGTH)}…` : line;
}

/** Returns the body as text; `undefined` where the frame names a charset that the runtime does not know. */
export function textOf(frame: ErrorFrame): string | undefined {
  try {
    return frame.text();
  } catch {
    return undefined;
  }
}
