/** ERROR frames that blame no frame: of the connection, of a subscription, and those that may be of either. */
import { assert, assertEquals, assertInstanceOf, assertRejects } from "#assert";
import { test } from "#test";
import { type BrokerFamily, type ErrorScope, errorScope } from "../../dialects/dialect.ts";
import { dialectFor } from "../../dialects/registry.ts";
import {
  AcknowledgeError,
  BrokerErrorResponse,
  ConnectionError,
  type StompError,
  SubscriptionError,
} from "../../base/errors.ts";
import { Frame } from "../../codec/frame.ts";
import { clientTest, frame, openSession, subscribed, Watcher } from "../support/client_harness.ts";
import type { RawPeer } from "../support/raw_peer.ts";
import { confirm, errorFor, type RawServer, receiptFor } from "../support/raw_server.ts";
import { FakeClock } from "../support/fake_clock.ts";

/** What RabbitMQ 3.10.8 says when an operator closes its connections (`rabbitmqctl close_all_connections`). */
const FORCED =
  `ERROR\nmessage:AMQP channel died\ncontent-type:text/plain\nversion:1.0,1.1,1.2\ncontent-length:152\n\n` +
  "Reason: {shutdown,\n            {connection_closing,\n                {server_initiated_close,320,\n" +
  '                    <<"the reason of the operator">>}}}\0\n';

/** What it says for each frame that reaches a channel that is about to die, and for a header that it stumbles over. */
const PROCESSING =
  "ERROR\nmessage:Processing error\ncontent-type:text/plain\nversion:1.0,1.1,1.2\ncontent-length:16\n\n" +
  "Processing error\0\n";

/** What it says when the queue of a subscription is deleted. */
const CANCELLED = (id: string) =>
  `ERROR\nmessage:Server cancelled subscription\ncontent-type:text/plain\nsubscription:${id}\n\n` +
  `The server has canceled a subscription.\nNo more messages will be delivered for "id='${id}'".\n\0\n`;

const HASTY = { reconnect: { delay: 1, maxDelay: 10 } };
const AS_RABBITMQ = "server:RabbitMQ/3.10.8\n";

/** Takes the next connection as RabbitMQ. */
function welcome(server: RawServer): Promise<RawPeer> {
  return server.welcome("1.2", AS_RABBITMQ);
}

