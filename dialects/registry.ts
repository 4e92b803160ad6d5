/**
 * All dialects, and what the client asks when it does not know, or does not say, which broker answered. A new broker is a
 * new file and an entry here.
 *
 * @module
 */
import type { ErrorFrame } from "../base/errors.ts";
import type { FrameHeaders } from "../codec/headers.ts";
import { activemq } from "./activemq.ts";
import { artemis } from "./artemis.ts";
import { type BrokerFamily, type Dialect, errorText } from "./dialect.ts";
import { embedded } from "./embedded.ts";
import { rabbitmq } from "./rabbitmq.ts";
import { spring, stompBrokerJs } from "./spring.ts";
import { unknown } from "./unknown.ts";

const DIALECTS: { readonly [F in BrokerFamily]: Dialect } = { rabbitmq, activemq, artemis, spring, embedded, unknown };
const ALL: readonly Dialect[] = [...Object.values(DIALECTS), stompBrokerJs];

/** Returns the dialect of a family or, without one, of the broker that the `server` header of CONNECTED names. */
export function dialectFor(server: string | undefined, family?: BrokerFamily): Dialect {
  if (family !== undefined) return DIALECTS[family];
  const name = server?.trim() ?? "";
  return ALL.find(({ serverPattern }) => serverPattern?.test(name)) ?? unknown;
}

/**
 * Returns the dialect of a family or, without one, of the broker that sent a CONNECTED.
 *
 * @param isWebSocket whether it came over a WebSocket.
 */
export function dialectOf(connected: FrameHeaders, isWebSocket: boolean, family?: BrokerFamily): Dialect {
  const server = connected["server"];
  if (family !== undefined || server !== undefined) return dialectFor(server, family);
  return ALL.find(({ sent }) => sent?.(connected, isWebSocket)) ?? unknown;
}

/**
 * Whether the text of an ERROR that answers CONNECT refuses user and password. Other refusals are temporary: a virtual
 * host starts, a connection with the same client id is found dead. The broker is not known yet, so all dialects count.
 */
export function isLoginRefusal(text: string): boolean {
  return ALL.some(({ loginRefusals }) => loginRefusals.some((pattern) => pattern.test(text)));
}

/**
 * Whether an ERROR says that a part of the broker is down, for example the node that has the queue: then the same request
 * can succeed later. All dialects count, because a broker behind a proxy may not be recognized.
 */
export function isOutageError(frame: ErrorFrame): boolean {
  const text = errorText(frame);
  return ALL.some(({ outages }) => outages.some((pattern) => pattern.test(text)));
}
