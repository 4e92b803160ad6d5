/**
 * Sending: from what the caller says to a SEND on a connection, with a receipt, without one, or in a transaction.
 *
 * @module
 */
import { checkType, describeType } from "../base/checks.ts";
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
import type { HeaderEntries } from "../codec/headers.ts";
import type { Reconnector } from "./reconnector.ts";
import type { Outbox } from "./outbox.ts";
import type { OutgoingMessage } from "./pending_send.ts";
import type { ReceiptWaiter } from "../session/receipts.ts";
import type { SendParts } from "../session/send_head_cache.ts";
import type { Session } from "../session/session.ts";
import type { SendOptions } from "./options.ts";

/** What sending needs of the client. */
export interface SenderOwner {
  /** Keeps the connection. */
  readonly reconnector: Reconnector;
  /** Milliseconds that a call takes at most, where it says nothing else. */
  readonly timeout: number;
  /** Whether text is sent with `content-length`, where a send says nothing else. */
  readonly contentLength: boolean;
}

/** The options of a send that has none. */
export const NO_OPTIONS: SendOptions = Object.freeze({});

/** Sends the messages of one client. */
export class Sender {
  readonly #owner: SenderOwner;
  readonly #outbox: Outbox;

  /** Sends with receipts by `outbox`, and nothing by itself. */
  constructor(owner: SenderOwner, outbox: Outbox) {
    this.#owner = owner;
    this.#outbox = outbox;
  }