test("`errorScope()` knows the words of each broker", () => {
  const scope = (message: string, body = "", family: BrokerFamily = "rabbitmq") =>
    errorScope(new Frame().buildFrame({ command: "ERROR", headers: { message }, body }), dialectFor(undefined, family));
  const reason = (code: number) =>
    `Reason: {shutdown,\n {connection_closing,\n  {server_initiated_close,${code},"vhost '/' is deleted"}}}`;
  assertEquals(scope("AMQP channel died", reason(320)), "connection");
  assertEquals(scope("AMQP connection died", reason(320)), "connection");
  assertEquals(scope("connection_forced", "the reason of the operator\n"), "connection");
  assertEquals(scope("AMQP channel died", reason(541)), "frame");
  assertEquals(scope("precondition_failed", "PRECONDITION_FAILED - inequivalent arg"), "frame");
  assertEquals(scope("Unknown destination", "connection_forced\n"), "frame");
  assertEquals(scope("Processing error", "Processing error"), "unclear");
  assertEquals(scope("Server cancelled subscription"), "subscription");
  // The two sentences of the STOMP plugin about one thing: that of 3.10 to 4.3, and that of the plugin that follows them.
  const rabbitmqWords: [what: string, ErrorScope, until43: [string, string], later: [string, string]][] = [
    [
      "an ACK with a wrong id",
      "acknowledgement",
      ["Invalid header", '"ACK" must include a valid "id" header\n'],
      ["Invalid header", `'ACK' must include a valid <<"id">> header\n`],
    ],
    [
      "a NACK without an id",
      "acknowledgement",
      ["Missing header", '"NACK" must include the "id" header\n'],
      ["Missing header", `'NACK' must include the <<"id">> header\n`],
    ],
    [
      "an ACK that comes twice",
      "acknowledgement",
      ["precondition_failed", "PRECONDITION_FAILED - unknown delivery tag 7"],
      ["Message not found", "unknown delivery tag 7\n"],
    ],
    [
      "a token that has expired",
      "connection",
      ["access_refused", "ACCESS_REFUSED - Provided JWT token has expired at timestamp 5 (validated at 6)"],
      ["access_refused", "Provided JWT token has expired at timestamp 5 (validated at 6)"],
    ],
    [
      "a consumer that is too slow",
      "connection",
      ["precondition_failed", "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value"],
      ["precondition_failed", "delivery acknowledgement timed out"],
    ],
    [
      "a missing exchange",
      "frame",
      ["not_found", "NOT_FOUND - no exchange 'nosuch' in vhost '/'"],
      ["not_found", "no exchange 'nosuch' in vhost '/'"],
    ],
    ["words that nobody knows", "frame", ["new", "words"], ["", ""]],
  ];
  const expired = "The credential used to authenticate this connection has expired";
  assertEquals(scope("Credential expired", expired), "connection"); // 4.3.6
  for (const [what, expected, ...both] of rabbitmqWords) {
    for (const [message, body] of both) assertEquals(scope(message, body), expected, `${what}: ${message}, ${body}`);
  }
  assertEquals(scope("heart-beat missed", "", "embedded"), "connection");
  assertEquals(scope("subscriber is too slow", "", "embedded"), "connection");
  assertEquals(scope("login refused", "", "embedded"), "frame");
  const trace = "org.apache.activemq.transport.stomp.ProtocolException: Already connected.\n\tat org.apache.activemq";
  assertEquals(scope("Already connected.", trace, "activemq"), "connection"); // 5.17.2 and 6.3.1
  assertEquals(scope("Client: me already connected from tcp://127.0.0.1:9", "", "activemq"), "frame");
  for (const family of ["activemq", "artemis", "unknown"] as const) {
    assertEquals(scope("connection_forced", "", family), "frame", family);
  }
  assertEquals(errorScope(new Frame().buildFrame({ command: "ERROR" }), dialectFor(undefined, "rabbitmq")), "frame");
});

clientTest("an ERROR about the connection: unconfirmed messages are sent again", async (harness) => {
  const { stomp, peer, server } = await harness.pair(HASTY, "1.2", AS_RABBITMQ);
  const watcher = new Watcher(stomp);
  const sent = ["a", "b"].map((body) => stomp.send("/queue/a", body));
  await peer.frames(2, "SEND");
  await peer.write(FORCED);
  const next = await welcome(server);
  assertEquals([(await confirm(next, "SEND")).body, (await confirm(next, "SEND")).body], ["a", "b"]);
  await Promise.all(sent);
  await watcher.until("connected");
  assertEquals(watcher.events.map(({ type }) => type), ["error", "disconnected", "reconnecting", "connected"]);
  const errors = watcher.events.flatMap((event) => "error" in event ? [event.error] : []);
  assert(errors.every((error) => error instanceof BrokerErrorResponse));
});

clientTest("what ActiveMQ takes for a second CONNECT is sent again on a new connection", async (harness) => {
  const { stomp, peer, server } = await harness.pair(HASTY, "1.2", "server:ActiveMQ/6.3.1\n");
  const subscribing = stomp.subscribe("/queue/a");
  await peer.frame("SUBSCRIBE");
  await peer.write("ERROR\nmessage:Already connected.\n\n\0"); // and the connection stays open
  const next = await server.welcome("1.2", "server:ActiveMQ/6.3.1\n");
  await confirm(next, "SUBSCRIBE");
  await subscribing;
  const sent = stomp.send("/queue/a", "a");
  await next.frame("SEND");
  await next.write("ERROR\nmessage:Already connected.\n\n\0");
  await next.ended();
  const last = await server.welcome("1.2", "server:ActiveMQ/6.3.1\n");
  await confirm(last, "SUBSCRIBE");
  assertEquals((await confirm(last, "SEND")).body, "a");
  await sent;
});

