/**
 * Streams: queues that keep their messages, each with an offset, so that they can be read from any position.
 *
 * @module
 */
import type { HeaderEntries } from "../codec/headers.ts";

/** Where to begin reading a stream. */
export type StreamPosition =
  /** With the oldest message that the stream still has. */
  | "first"
  /** With the batch of messages that was stored last. */
  | "last"
  /** With this offset, or the oldest one after it. */
  | { readonly offset: number }
  /** With the messages stored at this time, in milliseconds since 1970. */
  | { readonly time: number };

/** Which messages of a stream a subscription gets. */
export interface StreamFilter {
  /** The values of `filterValue` that it gets. */
  readonly values: readonly string[];
  /** Whether it also gets messages without a value. */
  readonly matchUnfiltered: boolean;
}

/** How a broker writes what belongs to streams. */
export interface StreamRules {
  /** Whether a SUBSCRIBE to this destination has to declare the stream. */
  readonly declares: (destination: string) => boolean;
  /** The headers of a SUBSCRIBE that begins at a position. */
  readonly from: (position: StreamPosition) => HeaderEntries;
  /** The headers of a SUBSCRIBE with a filter. The broker may send more than the filter lets through. */
  readonly filter: (filter: StreamFilter) => HeaderEntries;
}

/** The parts of a message that tell its place in a stream. */
export interface StreamedFrame {
  /** Returns one header. */
  header(name: string): string | undefined;
}

/** Returns the offset of a message; `undefined` when it does not come from a stream. NaN when it is not a safe integer. */
export function offsetOf(message: StreamedFrame): number | undefined {
  const text = message.header("x-stream-offset");
  if (text === undefined) return undefined;
  const offset = /^\d+$/.test(text) ? Number(text) : NaN;
  return Number.isSafeInteger(offset) ? offset : NaN;
}

/** Whether a filter lets a message through. */
export function matchesFilter(message: StreamedFrame, { values, matchUnfiltered }: StreamFilter): boolean {
  const value = message.header("x-stream-filter-value");
  return value === undefined ? matchUnfiltered : values.includes(value);
}

/** The streams of RabbitMQ, 3.10 to 4.3; before 3.13 it ignores filters. */
export const rabbitmqStreams: StreamRules = {
  // A stream that exists can be named as /amq/queue/NAME, and then needs no declaration.
  declares: (destination) => !destination.startsWith("/amq/queue/"),
  from: (position) => {
    if (typeof position === "string") return [["x-stream-offset", position]];
    if ("offset" in position) return [["x-stream-offset", `offset=${position.offset}`]];
    return [["x-stream-offset", `timestamp=${Math.floor(position.time / 1000)}`]];
  },
  filter: ({ values, matchUnfiltered }) => [
    ["x-stream-filter", values.join(",")],
    ...(matchUnfiltered ? [["x-stream-match-unfiltered", "true"] as const] : []),
  ],
};