  /**
   * Sends a message. Resolves to its RECEIPT, or to `undefined` where it has none.
   *
   * @throws at once what can never work.
   */
  send(destination: string, body: string | Uint8Array, given: SendOptions): Promise<Frame | undefined> {
    const options = checkSend(destination, body, given);
    const { reconnector } = this.#owner;
    reconnector.check("send to", destination);
    if (this.#isPlain(options)) {
      const parcel = new FastMessage(destination, body, options);
      return options.receipt === false
        ? this.#outbox.sendUnconfirmed(parcel, options)
        : this.#outbox.send(parcel, options);
    }
    // Built at once, so that a mistake is found at once.
    const letter = new FrameMessage(destination, body, options, this.#owner);
    return options.receipt === false
      ? this.#outbox.sendUnconfirmed(letter, options)
      : this.#outbox.send(letter, options);
  }

  /** Whether the message can be written without a frame being made of it first. */
  #isPlain(options: PlainSendOptions): boolean {
    if (!this.#owner.contentLength) return false;
    if (options === NO_OPTIONS) return true;
    const { contentType, contentLength, transaction, headers } = options;
    if (contentLength === false || transaction !== undefined) return false;
    if (contentType !== undefined && typeof contentType !== "string") return false; // to be refused
    if (headers === undefined || headers === null) return true;
    return !("receipt" in headers || "content-length" in headers);
  }

  /** Checks a message, and builds its SEND for a session. */
  frameFor(destination: string, body: string | Uint8Array, given: SendOptions, session: Session): Frame {
    const options = checkSend(destination, body, given);
    return new FrameMessage(destination, body, options, this.#owner).frameFor(session);
  }
}

/**
 * Checks a message before anything is done with it, but for what differs between brokers.
 *
 * @returns the options, with headers that are an object.
 * @throws {TypeError} when an argument or an option is of a type that can never work.
 * @throws {RangeError} when a number is out of its range.
 */
export function checkSend(destination: string, body: string | Uint8Array, options: SendOptions): PlainSendOptions {
  if (typeof destination !== "string" || destination === "") {
    const is = destination === undefined || destination === ""
      ? "missing"
      : `${describeType(destination)}, and has to be text`;
    throw new TypeError(`Cannot send: the destination is ${is}`);
  }
  assertGivenBody("send", body);
  if (options === NO_OPTIONS) return NO_OPTIONS as PlainSendOptions;
  if (typeof options !== "object") checkType("send", "options", options, "object", "an object");
  checkWait(options);
  const { headers } = options;
  if (headers === undefined || headers === null || !isIterable(headers)) return options as PlainSendOptions;
  // What they inherit stays.
  return Object.create(options, { headers: { value: toHeaders(headers), enumerable: true } }) as PlainSendOptions;
}

/** Options of a send whose headers are not given as pairs. */
interface PlainSendOptions extends Omit<SendOptions, "headers"> {
  headers?: Exclude<FrameHeadersInit, Iterable<unknown>> | undefined;
}

/** What {@linkcode ownHeaders} finds. */
interface OwnHeaders {
  /** The `content-type`, if there is no other header. */
  readonly contentType: string | undefined;
  /** All of them, if there are others. */
  readonly headers: HeaderEntries;
}

const NO_HEADERS: HeaderEntries = [];

/** A message of which no frame is made. */
class FastMessage implements OutgoingMessage, SendParts {
  readonly destination: string;
  readonly contentType: string | undefined;
  readonly headers: HeaderEntries;
  readonly persistent: boolean;
  readonly options: PortableSendOptions | undefined;
  readonly body: string | Uint8Array;

  constructor(destination: string, body: string | Uint8Array, options: PlainSendOptions) {
    const { contentType, headers } = ownHeaders(body, options);
    this.destination = destination;
    this.contentType = contentType;
    this.headers = headers;
    this.persistent = isPersistentByDefault(options);
    this.options = hasMessageOptions(options) ? fromNow(options) : undefined;
    this.body = body;
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

/** Any other message. Its options may have other names on each connection that it is tried on. */
class FrameMessage implements OutgoingMessage {
  readonly destination: string;
  readonly size: number;
  readonly #owner: SenderOwner;
  readonly #ownReceipt: boolean;
  readonly #frame: Frame;
  readonly #portable: PortableSendOptions;
  readonly #persistent: boolean;
  #named: string[] = [];

  constructor(destination: string, body: string | Uint8Array, options: PlainSendOptions, owner: SenderOwner) {
    this.destination = destination;
    this.#owner = owner;
    const own = ownHeaders(body, options);
    const headers: Record<string, string> = { destination, ...Object.fromEntries(own.headers) };
    if (own.contentType !== undefined) headers["content-type"] = own.contentType;
    this.#ownReceipt = "receipt" in headers;
    const contentLength = options.contentLength ?? owner.contentLength;
    this.#frame = new Frame().buildFrame({ command: "SEND", headers, body }, { contentLength });
    this.size = body.length;
    this.#portable = fromNow(options);
    this.#persistent = isPersistentByDefault(options);
  }

  /** The SEND as this connection's broker wants it. */
  frameFor(session: Session): Frame {
    const frame = this.#frame;
    const { headers } = frame;
    // What an earlier connection called it is no name on this one; the caller's own name stays.
    if (!this.#ownReceipt) delete headers["receipt"];
    for (const name of this.#named) delete headers[name];
    const named = [
      ...messageHeaders(this.#portable, session.dialect),
      ...(this.#persistent ? session.dialect.persistentByDefault : []),
    ];
    for (const [name, value] of named) headers[name] = value;
    this.#named = named.map(([name]) => name);
    return frame;
  }

  confirm(session: Session, waiter: ReceiptWaiter): string {
    return session.sender.confirm(this.frameFor(session), waiter);
  }

  write(session: Session): Promise<void> | undefined {
    return session.send(this.frameFor(session));
  }
}

/**
 * Whether a message has to survive a restart of the broker although nobody says so: whoever waits for a receipt, or for a
 * commit, relies on it.
 */
function isPersistentByDefault({ receipt, transaction, persistent, headers }: PlainSendOptions): boolean {
  if (persistent !== undefined || (receipt === false && transaction === undefined)) return false;
  return headers === undefined || headers === null || !("persistent" in headers);
}

/**
 * The options as they are kept: the time to live of a message begins now, however long it has to wait.
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
 * The headers of a message that are the same on every broker, but for the destination.
 *
 * @throws {TypeError} when one of them is an object, or anything else that is no text; when the body is text that the type
 * says to be in another charset than UTF-8.
 */
function ownHeaders(body: string | Uint8Array, { headers, contentType }: PlainSendOptions): OwnHeaders {
  const type = givenType(contentType ?? headers?.["content-type"]) ?? typeOf(body);
  if (type !== undefined && type !== TEXT) checkCharset(body, type);
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

function givenType(type: unknown): string | undefined {
  return type === undefined || type === null ? undefined : headerText("content-type", type);
}

/** What text is said to be, where nobody says anything else. */
const TEXT = "text/plain";

/** What a body is said to be, where nobody says anything else. */
function typeOf(body: string | Uint8Array): string | undefined {
  return typeof body === "string" ? TEXT : undefined;
}