clientTest("an unclear ERROR is about the connection when that ends soon", async (harness) => {
  const { stomp, peer, server } = await harness.pair(HASTY, "1.2", AS_RABBITMQ);
  const sent = stomp.send("/queue/a", "a");
  await peer.frame("SEND");
  await peer.write(PROCESSING + FORCED);
  const next = await welcome(server);
  await confirm(next, "SEND");
  const again = stomp.send("/queue/a", "b");
  await next.frame("SEND");
  await next.write(PROCESSING);
  await next.finish();
  await confirm(await welcome(server), "SEND");
  await Promise.all([sent, again]);
});

clientTest("an unclear ERROR rejects unconfirmed calls when the connection goes on", async (harness) => {
  const { stomp, peer } = await harness.pair(HASTY, "1.2", AS_RABBITMQ);
  const bad = stomp.send("/queue/a", "bad", { headers: { priority: "none" } });
  const good = stomp.send("/queue/a", "good");
  await peer.frame("SEND");
  const asked = await peer.frame("SEND");
  await peer.write(PROCESSING + receiptFor(asked));
  await good;
  const later = stomp.send("/queue/a", "later"); // not to be blamed for what came before it
  const unconfirmed = await peer.frame("SEND");
  // It is sent again, alone but for what is not to blame.
  assertEquals((await peer.frame("SEND")).body, "bad");
  await peer.write(receiptFor(unconfirmed));
  await later;
  await peer.write(PROCESSING);
  await assertRejects(() => bad, BrokerErrorResponse, "Cannot confirm SEND to /queue/a: Processing error");
});

clientTest("an unclear ERROR leaves no timer behind when the connection ends", async (harness) => {
  const { stomp, peer } = await harness.pair({ reconnect: false }, "1.2", AS_RABBITMQ);
  const sent = stomp.send("/queue/a", "a");
  sent.catch(() => {});
  await peer.frame("SEND");
  await peer.write(PROCESSING);
  await peer.finish();
  assert((await stomp.closed) instanceof BrokerErrorResponse);
  await assertRejects(() => sent);
  // The sanitizer of timers says whether it does.
});

clientTest("an ERROR about a subscription ends that subscription alone", async (harness) => {
  const { stomp, peer } = await harness.pair(HASTY, "1.2", AS_RABBITMQ);
  const subscription = await subscribed(stomp, peer);
  const other = await subscribed(stomp, peer, "/queue/b");
  const taken = subscription.take();
  taken.catch(() => {});
  const sent = stomp.send("/queue/b", "b");
  const asked = await peer.frame("SEND");
  await peer.write(CANCELLED(subscription.id) + receiptFor(asked));
  await sent;
  const error = await assertRejects(() => taken, SubscriptionError, "Cannot receive from /queue/a: the broker has");
  assertEquals(error.frame?.headers["message"], "Server cancelled subscription");
  assertEquals(await subscription.closed, error);
  await subscription.unsubscribe(); // says nothing: there is nothing to end
  await peer.write(`MESSAGE\nsubscription:${other.id}\nmessage-id:1\ndestination:/queue/b\n\nb\0`);
  assertEquals((await other.take())?.text(), "b");
  // Its id is free, and the client does not subscribe again.
  const again = await subscribed(stomp, peer, "/queue/a", { id: subscription.id });
  assertEquals(again.id, subscription.id);
});

clientTest("an ACK on a subscription that the broker has cancelled is refused with what it said", async (harness) => {
  const { stomp, peer } = await harness.pair(HASTY, "1.2", AS_RABBITMQ);
  const subscription = await subscribed(stomp, peer, "/queue/a", { ack: "client-individual" });
  await peer.write(`MESSAGE\nsubscription:${subscription.id}\nmessage-id:1\nack:1\ndestination:/queue/a\n\na\0`);
  const message = await subscription.take();
  await peer.write(CANCELLED(subscription.id));
  const ended = await subscription.closed;
  const error = await assertRejects(() => message!.ack(), AcknowledgeError, "the subscription to /queue/a has ended");
  assertEquals(error.cause, ended);
});

