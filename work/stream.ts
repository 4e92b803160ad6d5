/**
 * `Stream`: reads a stream of the broker, and continues after the last message when it reconnects.
 *
 * @module
 */
import { checkInteger } from "../base/checks.ts";
import { StompError, traced, UnsupportedByBrokerError } from "../base/errors.ts";
import { beginSteps, type StepOptions, within } from "../base/timers.ts";
import type { FrameHeaders } from "../codec/headers.ts";
import type { Declarations, QueueOptions } from "../dialects/queue.ts";
import { matchesFilter, type StreamPosition, type StreamRules } from "../dialects/stream.ts";
import { askForHeaders, type SubscribeAttempt } from "../client/headers_provider.ts";
import type { Message } from "../client/message.ts";
import type { Reconnector } from "../client/reconnector.ts";
import type { Subscription } from "../client/subscription.ts";
import type { SubscriptionRegistry } from "../client/subscription_registry.ts";
import { endOf, giveCredit, readOffset, startOfLastBatch, type StreamSource } from "./stream_end.ts";
import { type CheckedStreamOptions, checkStream, type StreamOptions } from "./stream_options.ts";

/** A message of a stream. */
export interface StreamMessage extends Message {
  /** The place of the message in the stream, from 0. */
  readonly offset: number;
}

/** The parts of a client that a stream needs. */
export interface StreamContext {
  /** Tells which broker answers. */
  readonly reconnector: Reconnector;
  /** Subscribes. */
  readonly subscriptions: SubscriptionRegistry;
  /** The queues that the client has declared. */
  readonly declarations: Declarations;
  /** Declares a queue. */
  readonly declare: (destination: string, queue: QueueOptions) => void;
  /** Milliseconds that a call may take by default. */
  readonly timeout: number;
}

const DONE: IteratorResult<StreamMessage, undefined> = { done: true, value: undefined };

/**
 * Creates a stream that is read on demand.
 *
 * @throws as {@linkcode Stomp.prototype.stream}.
 */
export let createStream: (context: StreamContext, destination: string, options: StreamOptions) => Stream;

/**
 * A stream of the broker, made by {@linkcode Stomp.prototype.stream}. Iterate it once; leaving the loop ends it.
 *
 * A message is handled when the loop asks for the next one. A message at which the loop is left, by `break` or an error,
 * does not count as handled.
 */
export class Stream implements AsyncIterableIterator<StreamMessage>, AsyncDisposable {
  /** The destination. */
  readonly destination: string;
  readonly #context: StreamContext;
  readonly #options: CheckedStreamOptions;
  #position: StreamPosition | undefined; // of the next SUBSCRIBE
  #current: StreamMessage | undefined; // delivered, and not handled yet
  #handled: number | undefined;
  #subscription: Subscription | undefined;
  #opening: Promise<void> | undefined;
  #last: Promise<unknown> = Promise.resolve(); // call of `next`
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;
  readonly #stopListening: () => void;

  static {
    createStream = (context, destination, options) =>
      new Stream(context, destination, checkStream(destination, options));
  }

  private constructor(context: StreamContext, destination: string, options: CheckedStreamOptions) {
    this.destination = destination;
    this.#context = context;
    this.#options = options;
    const { signal } = options;
    const end = () => void this.close();
    signal?.addEventListener("abort", end, { once: true });
    this.#stopListening = () => signal?.removeEventListener("abort", end);
    if (signal?.aborted) end();
  }

  /** The offset of the last message that was handled and saved; `undefined` before there is one. */
  get handled(): number | undefined {
    return this.#handled;
  }

  /**
   * Subscribes now, instead of when the first message is asked for. Resolves when the broker has confirmed: with
   * `from: "next"`, all messages that are sent after that are delivered.
   *
   * @throws {UnsupportedByBrokerError} when the broker has no streams.
   * @throws {BrokerErrorResponse} when the broker refuses, for example because the queue is no stream.
   * @throws what `load` of the checkpoint throws.
   *
   * @example
   * ```ts no-run
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const events = stomp.stream("/queue/events", { from: "next" });
   * await events.open();
   * await stomp.send("/queue/events", "an event");
   * for await (const event of events) {
   *   console.log(event.offset, event.text()); // 0 an event
   *   break;
   * }
   * ```
   */
  async open(): Promise<void> {
    await traced(this.#open());
  }

  /**
   * Takes the next message for `for await`, after the message before it was saved.
   *
   * @returns the message, or the end of the iteration after the stream was closed.
   * @throws as {@linkcode open}; the error that ended the subscription; what `save` of the checkpoint throws.
   *
   * @example
   * ```ts no-run
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * await using events = stomp.stream("/queue/events", { from: "first" });
   * const { value } = await events.next();
   * console.log(value?.text()); // the first message
   * ```
   */
  next(): Promise<IteratorResult<StreamMessage, undefined>> {
    const next = this.#last.then(() => this.#next());
    this.#last = next.catch(() => {});
    return next;
  }

  /** Ends the iteration, as {@linkcode close}. `for await` calls it when the loop is left. */
  async return(): Promise<IteratorResult<StreamMessage, undefined>> {
    await this.close();
    return DONE;
  }

  /**
   * Unsubscribes and ends the iteration. Does not save the message that was delivered last. Idempotent; never rejects.
   *
   * @example
   * ```ts no-run
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const events = stomp.stream("/queue/events");
   * setTimeout(() => events.close(), 60_000);
   * for await (const event of events) console.log(event.text()); // ends after a minute
   * ```
   */
  close(): Promise<void> {
    return this.#closed ??= this.#close();
  }

  /** Ends the stream, as {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Returns the stream itself. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  async #close(): Promise<void> {
    this.#stopListening();
    this.#closing.abort(new StompError(`Cannot read ${this.destination}: the stream is closed`));
    await this.#opening?.catch(() => {}); // the caller of `open` gets the error
    await this.#subscription?.unsubscribe().catch(() => {}); // it has ended all the same
  }

  get #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  async #next(): Promise<IteratorResult<StreamMessage, undefined>> {
    try {
      await this.#handle();
      if (this.#isClosed) return DONE;
      await this.#open();
      const { filter } = this.#options;
      const subscription = this.#subscription;
      for (let message = await subscription?.take(); message; message = await subscription?.take()) {
        const offset = readOffset(message, this.destination);
        if (!this.#isAhead(offset)) {
          giveCredit(message);
          continue;
        }
        this.#position = { offset: offset + 1 };
        if (filter !== undefined && !matchesFilter(message, filter)) {
          giveCredit(message);
          continue;
        }
        this.#current = message as StreamMessage;
        return { done: false, value: this.#current };
      }
      await this.close();
      return DONE;
    } catch (error) {
      const isOver = this.#isClosed;
      await this.close();
      if (isOver && error === this.#closing.signal.reason) return DONE;
      throw error;
    }
  }

  /** Saves the message that was delivered last. */
  async #handle(): Promise<void> {
    const message = this.#current;
    if (message === undefined) return;
    this.#current = undefined;
    const { offset } = message;
    const { checkpoint } = this.#options;
    if (checkpoint !== undefined) await checkpoint.save(offset);
    this.#handled = offset;
    giveCredit(message);
  }

