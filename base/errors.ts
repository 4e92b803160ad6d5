/**
 * What can go wrong, by name.
 *
 * Every error this library throws on purpose is a {@linkcode StompError}, a `TypeError` or `RangeError` where the
 * caller passed something that can never work, or the `reason` of the caller's own `AbortSignal`. Messages follow one
 * pattern: what could not be done, a colon, and the state that stood in the way.
 *
 * @module
 */

/**
 * What an error needs to know of the frame that caused it; `Frame` has this shape. An interface, so that this module
 * stays at the bottom of the house.
 */
export interface ErrorFrame {
  /** The command, for example `ERROR`. */
  readonly command: string;
  /** The headers, already decoded. */
  readonly headers: Readonly<Record<string, string>>;
  /** The body as text. */
  text(): string;
}

/** What an error may carry beside its message. */
export interface StompErrorOptions {
  /** The error underneath. */
  cause?: unknown;
  /** The frame that caused it. */
  frame?: ErrorFrame | undefined;
}

/** The base of all errors of this library. */
export class StompError extends Error {
  /** The name of the class. */
  override name = "StompError";
  /** The frame that caused the error, where one did: for example the broker's ERROR frame. */
  readonly frame: ErrorFrame | undefined;

  /** Creates an error from a message, a cause and the frame that caused it. */
  constructor(message: string, options: StompErrorOptions = {}) {
    // It may quote a broker, and be printed on a terminal.
    super(showControls(message), "cause" in options ? { cause: options.cause } : undefined);
    this.frame = options.frame;
    // A frame may hold a whole message body: printing an error should not print that.
    Object.defineProperty(this, "frame", { enumerable: false });
  }
}

/** The connection could not be made, or was lost. */
export class ConnectionError extends StompError {
  /** The name of the class. */
  override name = "ConnectionError";
}

/** The connection could not be made within its deadline. */
export class ConnectionTimeoutError extends ConnectionError {
  /** The name of the class. */
  override name = "ConnectionTimeoutError";
}

/** The server answered the handshake of a WebSocket, and did not open one. With 401 and 403 it refuses the login. */
export class HandshakeRefusedError extends ConnectionError {
  /** The name of the class. */
  override name = "HandshakeRefusedError";
  /** The HTTP status of its answer. */
  readonly status: number;

  /** Creates the error. */
  constructor(message: string, status: number, options: StompErrorOptions = {}) {
    super(message, options);
    this.status = status;
  }
}

/** The call needs a connection, and there is none: never connected, disconnected, or closed. */
export class NotConnectedError extends StompError {
  /** The name of the class. */
  override name = "NotConnectedError";
}

/** The broker answered with an ERROR frame; `frame` holds it whole, with its headers. */
export class BrokerErrorResponse extends StompError {
  /** The name of the class. */
  override name = "BrokerErrorResponse";

  /** Creates the error for an ERROR frame: its `message` header, else the first line of its body, is the text. */
  constructor(frame: ErrorFrame, context = "Broker answered ERROR") {
    super(`${context}: ${brokerWords(frame)}`, { frame });
  }
}

/** The far end sent bytes that are not STOMP, or frames that the protocol does not allow there. */
export class UnknownBrokerResponseError extends StompError {
  /** The name of the class. */
  override name = "UnknownBrokerResponseError";
}

/** The call was not done within its `timeout`. */
export class TimeoutError extends StompError {
  /** The name of the class. */
  override name = "TimeoutError";
}

/** A transaction cannot go on: it is unknown, ended, already open, or died with its connection. */
export class TransactionError extends StompError {
  /** The name of the class. */
  override name = "TransactionError";
}

/** A subscription cannot be made or used: its id is in use, or it has ended. */
export class SubscriptionError extends StompError {
  /** The name of the class. */
  override name = "SubscriptionError";
}

/** A message cannot be acknowledged: it was already, or it came in `auto` mode. */
export class AcknowledgeError extends StompError {
  /** The name of the class. */
  override name = "AcknowledgeError";
}

/**
 * The message came over a connection that is gone; the broker will deliver it again, so nothing was written. Only within
 * a transaction: elsewhere `ack` and `nack` resolve to `false`.
 */
export class StaleMessageError extends AcknowledgeError {
  /** The name of the class. */
  override name = "StaleMessageError";
}

