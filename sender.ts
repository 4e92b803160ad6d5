/**
 * Sending: from what the caller says to a SEND on a connection, with a receipt, without one, or in a transaction.
 *
 * @module
 */
import { beginSteps, checkWait, type WaitOptions, within } from "./deadline.ts";
import { type BrokerFamily, type MessageOptions, messageHeaders } from "./dialect.ts";
import { Frame } from "./frame.ts";
import type { SessionKeeper } from "./keeper.ts";
import type { Outbox } from "./outbox.ts";
import type { Session } from "./session.ts";
import type { SendOptions } from "./stomp_options.ts";
import type { Transaction } from "./transaction.ts";

/** What sending needs of the client. */
export interface SenderOwner {
  /** Keeps the connection. */
  readonly keeper: SessionKeeper;
  /** Keeps what is not confirmed. */
  readonly outbox: Outbox;
  /** Milliseconds that a call takes at most, where it says nothing else. */
  readonly timeout: number;
  /** Whether text is sent with `content-length`, where a send says nothing else. */
  readonly contentLength: boolean;
  /** Which broker it is, for options. */
  family(session: Session): BrokerFamily;
  /** The open transaction that is meant. */
  transaction(reference: string | { readonly id: string }, what: string): Transaction;
}

/** What is given when there is room and no receipt is wanted. */
const DONE: Promise<undefined> = Promise.resolve(undefined);

/** Sends the messages of one client. */
export class Sender {
  readonly #owner: SenderOwner;

  /** Sends nothing by itself. */
  constructor(owner: SenderOwner) {
    this.#owner = owner;
  }

  /**
   * Sends a message. Resolves to its RECEIPT, or to `undefined` where it has none.
   *
   * @throws at once what can never work.
   */
  send(destination: string, body: string | Uint8Array, options: SendOptions): Promise<Frame | undefined> {
    if (typeof destination !== "string" || destination === "") {
      throw new TypeError("Cannot send: the destination is missing");
    }
    checkWait(options);
    // Built at once, so that a mistake is found at once.
    const frameFor = this.#frameMaker(destination, body, options);
    if (options.transaction !== undefined) return this.#sendInTransaction(options.transaction, frameFor.make, options);
    if (options.receipt === false) return this.#sendWithoutReceipt(destination, frameFor.make, options);
    this.#owner.keeper.check(`send to ${destination}`);
    return this.#owner.outbox.send(destination, frameFor.size, frameFor.make, options);
  }

  #sendInTransaction(
    reference: string | { readonly id: string },
    frameFor: (session: Session) => Frame,
    options: SendOptions,
  ): Promise<undefined> {
    // RabbitMQ sends such a receipt after that of COMMIT: who waits for it before waits for ever.
    if (options.receipt) {
      throw new TypeError("Cannot send with a receipt in a transaction: the receipt of the commit stands for all");
    }
    const transaction = this.#owner.transaction(reference, "send");
    const session = transaction.use("send");
    const frame = frameFor(session);
    frame.headers["transaction"] = transaction.id;
    return write(session, frame, options);
  }

  #sendWithoutReceipt(
    destination: string,
    frameFor: (session: Session) => Frame,
    options: SendOptions,
  ): Promise<undefined> {
    const { keeper, timeout } = this.#owner;
    const what = `send to ${destination}`;
    keeper.check(what);
    const { session } = keeper;
    if (session) return write(session, frameFor(session), options);
    const left = beginSteps(options, timeout);
    return keeper.ready(what, left()).then((open) => write(open, frameFor(open), left()));
  }

  /** Makes the same SEND for each connection that it is tried on; the options may have other names there. */
  #frameMaker(
    destination: string,
    body: string | Uint8Array,
    options: SendOptions,
  ): { size: number; make: (session: Session) => Frame } {
    const own = ownHeaders(destination, body, options);
    const contentLength = options.contentLength ?? this.#owner.contentLength;
    const frame = new Frame().buildFrame({ command: "SEND", headers: own, body }, { contentLength });
    // The time to live of a message begins now, however long it has to wait.
    const { expires } = options;
    const portable: MessageOptions = expires === undefined ? options : { ...options, expires: momentOf(expires) };
    let named: Record<string, string> | undefined;
    const make = (session: Session) => {
      const { headers } = frame;
      // What an earlier connection called it is no name on this one; the caller's own name stays.
      if (own["receipt"] === undefined) delete headers["receipt"];
      for (const name in named) delete headers[name];
      named = messageHeaders(portable, this.#owner.family(session));
      Object.assign(headers, named);
      return frame;
    };
    return { size: frame.bodyLength, make };
  }
}

/** Resolves when there is room for more. */
function write(session: Session, frame: Frame, wait: WaitOptions): Promise<undefined> {
  const room = session.send(frame);
  return room === undefined ? DONE : within(room.then(() => undefined), wait, "room to send");
}

function momentOf(expires: number | Date): Date {
  return expires instanceof Date ? expires : new Date(Date.now() + expires);
}

/** The headers that are the same on every broker. */
function ownHeaders(
  destination: string,
  body: string | Uint8Array,
  { headers, contentType }: SendOptions,
): Record<string, string | undefined> {
  const own: Record<string, string | undefined> = { destination, ...headers };
  own["destination"] = destination;
  const text = typeof body === "string" ? "text/plain" : undefined;
  own["content-type"] = contentType ?? headers?.["content-type"] ?? text;
  return own;
}
