/**
 * `Sender`: turns the arguments of `send` into a message for the outbox, or into a SEND for a transaction.
 *
 * @module
 */
import { checkType, describeType } from "../base/checks.ts";
import { readDuration } from "../base/duration.ts";
import { checkWait } from "../base/timers.ts";
import { checkMessageOptions } from "../dialects/checks.ts";
import { hasMessageOptions, messageHeaders, type PortableSendOptions } from "../dialects/dialect.ts";
import {
  assertGivenBody,
  checkCharset,
  type FrameHeadersInit,
  headerText,
  isIterable,
  toHeaders,
} from "../codec/encoder.ts";
import { Frame } from "../codec/frame.ts";
import type { FrameHeaders, HeaderEntries } from "../codec/headers.ts";
import type { Reconnector } from "./reconnector.ts";
import type { Outbox } from "./outbox.ts";
import type { OutgoingMessage } from "./pending_send.ts";
import type { QueueMaker } from "../session/queue_maker.ts";
import type { ReceiptWaiter } from "../session/receipts.ts";
import type { SendParts } from "../session/send_head_cache.ts";
import type { Session } from "../session/session.ts";
import type { SendOptions } from "./options.ts";

/** The options of a send that has none. */
export const NO_OPTIONS: SendOptions = Object.freeze({});

/** Sends the messages of one client that are in no transaction, and makes the frames of those that are in one. */
export class Sender {
  readonly #reconnector: Reconnector;
  readonly #outbox: Outbox;
  readonly #contentLength: boolean;

  /**
   * Creates a sender.
   *
   * @param contentLength whether text is sent with `content-length`, where a send says nothing else.
   */
  constructor(reconnector: Reconnector, outbox: Outbox, contentLength: boolean) {
    this.#reconnector = reconnector;
    this.#outbox = outbox;
    this.#contentLength = contentLength;
  }

