/**
 * The options of a WebSocket, and their checks.
 *
 * @module
 */
import { checkInteger, checkType, describeType } from "../base/checks.ts";
import { type Version, VERSIONS } from "../codec/protocol.ts";

/** HTTP headers: an object, or an iterable of names and values, such as a `Map` or the platform's `Headers`. */
export type HttpHeadersInit = Readonly<Record<string, string>> | Iterable<readonly [name: string, value: string]>;

/** Options of WebSockets, for `ws://` and `wss://`. */
export interface WebSocketOptions {
  /**
   * HTTP headers of the handshake, for example `Authorization` or `Cookie`. Deno, Bun and Node send them. A browser
   * cannot: there they are a `TypeError`.
   *
   * @default {{}}
   */
  headers?: HttpHeadersInit | undefined;
  /**
   * The subprotocols to offer, in order of preference. With `false` or `[]` none is offered, for servers that know none
   * for STOMP.
   *
   * @default {["v12.stomp", "v11.stomp", "v10.stomp"], as far as `versions` has them}
   */
  protocols?: readonly string[] | false | undefined;
  /**
   * Whether to send binary messages only. Otherwise, frames in UTF-8 are sent as text. React Native cuts text at the NUL that
   * ends each frame; ActiveMQ Classic takes no binary messages.
   *
   * @default {false}
   */
  binary?: boolean | undefined;
  /**
   * The largest message to send, in bytes, 4 or more. A larger frame is sent as several messages, which the server has to
   * put together again, as Spring and RabbitMQ do. Text is not cut within a character.
   *
   * @default {what the broker in CONNECTED is known to accept, else `Infinity`}
   */
  maxMessageBytes?: number | undefined;
}

/** A character of UTF-8 has up to four bytes, so it always fits into a message. */
const MIN_MESSAGE_BYTES = 4;

/** A name as HTTP allows it for a header and for a subprotocol. */
const TOKEN = /^[!#$%&'*+.^`|~\w-]+$/;

// deno-lint-ignore no-control-regex
const BAD_VALUE = /[\0-\x08\x0a-\x1f\x7f]|[^\0-\xff]/;

/** The headers that the handshake sets itself. `Host` could be set in Bun only. */
const RESERVED_HEADER = /^(connection|upgrade|host|content-length|transfer-encoding|sec-websocket-.*)$/i;

/** The subprotocols of STOMP, newest first: some servers choose the first that they know. */
const STOMP_PROTOCOLS: readonly (readonly [Version, string])[] = [...VERSIONS].reverse().map((version) => [
  version,
  `v${version.replace(".", "")}.stomp`,
]);

const OPTIONS = ["headers", "protocols", "binary", "maxMessageBytes"];

/**
 * Checks the options of a WebSocket before anything is connected.
 *
 * @param sendsHeaders whether the runtime can send HTTP headers with a handshake.
 * @throws {TypeError} for an option that does not exist or has the wrong type. It never quotes a value.
 * @throws {RangeError} when `maxMessageBytes` is out of its range.
 */
export function checkWebSocketOptions(options: WebSocketOptions | undefined, sendsHeaders: boolean): void {
  if (options === undefined) return;
  checkType("connect", "webSocket", options, "object", "an object");
  for (const name of Object.keys(options)) {
    if (OPTIONS.includes(name)) continue;
    throw new TypeError(`Cannot use the WebSocket option ${name}: the options are ${OPTIONS.join(", ")}`);
  }
  checkType("connect", "webSocket.binary", options.binary, "boolean");
  if (options.maxMessageBytes !== Infinity) {
    checkInteger("connect", "webSocket.maxMessageBytes", options.maxMessageBytes, MIN_MESSAGE_BYTES);
  }
  checkProtocols(options.protocols);
  const headers = toHttpHeaders(options.headers);
  if (!sendsHeaders && Object.keys(headers).length > 0) {
    throw new TypeError(
      "Cannot use the WebSocket option headers: a browser sends no HTTP headers of a program with a WebSocket; let the " +
        "page have a cookie, put a ticket into the URL, or use the option headers, whose headers go with CONNECT",
    );
  }
}

function checkProtocols(protocols: WebSocketOptions["protocols"]): void {
  if (protocols === undefined || protocols === false) return;
  const fail = (problem: string) => new TypeError(`Cannot use the WebSocket option protocols: ${problem}`);
  if (!Array.isArray(protocols)) {
    throw fail(`it is ${describeType(protocols)}, but must be a list of names, or false for none`);
  }
  for (const [index, name] of protocols.entries()) {
    if (typeof name !== "string") throw fail(`one of them is ${describeType(name)}, but must be a name`);
    // A name may be a ticket, so it is not quoted.
    if (!TOKEN.test(name)) throw fail(`number ${index + 1} of them is not a name that HTTP allows`);
    if (protocols.indexOf(name) < index) throw fail("it has a name twice");
  }
}

/**
 * Copies HTTP headers into an object.
 *
 * @throws {TypeError} when they are not headers, or one of them cannot be sent. It never quotes a value.
 */
export function toHttpHeaders(given: HttpHeadersInit | undefined): Record<string, string> {
  const headers: Record<string, string> = Object.create(null);
  if (given === undefined) return headers;
  const fail = (problem: string) => new TypeError(`Cannot use the WebSocket option headers: ${problem}`);
  if (typeof given !== "object" || given === null) {
    throw fail(`it is ${describeType(given)}, but must be an object, a Map, Headers or an array of pairs`);
  }
  const pairs: Iterable<unknown> = Symbol.iterator in given ? given : Object.entries(given);
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string") {
      throw fail("iterable headers must give pairs of a name and a value");
    }
    const [name, value] = pair as [string, unknown];
    if (value === undefined) continue;
    if (!TOKEN.test(name)) throw fail("it has a name that HTTP does not allow");
    if (RESERVED_HEADER.test(name)) throw fail(`${name} is set by the handshake itself`);
    if (typeof value !== "string") throw fail(`${name} is ${describeType(value)}, but must be text`);
    if (BAD_VALUE.test(value)) throw fail(`${name} has a character that HTTP does not allow, such as a line end`);
    headers[name] = value;
  }
  return headers;
}

/** Returns the subprotocols to offer. */
export function protocolsOf(
  { protocols }: WebSocketOptions,
  versions: readonly Version[] = VERSIONS,
): string[] {
  if (protocols === false) return [];
  if (protocols !== undefined) return [...protocols];
  return STOMP_PROTOCOLS.filter(([version]) => versions.includes(version)).map(([, name]) => name);
}

/** Returns subprotocols as text for messages. Those that are not STOMP's own may be tickets, and are not shown. */
export function describeProtocols(protocols: readonly string[]): string {
  const known = protocols.filter((name) => STOMP_PROTOCOLS.some(([, stomp]) => stomp === name));
  const others = protocols.length - known.length;
  if (others === 0) return known.join(", ");
  const hidden = `${others} that ${others === 1 ? "is" : "are"} not shown`;
  return known.length === 0 ? hidden : `${known.join(", ")} and ${hidden}`;
}
