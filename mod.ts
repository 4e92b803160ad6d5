/**
 * A STOMP 1.0, 1.1 and 1.2 client for Deno, Bun, Node and browsers.
 *
 * @example Send, receive and acknowledge
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
 * @example Handle each message in a worker
 * ```ts
 * import { Stomp } from "@x/stompy";
 *
 * await using stomp = await Stomp.connect("stomp://guest:guest@localhost:61613");
 * const stop = new AbortController();
 * await stomp.send("/queue/jobs", "a job");
 * await stomp.consume("/queue/jobs", (message) => {
 *   console.log(message.text()); // a job
 *   stop.abort(); // `consume` acknowledges this message and then resolves
 * }, { concurrency: 4, signal: stop.signal });
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
export { openSocket, type OpenSocketOptions } from "./session/open_socket.ts";
export type { Reply, RequestOptions } from "./work/request_reply.ts";
export {
  Client,
  type GetOptions,
  type PutOptions,
  Simple,
  type SimpleSubscribeOptions,
  type SimpleUnsubscribeOptions,
} from "./api/simple.ts";
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
export { FrameDecoder, type FrameDecoderOptions, FrameDecoderStream, FrameEncoderStream } from "./codec/decoder.ts";
export type { FrameHeadersInit, FrameParts, HeaderValue } from "./codec/encoder.ts";
export { type BuildFrameOptions, Frame, type FrameSocket } from "./codec/frame.ts";
export type { FrameHeaders } from "./codec/headers.ts";
export type { AckMode, Version } from "./codec/protocol.ts";
export type { DecoderLimits } from "./codec/limits.ts";
export type { HeartbeatOffer, HeartbeatTolerance } from "./connection/heartbeat.ts";
export type { BrokerFamily, FrameLimits, PortableSendOptions, PortableSubscribeOptions } from "./dialects/dialect.ts";
export type { DeadLetterExchange, QueueOptions } from "./dialects/queue.ts";
export type { ByteSink, DirectIo } from "./transport/socket_transport.ts";
export type { OpenTransportOptions } from "./transport/open.ts";
export type {
  TlsOptions,
  Transport,
  TransportAddress,
  TransportFactory,
  TransportRequest,
  TransportStreams,
} from "./transport/transport.ts";
export type { HttpHeadersInit, WebSocketOptions } from "./transport/websocket_options.ts";