test("`BrokerErrorResponse` quotes the reason from an Erlang term", () => {
  const bodies = [
    `Reason: {shutdown,\n            {connection_closing,\n                {server_initiated_close,540,\n` +
    `                    "automatic acknowledgement not supported by stream queue 's' in vhost '/'"}}}`,
    `Reason: {shutdown,\n            {connection_closing,\n                {server_initiated_close,320,\n` +
    `                    <<"the reason of the operator">>}}}`,
  ];
  const words = bodies.map((body) => {
    const frame = new Frame().buildFrame({ command: "ERROR", headers: { message: "AMQP channel died" }, body });
    return new BrokerErrorResponse(frame).message;
  });
  assertEquals(words, [
    "Broker answered ERROR: AMQP channel died (automatic acknowledgement not supported by stream queue 's' in vhost '/')",
    "Broker answered ERROR: AMQP channel died (the reason of the operator)",
  ]);
});

const begin = (id: string) => frame("BEGIN", { transaction: id });

clientTest("C12-60 an ERROR with receipt-id rejects that call alone", async (harness) => {
  const errors: string[] = [];
  const { session, peer } = await openSession(harness, { onError: (error) => errors.push(error.message) });
  const [bad, good] = ["a", "b"].map((id) => session.request(begin(id)));
  const [first, second] = await peer.frames(2);
  await peer.write(errorFor(first!, "no") + receiptFor(second!));
  const error = await assertRejects(() => bad!, BrokerErrorResponse, "Broker answered ERROR: no");
  assertEquals(error.frame?.headers["receipt-id"], "1");
  await good;
  assertEquals(errors, ["Broker answered ERROR: no"]);
  assert(session.isOpen);
});

clientTest("an ERROR without receipt-id rejects the open calls and names their frames", async (harness) => {
  const { session, peer } = await openSession(harness);
  const calls = ["a", "b"].map((id) => session.request(begin(id)));
  const frames = await peer.frames(2);
  await peer.write("ERROR\nmessage:no\n\n\0");
  for (const call of calls) {
    await assertRejects(() => call, BrokerErrorResponse, "Cannot confirm BEGIN: no");
  }
  // RabbitMQ sends a RECEIPT for a frame that it has sent ERROR for.
  await peer.write(receiptFor(frames[0]!));
  const next = session.request(begin("c"));
  await confirm(peer);
  await next;
});

clientTest(
  "C12-58 a connection that ends after an ERROR is reported with it, even after a RECEIPT for the same frame",
  async (harness) => {
    const { promise, resolve } = Promise.withResolvers<StompError | undefined>();
    const { session, peer } = await openSession(harness, { onEnd: (_, reason) => resolve(reason) });
    const call = session.request(begin("a"));
    const asked = await peer.frame();
    await peer.write(`ERROR\nmessage:no\n\n\0${receiptFor(asked)}`);
    await peer.finish();
    await assertRejects(() => call, BrokerErrorResponse);
    assertInstanceOf(await promise, BrokerErrorResponse);
    assertInstanceOf(session.reason, BrokerErrorResponse);
  },
);

clientTest("C11-59 an ERROR that the connection survived does not explain its later end", async (harness) => {
  for (const survived of ["by an answer", "by time"]) {
    const clock = new FakeClock();
    const ended = Promise.withResolvers<StompError | undefined>();
    const failed = Promise.withResolvers<BrokerErrorResponse>();
    const { session, peer } = await openSession(harness, {
      onEnd: (_, reason) => ended.resolve(reason),
      onError: (error) => failed.resolve(error),
      clock,
    });
    await peer.write("ERROR\n\n\0");
    await failed.promise;
    if (survived === "by time") {
      clock.pass(60_000);
    } else {
      const call = session.request(begin("a"));
      await confirm(peer);
      await call;
    }
    await peer.finish();
    const reason = await ended.promise;
    assertInstanceOf(reason, ConnectionError);
    assertEquals(reason.message, "Connection to memory lost: the broker closed it");
  }
});
