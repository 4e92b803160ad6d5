/**
 * `PendingRequests`: requests and their replies, which come over one queue for all requests of a client.
 *
 * @module
 */
import { describeType } from "../base/checks.ts";
import { beginSteps, type StepOptions, within } from "../base/timers.ts";
import { BrokerErrorResponse, ConnectionError, RequestError, type StompError } from "../base/errors.ts";
import { Frame } from "../codec/frame.ts";
import type { Reconnector } from "../client/reconnector.ts";
import { Message } from "../client/message.ts";
import { checkMessageOptions } from "../dialects/checks.ts";
import { checkHas } from "../dialects/lacks.ts";
import { checkSend, type Sender } from "../client/sender.ts";
import type { Session } from "../session/session.ts";
import type { SendOptions } from "../client/options.ts";
import { isBytes } from "../codec/bytes.ts";

/** Options of `request`: those of `send` that a request does not set itself. `timeout` limits the wait for the reply. */
export type RequestOptions = Omit<SendOptions, "receipt" | "transaction" | "replyTo" | "correlationId" | "wait">;

/** What a handler of `respond` returns: a body, a body with options, or nothing for no reply. */
export type Reply = string | Uint8Array | undefined | void | {
  /** The body. */
  body: string | Uint8Array;
  /**
   * Options of the send, for example `contentType`.
   *
   * @default {{ persistent: false }}
   */
  options?: Omit<SendOptions, "correlationId" | "transaction">;
};

const REPLY_PREFIXES = { temporary: "/temp-queue/", named: "/queue/", topic: "/topic/" } as const;

/** The header of a reply whose handler threw: the first line of the error's message. */
const ERROR_HEADER = "x-stompy-error";

/** Characters of an error that a reply carries at most. */
const MAX_ERROR_LENGTH = 200;

interface PendingRequest {
  readonly destination: string;
  resolve: (reply: Message) => void;
  reject: (error: unknown) => void;
}

/** The queue for replies on one connection. */
interface ReplyQueue {
  readonly session: Session;
  /** The value of `reply-to`. */
  readonly address: string;
  /** Resolves when the broker delivers replies. */
  readonly ready: Promise<void>;
}

/** Sends requests and answers, and keeps the requests that wait for their replies. */
export class PendingRequests {
  readonly #reconnector: Reconnector;
  readonly #sender: Sender;
  readonly #timeout: number;
  readonly #pending = new Map<string, PendingRequest>();
  #prefix: string | undefined; // not made before the first request: pages without HTTPS have no `randomUUID`
  #count = 0;
  #queue: ReplyQueue | undefined;
  #onIdle: (() => void)[] = [];

  /**
   * Creates a registry without requests.
   *
   * @param timeout milliseconds that a request without a timeout may take.
   */
  constructor(reconnector: Reconnector, sender: Sender, timeout: number) {
    this.#reconnector = reconnector;
    this.#sender = sender;
    this.#timeout = timeout;
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
    const left = beginSteps(options, this.#timeout, this.#reconnector.clock);
    const { session, address } = await this.#readyQueue(destination, left);
    const id = `${this.#prefix ??= crypto.randomUUID()}-${++this.#count}`;
    const reply = new Promise<Message>((resolve, reject) => this.#pending.set(id, { destination, resolve, reject }));
    reply.catch(() => {}); // it may fail while nothing awaits it
    const replied = session.gate.awaitReply(); // so that the messages before it do not stop reading
    try {
      const sent = this.#sender.send(destination, body, {
        ...options,
        ...left(),
        receipt: false, // the reply proves more
        replyTo: address,
        correlationId: id,
      });
      const answered = sent.then(() => reply);
      return await within(answered, left(), `the reply from ${destination}`);
    } finally {
      replied();
      this.#pending.delete(id);
      this.#checkIdle();
    }
  }

