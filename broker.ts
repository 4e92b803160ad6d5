/**
 * An embedded STOMP broker: 1.0, 1.1 and 1.2 over TCP, all in memory.
 *
 * ```ts
 * import { Broker } from "@x/stompy/broker";
 *
 * await using broker = await Broker.listen({ login: "guest", passcode: "guest" });
 * console.log(broker.url); // stomp://127.0.0.1:41234
 * ```
 *
 * It is for development, tests and the demo. It keeps nothing on disk, knows one password at most, and has no cluster,
 * no TLS and no console: RabbitMQ and ActiveMQ are for work.
 *
 * What the protocol leaves open, it does like this:
 *
 * - A destination that begins with `/topic/` is a topic: each message goes to all who subscribe at that moment. **Every
 *   other name is a queue**: each message goes to one subscriber, in turn, and is kept until there is one. Nothing has
 *   to be declared, and a queue without messages and subscribers is gone.
 * - Messages stay in order. One that was delivered and not acknowledged, because its subscriber left, goes back to its
 *   old place and comes again with `redelivered:true`. In `auto` mode a message counts as delivered once it is sent.
 * - NACK puts a message back to its old place as well, five times (`maxRedeliveries`); after that it is dropped. With
 *   the header `requeue:false` it is dropped at once. What is not acknowledged at a topic comes again to the same
 *   subscriber, and goes when that goes.
 * - ACK and NACK in `client` mode mean all that went out before on the same subscription. An ACK for a message that
 *   does not wait for one is an error.
 * - `prefetch-count` on SUBSCRIBE is how many messages may be out without an ACK; no limit otherwise. Independent of
 *   that, a subscriber that does not read gets no more than its connection takes.
 * - A RECEIPT comes when its frame is done with, before the messages that this sets free. SENDs, ACKs and NACKs in a
 *   transaction get theirs at once and happen at COMMIT.
 * - One connection may have 10,000 subscriptions and 10,000 transactions open. What they and all messages take in
 *   memory is limited (`maxStoredBytes`).
 * - After every ERROR the broker closes the connection. So it does for a selector, which it does not have; other
 *   headers that it does not know mean nothing to it.
 * - Who types frames by hand may end all lines with CRLF, beginning with CONNECT, in 1.0 and 1.1 as well.
 * - The `host` of CONNECT is not looked at. A header that the receiver's version cannot carry (a line feed in 1.0, a
 *   carriage return in 1.0 and 1.1) is left out of its MESSAGE.
 *
 * @module
 */
export { ConnectionError, type ErrorFrame, StompError, type StompErrorOptions } from "./base/errors.ts";
export { Broker, type BrokerOptions, type BrokerStats, type ListenOptions } from "./broker/broker.ts";
export type { Version } from "./codec/protocol.ts";
export type { DecoderLimits } from "./codec/limits.ts";
export type { HeartbeatOffer } from "./connection/heartbeat.ts";
export type { Clock } from "./base/timers.ts";
export type { ByteSink, DirectIo } from "./transport/socket_transport.ts";
export type { Transport } from "./transport/transport.ts";
