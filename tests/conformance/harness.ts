/**
 * Registers a test for a row of the checklist: a client whose peer is a script of bytes, or an embedded broker whose
 * clients are. Remembers what was registered, so that a row without a test is noticed.
 *
 * @module
 */
import { assertEquals, assertInstanceOf } from "#assert";
import { test } from "#test";
import { Broker, type BrokerOptions } from "../../broker/broker.ts";
import { type BrokerErrorResponse, type StompError, UnknownBrokerResponseError } from "../../base/errors.ts";
import { Frame } from "../../codec/frame.ts";
import { Session, type SessionOptions } from "../../session/session.ts";
import type { SendOptions, StompOptions } from "../../client/options.ts";
import { memoryPair } from "../support/memory_transport.ts";
import { type ClientHarness, clientTest, openSession } from "../support/client_harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { type RawFrame, RawPeer } from "../support/raw_peer.ts";
import { confirm } from "../support/raw_server.ts";
import type { Side } from "./rows.ts";

/** The rows and sides that have a test, for example `F12-01 client`. */
export const tested: Set<string> = new Set();

function nameOf(id: string, side: Side, what: string): string {
  tested.add(`${id} ${side}`);
  return id.startsWith("F") ? `${id} ${side}: ${what}` : `${id} ${what}`;
}

/** Registers a test of the client. */
export function clientRow(id: string, what: string, fn: (harness: ClientHarness) => Promise<void>): void {
  clientTest(nameOf(id, "client", what), fn);
}

/** What a test of the broker receives. */
export interface BrokerRow {
  /** The broker. It does not listen; connections are in memory. */
  broker: Broker;
  /** The broker's clock. */
  clock: FakeClock;
  /** Opens a connection. */
  open(): RawPeer;
  /** Opens a connection, and connects with further header lines. */
  connect(version?: string, lines?: string): Promise<RawPeer>;
}

/** Registers a test of the broker. */
export function brokerRow(
  id: string,
  what: string,
  fn: (harness: BrokerRow) => Promise<void>,
  options: BrokerOptions = {},
): void {
  test(nameOf(id, "broker", what), async () => {
    const clock = new FakeClock();
    const broker = new Broker({ ...options, clock });
    const peers: RawPeer[] = [];
    const open = () => {
      const [near, far] = memoryPair();
      broker.accept(far);
      const peer = RawPeer.over(near);
      peers.push(peer);
      return peer;
    };
    const connect = async (version = "1.2", lines = "") => {
      const peer = open();
      await peer.connect(version, lines);
      return peer;
    };
    try {
      await fn({ broker, clock, open, connect });
    } finally {
      await Promise.all(peers.map((peer) => peer.close()));
      await broker.close();
    }
  });
}

/** All versions. */
export const ALL = ["1.0", "1.1", "1.2"] as const;
/** The versions that have escapes. */
export const ESCAPING = ["1.1", "1.2"] as const;

const encoder = new TextEncoder();

/** Concatenates texts, as UTF-8, and single bytes. */
export function bytes(...parts: (string | number)[]): Uint8Array {
  const whole = parts.map((part) => typeof part === "number" ? [part] : [...encoder.encode(part)]);
  return new Uint8Array(whole.flat());
}

/** Returns a MESSAGE for the subscription of {@linkcode listen}; each of `lines` ends with LF. */
export function message(lines = "", body = ""): string {
  return `MESSAGE\nsubscription:0\nmessage-id:1\ndestination:/queue/a\n${lines}\n${body}\0`;
}

/** A client with one subscription, `0` to `/queue/a`. */
export interface Listener {
  /** The client's session. */
  session: Session;
  /** The peer. */
  peer: RawPeer;
  /** Returns the next message. */
  next(): Promise<Frame>;
  /** The messages that the test has not taken yet. */
  waiting: Frame[];
  /** The ERROR frames that arrived. */
  errors: BrokerErrorResponse[];
  /** Resolves to the reason when the connection has ended. */
  ended: Promise<StompError | undefined>;
}

