/**
 * An embedded STOMP 1.0, 1.1 and 1.2 broker over TCP, in memory, for development, tests and demonstrations.
 *
 * It stores nothing on disk, knows at most one password, and has no cluster, no TLS and no console. Use RabbitMQ,
 * ActiveMQ or Artemis in production.
 *
 * @example A broker and a client in one process
 * ```ts
 * import { Stomp } from "@x/stompy";
 * import { Broker } from "@x/stompy/broker";
 *
 * await using broker = await Broker.listen();
 * await using stomp = await Stomp.connect(broker.url);
 * const orders = await stomp.subscribe("/queue/orders");
 * await stomp.send("/queue/orders", "an order");
 * const message = await orders.take();
 * console.log(message?.text()); // an order
 * ```
 *
 * Where the protocol leaves a choice, the broker behaves as follows.
 *
 * - A destination that begins with `/topic/` is a topic: each message goes to everyone who is subscribed at that moment.
 *   **Every other name is a queue**: each message goes to one subscriber, in turn, and waits until there is one.
 *   Destinations are not declared; a queue without messages and subscribers is deleted.
 * - Messages stay in order. A message that was delivered but not acknowledged when its subscriber leaves returns to its
 *   old position and is delivered again with `redelivered:true`. In `auto` mode a message counts as acknowledged as soon
 *   as it is sent.
 * - NACK returns a message to its old position as well, up to five times (`maxRedeliveries`), and then drops it. With the
 *   header `requeue:false` it drops the message at once. A message of a topic is redelivered to the same subscriber, and
 *   is dropped when that subscriber leaves.
 * - In `client` mode, ACK and NACK also cover all earlier deliveries of the same subscription. An ACK for a message that
 *   does not wait for one is an error.
 * - `prefetch-count` on SUBSCRIBE limits how many deliveries may be unacknowledged; without it there is no limit. In any
 *   case a subscriber that does not read gets no more than its connection buffers.
 * - A RECEIPT is sent after its frame is executed, and before any delivery that the frame allows. In a transaction, SEND,
 *   ACK and NACK get their RECEIPT at once and take effect at COMMIT.
 * - One connection may have 10,000 subscriptions and 10,000 open transactions. `maxStoredBytes` limits their memory and
 *   that of all messages.
 * - After every ERROR the broker closes the connection. A `selector` is an error, because the broker has none; other
 *   unknown headers are ignored.
 * - A client that ends the lines of CONNECT with CRLF, as when typing by hand, may do so in 1.0 and 1.1 as well.
 * - The `host` of CONNECT is ignored. A MESSAGE leaves out headers that the receiver's version cannot carry: line feeds in
 *   1.0, carriage returns in 1.0 and 1.1.
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
