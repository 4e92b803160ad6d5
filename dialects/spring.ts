/**
 * The simple broker of Spring's WebSocket support, and the small broker of npm's stomp-broker-js. Neither confirms or keeps
 * anything. Seen on Spring Boot 4.0.7 (Spring 7.0.8) and stomp-broker-js 1.3.0.
 *
 * @module
 */
import { decodeStrict } from "../codec/text.ts";
import { COMMON_MESSAGE_OPTIONS, type Dialect, type FrameLimits, undeclared } from "./dialect.ts";
import { unknown } from "./unknown.ts";

const KEEPS_NOTHING = "Spring's simple broker keeps no messages: it passes each at once to the current subscribers";

/** The headers of its CONNECTED, which names no server: `user-name` is there if someone has logged in. */
const CONNECTED_HEADERS: ReadonlySet<string> = new Set(["version", "heart-beat", "user-name"]);

/**
 * The limits of a whole frame (`setMessageSizeLimit`). A larger one gets an ERROR and the connection is closed. The number
 * of headers is not limited.
 */
const FRAME_LIMITS: FrameLimits = { bytes: 64 * 1024, headers: Infinity };

/** The dialect of Spring's simple broker. */
export const spring: Dialect = {
  family: "spring",
  name: "Spring's simple broker",
  serverPattern: undefined,
  sent: (connected, isWebSocket) =>
    isWebSocket && connected["version"] !== undefined && connected["heart-beat"] !== undefined &&
    Object.keys(connected).every((name) => CONNECTED_HEADERS.has(name)),
  lacks: {
    receipts:
      "Spring's simple broker confirms nothing but DISCONNECT; omit the option, or use a full broker behind Spring",
    acknowledgements: "Spring's simple broker takes no acknowledgements; use ack mode auto",
    transactions: "Spring's simple broker has no transactions: it passes on each message at once",
    replies: "Spring's simple broker confirms no subscription, so a reply could come before its queue is subscribed; " +
      "subscribe to the destination at which the application answers, such as /user/queue/replies, and send",
  },
  // Its converters take text/plain only for handlers whose parameter is text; without a type they take JSON as well. It
  // decodes what it sends as UTF-8, which damages other bytes, unless this type says that they are no text.
  usualType: (body) => typeof body === "string" || isUtf8(body) ? undefined : "application/octet-stream",
  // Tomcat's default for text and binary messages. Longer ones end the connection with code 1009.
  maxWebSocketMessageBytes: 8192,
  message: {
    ...COMMON_MESSAGE_OPTIONS,
    persistent: KEEPS_NOTHING,
    priority: KEEPS_NOTHING,
    expires: KEEPS_NOTHING,
    delay: KEEPS_NOTHING,
    deduplicationId: KEEPS_NOTHING,
    group: "Spring's simple broker passes each message to all subscribers, so there are no groups",
    filterValue: "Spring's simple broker has no streams",
  },
  subscription: {
    prefetch: "Spring's simple broker takes no acknowledgements, so nothing limits what it sends",
    durable: KEEPS_NOTHING,
    selector:
      "Spring's simple broker ignores selectors unless setSelectorHeaderName was called; then give the header in " +
      "headers, with a condition in Spring's expression language",
    exclusive: "Spring's simple broker passes each message to all subscribers",
    browse: "Spring's simple broker keeps no messages",
  },
  queue: undeclared({}, "Spring's simple broker has no queues: /queue/ is a prefix like /topic/"),
  queueMaking: undefined,
  durableNeedsClientId: false,
  deleteDurable: () => KEEPS_NOTHING,
  deletesActiveDurable: false,
  persistentByDefault: [],
  hasCumulativeAck: true,
  requeueDestination: undefined,
  transactsAcknowledgements: false,
  replyQueue: "named",
  // It missed the client's heart-beats.
  errorScopes: [[/^Session closed\.\n/, "connection"]],
  outages: [],
  loginRefusals: [],
  frameLimits: () => FRAME_LIMITS,
};

function isUtf8(bytes: Uint8Array): boolean {
  try {
    decodeStrict(bytes);
    return true;
  } catch {
    return false;
  }
}

/** The dialect of stomp-broker-js. */
export const stompBrokerJs: Dialect = {
  ...unknown,
  name: "stomp-broker-js",
  serverPattern: /^STOMP-JS\//,
  lacks: {
    receipts: "stomp-broker-js confirms nothing but DISCONNECT; omit the option",
    acknowledgements: "stomp-broker-js takes no acknowledgements; use ack mode auto",
    transactions: "stomp-broker-js confirms no BEGIN and no COMMIT",
    replies: "stomp-broker-js confirms no subscription, so a reply could come before its queue is subscribed",
  },
  message: { ...unknown.message, persistent: "stomp-broker-js keeps no messages" },
  subscription: { ...unknown.subscription, selector: "stomp-broker-js has no selectors" },
  persistentByDefault: [],
};
