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
export type { ReadOptions, WaitOptions } from "./base/timers.ts";
export * from "./base/errors.ts";
export { Fifo, type FrameSource, IntermediateMessageQueue, type QueuedFrame } from "./base/fifo.ts";
export type { ReconnectOptions } from "./base/backoff.ts";
export type { ConsumeOptions, MessageHandler, RetryOptions } from "./client/worker.ts";
export { type AcknowledgeOptions, type Acknowledger, Message } from "./client/message.ts";
export { openSocket, type OpenSocketOptions } from "./session/open_socket.ts";
export type { Reply, RequestOptions } from "./client/request_reply.ts";
export {
  Client,
  type GetOptions,
  type PutOptions,
  Simple,
  type SimpleSubscribeOptions,
  type SimpleUnsubscribeOptions,
} from "./client/simple.ts";
export type { Status } from "./client/status.ts";
export { Stomp } from "./client/stomp.ts";
export type {
  Conf,
  ConnectOptions,
  Credentials,
  DestinationConf,
  DisconnectOptions,
  OutboxLimits,
  SendOptions,
  StompOptions,
  SubscribeOptions,
  TransactionConf,
  UnsubscribeOptions,
} from "./client/options.ts";
export { Subscription } from "./client/subscription.ts";
export type {
  Transaction,
  TransactionAcknowledgeOptions,
  TransactionEndOptions,
  TransactionSendOptions,
} from "./client/transaction.ts";
export type { SocketOf } from "./codec/frame_verbs.ts";
export { FrameDecoder, type FrameDecoderOptions, FrameDecoderStream, FrameEncoderStream } from "./codec/decoder.ts";
export type { FrameHeadersInit, FrameParts, HeaderValue } from "./codec/encoder.ts";
export { type BuildFrameOptions, type ConnectFrameOptions, Frame, type FrameSocket } from "./codec/frame.ts";
export type { FrameHeaders, Version } from "./codec/headers.ts";
export type { DecoderLimits } from "./codec/limits.ts";
export type { HeartbeatOffer, HeartbeatTolerance } from "./connection/heartbeat.ts";
export type { BrokerFamily, FrameLimits, PortableSendOptions, PortableSubscribeOptions } from "./dialects/dialect.ts";
export type { AckMode } from "./session/acknowledgement.ts";
export type { MessageSink } from "./session/dispatcher.ts";
export type { ByteSink, DirectIo } from "./transport/socket_transport.ts";
export type { OpenTransportOptions } from "./transport/connect.ts";
export type { TlsOptions, Transport } from "./transport/transport.ts";
