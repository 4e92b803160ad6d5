/**
 * Request and reply: many requests share one queue for their replies.
 *
 * @module
 */
import { describeType } from "../base/checks.ts";
import { beginSteps, within } from "../base/timers.ts";
import { BrokerErrorResponse, ConnectionError, RequestError, type StompError } from "../base/errors.ts";
import { Frame } from "../codec/frame.ts";
import type { Reconnector } from "./reconnector.ts";
import { Message } from "./message.ts";
import { checkMessageOptions } from "../dialects/checks.ts";
import { checkSend } from "./sender.ts";
import type { Session } from "../session/session.ts";
import type { SendOptions } from "./options.ts";
import { isBytes } from "../codec/bytes.ts";

/** Options of `request`. */
export type RequestOptions = Omit<SendOptions, "receipt" | "transaction" | "replyTo" | "correlationId" | "wait">;

/** What a handler of requests may give back: nothing is no reply. */
export type Reply = string | Uint8Array | undefined | void | {
  /** The body. */
  body: string | Uint8Array;
  /** Options of the send, for example `contentType`. */
  options?: Omit<SendOptions, "correlationId" | "transaction">;
};

/** What requests need of their client. */
export interface RequestOwner {
  /** Keeps the connection. */
  readonly reconnector: Reconnector;
  /** Milliseconds that a call takes at most, where it says nothing else. */
  readonly timeout: number;
  /** Sends a message. */
  send(destination: string, body: string | Uint8Array, options: SendOptions): Promise<unknown>;
}

/** The header of a reply that says that the handler threw, and what. */
const ERROR_HEADER = "x-stompy-error";

/** Characters of it at most. */
const MAX_ERROR_LENGTH = 200;

interface Waiting {
  readonly destination: string;
  resolve: (reply: Message) => void;
  reject: (error: unknown) => void;
}

/** The queue for replies on one connection. */
interface ReplyQueue {
  readonly session: Session;
  /** What goes into `reply-to`. */
  readonly address: string;
  /** Resolves when replies can come. */
  readonly ready: Promise<void>;
}

/** The requests of one client that wait for their replies. */
export class PendingRequests {
  readonly #owner: RequestOwner;
  readonly #waiting = new Map<string, Waiting>();
  readonly #prefix = crypto.randomUUID();
  #count = 0;
  #queue: ReplyQueue | undefined;

  /** Begins with none. */
  constructor(owner: RequestOwner) {
    this.#owner = owner;
  }

  /** How many wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /**
   * Sends a request and waits for its reply.
   *
   * @throws {RequestError} when the reply says that the handler threw.
   * @throws {TimeoutError} when none comes in time; the reply is dropped if it comes later.
   * @throws {ConnectionError} when the connection is lost first: whether the request was handled is then unknown.
   */
  async request(destination: string, body: string | Uint8Array, options: RequestOptions): Promise<Message> {
    checkSend(destination, body, options);
    checkMessageOptions(options);
    const left = beginSteps(options, this.#owner.timeout);
    const session = await this.#owner.reconnector.ready(`request ${destination}`, left());
    const queue = this.#queueOn(session);
    await within(queue.ready, left(), "the queue for replies");
    const id = `${this.#prefix}-${++this.#count}`;
    const reply = new Promise<Message>((resolve, reject) => this.#waiting.set(id, { destination, resolve, reject }));
    reply.catch(() => {}); // it may fail before anybody waits, or after
    const replied = session.gate.awaitReply(); // it may stand behind the messages of whoever asks
    try {
      const sent = this.#owner.send(destination, body, {
        ...options,
        ...left(),
        receipt: false, // the reply says more
        replyTo: queue.address,
        correlationId: id,
      });
      const answered = sent.then(() => reply);
      return await within(answered, left(), `the reply of ${destination}`);
    } finally {
      replied();
      this.#waiting.delete(id);
    }
  }