  /**
   * Sends a message that is in no transaction. Resolves to its RECEIPT, or to `undefined` with `receipt: false`.
   *
   * @throws at once what can never work.
   */
  send(destination: string, body: string | Uint8Array, given: SendOptions): Promise<Frame | undefined> {
    const options = checkSend(destination, body, given);
    this.#reconnector.check("send to", destination);
    const hasReceipt = options.receipt !== false;
    // Built at once, so that a mistake is found at once. The two kinds never share a variable: a compiler that knows which
    // it has can do without most of the object.
    if (this.#isFast(options)) {
      const message = new FastMessage(destination, body, options, hasReceipt);
      // A delayed message may go to another queue.
      if (message.options === undefined || message.options.delay === undefined) {
        return hasReceipt ? this.#outbox.send(message, options) : this.#outbox.sendUnconfirmed(message, options);
      }
    }
    const message = new FrameMessage(destination, body, options, hasReceipt, this.#contentLength);
    return hasReceipt ? this.#outbox.send(message, options) : this.#outbox.sendUnconfirmed(message, options);
  }

  /**
   * Checks a message, and returns its SEND for the broker of a session, without receipt and transaction.
   *
   * @throws at once what can never work.
   */
  frameFor(destination: string, body: string | Uint8Array, given: SendOptions, session: Session): Frame {
    const options = checkSend(destination, body, given);
    this.#reconnector.check("send to", destination);
    return new FrameMessage(destination, body, options, true, this.#contentLength).frameFor(session);
  }

  /** Whether the message can be written without making a frame of it. */
  #isFast(options: CheckedSendOptions): boolean {
    if (!this.#contentLength) return false;
    if (options === NO_OPTIONS) return true;
    const { contentType, contentLength, headers } = options;
    if (contentLength === false) return false;
    if (contentType !== undefined && typeof contentType !== "string") return false; // to be refused
    if (headers === undefined || headers === null) return true;
    return !("receipt" in headers || "content-length" in headers);
  }
}

/**
 * Checks the arguments of a send, except for what differs between brokers.
 *
 * @returns the options, with headers as an object.
 * @throws {TypeError} when an argument or an option is of a type that can never work.
 * @throws {RangeError} when a number is out of its range.
 */
export function checkSend(destination: string, body: string | Uint8Array, options: SendOptions): CheckedSendOptions {
  if (typeof destination !== "string" || destination === "") {
    const is = destination === undefined || destination === ""
      ? "missing"
      : `${describeType(destination)}, but must be text`;
    throw new TypeError(`Cannot send: the destination is ${is}`);
  }
  assertGivenBody("send", body);
  if (options === NO_OPTIONS) return NO_OPTIONS as CheckedSendOptions;
  if (typeof options !== "object") checkType("send", "options", options, "object", "an object");
  checkWait(options);
  const { headers } = options;
  if (headers === undefined || headers === null || !isIterable(headers)) return options as CheckedSendOptions;
  // Derived, because options may inherit members.
  return Object.create(options, { headers: { value: toHeaders(headers), enumerable: true } }) as CheckedSendOptions;
}

/** Options of a send whose headers are an object. */
interface CheckedSendOptions extends Omit<SendOptions, "headers"> {
  headers?: Exclude<FrameHeadersInit, Iterable<unknown>> | undefined;
}

/** The headers that a caller gave, as {@linkcode ownHeaders} returns them. */
interface OwnHeaders {
  /** The `content-type`, if there is no other header. */
  readonly contentType: string | undefined;
  /** All headers, if there are others. */
  readonly headers: HeaderEntries;
}

const NO_HEADERS: HeaderEntries = [];

/** A message that is written without making a frame of it. */
class FastMessage implements OutgoingMessage, SendParts {
  readonly destination: string;
  readonly contentType: string | undefined;
  readonly headers: HeaderEntries;
  readonly persistent: boolean;
  readonly options: PortableSendOptions | undefined;
  readonly body: string | Uint8Array;
  readonly #given: CheckedSendOptions;

  constructor(destination: string, body: string | Uint8Array, options: CheckedSendOptions, hasReceipt: boolean) {
    this.destination = destination;
    // Most messages have neither, and need not make the object that `ownHeaders` returns.
    if (options.headers === undefined && options.contentType === undefined) {
      this.contentType = usualType(body);
      this.headers = NO_HEADERS;
    } else {
      const own = ownHeaders(body, options);
      this.contentType = own.contentType;
      this.headers = own.headers;
    }
    this.persistent = hasReceipt && isPersistenceOpen(options);
    this.options = options !== NO_OPTIONS && hasMessageOptions(options) ? fromNow(options) : undefined;
    this.body = body;
    this.#given = options;
  }

  get hasOwnType(): boolean {
    return hasOwnType(this.#given);
  }

  get demandsReceipt(): boolean {
    return this.#given.receipt === true;
  }

  get size(): number {
    return this.body.length;
  }

  confirm(session: Session, waiter: ReceiptWaiter): string {
    return session.sender.confirmFast(this, waiter);
  }

  write(session: Session): Promise<void> | undefined {
    return session.sendFast(this);
  }
}

/** Any other message. The broker of each connection may have other headers for its options. */
class FrameMessage implements OutgoingMessage {
  readonly destination: string;
  readonly size: number;
  readonly #frame: Frame;
  readonly #own: Readonly<Record<string, string>>;
  readonly #portable: PortableSendOptions;
  readonly #hasOwnType: boolean;
  readonly #demandsReceipt: boolean;
  readonly #persistent: boolean;

  constructor(
    destination: string,
    body: string | Uint8Array,
    options: CheckedSendOptions,
    isConfirmed: boolean, // by its own receipt or the commit's
    usualContentLength: boolean,
  ) {
    this.destination = destination;
    const own = ownHeaders(body, options);
    const headers: Record<string, string> = { destination, ...Object.fromEntries(own.headers) };
    if (own.contentType !== undefined) headers["content-type"] = own.contentType;
    this.#own = headers;
    const contentLength = options.contentLength ?? usualContentLength;
    this.#frame = new Frame().buildFrame({ command: "SEND", headers, body }, { contentLength });
    this.size = body.length;
    this.#portable = fromNow(options);
    this.#hasOwnType = hasOwnType(options);
    this.#demandsReceipt = options.receipt === true;
    this.#persistent = isConfirmed && isPersistenceOpen(options);
  }

  /** Returns the SEND for the session's broker, without a receipt id of an earlier connection. It is one object. */
  frameFor(session: Session): Frame {
    const { queues } = session.sender;
    const headers = this.#frame.headers = Object.assign(Object.create(null) as FrameHeaders, this.#own);
    if (queues.spoils("persistent", headers["persistent"])) delete headers["persistent"];
    const { usualType } = session.dialect;
    if (usualType !== undefined && !this.#hasOwnType) {
      const type = usualType(this.#frame.body);
      if (type === undefined) delete headers["content-type"];
      else headers["content-type"] = type;
    }
    for (const [name, value] of messageHeaders(this.#portable, session.dialect)) headers[name] = value;
    if (this.#persistent) { for (const [name, value] of session.dialect.persistentByDefault) headers[name] = value; }
    const { delay } = this.#portable;
    const milliseconds = delay === undefined ? 0 : readDuration("send", "delay", delay);
    if (milliseconds > 0 && queues.delaysInQueues) {
      this.#moveTo(queues, milliseconds, headers);
    } else {
      for (const [name, value] of queues.headersFor("SEND", this.destination)) headers[name] ??= value;
    }
    return this.#frame;
  }

  /** Sends the message to the queue for its delay, to which the declaration in its headers does not apply. */
  #moveTo(queues: QueueMaker, milliseconds: number, headers: Record<string, string>): void {
    const given = Object.entries(headers).filter(([name]) => queues.declares(name));
    const { destination, declaration } = queues.delay(this.destination, milliseconds, given);
    for (const [name] of given) delete headers[name];
    headers["destination"] = destination;
    for (const [name, value] of declaration) headers[name] = value;
  }

  confirm(session: Session, waiter: ReceiptWaiter): string {
    return session.sender.confirm(this.frameFor(session), waiter, this.#demandsReceipt);
  }

  write(session: Session): Promise<void> | undefined {
    return session.send(this.frameFor(session));
  }
}

/**
 * Whether the caller leaves open if a message survives a restart of the broker. Then it does if it is confirmed: whoever
 * waits for a receipt or a commit relies on it.
 */
function isPersistenceOpen({ persistent, headers }: CheckedSendOptions): boolean {
  if (persistent !== undefined) return false;
  return headers === undefined || headers === null || !("persistent" in headers);
}

/**
 * Returns the options with `expires` as a date: the time to live of a message begins now, however long it waits.
 *
 * @throws as {@linkcode checkMessageOptions}.
 */
function fromNow(options: PortableSendOptions): PortableSendOptions {
  checkMessageOptions(options);
  const { expires } = options;
  if (typeof expires !== "number") return options;
  return Object.create(options, { expires: { value: new Date(Date.now() + expires) } }) as PortableSendOptions;
}

/**
 * Returns the headers of a message that are the same on every broker, without the destination.
 *
 * @throws {TypeError} when the value of a header is not text, or when the body is text and its type names another charset
 * than UTF-8.
 */
function ownHeaders(body: string | Uint8Array, { headers, contentType }: CheckedSendOptions): OwnHeaders {
  const type = givenType(contentType ?? headers?.["content-type"]) ?? usualType(body);
  if (type !== undefined && type !== TEXT_TYPE) checkCharset(body, type);
  if (!headers) return { contentType: type, headers: NO_HEADERS };
  const own: HeaderEntries[number][] = [];
  let hasType = type === undefined;
  for (const name of Object.keys(headers)) {
    const value = name === "content-type" ? type : headers[name];
    if (value === undefined || name === "destination") continue;
    if (name === "content-type") hasType = true;
    own.push([name, headerText(name, value)]);
  }
  if (own.length === 0) return { contentType: type, headers: NO_HEADERS };
  if (!hasType) own.push(["content-type", type!]);
  return { contentType: undefined, headers: own };
}

/** Whether the caller gives the `content-type`. */
function hasOwnType({ contentType, headers }: CheckedSendOptions): boolean {
  return (contentType ?? headers?.["content-type"] ?? undefined) !== undefined;
}

function givenType(type: unknown): string | undefined {
  return type === undefined || type === null ? undefined : headerText("content-type", type);
}

/** The `content-type` of text. */
const TEXT_TYPE = "text/plain";

/** The `content-type` where the caller gives none. */
function usualType(body: string | Uint8Array): string | undefined {
  return typeof body === "string" ? TEXT_TYPE : undefined;
}
