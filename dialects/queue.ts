/**
 * What a queue is made of: the options of its declaration, their checks, and the declarations that a client remembers.
 *
 * @module
 */
import { checkInteger, checkType, describeType } from "../base/checks.ts";
import { type Duration, readDuration } from "../base/duration.ts";

/** Where RabbitMQ publishes the messages that a queue drops: an exchange, which has to exist, and a routing key. */
export interface DeadLetterExchange {
  /** The name of the exchange; `""` is the default exchange, which routes to the queue with the name of the key. */
  exchange: string;
  /**
   * The routing key.
   *
   * @default {the routing key of the message}
   */
  routingKey?: string | undefined;
}

/**
 * The declaration of a queue. RabbitMQ makes a queue with the first message or subscription, and requires the same
 * declaration from every client: it refuses a different one later.
 *
 * RabbitMQ (3.10, 4.0 and 4.3) takes all options up to `filterSizeBytes` over STOMP. It refuses the others, and the error
 * says what to do instead. Other brokers configure their queues elsewhere: ActiveMQ and Artemis accept
 * `type: "classic"` and `type: "quorum"`, because there every queue survives a restart, and refuse the rest.
 */
export interface QueueOptions {
  /**
   * The kind of queue: `classic` on one node, `quorum` replicated, `stream` a log that is read without being emptied.
   *
   * @default {the broker's: on RabbitMQ that of the virtual host, usually `classic`}
   */
  type?: "classic" | "quorum" | "stream" | undefined;
  /**
   * How long a message stays in the queue before it is dropped, or goes to `deadLetter`: milliseconds, or text such as
   * `"30s"`.
   *
   * @default {for ever}
   */
  ttl?: Duration | undefined;
  /**
   * How long the queue may be without a consumer before it is deleted: 1 or more milliseconds, or text such as `"1h"`. A
   * connection makes a queue only once, so what it sends after the queue is gone is confirmed and lost.
   *
   * @default {for ever}
   */
  expires?: Duration | undefined;
  /**
   * How many messages the queue holds, 0 or more. The oldest ones are dropped, or go to `deadLetter`.
   *
   * @default {no limit}
   */
  maxLength?: number | undefined;
  /**
   * How many bytes of bodies the queue holds, 0 or more.
   *
   * @default {no limit}
   */
  maxLengthBytes?: number | undefined;
  /**
   * The highest `priority` that the queue distinguishes, 1 to 255; use few. For classic queues: quorum queues have
   * priorities without it.
   *
   * @default {none: messages keep their order}
   */
  maxPriority?: number | undefined;
  /**
   * Where the queue sends the messages that it drops, and those that are refused with `requeue:false`: a destination, or
   * an exchange. The client makes the queue of a destination such as `/queue/orders.dead` before it sends the first
   * message. If that queue has options, declare it as well, or name it `/amq/queue/orders.dead`, which is never made.
   *
   * @default {nowhere}
   */
  deadLetter?: string | DeadLetterExchange | undefined;
  /**
   * How long a stream keeps its messages: 1 or more seconds, in milliseconds or as text such as `"168h"`.
   *
   * @default {for ever}
   */
  maxAge?: Duration | undefined;
  /**
   * The size of the files of a stream, in bytes, 1 or more. Old messages are deleted a file at a time.
   *
   * @default {the broker's: 500000000}
   */
  maxSegmentBytes?: number | undefined;
  /**
   * Bytes of the filter that a stream keeps for each chunk of messages, 16 to 255. For `filterValue`.
   *
   * @default {the broker's: 16}
   */
  filterSizeBytes?: number | undefined;
  /**
   * Whether one consumer gets all messages while the others stand by.
   *
   * @default {false}
   */
  singleActiveConsumer?: boolean | undefined;
  /**
   * What happens to new messages when the queue is full.
   *
   * @default {"drop-head"}
   */
  overflow?: "drop-head" | "reject-publish" | "reject-publish-dlx" | undefined;
  /**
   * How often a message of a quorum queue is delivered again before it is dropped, 0 or more.
   *
   * @default {the broker's: 20 since RabbitMQ 4.0}
   */
  deliveryLimit?: number | undefined;
  /**
   * How long a consumer may take to acknowledge a message: milliseconds, or text such as `"30m"`.
   *
   * @default {the broker's: 30 minutes}
   */
  consumerTimeout?: Duration | undefined;
  /**
   * Whether a message that moves to `deadLetter` may get lost on the way.
   *
   * @default {"at-most-once"}
   */
  deadLetterStrategy?: "at-most-once" | "at-least-once" | undefined;
}

/** The allowed values of the options that name one. */
const CHOICES: { readonly [K in keyof QueueOptions]?: readonly string[] } = {
  type: ["classic", "quorum", "stream"],
  overflow: ["drop-head", "reject-publish", "reject-publish-dlx"],
  deadLetterStrategy: ["at-most-once", "at-least-once"],
};

/** The options that are durations, and the least milliseconds that each may be. */
const DURATIONS: { readonly [K in keyof QueueOptions]?: number } = {
  ttl: 0,
  expires: 1,
  maxAge: 1000,
  consumerTimeout: 0,
};

