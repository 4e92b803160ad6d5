/**
 * The options of a stream, and their checks.
 *
 * @module
 */
import { checkInteger, checkSignal, checkType, describeType } from "../base/checks.ts";
import { type FrameHeadersInit, toHeaders } from "../codec/encoder.ts";
import type { FrameHeaders } from "../codec/headers.ts";
import type { QueueOptions } from "../dialects/queue.ts";
import type { StreamFilter } from "../dialects/stream.ts";
import type { SubscribeHeadersProvider } from "../client/headers_provider.ts";

/** Where a program keeps how far it has read a stream. */
export interface StreamCheckpoint {
  /** Returns the offset of the last message that was handled; `undefined` when there is none. */
  load(): number | undefined | Promise<number | undefined>;
  /** Stores the offset of a message that was handled. The next message is delivered after this has finished. */
  save(offset: number): void | Promise<void>;
}

/** Where to begin reading a stream, as the options say it. */
export type StreamStart =
  | "first"
  | "last"
  | "next"
  | { readonly offset: number }
  | { readonly time: number | Date };

/** Options of {@linkcode Stomp.prototype.stream}. */
export interface StreamOptions {
  /**
   * Where to begin: with the `first` message that the stream still has, with the batch of messages that was stored `last`,
   * with the `next` message that is sent from now on, with an `offset`, or with the messages stored at a `time` (a `Date`,
   * or milliseconds since 1970).
   *
   * The broker finds a time by batches of messages, so a few older ones may come first.
   *
   * @default {"next"}
   */
  from?: StreamStart | undefined;
  /**
   * Where to keep how far the stream was read. Reading begins after the offset that `load` returns, or as `from` says when
   * it returns none. `save` is called after each message, when the loop asks for the next one. So a message is delivered
   * again only if the program ended while it was handled or saved: at least once. A program that stores the offset and its
   * own results in one transaction of its database handles each message exactly once, and its `save` can do nothing.
   *
   * @default {undefined} reading begins as `from` says
   */
  checkpoint?: StreamCheckpoint | undefined;
  /**
   * How many messages the broker sends ahead of the one that is handled, 1 to 65535.
   *
   * @default {100}
   */
  prefetch?: number | undefined;
  /**
   * Delivers only messages that were sent with this `filterValue`, or one of these. RabbitMQ sends whole batches that have at
   * least one of them (since 3.13; before, all messages), and the client leaves out the rest.
   *
   * @default {undefined} all messages
   */
  filter?: string | readonly string[] | undefined;
  /**
   * Whether a `filter` also lets through messages that were sent without a `filterValue`.
   *
   * @default {false}
   */
  matchUnfiltered?: boolean | undefined;
  /**
   * The declaration of the stream, apart from its type: `maxAge`, `maxLengthBytes`, `maxSegmentBytes` and
   * `filterSizeBytes`. RabbitMQ requires the same declaration from every client that names the stream `/queue/NAME`. The
   * name `/amq/queue/NAME` declares nothing, so the stream has to exist.
   *
   * @default {what the client has declared for the destination before, else a stream without limits}
   */
  queue?: Omit<QueueOptions, "type"> | undefined;
  /**
   * Additional headers of SUBSCRIBE, or a function that returns them for each SUBSCRIBE.
   *
   * @default {{}}
   */
  headers?: FrameHeadersInit | SubscribeHeadersProvider | undefined;
  /**
   * Ends the loop without an error. The message that is being handled is saved when the loop asks for the next one.
   *
   * @default {undefined}
   */
  signal?: AbortSignal | undefined;
}

/** What the broker sends ahead by default. RabbitMQ advises against less. */
const DEFAULT_PREFETCH = 100;

/** The options of a stream with their defaults. */
export interface CheckedStreamOptions {
  readonly from: Exclude<StreamStart, { readonly time: number | Date }> | { readonly time: number };
  readonly checkpoint: StreamCheckpoint | undefined;
  readonly prefetch: number;
  readonly filter: StreamFilter | undefined;
  readonly queue: Omit<QueueOptions, "type"> | undefined;
  readonly headers: FrameHeaders | SubscribeHeadersProvider;
  readonly signal: AbortSignal | undefined;
}