  /** Answers a request, if it wants an answer and gets one. */
  async answer(request: Message, reply: Reply): Promise<void> {
    const replyTo = request.header("reply-to");
    if (replyTo === undefined || reply === undefined) return;
    const { body, options } = readReply(reply);
    const correlationId = request.header("correlation-id");
    try {
      // With a receipt: if whoever asked is gone, the broker's ERROR is then about this frame and disturbs nobody else.
      await this.#owner.send(replyTo, body, { persistent: false, ...options, correlationId });
    } catch (error) {
      if (!(error instanceof BrokerErrorResponse)) throw error;
      // Nobody is there to get it, which does not make the work undone.
    }
  }

  /** Answers a request whose handler threw. Resolves to whether it wanted an answer, and so counts as handled. */
  async answerError(request: Message, error: unknown): Promise<boolean> {
    if (request.header("reply-to") === undefined) return false;
    await this.answer(request, { body: "", options: { headers: { [ERROR_HEADER]: firstLine(error) } } });
    return true;
  }

  /** The connection is gone, or brought an ERROR that names no frame. */
  failAll(error: StompError): void {
    for (const { reject } of this.#waiting.values()) {
      reject(new ConnectionError(`Cannot get a reply: ${error.message}`, { cause: error, frame: error.frame }));
    }
    this.#waiting.clear();
  }

  #queueOn(session: Session): ReplyQueue {
    if (this.#queue?.session !== session) this.#queue = this.#makeQueue(session);
    return this.#queue;
  }

  #makeQueue(session: Session): ReplyQueue {
    const name = `stompy-${crypto.randomUUID()}`;
    const deliver = (frame: Frame) => this.#deliver(frame as Message);
    const { replyQueue } = session.dialect;
    if (replyQueue === "implicit") {
      // RabbitMQ subscribes to it by itself, under its own name, and refuses a SUBSCRIBE.
      const address = `/temp-queue/${name}`;
      session.subscriptions.expect({ id: address, destination: address, deliver });
      return { session, address, ready: Promise.resolve() };
    }
    const address = replyQueue === "temporary" ? `/temp-queue/${name}` : `/queue/${name}`;
    const frame = new Frame().buildFrame({
      command: "SUBSCRIBE",
      headers: { id: name, destination: address, ack: "auto" },
    });
    const ready = session.subscriptions.subscribe({ id: name, destination: address, deliver }, frame).then(() => {});
    ready.catch(() => {
      if (this.#queue?.session === session) this.#queue = undefined; // the next request tries again
    });
    return { session, address, ready };
  }

  /** A reply that nobody waits for any more is dropped. */
  #deliver(message: Message): void {
    const waiting = this.#waiting.get(message.header("correlation-id") ?? "");
    if (waiting === undefined) return;
    const error = message.header(ERROR_HEADER);
    if (error === undefined) return waiting.resolve(message);
    const context = `Cannot get a reply of ${waiting.destination}: its handler failed`;
    waiting.reject(new RequestError(`${context}: ${firstLine(error)}`, { frame: message })); // anyone may have sent it
  }
}

/**
 * Takes a reply apart.
 *
 * @throws {TypeError} when it is none.
 */
function readReply(reply: Exclude<Reply, undefined | void>): Exclude<Reply, string | Uint8Array | undefined | void> {
  if (typeof reply === "string" || isBytes(reply)) return { body: reply };
  if (typeof reply === "object" && reply !== null && "body" in reply) return reply;
  const advice = "return a string, a Uint8Array, { body, options }, or nothing; JSON.stringify makes text of an object";
  throw new TypeError(`Cannot respond: the handler returned ${describeType(reply)} without a body; ${advice}`);
}

/** What an error says, fit for a header: a stack or further lines may hold what is nobody else's business. */
function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : typeof error === "string" ? error : "";
  const line = text.trim().split(/[\r\n]/, 1)[0]!.replace(/\p{Cc}+/gu, " ").trim();
  return [...line].slice(0, MAX_ERROR_LENGTH).join("") || "it gave no reason";
}
