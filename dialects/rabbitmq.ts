/**
 * RabbitMQ with its STOMP or Web STOMP plugin, 3.10 to 4.3.
 *
 * @module
 */
import { readDuration } from "../base/duration.ts";
import type { HeaderEntries } from "../codec/headers.ts";
import { asHeader, COMMON_MESSAGE_OPTIONS, type Dialect, PERSISTENT, timeToLive } from "./dialect.ts";
import { queueMaking, queueRules } from "./rabbitmq_queues.ts";
import { rabbitmqStreams } from "./stream.ts";

const DURABLE: HeaderEntries = [["durable", "true"], ["auto-delete", "false"]];

/** The dialect of RabbitMQ. */
export const rabbitmq: Dialect = {
  family: "rabbitmq",
  name: "RabbitMQ",
  serverPattern: /^RabbitMQ\b/i,
  message: {
    ...COMMON_MESSAGE_OPTIONS,
    expires: (expires) => [["expiration", String(timeToLive(expires))]],
    // The message waits in another queue (`delayQueue` of `queueMaking`), and loses its expiration when it leaves that.
    delay: (delay, { expires }) =>
      expires === undefined || readDuration("send", "delay", delay) === 0
        ? []
        : "a delayed message of RabbitMQ cannot expire by itself; declare the queue with the option ttl, or omit expires",
    deduplicationId: "RabbitMQ does not detect duplicates",
    group: "RabbitMQ has no message groups; use a queue for each group, or a queue with a single active consumer",
    filterValue: asHeader("x-stream-filter-value"),
  },
  subscription: {
    prefetch: asHeader("prefetch-count"),
    durable: () => DURABLE,
    selector: "RabbitMQ ignores selectors",
    exclusive: "RabbitMQ has it as x-single-active-consumer of a queue, which cannot be declared over STOMP",
    browse: "RabbitMQ shows messages in its management UI, not over STOMP; or keep them in a stream, see stream()",
  },
  queue: queueRules,
  queueMaking,
  streams: rabbitmqStreams,
  durableNeedsClientId: false,
  deleteDurable: ({ destination }) =>
    destination.startsWith("/topic/") ? DURABLE : "RabbitMQ deletes only durable subscriptions to /topic/ destinations",
  deletesActiveDurable: true,
  persistentByDefault: PERSISTENT,
  // Its cumulative ACK counts for all subscriptions of a connection.
  hasCumulativeAck: false,
  // A pseudo-queue for replies: it needs no declaration and no permission, and never has a message.
  requeueDestination: "/amq/queue/amq.rabbitmq.reply-to",
  // Its transaction is a buffer in the STOMP plugin: COMMIT replays the frames one by one and answers before the
  // messages are on disk, so an ACK among them may take effect although the SENDs are lost (seen in 3.10 to 4.3).
  transactsAcknowledgements: false,
  replyQueue: "implicit",
  // The plugin of 3.10 to 4.3 and the one after it word some errors differently. An ERROR that no pattern matches counts
  // as about a frame, which is sent again alone if there are several.
  errorScopes: [
    // AMQP's 320: closed by an operator, or because its virtual host or its user is gone.
    [/^connection_forced\n/, "connection"],
    [/^AMQP (channel|connection) died\n[^]*server_initiated_close,\s*320\b/, "connection"],
    // A consumer exceeded its timeout (4.0), or a token has expired: no frame that was sent is to blame.
    [/\bdelivery acknowledgement\b.* timed out\b/i, "connection"],
    [/access[_ ]refused[^]*token has expired/i, "connection"],
    [/^Credential expired\n/, "connection"], // 4.3.6, at the moment of the expiry
    [
      /^Subscription not found\nMessage with id|There is no current subscription with tag|unknown delivery tag|^(Invalid|Missing) header\n["']?N?ACK\b/,
      "acknowledgement",
    ],
    // Its queue was deleted, or the node that has it is down. The connection stays open.
    [/^Server cancelled subscription\n/, "subscription"],
    // A frame that arrives while the channel dies gets this, and so does a header that the broker cannot process.
    [/^Processing error\n/, "unclear"],
  ],
  outages: [
    // The node of a queue is down, its process is stopped, or its leader changes just now.
    /\bis down or inaccessible\b|\bprocess is stopped by supervisor\b|\bhas crashed and failed to restart\b/,
    /\bfailed to perform operation on .* (due to timeout|may be stopping or being demoted)\b/,
    // A quorum queue or a stream has no leader, or a cluster has no majority.
    /\binternal_error\b[^]*\b(timeout|timed out|noproc|nodedown|noconnection|no_quorum|leader)\b/i,
    /^AMQP (channel|connection) died\n[^]*\b(timeout|noproc|nodedown|noconnection|no_quorum)\b/,
    /\b(vhost|virtual host) .* is down\b/i,
  ],
  // Only "refused": RabbitMQ says "access denied" of a virtual host.
  loginRefusals: [/access refused/i],
  frameLimits: (server) => {
    const limits = { bytes: Infinity, headers: Infinity };
    const version = /^RabbitMQ\/(\d+)\.(\d+)/i.exec(server);
    if (version === null) return limits;
    const [major, minor] = [Number(version[1]), Number(version[2])];
    if (major >= 4) limits.bytes = 1 << 22; // stomp.max_frame_size, seen in 4.0.5 and 4.3.6
    if (major > 4 || (major === 4 && minor >= 3)) limits.headers = 100; // seen in 4.3.6; 4.0.5 accepts thousands
    return limits;
  },
};