  /** Sends a reply, if there is one and the request has a `reply-to`. */
  async answer(request: Message, reply: Reply): Promise<void> {
    const replyTo = request.header("reply-to");
    if (replyTo === undefined || reply === undefined) return;
    const { body, options } = readReply(reply);
    const correlationId = request.header("correlation-id");
    try {
      // With a receipt: when the requester is gone, the broker's ERROR names this frame and concerns no other.
      await this.#sender.send(replyTo, body, { persistent: false, ...options, correlationId });
    } catch (error) {
      if (!(error instanceof BrokerErrorResponse)) throw error;
      // The requester is gone. The request was handled all the same.
    }
  }

  /** Sends an error as the reply. Resolves to whether the request has a `reply-to`, and so counts as handled. */
  async answerError(request: Message, error: unknown): Promise<boolean> {
    if (request.header("reply-to") === undefined) return false;
    await this.answer(request, { body: "", options: { headers: { [ERROR_HEADER]: firstLine(error) } } });
    return true;
  }

  /** Rejects all requests: the connection is lost, or brought an ERROR that may be about any of them. */
  failAll(error: StompError): void {
    for (const { reject } of this.#pending.values()) {
      reject(new ConnectionError(`Cannot get a reply: ${error.message}`, { cause: error, frame: error.frame }));
    }
    this.#pending.clear();
    this.#checkIdle();
  }

  /** Resolves when no request waits for its reply. */
  whenIdle(): Promise<void> {
    if (this.#pending.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  #checkIdle(): void {
    if (this.#onIdle.length === 0 || this.#pending.size > 0) return;
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  /** Returns the queue for replies on the session over which a request is sent now. */
  async #readyQueue(destination: string, left: () => StepOptions): Promise<ReplyQueue> {
    for (;;) {
      const session = await this.#reconnector.ready(`request ${destination}`, left());
      const queue = this.#queueOn(session);
      await within(queue.ready, left(), "the queue for replies");
      if (session === this.#reconnector.session) return queue; // and is not about to be replaced
    }
  }

  #queueOn(session: Session): ReplyQueue {
    if (this.#queue?.session !== session) this.#queue = this.#createQueue(session);
    return this.#queue;
  }

  #createQueue(session: Session): ReplyQueue {
    const name = `stompy-${crypto.randomUUID()}`;
    const deliver = (frame: Frame) => this.#deliver(frame as Message);
    const { replyQueue } = session.dialect;
    checkHas("replies", "request", session.dialect);
    if (replyQueue === "implicit") {
      // RabbitMQ subscribes by itself to a queue that a `reply-to` names, and refuses a SUBSCRIBE to it.
      const address = `/temp-queue/${name}`;
      session.subscriptions.expect({ id: address, destination: address, deliver });
      return { session, address, ready: Promise.resolve() };
    }
    const address = `${REPLY_PREFIXES[replyQueue]}${name}`;
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

  /** Settles the request of a reply. A reply that comes too late is dropped. */
  #deliver(message: Message): void {
    const request = this.#pending.get(message.header("correlation-id") ?? "");
    if (request === undefined) return;
    const error = message.header(ERROR_HEADER);
    if (error === undefined) return request.resolve(message);
    const context = `Cannot get a reply from ${request.destination}: its handler failed`;
    request.reject(new RequestError(`${context}: ${firstLine(error)}`, { frame: message })); // anyone may have sent it
  }
}

/**
 * Reads what a handler returned.
 *
 * @throws {TypeError} when it is not a reply.
 */
function readReply(reply: Exclude<Reply, undefined | void>): Exclude<Reply, string | Uint8Array | undefined | void> {
  if (typeof reply === "string" || isBytes(reply)) return { body: reply };
  if (typeof reply === "object" && reply !== null && "body" in reply) return reply;
  const advice = "return a string, a Uint8Array, { body, options }, or nothing; JSON.stringify makes text of an object";
  throw new TypeError(`Cannot respond: the handler returned ${describeType(reply)} without a body; ${advice}`);
}

/** Returns the first line of an error, fit for a header. Further lines and the stack may contain secrets. */
function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : typeof error === "string" ? error : "";
  const line = text.trim().split(/[\r\n]/, 1)[0]!.replace(/\p{Cc}+/gu, " ").trim();
  return [...line].slice(0, MAX_ERROR_LENGTH).join("") || "it gave no reason";
}
