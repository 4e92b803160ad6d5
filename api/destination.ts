/**
 * `Destination`: a handle for one destination of a client, and what is known of its queue.
 *
 * @module
 */
import { checkType, describeType } from "../base/checks.ts";
import { traced } from "../base/errors.ts";
import { setInspect } from "../base/inspect.ts";
import type { Frame } from "../codec/frame.ts";
import type { QueueOptions } from "../dialects/queue.ts";
import type { Message } from "../client/message.ts";
import type { SendOptions, SubscribeOptions } from "../client/options.ts";
import { NO_OPTIONS } from "../client/sender.ts";
import type { Subscription } from "../client/subscription.ts";
import type { Reply, RequestOptions } from "../work/request_reply.ts";
import type { ConsumeOptions, MessageHandler } from "../work/worker.ts";
import type { ClientCore } from "./core.ts";

/** Options of {@linkcode Stomp.prototype.destination}. */
export interface DestinationOptions {
  /**
   * What the queue is made of.
   *
   * @default {what the client has declared for the destination before, else the broker's defaults}
   */
  queue?: QueueOptions | undefined;
}

/**
 * Creates a handle, and remembers the declaration in the client.
 *
 * @throws as {@linkcode Stomp.prototype.destination}.
 */
export let createDestination: (core: ClientCore, name: string, options: DestinationOptions) => Destination;

/**
 * A destination of a client, made by {@linkcode Stomp.prototype.destination}. Its calls are those of the client, without
 * the first argument.
 *
 * ```ts
 * import { Stomp } from "@x/stompy";
 *
 * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
 * const orders = stomp.destination("/queue/orders");
 * await orders.send("one");
 * for await (const message of await orders.subscribe({ ack: "client-individual" })) {
 *   console.log(message.text()); // one
 *   await message.ack();
 *   break;
 * }
 * ```
 */
export class Destination {
  /** The name, for example `/queue/orders`. */
  readonly name: string;
  readonly #core: ClientCore;

  static {
    createDestination = (core, name, options) => {
      if (typeof name !== "string" || name === "") {
        const is = name === "" || name === undefined ? "missing" : `${describeType(name)}, but must be text`;
        throw new TypeError(`Cannot make a destination: the name is ${is}`);
      }
      checkType(`make the destination ${name}`, "options", options, "object", "an object");
      for (const option of Object.keys(options)) {
        if (option === "queue") continue;
        throw new TypeError(`Cannot make the destination ${name}: there is no option ${option}; its option is queue`);
      }
      if (options.queue !== undefined) core.declare(name, options.queue);
      return new Destination(core, name);
    };
  }

  private constructor(core: ClientCore, name: string) {
    this.#core = core;
    this.name = name;
  }

  /**
   * Sends a message, as {@linkcode Stomp.prototype.send} does.
   *
   * @throws as {@linkcode Stomp.prototype.send}.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const orders = stomp.destination("/queue/orders");
   * const receipt = await orders.send("one", { headers: { customer: "c7" } });
   * console.log(receipt?.command); // RECEIPT
   * ```
   */
  send(body: string | Uint8Array, options: SendOptions = NO_OPTIONS): Promise<Frame | undefined> {
    try {
      if (options.transaction !== undefined) return this.#core.transactions.send(this.name, body, options);
      return this.#core.sender.send(this.name, body, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Subscribes, as {@linkcode Stomp.prototype.subscribe}.
   *
   * @throws as {@linkcode Stomp.prototype.subscribe}.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const orders = stomp.destination("/queue/orders");
   * await orders.send("one");
   * const subscription = await orders.subscribe({ ack: "client-individual", prefetch: 10 });
   * const message = await subscription.take();
   * await message?.ack();
   * ```
   */
  async subscribe(options: SubscribeOptions = {}): Promise<Subscription> {
    return await traced(this.#core.subscriptions.subscribe(this.name, options));
  }

  /**
   * Runs `handler` for each message, as {@linkcode Stomp.prototype.consume}.
   *
   * @throws as {@linkcode Stomp.prototype.consume}.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const orders = stomp.destination("/queue/orders");
   * await orders.send("one");
   * const stop = new AbortController();
   * await orders.consume((message) => {
   *   console.log(message.text()); // one
   *   stop.abort();
   * }, { signal: stop.signal });
   * ```
   */
  consume(handler: MessageHandler, options: ConsumeOptions = {}): Promise<void> {
    return this.#core.consume(this.name, handler, options);
  }

  /**
   * Sends a request and waits for its reply, as {@linkcode Stomp.prototype.request}.
   *
   * @throws as {@linkcode Stomp.prototype.request}.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const double = stomp.destination("/queue/double");
   * await double.respond((request) => String(2 * Number(request.text())));
   * console.log((await double.request("21")).text()); // 42
   * ```
   */
  request(body: string | Uint8Array, options: RequestOptions = {}): Promise<Message> {
    return traced(this.#core.requests.request(this.name, body, options));
  }

  /**
   * Answers requests with what `handler` returns, as {@linkcode Stomp.prototype.respond}.
   *
   * @throws as {@linkcode Stomp.prototype.respond}.
   *
   * @example
   * ```ts
   * import { Stomp } from "@x/stompy";
   *
   * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
   * const upper = stomp.destination("/queue/upper");
   * const answers = await upper.respond((request) => request.text().toUpperCase());
   * console.log((await upper.request("hello")).text()); // HELLO
   * await answers.drain();
   * ```
   */
  respond(
    handler: (request: Message) => Reply | Promise<Reply>,
    options: ConsumeOptions = {},
  ): Promise<Subscription> {
    return this.#core.respond(this.name, handler, options);
  }
}

setInspect(Destination, ({ name }) => ({ name }));