/** The options that are whole numbers, and their ranges. */
const NUMBERS: { readonly [K in keyof QueueOptions]?: readonly [min: number, max?: number] } = {
  maxLength: [0],
  maxLengthBytes: [0],
  maxPriority: [1, 255],
  maxSegmentBytes: [1],
  filterSizeBytes: [16, 255],
  deliveryLimit: [0],
};

const NAMES: readonly string[] = [
  ...Object.keys({ ...CHOICES, ...DURATIONS, ...NUMBERS }),
  "deadLetter",
  "singleActiveConsumer",
].sort();

/**
 * Checks a declaration. Returns a copy without the options that are `undefined`, with its durations in milliseconds.
 *
 * @throws {TypeError} when an option is unknown or of the wrong type.
 * @throws {RangeError} when a value is not allowed.
 */
export function readQueue(destination: string, queue: unknown): QueueOptions {
  const action = `declare ${destination}`;
  checkType(action, "queue", queue ?? null, "object", "an object");
  const copy: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(queue as object)) {
    if (!NAMES.includes(name)) {
      throw new TypeError(`Cannot ${action}: queue has no option ${name}; its options are ${NAMES.join(", ")}`);
    }
    if (value !== undefined) copy[name] = readOption(action, name as keyof QueueOptions, value);
  }
  return copy;
}

function readOption(action: string, key: keyof QueueOptions, value: unknown): unknown {
  const name = `queue.${key}`;
  const choices = CHOICES[key];
  if (choices !== undefined) {
    checkType(action, name, value, "string");
    if (choices.includes(value as string)) return value;
    throw new RangeError(`Cannot ${action}: ${name} is ${JSON.stringify(value)}, but must be ${oneOf(choices)}`);
  }
  const least = DURATIONS[key];
  if (least !== undefined) {
    const milliseconds = readDuration(action, name, value);
    if (milliseconds >= least) return milliseconds;
    throw new RangeError(`Cannot ${action}: ${name} is ${JSON.stringify(value)}, the minimum is ${least} ms`);
  }
  const range = NUMBERS[key];
  if (range !== undefined) checkInteger(action, name, value, ...range);
  else if (key === "deadLetter") return readDeadLetter(action, name, value);
  else checkType(action, name, value, "boolean");
  return value;
}

function readDeadLetter(action: string, name: string, value: unknown): string | DeadLetterExchange {
  if (typeof value === "string" && value !== "") return value;
  const { exchange, routingKey, ...others } = (typeof value === "object" ? value ?? {} : {}) as Partial<
    DeadLetterExchange
  >;
  if (typeof exchange !== "string") {
    const is = value === "" ? "empty" : describeType(value);
    throw new TypeError(`Cannot ${action}: ${name} is ${is}, but must be a destination or { exchange, routingKey }`);
  }
  for (const other of Object.keys(others)) {
    throw new TypeError(`Cannot ${action}: ${name} has no option ${other}; its options are exchange, routingKey`);
  }
  checkType(action, `${name}.routingKey`, routingKey, "string");
  return routingKey === undefined ? { exchange } : { exchange, routingKey };
}

function oneOf(choices: readonly string[]): string {
  const texts = choices.map((choice) => JSON.stringify(choice));
  return `${texts.slice(0, -1).join(", ")} or ${texts.at(-1)}`;
}

/** How many durations of `delay` a client may use for one destination, where each of them needs a separate queue. */
const MAX_DELAYS = 32;

/** The queues that a client has declared, by destination. They outlive a connection. */
export class Declarations {
  readonly #queues = new Map<string, QueueOptions>();
  readonly #delays = new Map<string, Set<number>>();

  /** Returns the declaration of a destination. */
  get(destination: string): QueueOptions | undefined {
    return this.#queues.get(destination);
  }

  /**
   * Remembers the declaration of a destination. Without any option it changes nothing.
   *
   * @returns whether the declaration is new.
   * @throws {TypeError} when another one was declared before, or an option is unknown or of the wrong type.
   * @throws {RangeError} when a value is not allowed.
   */
  declare(destination: string, queue: unknown): boolean {
    const options = readQueue(destination, queue);
    if (Object.keys(options).length === 0) return false;
    const before = this.#queues.get(destination);
    if (before === undefined) {
      this.#queues.set(destination, options);
      return true;
    }
    for (const key of Object.keys({ ...before, ...options }) as (keyof QueueOptions)[]) {
      const [is, was] = [show(options[key]), show(before[key])];
      if (is !== was) throw new TypeError(`Cannot declare ${destination}: ${key} is ${is}, but was ${was} before`);
    }
    return false;
  }

  /**
   * Notes that messages to a destination are delayed by a duration for which the broker keeps a queue.
   *
   * @throws {RangeError} when there are too many.
   */
  noteDelay(destination: string, milliseconds: number): void {
    let delays = this.#delays.get(destination);
    if (delays === undefined) this.#delays.set(destination, delays = new Set());
    if (delays.size >= MAX_DELAYS && !delays.has(milliseconds)) {
      throw new RangeError(
        `Cannot send to ${destination}: a delay of ${milliseconds} ms would be one of more than ${MAX_DELAYS} durations, ` +
          "and the broker keeps a queue for each; use a few fixed ones",
      );
    }
    delays.add(milliseconds);
  }
}

function show(value: unknown): string {
  return value === undefined ? "not set" : JSON.stringify(value);
}
