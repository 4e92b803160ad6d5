/**
 * A STOMP 1.0, 1.1 and 1.2 client for Deno, Bun, Node and browsers.
 *
 * ```ts
 * import { Stomp } from "@x/stompy";
 *
 * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
 * await stomp.send("/queue/orders", JSON.stringify({ id: 1 })); // resolves on the broker's receipt
 * const orders = await stomp.subscribe("/queue/orders", { ack: "client-individual", prefetch: 50 });
 * for await (const message of orders) {
 *   console.log(message.json());
 *   await message.ack();
 *   break;
 * }
 * ```
 *
 * @module
 */
export * from "./errors.ts";
export type { Headers, Version } from "./headers.ts";
export { Fifo, type FrameSource, IntermediateMessageQueue, type QueuedFrame } from "./queue.ts";
export {
  type BuildFrameOptions,
  type ConnectFrameOptions,
  Frame,
  type FrameParts,
  type FrameSocket,
  type ReadOptions,
  type WaitOptions,
} from "./frame.ts";
export {
  type DecoderLimits,
  FrameDecoder,
  type FrameDecoderOptions,
  FrameDecoderStream,
  FrameEncoderStream,
} from "./decoder.ts";
export type { HeartbeatOffer, HeartbeatTolerance } from "./heartbeat.ts";
export type { TlsOptions, Transport } from "./transport.ts";
export type { OpenTransportOptions } from "./connect.ts";
export { openSocket, type OpenSocketOptions } from "./open_socket.ts";
export type { BrokerFamily, ConsumerOptions, MessageOptions } from "./dialect.ts";
export type { AckMode } from "./acknowledge.ts";
export { type AcknowledgeOptions, type Acknowledger, Message } from "./message.ts";
export type { MessageTarget } from "./targets.ts";
export { Subscription, type UnsubscribeOptions } from "./subscription.ts";
export type { Status } from "./status.ts";
export type { ReconnectOptions } from "./backoff.ts";
export type { OutboxLimits } from "./outbox.ts";
export type {
  Transaction,
  TransactionAcknowledgeOptions,
  TransactionEndOptions,
  TransactionSendOptions,
} from "./transaction.ts";
export type {
  Conf,
  ConnectOptions,
  Credentials,
  DestinationConf,
  DisconnectOptions,
  SendOptions,
  StompOptions,
  SubscribeOptions,
  TransactionConf,
} from "./stomp_options.ts";
export type { ConsumeOptions, Handler, RetryOptions } from "./consume.ts";
export type { Reply, RequestOptions } from "./request.ts";
export { Stomp } from "./stomp.ts";
export { Client, type GetOptions, type PutOptions, Simple, type SimpleSubscribeOptions } from "./simple.ts";