/** Connects a client that takes messages. */
export async function listen(
  harness: ClientHarness,
  version: string,
  options: Partial<SessionOptions> = {},
  lines = "",
): Promise<Listener> {
  const end = Promise.withResolvers<StompError | undefined>();
  const waiting: Frame[] = [];
  const errors: BrokerErrorResponse[] = [];
  let wake = () => {};
  const mine = {
    onEnd: (_: Session, reason: StompError | undefined) => end.resolve(reason),
    onError: (error: BrokerErrorResponse) => void errors.push(error),
  };
  const { session, peer } = await openSession(harness, { ...mine, ...options }, version, lines);
  const deliver = (frame: Frame) => {
    waiting.push(frame);
    wake();
  };
  session.subscriptions.expect({ id: "0", destination: "/queue/a", deliver });
  const next = async () => {
    while (waiting.length === 0) await new Promise<void>((resolve) => wake = resolve);
    return waiting.shift()!;
  };
  return { session, peer, next, waiting, errors, ended: end.promise };
}

/** Returns a frame as a client reads it. */
export async function read(harness: ClientHarness, version: string, data: string | Uint8Array): Promise<Frame> {
  const { peer, next } = await listen(harness, version);
  await peer.write(data);
  return await next();
}

/** Fails unless a client ends the connection because of these bytes, without delivering anything. */
export async function assertConnectionEnds(
  harness: ClientHarness,
  version: string,
  data: string | Uint8Array,
  options: Partial<SessionOptions> = {},
): Promise<void> {
  const { peer, ended, waiting } = await listen(harness, version, options);
  await peer.write(data);
  assertInstanceOf(await ended, UnknownBrokerResponseError);
  await peer.ended();
  assertEquals(waiting, []);
}

/** Has a client send CONNECT, and leaves the answer to the test. */
export async function dial(
  harness: ClientHarness,
  options: Partial<SessionOptions> = {},
): Promise<{ opening: Promise<Session>; peer: RawPeer; connect: RawFrame }> {
  const [transport, peer] = harness.memory();
  const opening = Session.open(transport, {
    host: "/",
    heartbeat: { send: 0, receive: 0 },
    timeout: 5000,
    ...options,
  });
  opening.catch(() => {}); // the test handles it, if it awaits it
  harness.atEnd(async () => {
    await transport.close();
    await opening.then((session) => session.close(), () => {});
  });
  return { opening, peer, connect: await peer.frame() };
}

/** Returns the frame that a client writes for a `send`. */
export async function sent(
  harness: ClientHarness,
  version: string,
  destination: string,
  body: string | Uint8Array,
  options: SendOptions = {},
  clientOptions: StompOptions = {},
): Promise<RawFrame> {
  const { stomp, peer } = await harness.pair(clientOptions, version);
  const sending = stomp.send(destination, body, options);
  sending.catch(() => {}); // thrown below, unless the peer failed before
  const frame = await confirm(peer, "SEND");
  await sending;
  return frame;
}

/** Subscribes to `/queue/a` as `0`, writes the bytes, takes the resulting message, and unsubscribes. */
export async function deliver(peer: RawPeer, data: string | Uint8Array): Promise<RawFrame> {
  await peer.write("SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0");
  await peer.write(data);
  const message = await peer.frame("MESSAGE");
  await peer.write("UNSUBSCRIBE\nid:0\nreceipt:unsubscribed\n\n\0");
  await peer.frame("RECEIPT");
  return message;
}

/** Writes the bytes, and returns the ERROR that the broker answers before it closes. */
export async function refused(peer: RawPeer, data: string | Uint8Array): Promise<RawFrame> {
  await peer.write(data);
  return await peer.refusal();
}

/** Builds a frame. */
export function frame(command: string, headers?: Record<string, string>, body?: string | Uint8Array): Frame {
  return new Frame().buildFrame({ command, headers, body });
}