/** The handler of a request threw; the message has the first line of what it said. */
export class RequestError extends StompError {
  /** The name of the class. */
  override name = "RequestError";
}

/** An option means something that the broker cannot do. Nothing was sent. */
export class UnsupportedByBrokerError extends StompError {
  /** The name of the class. */
  override name = "UnsupportedByBrokerError";
  /** The option. */
  readonly option: string;
  /** The broker, for example `rabbitmq`. */
  readonly broker: string;

  /** Creates the error; `why` says what stands in the way, or what to do instead. */
  constructor(option: string, broker: string, why: string) {
    super(`Cannot use option ${option}: ${why}`);
    this.option = option;
    this.broker = broker;
  }
}

/** The client holds as many unconfirmed messages as it may (`outbox`), and the caller asked not to wait. */
export class OutboxFullError extends StompError {
  /** The name of the class. */
  override name = "OutboxFullError";
}

/** No message is waiting: what `Simple.getNowait()` throws. */
export class Empty extends StompError {
  /** The name of the class. */
  override name = "Empty";
}

// What a terminal obeys instead of showing it, breaks the line, or turns the direction of the text around it.
// deno-lint-ignore no-control-regex
const CONTROLS = /[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** A text with its control characters written out, as `\x1b` or `\u202e`, so that it stays one line of plain text. */
export function showControls(text: string): string {
  return text.replace(CONTROLS, (char) => {
    const code = char.charCodeAt(0);
    if (char === "\n") return "\\n";
    if (char === "\r") return "\\r";
    if (char === "\t") return "\\t";
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** Errors that have their caller in the stack. One that ends many calls has the first. */
const withCallers = new WeakSet<StompError>();

/**
 * The same promise, but a `StompError` that it rejects with has in its stack who awaits the result: most errors are made
 * in the callback of a socket or a timer, of which the caller knows nothing.
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
 * A rejection with an error that then has in its stack who awaits it, or who awaits a promise that is resolved with it. So
 * a call pays for its stack only when it fails. JavaScriptCore (Bun, Safari) does not look through such a promise.
 */
export async function rejection(error: unknown): Promise<never> {
  // The engine ties the other promise to this one in a separate microtask.
  await undefined;
  await undefined;
  addCaller(error);
  throw error;
}

/** Writing out a stack takes 0.3 ms in Deno, so only this many calls that fail together get theirs. */
const MAX_CALLERS_AT_ONCE = 100;

/** Milliseconds in which calls fail together. */
const AT_ONCE_MS = 1000;

let begun = -Infinity;
let callersSince = 0;

/** For an async function that goes on after an `await`: only then a stack tells who awaits it. */
function addCaller(error: unknown): void {
  if (!(error instanceof StompError) || withCallers.has(error)) return;
  const now = performance.now();
  if (now - begun >= AT_ONCE_MS) {
    begun = now;
    callersSince = 0;
  }
  if (++callersSince > MAX_CALLERS_AT_ONCE || error.stack === undefined) return;
  withCallers.add(error);
  const { stack } = error;
  const lines = new Error().stack?.split("\n") ?? [];
  const callers = lines.filter((line) => /^ +at async /.test(line) && !stack.includes(placeOf(line)));
  if (callers.length > 0) error.stack = [stack, ...callers].join("\n");
}

/** File and line in a line of a stack. */
function placeOf(line: string): string {
  return /\((.*)\)$/.exec(line)?.[1] ?? line;
}

/** The broker's own words in an ERROR frame, on one line and of bounded length. */
function brokerWords(frame: ErrorFrame): string {
  const header = frame.headers["message"]?.trim();
  const body = textOf(frame).trim();
  // RabbitMQ may give an Erlang term, in which the reason is the text in quotation marks.
  const quoted = /^Reason: \{[^"]*"([^"]+)"/.exec(body)?.[1];
  const firstLine = quoted ?? body.split(/[\r\n]/, 1)[0]!.trim();
  const words = header && firstLine && firstLine !== header ? `${header} (${firstLine})` : header || firstLine;
  if (!words) return "it gave no reason";
  const line = words.replace(/[ \t\r\n]+/g, " ");
  return line.length > 500 ? `${line.slice(0, 500)}…` : line;
}

/** A broker may claim a charset that nobody knows; that must not hide what else it said. */
function textOf(frame: ErrorFrame): string {
  try {
    return frame.text();
  } catch {
    return "";
  }
}