const OPTIONS = ["checkpoint", "filter", "from", "headers", "matchUnfiltered", "prefetch", "queue", "signal"];

/**
 * Checks the arguments of `stream`.
 *
 * @throws {TypeError} when an argument or an option is of the wrong type, or has no meaning without another one.
 * @throws {RangeError} when a value is not allowed.
 */
export function checkStream(destination: unknown, options: StreamOptions): CheckedStreamOptions {
  if (typeof destination !== "string" || destination === "") {
    const is = destination === "" || destination === undefined
      ? "missing"
      : `${describeType(destination)}, but must be text`;
    throw new TypeError(`Cannot read a stream: the destination is ${is}`);
  }
  const action = `read ${destination}`;
  checkType(action, "options", options ?? null, "object", "an object");
  for (const name of Object.keys(options)) {
    if (OPTIONS.includes(name)) continue;
    throw new TypeError(`Cannot ${action}: a stream has no option ${name}; its options are ${OPTIONS.join(", ")}`);
  }
  const { checkpoint, prefetch, filter, matchUnfiltered, queue, headers, signal } = options;
  checkType(action, "checkpoint", checkpoint, "object", "an object with load and save");
  if (checkpoint !== undefined) {
    for (const name of ["load", "save"] as const) {
      checkType(action, `checkpoint.${name}`, checkpoint[name] ?? null, "function");
    }
  }
  checkInteger(action, "prefetch", prefetch, 1, 65535);
  checkType(action, "matchUnfiltered", matchUnfiltered, "boolean");
  if (matchUnfiltered !== undefined && filter === undefined) {
    throw new TypeError(`Cannot ${action}: matchUnfiltered has no meaning without filter`);
  }
  checkType(action, "queue", queue, "object", "an object");
  checkSignal(signal);
  return {
    from: readStart(action, options.from),
    checkpoint,
    prefetch: prefetch ?? DEFAULT_PREFETCH,
    filter: filter === undefined
      ? undefined
      : { values: readFilter(action, filter), matchUnfiltered: matchUnfiltered ?? false },
    queue,
    headers: typeof headers === "function" ? headers : toHeaders(headers),
    signal,
  };
}

/** RabbitMQ silently treats any other value as `next`. */
function readStart(action: string, from: unknown = "next"): CheckedStreamOptions["from"] {
  if (from === "first" || from === "last" || from === "next") return from;
  const { offset, time } = (typeof from === "object" ? from ?? {} : {}) as { offset?: unknown; time?: unknown };
  if (offset !== undefined && time === undefined) {
    checkInteger(action, "from.offset", offset, 0);
    return { offset: offset as number };
  }
  if (time !== undefined && offset === undefined) {
    const milliseconds = time instanceof Date ? time.getTime() : time;
    if (typeof milliseconds === "number" && Number.isFinite(milliseconds) && milliseconds >= 0) {
      return { time: milliseconds };
    }
    throw new RangeError(`Cannot ${action}: from.time is not a time; use a Date, or milliseconds since 1970`);
  }
  const is = typeof from === "string" ? JSON.stringify(from) : typeof from === "number" ? from : describeType(from);
  throw new TypeError(
    `Cannot ${action}: from is ${is}, but must be "first", "last", "next", { offset: 4 } or { time: new Date() }`,
  );
}

function readFilter(action: string, filter: unknown): readonly string[] {
  const values: unknown = typeof filter === "string" ? [filter] : filter;
  if (!Array.isArray(values) || !values.every((value) => typeof value === "string")) {
    throw new TypeError(`Cannot ${action}: filter is ${describeType(filter)}, but must be text or an array of texts`);
  }
  if (values.length === 0) throw new RangeError(`Cannot ${action}: filter is empty, so no message would pass`);
  for (const value of values) {
    if (value !== "" && !value.includes(",")) continue;
    const is = value === "" ? "an empty text" : `${JSON.stringify(value)} with a comma`;
    throw new RangeError(`Cannot ${action}: filter has ${is}, which the broker cannot filter by`);
  }
  return [...values];
}
