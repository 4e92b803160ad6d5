/**
 * A test for a row of the checklist: a client whose far end is a script of bytes, or an embedded broker whose clients
 * are. What is registered is remembered, so that a row without a test is noticed.
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
import { type ClientRig, clientTest, openSession } from "../support/client_rig.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { type RawFrame, RawPeer } from "../support/raw_peer.ts";
import { confirm } from "../support/raw_server.ts";
import type { Side } from "./rows.ts";

/** Rows and sides that have a test: `F12-01 client`. */
export const tested: Set<string> = new Set();

function nameOf(id: string, side: Side, what: string): string {
  tested.add(`${id} ${side}`);
  return id.startsWith("F") ? `${id} ${side}: ${what}` : `${id} ${what}`;
}

/** Registers a test of the client. */
export function clientRow(id: string, what: string, fn: (rig: ClientRig) => Promise<void>): void {
  clientTest(nameOf(id, "client", what), fn);
}

/** What a test of the broker gets. */
export interface BrokerRow {
  /** The broker. It listens nowhere; connections are in memory. */
  broker: Broker;
  /** The broker's time. */
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
  fn: (rig: BrokerRow) => Promise<void>,
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
/** The versions with escapes. */
export const ESCAPING = ["1.1", "1.2"] as const;

const encoder = new TextEncoder();

/** Bytes of texts, as UTF-8, and of numbers. */
export function bytes(...parts: (string | number)[]): Uint8Array {
  const whole = parts.map((part) => typeof part === "number" ? [part] : [...encoder.encode(part)]);
  return new Uint8Array(whole.flat());
}

/** A frame for the subscription that {@linkcode listen} has; `lines` end each with LF. */
export function message(lines = "", body = ""): string {
  return `MESSAGE\nsubscription:0\nmessage-id:1\ndestination:/queue/a\n${lines}\n${body}\0`;
}

/** A client with one subscription, `0` to `/queue/a`. */
export interface Listener {
  /** The connection as the client has it. */
  session: Session;
  /** The other end. */
  peer: RawPeer;
  /** The next message. */
  next(): Promise<Frame>;
  /** The messages that nobody has taken yet. */
  waiting: Frame[];
  /** The ERROR frames. */
  errors: BrokerErrorResponse[];
  /** Resolves to the reason when the connection has ended. */
  over: Promise<StompError | undefined>;
}

/** Connects a client that takes messages. */
export async function listen(
  rig: ClientRig,
  version: string,
  options: Partial<SessionOptions> = {},
  lines = "",
): Promise<Listener> {
  const over = Promise.withResolvers<StompError | undefined>();
  const waiting: Frame[] = [];
  const errors: BrokerErrorResponse[] = [];
  let wake = () => {};
  const mine = {
    onEnd: (_: Session, reason: StompError | undefined) => over.resolve(reason),
    onError: (error: BrokerErrorResponse) => void errors.push(error),
  };
  const { session, peer } = await openSession(rig, { ...mine, ...options }, version, lines);
  const deliver = (frame: Frame) => {
    waiting.push(frame);
    wake();
  };
  session.expect({ id: "0", destination: "/queue/a", deliver });
  const next = async () => {
    while (waiting.length === 0) await new Promise<void>((resolve) => wake = resolve);
    return waiting.shift()!;
  };
  return { session, peer, next, waiting, errors, over: over.promise };
}

/** What a client makes of a frame. */
export async function read(rig: ClientRig, version: string, data: string | Uint8Array): Promise<Frame> {
  const { peer, next } = await listen(rig, version);
  await peer.write(data);
  return await next();
}

/** Fails unless a client ends the connection over these bytes, and has delivered nothing. */
export async function gaveUp(
  rig: ClientRig,
  version: string,
  data: string | Uint8Array,
  options: Partial<SessionOptions> = {},
): Promise<void> {
  const { peer, over, waiting } = await listen(rig, version, options);
  await peer.write(data);
  assertInstanceOf(await over, UnknownBrokerResponseError);
  await peer.ended();
  assertEquals(waiting, []);
}

/** Has a client say CONNECT, which nobody has answered yet. */
export async function dial(
  rig: ClientRig,
  options: Partial<SessionOptions> = {},
): Promise<{ opening: Promise<Session>; peer: RawPeer; connect: RawFrame }> {
  const [transport, peer] = rig.memory();
  const opening = Session.open(transport, {
    host: "/",
    heartbeat: { send: 0, receive: 0 },
    timeout: 5000,
    ...options,
  });
  opening.catch(() => {}); // whoever looks at it is told
  rig.atEnd(async () => {
    await transport.close();
    await opening.then((session) => session.close(), () => {});
  });
  return { opening, peer, connect: await peer.frame() };
}

/** What a client writes for a `send`. */
export async function sent(
  rig: ClientRig,
  version: string,
  destination: string,
  body: string | Uint8Array,
  options: SendOptions = {},
  clientOptions: StompOptions = {},
): Promise<RawFrame> {
  const { stomp, peer } = await rig.pair(clientOptions, version);
  const sending = stomp.send(destination, body, options);
  sending.catch(() => {}); // thrown below, if the far end has not failed before
  const frame = await confirm(peer, "SEND");
  await sending;
  return frame;
}

/** Subscribes to `/queue/a` as `0`, writes the bytes, takes the message that comes of them, and unsubscribes. */
export async function deliver(peer: RawPeer, data: string | Uint8Array): Promise<RawFrame> {
  await peer.write("SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0");
  await peer.write(data);
  const message = await peer.frame("MESSAGE");
  await peer.write("UNSUBSCRIBE\nid:0\nreceipt:unsubscribed\n\n\0");
  await peer.frame("RECEIPT");
  return message;
}

/** The ERROR, with the end behind it, that a broker answers the bytes with. */
export async function refused(peer: RawPeer, data: string | Uint8Array): Promise<RawFrame> {
  await peer.write(data);
  return await peer.refusal();
}

/** A frame made by hand. */
export function frame(command: string, headers?: Record<string, string>, body?: string | Uint8Array): Frame {
  return new Frame().buildFrame({ command, headers, body });
}
