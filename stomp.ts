/**
 * `Stomp`: the client alone, without stompy's `Simple` and the decoder.
 *
 * @example Send with a receipt
 * ```ts
 * import { Stomp } from "@x/stompy/stomp";
 *
 * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
 * const receipt = await stomp.send("/queue/orders", "an order");
 * console.log(receipt?.command); // RECEIPT
 * ```
 *
 * @module
 */
export type { Duration } from "./base/duration.ts";
export type { ReadOptions, WaitOptions } from "./base/timers.ts";
export {
  AcknowledgeError,
  BrokerErrorResponse,
  ConnectionError,
  ConnectionTimeoutError,
  Empty,
  type ErrorFrame,
  HandshakeRefusedError,
  NotConnectedError,
  OutboxFullError,
  RequestError,
  StaleMessageError,
  StompError,
  type StompErrorOptions,
  SubscriptionError,
  TimeoutError,
  TransactionError,
  UnknownBrokerResponseError,
  UnsupportedByBrokerError,
} from "./base/errors.ts";
export { Fifo } from "./base/fifo.ts";
export type { ReconnectOptions } from "./base/backoff.ts";
export type { ConsumeOptions, MessageHandler, RetryOptions } from "./work/worker.ts";
export {
  type AcknowledgeOptions,
  Message,
  type MessageSubscription,
  type UnclaimedMessageHandler,
} from "./client/message.ts";
export type { Reply, RequestOptions } from "./work/request_reply.ts";
export { Stream, type StreamMessage } from "./work/stream.ts";
export type { StreamCheckpoint, StreamOptions, StreamStart } from "./work/stream_options.ts";
export type { Status } from "./client/status.ts";
export { Destination, type DestinationOptions } from "./api/destination.ts";
export { Stomp } from "./api/stomp.ts";
export type {
  BrokerUrl,
  BrokerUrlSource,
  ClientWebSocketOptions,
  ConnectionAttempt,
  ConnectionOptions,
  Credentials,
  ExpiringCredentials,
} from "./client/connection_options.ts";
export type {
  Conf,
  ConnectOptions,
  DestinationConf,
  DisconnectOptions,
  OutboxLimits,
  SendOptions,
  StompOptions,
  SubscribeOptions,
  TransactionConf,
  UnsubscribeOptions,
} from "./client/options.ts";
export type { SubscribeAttempt, SubscribeHeadersProvider } from "./client/headers_provider.ts";
export { Subscription } from "./client/subscription.ts";
export type {
  Transaction,
  TransactionAcknowledgeOptions,
  TransactionEndOptions,
  TransactionSendOptions,
} from "./client/transaction.ts";
export {
  type ConnectFrameOptions,
  type FrameSource,
  IntermediateMessageQueue,
  type QueuedFrame,
  type SocketOf,
} from "./codec/frame_verbs.ts";
export type { FrameHeadersInit, FrameParts, HeaderValue } from "./codec/encoder.ts";
export { type BuildFrameOptions, Frame, type FrameSocket } from "./codec/frame.ts";
export type { FrameHeaders } from "./codec/headers.ts";
export type { AckMode, Version } from "./codec/protocol.ts";
export type { DecoderLimits } from "./codec/limits.ts";
export type { HeartbeatOffer, HeartbeatTolerance } from "./connection/heartbeat.ts";
export type { BrokerFamily, FrameLimits, PortableSendOptions, PortableSubscribeOptions } from "./dialects/dialect.ts";
export type { DeadLetterExchange, QueueOptions } from "./dialects/queue.ts";
export type { ByteSink, DirectIo } from "./transport/socket_transport.ts";
export type {
  TlsOptions,
  Transport,
  TransportAddress,
  TransportFactory,
  TransportRequest,
  TransportStreams,
} from "./transport/transport.ts";
export type { HttpHeadersInit, WebSocketOptions } from "./transport/websocket_options.ts";