  /** Whether a message is new. Another connection may begin with earlier ones. */
  #isAhead(offset: number): boolean {
    const position = this.#position;
    return typeof position !== "object" || !("offset" in position) || offset >= position.offset;
  }

  #open(): Promise<void> {
    return this.#opening ??= this.#subscribe().catch((error) => {
      if (!this.#isClosed) this.#opening = undefined; // the next call tries again
      throw error;
    });
  }

  async #subscribe(): Promise<void> {
    const { signal } = this.#closing;
    const left = beginSteps({ signal }, this.#context.timeout, this.#context.reconnector.clock);
    const session = await this.#context.reconnector.ready(`read ${this.destination}`, left());
    const { family, name, streams, lacks, subscription } = session.dialect;
    if (streams === undefined) {
      const queue = lacks?.acknowledgements === undefined ? "; use a queue" : ""; // else it keeps no messages
      const topic = typeof subscription.durable === "string" ? "" : ", or a durable subscription to a topic";
      throw new UnsupportedByBrokerError("stream", family, `${name} has no streams${queue}${topic}`);
    }
    this.#declare(streams);
    const source = this.#sourceOf(streams);
    this.#position ??= await this.#start(source, left);
    const { prefetch, filter } = this.#options;
    this.#subscription = await source.subscribe(() => this.#position!, prefetch, left(), filter);
  }

  /** Declares the stream, where each SUBSCRIBE has to. */
  #declare(streams: StreamRules): void {
    const { queue } = this.#options;
    const { declarations, declare } = this.#context;
    if (!streams.declares(this.destination)) {
      if (queue === undefined) return;
      throw new TypeError(
        `Cannot read ${this.destination}: this name declares nothing, so queue has no effect; omit it`,
      );
    }
    const before = declarations.get(this.destination);
    if (before?.type === "stream" && queue === undefined) return;
    declare(this.destination, { ...queue, type: "stream" });
  }

  /** Returns where to begin. */
  async #start(source: StreamSource, left: () => StepOptions): Promise<StreamPosition> {
    const { checkpoint, from } = this.#options;
    const loaded = checkpoint && await within((async () => await checkpoint.load())(), left(), "the checkpoint");
    if (loaded !== undefined) {
      checkInteger(`read ${this.destination}`, "the offset of the checkpoint", loaded, 0);
      return { offset: loaded + 1 };
    }
    // What the broker calls last and next would be another position on the next connection.
    if (from === "next") return { offset: await endOf(source, left) };
    if (from === "last") return { offset: await startOfLastBatch(source, left) };
    return from;
  }

  #sourceOf(rules: StreamRules): StreamSource {
    const { destination } = this;
    const { subscriptions, reconnector } = this.#context;
    return {
      destination,
      get session() {
        return reconnector.session;
      },
      subscribe: (position, prefetch, wait, filter) => {
        const headers = async (attempt: SubscribeAttempt): Promise<FrameHeaders> => {
          // Between two sessions there is none to ask, and without its offset a SUBSCRIBE would skip messages.
          const streams = reconnector.session?.dialect.streams ?? rules;
          const given = this.#options.headers;
          const own = typeof given === "function"
            ? await askForHeaders(given, attempt.number, { signal: attempt.signal })
            : given;
          const entries = [...streams.from(position()), ...filter ? streams.filter(filter) : []];
          return { ...own, ...Object.fromEntries(entries) };
        };
        // 1.0 has only this mode. With one ACK after the other, in order, both modes do the same.
        const ack = reconnector.session?.version === "1.0" ? "client" : "client-individual";
        return subscriptions.subscribe(destination, { ...wait, ack, prefetch, headers });
      },
    };
  }
}
